/** Rules of the notifier as a configuration file has them: what of a rule does not fit together, and what it means. */
import { isAbsolute, resolve } from 'node:path'
import type { ConfiguredMail, NotifyRule, NotifyTarget } from '../src/services/index.ts'
import { incomplete } from './problems.ts'
import type { ConfigFile } from './schema.ts'

type WrittenRule = ConfigFile['notify'][number]

const TARGETS = ['script', 'webhook', 'webhook_file', 'mail_to'] as const
/** Keys that are of use with another one only. */
const WITH_WEBHOOK = ['webhook_token_file', 'webhook_ca'] as const

/** `output` may be partly unchecked; `programProblems`: of a program that is to be run. */
export function notifyProblems(
  output: unknown,
  programProblems: (key: string, path: string) => readonly string[],
): string[] {
  const { notify, mail } = output as Partial<ConfigFile>
  const problems: string[] = []
  if (Array.isArray(notify))
    for (const [index, rule] of notify.entries()) {
      const where = `notify[${index}]`
      if (typeof rule !== 'object' || rule === null) continue
      const given = TARGETS.filter((key) => rule[key] !== undefined)
      if (given.length !== 1)
        problems.push(
          `${where}: found ${given.join(' and ') || 'no target'}; allowed is exactly one of ${TARGETS.join(', ')}`,
        )
      if (rule.mail_to !== undefined && mail === undefined)
        problems.push(`${where}.mail_to: there is no [mail]; add one with the server and the sender`)
      if (rule.webhook === undefined && rule.webhook_file === undefined)
        for (const key of WITH_WEBHOOK)
          if (rule[key] !== undefined) problems.push(`${where}.${key}: there is no webhook; add one, or leave this out`)
      if (typeof rule.script === 'string' && isAbsolute(rule.script))
        problems.push(...programProblems(`${where}.script`, rule.script))
    }
  if (typeof mail === 'object' && mail !== null) problems.push(...incomplete('mail', mail, ['user', 'password_file']))
  return problems
}

/** `folder`: what relative paths are relative to. */
export function notifyOf(folder: string, { notify, mail }: ConfigFile): NotifyRule[] {
  const server = mail && mailOf(folder, mail)
  return notify.map((rule) => ({
    ...{ name: rule.name, events: rule.events, objects: rule.objects, severity: rule.severity },
    ...{ timeoutMs: rule.timeout, retries: rule.retries, retryAfterMs: rule.retry_after },
    target: targetOf(folder, rule, server),
  }))
}

function targetOf(folder: string, rule: WrittenRule, server: ConfiguredMail | undefined): NotifyTarget {
  const at = (path: string): string => resolve(folder, path)
  if (rule.script !== undefined) return { kind: 'script', path: rule.script }
  if (rule.mail_to !== undefined) return { kind: 'mail', to: rule.mail_to, server: server as ConfiguredMail }
  return {
    kind: 'webhook',
    url: rule.webhook ?? { file: at(rule.webhook_file as string) },
    ...(rule.webhook_token_file !== undefined && { tokenFile: at(rule.webhook_token_file) }),
    ...(rule.webhook_ca !== undefined && { caFile: at(rule.webhook_ca) }),
  }
}

function mailOf(folder: string, mail: NonNullable<ConfigFile['mail']>): ConfiguredMail {
  const { server, security, from, user, password_file: passwordFile, ca } = mail
  return {
    ...{ ...server, security, from },
    ...(user !== undefined &&
      passwordFile !== undefined && { login: { user, passwordFile: resolve(folder, passwordFile) } }),
    ...(ca !== undefined && { caFile: resolve(folder, ca) }),
  }
}
