/** Rules of the notifier: which events go where. */
import type { EventKind, MatrixEvent, Severity } from '../events.ts'
import { severities } from '../events.ts'

/** An event as a target gets it; `test` when somebody tries a rule. */
export type Notice = Omit<MatrixEvent, 'kind'> & { readonly kind: EventKind | 'test' }

export type NotifyTarget =
  | { readonly kind: 'script'; readonly path: string }
  | {
      readonly kind: 'webhook'
      /** The URL, or the file that has it in its first line. */
      readonly url: string | { readonly file: string }
      /** File with a token, sent as `Authorization: Bearer`. */
      readonly tokenFile?: string
      readonly caFile?: string
    }
  | { readonly kind: 'mail'; readonly to: readonly string[]; readonly server: ConfiguredMail }

export type ConfiguredMail = {
  readonly host: string
  readonly port: number
  readonly security: 'tls' | 'starttls' | 'none'
  readonly from: string
  readonly login?: { readonly user: string; readonly passwordFile: string }
  readonly caFile?: string
}

export type NotifyRule = {
  readonly name: string
  /** Kinds of events; `*` stands for any characters. */
  readonly events: readonly string[]
  /** TYPE:NAME of objects; `*` stands for any characters. */
  readonly objects: readonly string[]
  /** The least severe. */
  readonly severity: Severity
  readonly target: NotifyTarget
  /** Of one attempt, ms. */
  readonly timeoutMs: number
  /** Attempts after the first. */
  readonly retries: number
  /** Before the first of them, ms; twice as long before each further one, up to LONGEST_WAIT_MS. */
  readonly retryAfterMs: number
}

export const LONGEST_WAIT_MS = 300_000

export function matches({ events, objects, severity }: NotifyRule, event: MatrixEvent): boolean {
  if (severities.indexOf(event.severity) < severities.indexOf(severity)) return false
  const object = `${event.object.type}:${event.object.name}`
  return events.some((pattern) => fits(pattern, event.kind)) && objects.some((pattern) => fits(pattern, object))
}

/** How long to wait before attempt `attempt` (1: the first retry), ms. */
export function waitBefore({ retryAfterMs }: NotifyRule, attempt: number): number {
  return Math.min(LONGEST_WAIT_MS, retryAfterMs * 2 ** (attempt - 1))
}

/** For people: no secret is in it. */
export function describeNotifyTarget(target: NotifyTarget): string {
  if (target.kind === 'script') return `script ${target.path}`
  if (target.kind === 'mail') return `mail to ${target.to.join(', ')}`
  return typeof target.url === 'string'
    ? `webhook at ${new URL(target.url).host}`
    : `webhook at the URL in ${target.url.file}`
}

function fits(pattern: string, text: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`).test(text)
}
