/**
 * The users as a running node knows them: the file is looked at again whenever somebody logs in, at most once a second, and read when it
 * has changed. A file that cannot be used changes nothing: who was known stays known, and the log says what is wrong.
 */
import { statSync } from 'node:fs'
import type { Caller } from '../../metadata/index.ts'
import type { Clock, Log } from '../../platform/index.ts'
import { nobodysPassword, passwordMatches } from './passwords.ts'
import { readUserFile, sha256, type UserFile, type UserRecord } from './user-file.ts'

const LOOK_AGAIN_MS = 1000

/** Somebody who has proved to be who he says he is. */
export type User = { readonly name: string; readonly groups: readonly string[]; readonly caller: Caller }

type Known = UserRecord & { readonly user: User }

export class Users {
  readonly #file: string
  readonly #clock: Clock
  readonly #log: Log
  #stamp = ''
  #lookedAt = Number.NEGATIVE_INFINITY
  #byName = new Map<string, Known>()
  #byToken = new Map<string, Known>()
  /** Grows when the users have changed: whatever was verified before counts no more. */
  version = 0

  /** Throws MatrixError 'config' when the file cannot be used. */
  constructor(file: string, clock: Clock, log: Log) {
    this.#file = file
    this.#clock = clock
    this.#log = log
    this.#stamp = stampOf(file)
    this.#take(readUserFile(file))
    this.#lookedAt = clock.now()
  }

  /** By name; undefined when there is none. */
  find(name: string): User | undefined {
    this.look()
    return this.#byName.get(name)?.user
  }

  /** Takes the same time whether there is such a user or not. */
  async byPassword(name: string, password: string): Promise<User | undefined> {
    this.look()
    const known = this.#byName.get(name)
    const matches = await passwordMatches(password, known?.password ?? nobodysPassword)
    return matches && known?.password !== undefined ? known.user : undefined
  }

  /** Who has this token of `matrix user token`, unless its time is over. */
  byToken(secret: string): User | undefined {
    this.look()
    const hash = sha256(secret)
    const known = this.#byToken.get(hash)
    const { expires } = known?.tokens.find((token) => token.sha256 === hash) ?? {}
    return expires !== undefined && Date.parse(expires) <= this.#clock.wall() ? undefined : known?.user
  }

  look(): void {
    const now = this.#clock.now()
    if (now - this.#lookedAt < LOOK_AGAIN_MS) return
    this.#lookedAt = now
    const stamp = stampOf(this.#file)
    if (stamp === this.#stamp) return
    this.#stamp = stamp
    try {
      this.#take(readUserFile(this.#file))
      this.#log.info({ file: this.#file, users: this.#byName.size }, 'the users have been read again')
    } catch (error) {
      this.#log.error({ error: String(error) }, 'the users cannot be read: they stay as they were')
    }
  }

  #take({ users, groups }: UserFile): void {
    const gids = new Map(groups.map(({ name, gid }) => [name, gid]))
    const known = users.map((record): Known => {
      const { name, uid, gid } = record
      const more = record.groups.flatMap((group) => gids.get(group) ?? [])
      return { ...record, user: { name, groups: record.groups, caller: { uid, gid, gids: more } } }
    })
    this.#byName = new Map(known.map((each) => [each.name, each]))
    this.#byToken = new Map(known.flatMap((each) => each.tokens.map((token) => [token.sha256, each])))
    this.version++
  }
}

/** Changes with the file. */
function stampOf(file: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(file)
    return `${ino} ${size} ${mtimeMs}`
  } catch (error) {
    return String(error)
  }
}
