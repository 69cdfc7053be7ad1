/**
 * Who sends a request: Basic (RFC 7617) with a password of the users' file; Bearer (RFC 6750) with a token from there, or one of an identity
 * provider whose name for the user is in the file. What is wrong is refused, also where nobody need say who he is.
 *
 * A password costs a thread 60 ms. So what was right once is remembered, as a keyed hash, for some minutes; requests that come meanwhile with
 * the same password wait for the one check; and only a few are checked at a time.
 */
import { createHmac, randomBytes } from 'node:crypto'
import type { Clock } from '../../platform/clock.ts'
import type { Log } from '../../platform/log.ts'
import { isLoopback, plainAddress } from '../local-addresses.ts'
import { isOwnToken, PASSWORD_MAX_BYTES, type User, type Users } from '../users/index.ts'
import type { JwtVerifier } from './jwt.ts'
import { LoginLimits } from './login-limits.ts'
import { LoginRefusal } from './login-refusal.ts'

/** What of a request over HTTP says who sends it. */
export type LoginRequest = {
  readonly headers: { readonly authorization?: string | undefined }
  /** `encrypted`: of TLS. */
  readonly socket: { readonly remoteAddress?: string | undefined; readonly encrypted?: boolean }
}

export type AuthenticatorOptions = {
  readonly users: Users
  readonly jwt?: JwtVerifier | undefined
  /** Shown when a password is asked for. */
  readonly realm: string
  /** Passwords and tokens are taken over plain HTTP from other machines, too. */
  readonly insecure?: boolean
  readonly clock: Clock
  readonly log: Log
}

const REMEMBER_MS = 600_000
const MAX_REMEMBERED = 10_000
/** Passwords checked at a time, and how many more may wait. */
const MAX_CHECKS = 4
const MAX_WAITING = 200

type Remembered = { readonly user: User; readonly version: number; readonly until: number }

export class Authenticator {
  readonly #options: AuthenticatorOptions
  readonly #limits: LoginLimits
  readonly #key = randomBytes(32)
  readonly #remembered = new Map<string, Remembered>()
  readonly #checks = new Map<string, Promise<User | undefined>>()
  #running = 0
  readonly #waiting: (() => void)[] = []

  constructor(options: AuthenticatorOptions) {
    this.#options = options
    this.#limits = new LoginLimits(options.clock)
  }

  /** undefined: the request does not say. Throws LoginRefusal. */
  async userOf(req: LoginRequest): Promise<User | undefined> {
    const { authorization } = req.headers
    if (authorization === undefined) return undefined
    const [, scheme, credentials] = /^(\S+) +(\S+)\s*$/.exec(authorization) ?? []
    if (scheme === undefined || credentials === undefined) throw this.unauthorized('malformed credentials')
    if (!this.isPrivate(req)) {
      throw new LoginRefusal(403, 'passwords and tokens are taken over TLS only: use https, and change this one')
    }
    const address = req.socket.remoteAddress ?? ''
    switch (scheme.toLowerCase()) {
      case 'basic':
        return this.#basic(credentials, address)
      case 'bearer':
        return this.#bearer(credentials, address)
      default:
        throw this.unauthorized('unknown kind of credentials')
    }
  }

  /** Asks for credentials (RFC 9110 11.6.1). */
  unauthorized(detail = 'log in'): LoginRefusal {
    const { realm } = this.#options
    return new LoginRefusal(401, detail, {
      'WWW-Authenticate': `Basic realm="${realm}", charset="UTF-8", Bearer realm="${realm}"`,
    })
  }

  /** Nobody reads along. */
  isPrivate({ socket }: LoginRequest): boolean {
    if (this.#options.insecure || socket.encrypted === true) return true
    return isLoopback(plainAddress(socket.remoteAddress ?? ''))
  }

  #basic(credentials: string, address: string): Promise<User> {
    const text = Buffer.from(credentials, 'base64').toString('utf8')
    const colon = text.indexOf(':')
    if (colon < 0) throw this.unauthorized('malformed credentials')
    return this.login(text.slice(0, colon), text.slice(colon + 1), address)
  }

  /** The user with this name and password, who asks from `address`. Rejects with LoginRefusal. */
  async login(name: string, password: string, address: string): Promise<User> {
    if (name.includes(':')) throw this.unauthorized('wrong user or password')
    const text = `${name}:${password}`
    if (Buffer.byteLength(text) > PASSWORD_MAX_BYTES) throw this.unauthorized()
    const { users } = this.#options
    users.look()
    const key = createHmac('sha256', this.#key).update(text).digest('base64')
    const known = this.#recall(key)
    if (known) return known
    this.#needMayTry(address, name)
    let check = this.#checks.get(key)
    if (!check) {
      check = this.#check(name, password).finally(() => this.#checks.delete(key))
      this.#checks.set(key, check)
    }
    const { version } = users
    const user = await check
    if (!user) throw this.#failed(address, name)
    this.#remember(key, { user, version, until: this.#options.clock.now() + REMEMBER_MS })
    return user
  }

  #bearer(token: string, address: string): User {
    this.#needMayTry(address, '')
    const { users, jwt } = this.#options
    const name = isOwnToken(token) ? undefined : jwt?.userOf(token)
    const user = isOwnToken(token) ? users.byToken(token) : name === undefined ? undefined : users.find(name)
    if (!user) throw this.#failed(address, '')
    return user
  }

  #needMayTry(address: string, name: string): void {
    const waitS = this.#limits.waitS(address, name)
    if (waitS > 0) {
      throw new LoginRefusal(429, 'too many failed logins', { 'Retry-After': String(waitS) })
    }
  }

  #failed(address: string, name: string): LoginRefusal {
    this.#limits.failed(address, name)
    this.#options.log.warn({ address, user: name }, 'a login failed')
    return this.unauthorized('wrong user or password')
  }

  async #check(name: string, password: string): Promise<User | undefined> {
    if (this.#running >= MAX_CHECKS) {
      if (this.#waiting.length >= MAX_WAITING) {
        throw new LoginRefusal(503, 'too many logins at once', { 'Retry-After': '2' })
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    this.#running++
    try {
      return await this.#options.users.byPassword(name, password)
    } finally {
      this.#running--
      this.#waiting.shift()?.()
    }
  }

  #recall(key: string): User | undefined {
    const found = this.#remembered.get(key)
    if (!found) return undefined
    if (found.version === this.#options.users.version && found.until > this.#options.clock.now()) return found.user
    this.#remembered.delete(key)
    return undefined
  }

  #remember(key: string, entry: Remembered): void {
    if (this.#remembered.size >= MAX_REMEMBERED) {
      this.#remembered.delete(this.#remembered.keys().next().value as string)
    }
    this.#remembered.set(key, entry)
  }
}
