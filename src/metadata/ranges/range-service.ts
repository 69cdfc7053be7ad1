/**
 * Byte-range locks of the whole matrix, at one node. The table of an inode, and the line of those who wait, are rows of the image under
 * a lock of their own, L (docs/decisions/0014): whoever holds that exclusively is the only one who changes them, and knows all of
 * them. So a node that has L cached locks and unlocks without a message, and what a client holds survives the death of any node, and
 * of all, as every other row does; nobody has to say again what it holds, and it does not matter through which node a lock came.
 *
 *     take, release    L exclusively; change the table; commit; wake others whose turn has come
 *     wait             the same, or stand in the line: a row that names this life of this node
 *     granted          only by the node at which the waiter waits: it holds L, finds that it is the waiter's turn, and makes its row a lock
 *
 * Tables and rows: range-tables.ts; who waits: local-waits.ts; deadlocks: waits-for.ts.
 *
 * Invariants
 * 1. The rows are as locking/range-table.ts has it; they change only under L held exclusively, and a table in memory is used only while L is held.
 * 2. What a client has been told is durable: that it has a lock, and that it has none. What clients that end with their node are told need not be.
 * 3. A lock of a client of a life that is gone, and a waiter at one, count for nothing, and whoever holds L exclusively removes them. A life is gone when a view without it
 *    has resumed: then it is fenced (recovery/recovery.ts, invariant 1). Until then its L is nobody else's, or what it holds stands.
 * 4. EDEADLK only for a circle of waiters all of whose tables were held exclusively at once when it was found.
 *
 * A crash leaves: rows of waiters, void by 3; locks of clients that end with their node, the same; locks of other clients, as they were told.
 */
import { brokenRules } from '../../base/broken-rules.ts'
import { FsError } from '../../base/errors.ts'
import type { Ino, Slot } from '../../base/ids.ts'
import {
  type ByteRange,
  checkOwner,
  checkRange,
  localClientOf,
  type RangeLock,
  type RangeLocks,
  type RangeOwner,
  type RangeRequest,
  type RangeWait,
} from '../../locking/index.ts'
import type { Timer } from '../../platform/index.ts'
import { LocalWaits } from './local-waits.ts'
import { dropWaits } from './range-draft.ts'
import { asRangeError, checkRoom } from './range-limits.ts'
import type { RangeParts } from './range-parts.ts'
import { isVoid, readTable } from './range-rows.ts'
import type { RangeTables } from './range-tables.ts'

/** How often waiters are looked after without a hint, ms. */
const LOOK_PERIOD_MS = 500
/** Holders, and waiters, of an inode that a status names. */
const STATUS_ENTRIES = 20

/** The locks of an inode, and its line: the first of them, and how many there are. `slot`: the node at which somebody waits. */
export type RangeStatus = {
  readonly ino: Ino
  readonly held: number
  readonly waiting: number
  readonly holders: readonly RangeLock[]
  readonly waiters: readonly (RangeLock & { readonly slot: Slot })[]
}

/** What a client has: locks and waiting requests, of so many inodes. */
export type RangeClientStatus = {
  readonly client: string
  readonly inodes: number
  readonly held: number
  readonly waiting: number
}

export class RangeService implements RangeLocks {
  readonly #parts: RangeParts
  readonly #waits: LocalWaits
  readonly #tables: RangeTables
  #timer: Timer | undefined
  /** Why nothing is done any more. */
  #stopped: FsError | undefined

  constructor(parts: RangeParts) {
    this.#parts = parts
    this.#waits = new LocalWaits(parts, (client) => this.#told(client))
    this.#tables = this.#waits.tables
  }

  // ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Locks are granted: goes on. Removes what earlier lives of this slot have left. */
  start(): void {
    this.#timer = this.#parts.clock.every(LOOK_PERIOD_MS, () => this.#waits.lookAtAll())
    void this.dropVoid().catch((error) =>
      this.#parts.log.warn({ error: String(error) }, 'range locks of lives that are gone stay for now'),
    )
  }

  /** Nobody waits here any more, and what ends with this life is released. */
  async stop(): Promise<void> {
    const { self, volume, log } = this.#parts
    const stopping = new FsError('EAGAIN', 'this node stops serving')
    this.#stopped = stopping
    const own = localClientOf(self, '')
    try {
      for (const client of volume.image.rangeClients(own, `${own}\u{10ffff}`))
        await this.#releaseHere(client, () => false, [])
      await this.#waits.stop(stopping)
    } catch (error) {
      // they are void once this life is gone
      log.warn({ error: String(error) }, 'range locks of this node are left to the others')
    }
    this.#end(stopping)
  }

  /** Nothing is written or answered any more. */
  withdraw(): void {
    this.#end(new FsError('EIO', 'this node has withdrawn from the filesystem'))
  }

