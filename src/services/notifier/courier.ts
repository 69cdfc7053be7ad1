/**
 * Takes one notice to one target, once. A target can tell by the id whether it has it already: it is the same each time, in the environment of a script, in
 * headers of a webhook, in the Message-ID of a mail.
 */
import { readFile } from 'node:fs/promises'
import { isMatrixError } from '../../base/errors.ts'
import type { Mailer, Programs, Sent, Webhooks } from '../../platform/index.ts'
import type { ConfiguredMail, Notice, NotifyRule, NotifyTarget } from './rule.ts'

export type CourierOptions = {
  readonly matrix: string
  readonly programs: Programs
  readonly webhooks: Webhooks
  readonly mailer: Mailer
  /** As `Host.secret`. */
  readonly secret: (path: string) => Promise<string>
}

export class Courier {
  readonly #options: CourierOptions

  constructor(options: CourierOptions) {
    this.#options = options
  }

  /** `abort` ends a script; the others end by their time limit. Never rejects. */
  async deliver(rule: NotifyRule, notice: Notice, abort?: AbortSignal): Promise<Sent> {
    try {
      switch (rule.target.kind) {
        case 'script':
          return await this.#run(rule, rule.target.path, notice, abort)
        case 'webhook':
          return await this.#post(rule, rule.target, notice)
        case 'mail':
          return await this.#mail(rule, rule.target.to, rule.target.server, notice)
      }
    } catch (error) {
      // a file that is missing, or open to others: it may be put right meanwhile
      if (isMatrixError(error) || (error instanceof Error && 'code' in error))
        return { how: 'failed', why: error.message }
      throw error
    }
  }

  async #run({ name, timeoutMs }: NotifyRule, path: string, notice: Notice, abort?: AbortSignal): Promise<Sent> {
    const { id, at, node, kind, object, severity, text, detail } = notice
    const end = await this.#options.programs.run({
      ...{ path, args: [], timeoutMs, abort },
      env: {
        MATRIX_NAME: this.#options.matrix,
        MATRIX_RULE: name,
        MATRIX_EVENT_ID: id,
        MATRIX_EVENT_AT: new Date(at).toISOString(),
        MATRIX_EVENT_NODE: node,
        MATRIX_EVENT_KIND: kind,
        MATRIX_EVENT_OBJECT_TYPE: object.type,
        MATRIX_EVENT_OBJECT: object.name,
        MATRIX_EVENT_SEVERITY: severity,
        MATRIX_EVENT_TEXT: text,
        MATRIX_EVENT_DETAIL: JSON.stringify(detail),
      },
    })
    if (end.how === 'exited' && end.code === 0) return { how: 'taken' }
    const said = end.output.at(-1) ?? ''
    const how = end.how === 'exited' ? `ended with ${end.code}` : `was ended: ${end.how}`
    return { how: 'failed', why: said === '' ? how : `${how}: ${said}` }
  }

  async #post(rule: NotifyRule, target: NotifyTarget & { kind: 'webhook' }, notice: Notice): Promise<Sent> {
    const { secret, webhooks, matrix } = this.#options
    const url = typeof target.url === 'string' ? target.url : await secret(target.url.file)
    if (!/^https?:\/\//.test(url) || !URL.canParse(url)) return { how: 'failed', why: 'what its file holds is no URL' }
    const token = target.tokenFile === undefined ? undefined : await secret(target.tokenFile)
    return webhooks.post({
      ...{ url, timeoutMs: rule.timeoutMs },
      headers: {
        'User-Agent': 'matrixfs',
        'X-Matrix-Event-Id': notice.id,
        'Idempotency-Key': `"${notice.id}/${rule.name}"`,
        ...(token !== undefined && { Authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify({ matrix, rule: rule.name, event: notice }),
      ca: target.caFile === undefined ? undefined : await readFile(target.caFile, 'utf8'),
    })
  }

  async #mail(rule: NotifyRule, to: readonly string[], server: ConfiguredMail, notice: Notice): Promise<Sent> {
    const { secret, mailer, matrix } = this.#options
    const { host, port, security, from, login, caFile } = server
    const { id, at, node, kind, object, severity, text, detail } = notice
    const facts = Object.entries({ event: kind, [object.type]: object.name, severity, node, id, ...detail })
    return mailer.send({
      server: {
        ...{ host, port, security },
        login: login && { user: login.user, password: await secret(login.passwordFile) },
        ca: caFile === undefined ? undefined : await readFile(caFile, 'utf8'),
      },
      ...{ from, to, timeoutMs: rule.timeoutMs },
      subject: `[${matrix}] ${severity}: ${text}`,
      text: `${text}\n\n${new Date(at).toISOString()}\n${facts.map(([key, value]) => `${key}: ${value}`).join('\n')}\n`,
      messageId: `${id}.${rule.name}@${matrix}.matrixfs`,
      headers: { 'X-Matrix-Event-Id': id, 'Auto-Submitted': 'auto-generated' },
    })
  }
}
