/**
 * The groups of users as this node knows them, instead of the at most 16 that AUTH_SYS has room for: by `id -G UID`, which asks whatever the
 * system asks (files, LDAP, sssd). For exports that do not want to believe the client's list, or to be limited by it.
 *
 * An answer holds for five minutes, and is renewed behind the back of who uses it. A user whom this node does not know has no groups but the one that the request
 * names. When the program fails, the last answer holds for an hour; without one the user has no groups for a few seconds: less is granted, never more.
 */
import { MatrixError } from '../base/errors.ts'
import type { MaybePromise } from '../base/maybe-promise.ts'
import type { Clock, Log, Programs } from '../platform/index.ts'

const FRESH_MS = 5 * 60_000
const STALE_MS = 60 * 60_000
/** Of "unknown user", and of a failure. */
const RETRY_MS = 10_000
const PROGRAM_LIMIT_MS = 5_000
/** Programs at a time; others wait. */
const MAX_RUNNING = 4
/** Users remembered; above it the oldest are forgotten. */
const MAX_USERS = 4096
/** Longest line of numbers that is read whole: the runner keeps so many lines of 400 bytes. */
const OUTPUT_LINES = 2000
const ID_MAX = 2 ** 32 - 1

const NONE: readonly number[] = []

type Known = { readonly gids: readonly number[]; readonly askAgainAt: number; readonly goodUntil: number }

export type UserGroupsOptions = {
  readonly programs: Programs
  readonly clock: Clock
  readonly log: Log
  /** Absolute path of `id`. */
  readonly program?: string
}

export class UserGroups {
  readonly #options: UserGroupsOptions
  readonly #users = new Map<number, Known>()
  readonly #asking = new Map<number, Promise<readonly number[]>>()
  #running = 0
  readonly #queue: (() => void)[] = []

  constructor(options: UserGroupsOptions) {
    this.#options = options
  }

  /** At once when they are known; the same array as long as they are the same. */
  of(uid: number): MaybePromise<readonly number[]> {
    const known = this.#users.get(uid)
    const now = this.#options.clock.now()
    if (known && now < known.askAgainAt) return known.gids
    const asked = this.#ask(uid, known)
    return known && now < known.goodUntil ? known.gids : asked
  }

  #ask(uid: number, known: Known | undefined): Promise<readonly number[]> {
    let asking = this.#asking.get(uid)
    if (!asking) {
      asking = this.#turn(() => this.#run(uid, known)).finally(() => this.#asking.delete(uid))
      this.#asking.set(uid, asking)
    }
    return asking
  }

  async #turn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= MAX_RUNNING) await new Promise<void>((resolve) => this.#queue.push(resolve))
    this.#running++
    try {
      return await work()
    } finally {
      this.#running--
      this.#queue.shift()?.()
    }
  }

  async #run(uid: number, known: Known | undefined): Promise<readonly number[]> {
    const { programs, clock, log, program = '/usr/bin/id' } = this.#options
    let gids: readonly number[]
    let lifeMs = FRESH_MS
    try {
      const end = await programs.run({
        ...{ path: program, args: ['-G', `${uid}`], env: { LC_ALL: 'C' } },
        ...{ timeoutMs: PROGRAM_LIMIT_MS, outputLines: OUTPUT_LINES },
      })
      const found = end.how === 'exited' && end.code === 0 ? parse(end.output) : undefined
      if (!found && (end.how !== 'exited' || !/no such user/i.test(end.output.join(' '))))
        throw new MatrixError('not-found', `${program} -G ${uid}: ${end.how} ${end.code ?? ''} ${end.output.join(' ')}`)
      gids = found ?? NONE
      if (!found) lifeMs = RETRY_MS
    } catch (error) {
      log.error({ uid, error: String(error) }, 'the groups of a user could not be looked up')
      const isGood = known !== undefined && clock.now() < known.goodUntil
      return this.#know(uid, isGood ? known.gids : NONE, RETRY_MS, isGood ? known.goodUntil : clock.now() + RETRY_MS)
    }
    const same = known?.gids.length === gids.length && gids.every((gid, i) => gid === known.gids[i])
    return this.#know(uid, same ? known.gids : gids, lifeMs, clock.now() + STALE_MS)
  }

  #know(uid: number, gids: readonly number[], lifeMs: number, goodUntil: number): readonly number[] {
    this.#users.delete(uid)
    this.#users.set(uid, { gids, askAgainAt: this.#options.clock.now() + lifeMs, goodUntil })
    if (this.#users.size > MAX_USERS)
      for (const oldest of this.#users.keys()) {
        this.#users.delete(oldest)
        break
      }
    return gids
  }
}

/** Numbers of one line; undefined when it is something else. */
function parse(output: readonly string[]): readonly number[] | undefined {
  const words = output.join(' ').split(/\s+/).filter(Boolean)
  const gids = words.map(Number)
  if (gids.length === 0 || gids.some((gid) => !Number.isInteger(gid) || gid < 0 || gid > ID_MAX)) return undefined
  return gids
}