  #end(why: FsError): void {
    this.#stopped = why
    this.#timer?.cancel()
    this.#waits.end(why)
  }

  /** A view has resumed: what lives that are gone had is free now. */
  resumed(): void {
    this.#waits.wakeAll()
  }

  /** A peer's hint: the turn of somebody who waits here may have come. */
  wake(ino: Ino): void {
    this.#waits.wake(ino)
  }

  /** Removes the rows of lives that are gone, from all inodes. */
  async dropVoid(): Promise<void> {
    const { volume, lives } = this.#parts
    const inos = new Set<Ino>()
    for (const client of volume.image.rangeClients('@', 'A')) {
      if (isVoid({ client, owner: '', start: 0, end: 0, mode: 'shared' }, lives))
        for (const ino of volume.image.inosRangedBy(client)) inos.add(ino)
    }
    for (const { ino, life } of volume.image.rangeWaitLives()) if (lives.isGone(life)) inos.add(ino)
    for (const ino of inos) {
      if (this.#stopped) return
      await this.#tables.change(ino, () => {})
    }
  }

  // ── RangeLocks ───────────────────────────────────────────────────────────────────────────────────────────────────

  localClient(name: string): string {
    return localClientOf(this.#parts.self, name)
  }

  async test(request: RangeRequest): Promise<RangeLock | undefined> {
    this.#check(request, request)
    return this.#tables.read(request.ino, (table) => {
      const other = table.inTheWay(request)
      return other && plainLock(other)
    })
  }

  async take(request: RangeRequest): Promise<RangeLock | undefined> {
    this.#check(request, request)
    const other = await this.#tables.change(
      request.ino,
      (draft) => {
        const first = draft.table.inTheWay(request)
        if (first) return plainLock(first)
        checkRoom(this.#parts.volume, request)
        draft.hold(request, request, request.mode)
        return undefined
      },
      'grows',
    )
    if (!other) await this.#told(request.client)
    return other
  }

  wait(request: RangeRequest): RangeWait {
    try {
      this.#check(request, request)
    } catch (error) {
      const granted = Promise.reject(error)
      granted.catch(() => {}) // who cancels may not listen
      return { granted, cancel: async () => true }
    }
    const wait = this.#waits.begin(request)
    return { granted: wait.granted, cancel: () => this.#waits.cancel(wait) }
  }

  async release(ino: Ino, owner: RangeOwner, range: ByteRange): Promise<void> {
    this.#check(owner, range)
    await this.#tables.change(ino, (draft) => draft.release(owner, range))
    await this.#told(owner.client)
  }

  async releaseClient(client: string, unless: () => boolean = () => false): Promise<void> {
    const { peers } = this.#parts
    this.#check({ client, owner: '' }, { start: 0, end: 0 })
    if (!peers.isWhole()) throw new FsError('EAGAIN', 'what a lost node has granted is not known yet')
    try {
      // what a peer has granted and nobody else knows yet is in its own image
      const inos = await Promise.all(peers.slots().map((slot) => peers.inosRangedBy(slot, client)))
      await this.#releaseHere(client, unless, inos.flat())
    } catch (error) {
      throw asRangeError(error)
    }
    await this.#told(client)
  }

  async #releaseHere(client: string, unless: () => boolean, more: readonly Ino[]): Promise<void> {
    for (const ino of new Set([...this.inosRangedBy(client), ...more])) {
      await this.#tables.change(ino, (draft) => {
        if (unless()) return
        dropWaits(draft, (waiter) => waiter.client === client)
        for (const lock of [...draft.table.locks()]) if (lock.client === client) draft.release(lock, lock)
      })
    }
  }

  /** For a peer's `releaseClient`. */
  inosRangedBy(client: string): readonly Ino[] {
    return this.#parts.volume.image.inosRangedBy(client)
  }

  /** Since the start; `waiting`: now, at this node. */
  stats() {
    const { rangeWeight: weight } = this.#parts.volume.image.totals()
    const { size: waiting, circlesSuspected, deadlocks } = this.#waits
    return { weight, waiting, circlesSuspected, deadlocks }
  }

  /** Inodes above `after` of which bytes are locked or waited for, as this image has it: a little late for what other nodes do. None: that was all. */
  status(after: Ino, limit: number): RangeStatus[] {
    const { volume, lives } = this.#parts
    return volume.image.rangedInos(after, limit).map((ino) => {
      const table = readTable(volume.image, ino, lives)
      const holders = [...table.locks()].slice(0, STATUS_ENTRIES)
      const waiters = table.waiters
        .slice(0, STATUS_ENTRIES)
        .map((waiter) => ({ ...plainLock(waiter), slot: waiter.slot }))
      return { ino, held: table.size, waiting: table.waiters.length, holders, waiters }
    })
  }

  /** Clients whose names sort after `after`, as this image has them. None: that was all. */
  clients(after: string, limit: number): RangeClientStatus[] {
    const counts = this.#parts.volume.image.rangeCounts(after, limit)
    return counts.map(([client, inodes, held, waiting]) => ({ client, inodes, held, waiting }))
  }

  /** Invariant 2. */
  async #told(client: string): Promise<void> {
    if (client.startsWith('@') || brokenRules.rangeAnswerIsDurable) return
    try {
      await this.#parts.volume.flush()
    } catch (error) {
      throw asRangeError(error)
    }
  }

  #check(owner: RangeOwner, range: ByteRange): void {
    if (this.#stopped) throw this.#stopped
    checkRange(range)
    checkOwner(owner, this.#parts.self)
  }
}

/** Nothing but the lock. */
function plainLock(lock: RangeLock): RangeLock {
  const { client, owner, start, end, mode } = lock
  return { client, owner, start, end, mode }
}
