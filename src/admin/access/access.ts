/**
 * Who asks the admin plane, and what he may do: look (viewer), or act, too (operator).
 *
 * Without a users' file everybody on this machine has one role, and the plane listens on loopback addresses alone. With one, whoever asks says who he
 * is: with each request (Basic, Bearer), as programs do; or once, for a session (sessions.ts), as the dashboard does. Passwords are limited and
 * taken over TLS alone, as at the HTTP gateway (export/logins).
 */
import { timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { AdminAccess } from '../../../config/index.ts'
import { Authenticator, LoginRefusal, type User, Users } from '../../export/index.ts'
import type { Clock, Log } from '../../platform/index.ts'
import { type Session, Sessions } from './sessions.ts'

export type Role = 'viewer' | 'operator'

export type Asker = {
  /** null: everybody on this machine. */
  readonly name: string | null
  readonly role: Role
  readonly session?: Session
}

/** The header with a session's second number, in lower case. */
export const CSRF_HEADER = 'x-matrix-csrf'

type Known = {
  readonly users: Users
  readonly authenticator: Authenticator
  readonly isViewer: (user: User) => boolean
  readonly isOperator: (user: User) => boolean
}

export class Access {
  readonly #anonymous: Role | undefined
  readonly #known: Known | undefined
  readonly #sessions: Sessions
  readonly #cookie: string
  readonly #isSecure: boolean

  /** `node`: its name, since nodes on one machine get each other's cookies. Throws MatrixError 'config' when the users cannot be read. */
  constructor(
    access: AdminAccess,
    {
      node,
      realm,
      isSecure,
      clock,
      log,
    }: {
      readonly node: string
      readonly realm: string
      /** It is served over TLS. */
      readonly isSecure: boolean
      readonly clock: Clock
      readonly log: Log
    },
  ) {
    this.#sessions = new Sessions(clock)
    this.#isSecure = isSecure
    this.#cookie = isSecure ? `__Host-matrix-${node}` : `matrix-${node}`
    if ('anonymous' in access) {
      this.#anonymous = access.anonymous
      return
    }
    const users = new Users(access.users, clock, log)
    this.#known = {
      users,
      authenticator: new Authenticator({ users, realm, clock, log }),
      isViewer: among(access.viewers),
      isOperator: among(access.operators),
    }
  }

  /** Whoever is on this machine may ask. */
  get isOpen(): boolean {
    return this.#known === undefined
  }

  /** undefined: he does not say, and has to. Rejects with LoginRefusal. */
  async askerOf(req: IncomingMessage): Promise<Asker | undefined> {
    if (!this.#known) return { name: null, role: this.#anonymous as Role }
    const user = await this.#known.authenticator.userOf(req)
    if (user) return this.#asker(user)
    const session = this.#sessionOf(req)
    const signedIn = session && this.#known.users.find(session.user)
    return signedIn && { ...this.#asker(signedIn), session }
  }

  /** Of whoever does not say who he is, and has to. */
  unknown(): LoginRefusal {
    return (this.#known as Known).authenticator.unauthorized()
  }

  /** Who changes something by a session has to know its second number. Throws LoginRefusal. */
  checkOrigin(req: IncomingMessage, { session }: Asker): void {
    if (session && !same(String(req.headers[CSRF_HEADER] ?? ''), session.csrf))
      throw new LoginRefusal(403, `a session needs its number in ${CSRF_HEADER}, as GET /session tells it`)
  }

  /** Begins a session: with its Set-Cookie. Rejects with LoginRefusal. */
  async signIn(req: IncomingMessage, name: string, password: string): Promise<{ asker: Asker; cookie: string }> {
    if (!this.#known) throw new LoginRefusal(403, 'nobody logs in here: there is no admin.users in the configuration')
    const { authenticator, users } = this.#known
    if (!authenticator.isPrivate(req)) throw new LoginRefusal(403, 'passwords are taken over TLS only: use https')
    users.look()
    const { version } = users
    const user = await authenticator.login(name, password, req.socket.remoteAddress ?? '')
    const asker = this.#asker(user)
    const session = this.#sessions.begin(user.name, version)
    return { asker: { ...asker, session }, cookie: this.#cookieWith(session.id) }
  }

  /** Ends the session, if any; gives the Set-Cookie that takes it back. */
  signOut(req: IncomingMessage): string {
    const session = this.#sessionOf(req)
    if (session) this.#sessions.end(session.id)
    return `${this.#cookieWith('')}; Max-Age=0`
  }

  #asker(user: User): Asker {
    const { isViewer, isOperator } = this.#known as Known
    if (isOperator(user)) return { name: user.name, role: 'operator' }
    if (isViewer(user)) return { name: user.name, role: 'viewer' }
    throw new LoginRefusal(403, `${user.name} is neither among admin.viewers nor admin.operators`)
  }

  #sessionOf(req: IncomingMessage): Session | undefined {
    const { users } = this.#known ?? {}
    if (!users) return undefined
    users.look()
    for (const pair of (req.headers.cookie ?? '').split(';')) {
      const at = pair.indexOf('=')
      if (pair.slice(0, at).trim() === this.#cookie)
        return this.#sessions.find(pair.slice(at + 1).trim(), users.version)
    }
    return undefined
  }

  #cookieWith(id: string): string {
    return `${this.#cookie}=${id}; Path=/; HttpOnly; SameSite=Strict${this.#isSecure ? '; Secure' : ''}`
  }
}

/** Names, groups (`@staff`), or everybody (`*`). */
function among(written: readonly string[]): (user: User) => boolean {
  const all = new Set(written)
  return ({ name, groups }) => all.has('*') || all.has(name) || groups.some((group) => all.has(`@${group}`))
}

function same(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}
