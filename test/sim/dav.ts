/**
 * What WebDAV keeps, under the same faults as everything else: clients lock shared files exclusively, set a property of those that nobody has
 * locked or that they have locked themselves, look at it, and give locks back, maybe through another node, maybe after the node that gave the lock has died.
 *
 *   - a property is a register (oracle.ts)
 *   - a lock that was answered is there until its client gives it back: nobody else gets one, or sets the property
 *
 * Locks are given for years, since wall clocks step by a day.
 */
import { isFsError } from '../../src/base/errors.ts'
import { ROOT_INO } from '../../src/base/ids.ts'
import type { Prng } from '../../src/base/prng.ts'
import type { Caller, MatrixFs } from '../../src/metadata/index.ts'
import { durable, ROOT } from './calls.ts'
import type { AtLife, Oracle } from './oracle.ts'

const YEARS_MS = 20 * 365 * 86_400_000
const PROPERTY = '{urn:sim}p'
const INITIAL = ''
/** Shared files that locks and properties are for. */
const FILES = ['f0', 'f1']

/** A lock that a client has asked for. Times are the oracle's. */
type Held = {
  readonly client: number
  readonly file: string
  readonly token: string
  /** When it was answered; undefined: it may be there or not. */
  answeredAt: number | undefined
  /** When it was given back for the first time, maybe in vain. */
  returnedAt: number | undefined
  over: boolean
}

export class DavWork {
  readonly #oracle: Oracle
  readonly #locks: Held[] = []
  #serial = 0
  locked = 0

  constructor(oracle: Oracle) {
    this.#oracle = oracle
  }

  /** One thing done by a client at a node. */
  async step(fs: MatrixFs, at: AtLife, client: number, prng: Prng): Promise<void> {
    const file = prng.pick(FILES)
    const own = this.#locks.find((lock) => lock.client === client && lock.file === file && !lock.over)
    const k = prng.float()
    if (k < 0.3) await this.#read(fs, at, file)
    else if (k < 0.6) await this.#set(fs, at, client, file, own)
    else if (own) await this.#unlock(fs, own)
    else await this.#lock(fs, client, file)
  }

  async #lock(fs: MatrixFs, client: number, file: string): Promise<void> {
    const token = `urn:sim:${++this.#serial}`
    const began = this.#oracle.now()
    const lock: Held = { client, file, token, answeredAt: undefined, returnedAt: undefined, over: false }
    this.#locks.push(lock)
    try {
      await fs.dav.lock(callerOf(client), place(file), {
        ...{ token, shared: false, infinite: false, timeoutMs: YEARS_MS },
        ...{ owner: '', root: `/home/${file}`, mode: 0o644 },
      })
      await durable(fs)
    } catch (error) {
      if (isFsError(error) && !isFsError(error, 'EIO', 'EDOUBT')) lock.over = true
      throw error
    }
    this.#needNobody(client, file, began, 'locked it')
    lock.answeredAt = this.#oracle.now()
    this.locked++
  }

  async #unlock(fs: MatrixFs, lock: Held): Promise<void> {
    const first = lock.returnedAt === undefined
    lock.returnedAt ??= this.#oracle.now()
    const done = await fs.dav.unlock(callerOf(lock.client), place(lock.file), lock.token)
    await durable(fs)
    if (!done && first && lock.answeredAt !== undefined)
      throw new Error(`${lock.file}: the lock ${lock.token} of client ${lock.client} is gone`)
    lock.over = true
  }

  async #set(fs: MatrixFs, at: AtLife, client: number, file: string, own: Held | undefined): Promise<void> {
    const value = `p${client}.${++this.#serial}`
    const write = this.#oracle.beginWrite(`${file}.${PROPERTY}`, value, INITIAL, at)
    const began = this.#oracle.now()
    try {
      const patch = { set: new Map([[PROPERTY, value]]), remove: [], attributes: {} }
      await fs.dav.patchProperties(callerOf(client, own?.token), place(file), patch)
      await durable(fs)
    } catch (error) {
      if (isFsError(error) && !isFsError(error, 'EIO', 'EDOUBT')) write.failed()
      throw error
    }
    write.ended()
    this.#needNobody(client, file, began, `set its property to ${value}`)
  }

  async #read(fs: MatrixFs, at: AtLife, file: string): Promise<void> {
    const began = this.#oracle.now()
    const { inode } = await fs.lookup(ROOT, ROOT_INO, file)
    const value = (await fs.dav.properties([inode.ino])).get(inode.ino)?.get(PROPERTY) ?? INITIAL
    this.#oracle.checkRead(`${file}.${PROPERTY}`, value, INITIAL, began, at)
  }

  /** From `began` until now nobody else had a lock on it all the time. */
  #needNobody(client: number, file: string, began: number, what: string): void {
    const other = this.#locks.find(
      (lock) =>
        lock.file === file &&
        lock.client !== client &&
        lock.answeredAt !== undefined &&
        lock.answeredAt < began &&
        lock.returnedAt === undefined,
    )
    if (other) throw new Error(`${file}: client ${client} ${what}, although client ${other.client} has locked it`)
  }
}

function callerOf(client: number, ...tokens: (string | undefined)[]): Caller {
  return { ...ROOT, guard: { principal: `c${client}`, tokens: tokens.filter((token) => token !== undefined) } }
}

function place(name: string) {
  return { dir: ROOT_INO, name }
}
