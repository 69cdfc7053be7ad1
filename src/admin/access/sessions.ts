/**
 * Who is signed in at this node's dashboard. A session is a random number in a cookie that no script can read and no other site can have sent
 * (`HttpOnly`, `SameSite=Strict`; RFC 6265bis), known to this process alone: it ends with it, after a while without use, and after a day in any case; and
 * when the users' file has changed. What changes something needs the session's second number, too, in a header: a page that could have the cookie sent all the same does
 * not know it.
 */
import { randomBytes } from 'node:crypto'
import type { Clock } from '../../platform/index.ts'

const IDLE_MS = 30 * 60_000
const LIFE_MS = 24 * 3_600_000
/** Beyond, the one used longest ago ends. */
const MAX_SESSIONS = 1_000

export type Session = {
  readonly id: string
  readonly user: string
  /** Of the users' file, when the password was right. */
  readonly version: number
  readonly csrf: string
  readonly since: number
}

export class Sessions {
  readonly #clock: Pick<Clock, 'now'>
  /** The one used longest ago first. */
  readonly #sessions = new Map<string, { readonly session: Session; usedAt: number }>()

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock
  }

  begin(user: string, version: number): Session {
    const session = { id: secret(), user, version, csrf: secret(), since: this.#clock.now() }
    this.#sessions.set(session.id, { session, usedAt: session.since })
    if (this.#sessions.size > MAX_SESSIONS) this.end(this.#sessions.keys().next().value as string)
    return session
  }

  /** The session with this number, which is used by that; undefined when there is none any more. */
  find(id: string, version: number): Session | undefined {
    const known = this.#sessions.get(id)
    if (!known) return undefined
    const now = this.#clock.now()
    this.#sessions.delete(id)
    const { session, usedAt } = known
    if (session.version !== version || now - usedAt >= IDLE_MS || now - session.since >= LIFE_MS) return undefined
    this.#sessions.set(id, { session, usedAt: now })
    return session
  }

  end(id: string): void {
    this.#sessions.delete(id)
  }
}

function secret(): string {
  return randomBytes(32).toString('base64url')
}
