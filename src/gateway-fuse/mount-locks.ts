/**
 * The byte-range locks of the programs of one mount. In the matrix the mount is one client, which ends with it; its owners are what the kernel calls
 * so: a process (its open files, rather) for fcntl(2), an open file for flock(2) and for locks of open file descriptions.
 *
 * The kernel keeps none of these locks itself. It says when a descriptor is closed (FLUSH: all locks of the process on the file go, as
 * POSIX has it) and when an open file is (RELEASE: its flock goes). What it does not say, that an open file with locks of its own is closed, is made up for
 * when the mount has the inode open no more.
 */
import { isFsError } from '../base/errors.ts'
import type { Ino } from '../base/ids.ts'
import {
  type ByteRange,
  FLOCK_BYTE,
  RANGE_END,
  type RangeLock,
  type RangeLocks,
  type RangeMode,
  type RangeOwner,
  type RangeWait,
} from '../locking/index.ts'
import { type Clock, type Log, sleep } from '../platform/index.ts'

/** A range of fcntl(2) as the kernel gives it, or flock(2), which has none. */
export type LockSpan = ByteRange | 'flock'

/** What could not be released is tried again after so long, ms. */
const RETRY_MS = 200
const TRIES = 300

export class MountLocks {
  readonly #ranges: RangeLocks
  readonly #clock: Clock
  readonly #log: Log
  readonly #client: string
  /** Owners that may hold something of an inode, with their processes. */
  readonly #owners = new Map<Ino, Map<string, number>>()

  /** `name`: of no other mount of this life of the node. */
  constructor(ranges: RangeLocks, name: string, parts: { readonly clock: Clock; readonly log: Log }) {
    this.#ranges = ranges
    this.#clock = parts.clock
    this.#log = parts.log
    this.#client = ranges.localClient(name)
  }

  /** The lock in the way; `pid` 0: of a process elsewhere. */
  async test(
    ino: Ino,
    owner: string,
    span: LockSpan,
    mode: RangeMode,
  ): Promise<(RangeLock & { pid: number }) | undefined> {
    const lock = await this.#ranges.test({ ino, ...this.#of(owner, span), ...rangeOf(span), mode })
    if (!lock) return undefined
    const pid = lock.client === this.#client ? this.#owners.get(ino)?.get(lock.owner) : undefined
    return { ...lock, pid: pid ?? 0 }
  }

  /** False: somebody is in the way. */
  async take(ino: Ino, owner: string, span: LockSpan, mode: RangeMode, pid: number): Promise<boolean> {
    const who = this.#of(owner, span)
    this.#note(ino, who, pid)
    return (await this.#ranges.take({ ino, ...who, ...rangeOf(span), mode })) === undefined
  }

  wait(ino: Ino, owner: string, span: LockSpan, mode: RangeMode, pid: number): RangeWait {
    const who = this.#of(owner, span)
    this.#note(ino, who, pid)
    return this.#ranges.wait({ ino, ...who, ...rangeOf(span), mode })
  }

  /** It is no longer wanted, and ends soon. */
  cancel(wait: RangeWait): void {
    this.#byAndBy(() => wait.cancel())
  }

  /** Of fcntl(2). */
  mayHold(ino: Ino, owner: string): boolean {
    return this.#owners.get(ino)?.has(`p${owner}`) === true
  }

  async release(ino: Ino, owner: string, span: LockSpan): Promise<void> {
    const who = this.#of(owner, span)
    if (this.#owners.get(ino)?.has(who.owner)) await this.#ranges.release(ino, who, rangeOf(span))
  }

  /** All of the owner's locks of this kind on the inode go. */
  async releaseAll(ino: Ino, owner: string, kind: 'fcntl' | 'flock'): Promise<void> {
    const span = kind === 'flock' ? 'flock' : { start: 0, end: RANGE_END }
    const who = this.#of(owner, span)
    if (!this.#owners.get(ino)?.has(who.owner)) return
    await this.#ranges.release(ino, who, rangeOf(span))
    this.#forgetOwner(ino, who.owner)
  }

  /** The same, by and by: nobody waits for it. */
  closed(ino: Ino, owner: string, kind: 'fcntl' | 'flock'): void {
    if (this.#owners.get(ino)?.has(this.#of(owner, kind === 'flock' ? 'flock' : { start: 0, end: 0 }).owner))
      this.#byAndBy(() => this.releaseAll(ino, owner, kind))
  }

  /** Nobody has the inode open in this mount: nobody has a lock on it. */
  forget(ino: Ino): void {
    for (const owner of this.#owners.get(ino)?.keys() ?? []) {
      this.#forgetOwner(ino, owner)
      const range = owner.startsWith('f') ? FLOCK_BYTE : { start: 0, end: RANGE_END }
      this.#byAndBy(() => this.#ranges.release(ino, { client: this.#client, owner }, range))
    }
  }

  /** The mount is over. */
  end(): void {
    if (this.#owners.size > 0) this.#byAndBy(() => this.#ranges.releaseClient(this.#client))
    this.#owners.clear()
  }

  #byAndBy(work: () => Promise<unknown>): void {
    const attempt = async () => {
      for (let tries = 1; ; tries++) {
        try {
          await work()
          return
        } catch (error) {
          if (!isFsError(error, 'EAGAIN') || tries >= TRIES) throw error
          await sleep(this.#clock, RETRY_MS)
        }
      }
    }
    attempt().catch((error) => this.#log.warn({ error: String(error) }, 'locks stay until this node ends'))
  }

  /** The two kinds of one number are two owners. */
  #of(owner: string, span: LockSpan): RangeOwner {
    return { client: this.#client, owner: `${span === 'flock' ? 'f' : 'p'}${owner}` }
  }

  #note(ino: Ino, { owner }: RangeOwner, pid: number): void {
    const owners = this.#owners.get(ino)
    if (owners) owners.set(owner, pid)
    else this.#owners.set(ino, new Map([[owner, pid]]))
  }

  #forgetOwner(ino: Ino, owner: string): void {
    const owners = this.#owners.get(ino)
    owners?.delete(owner)
    if (owners?.size === 0) this.#owners.delete(ino)
  }
}

function rangeOf(span: LockSpan): ByteRange {
  return span === 'flock' ? FLOCK_BYTE : span
}
