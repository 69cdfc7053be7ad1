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
 * A waiter is looked after when its turn may have come: some node says so (a hint, which may be lost), a view has resumed, or its row and those in its
 * way, as this image has them, say so. The last is done twice a second, and finds what all else has missed: what a node does is in
 * its peers' images soon (recovery/mount.ts, announcements).
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
import { type Life, sameLife } from '../../base/life.ts'
import {
  type ByteRange,
  checkOwner,
  checkRange,
  EX,
  FLOCK_BYTE,
  type Hold,
  type LockCache,
  localClientOf,
  NL,
  PR,
  RANGE_LOCK,
  type RangeLock,
  type RangeLocks,
  type RangeOwner,
  type RangeRequest,
  type RangeWait,
  resourceId,
  resourceNumber,
} from '../../locking/index.ts'
import type { Clock, Log, Timer } from '../../platform/index.ts'
import { journalCallouts } from '../journal-callouts.ts'
import type { VolumeApi } from '../volume-api.ts'
import { LocalWait } from './local-wait.ts'
import { type MatrixTable, RangeDraft } from './range-draft.ts'
import { asRangeError, checkRoom } from './range-limits.ts'
import { isVoid, type Lives, readTable } from './range-rows.ts'
import { confirmDeadlock, seemsDeadlocked, type TableCache } from './waits-for.ts'

export type RangePeers = {
  /** The other members of the view. */
  slots(): readonly Slot[]
  /** What those did who are no members is in the members' images: nobody's recovery is under way. */
  isWhole(): boolean
  /** Somebody who waits there for bytes of the inode may get them now. A hint. */
  wake(slot: Slot, ino: Ino): void
  /** The inodes of which the client holds or waits for bytes, as that node's image has it. */
  inosRangedBy(slot: Slot, client: string): Promise<readonly Ino[]>
}

export type RangeServiceOptions = {
  readonly volume: VolumeApi
  readonly locks: LockCache
  readonly clock: Clock
  readonly log: Log
  readonly self: Life
  readonly lives: Lives
  readonly peers: RangePeers
}

/** Lock L is waited for so long before the caller is told to try again, ms. */
const PATIENCE_MS = 10_000
/** How often waiters are looked after without a hint, ms. */
const LOOK_PERIOD_MS = 500
/** Inodes with waiters, and waiters, that one such look takes on. */
const LOOKS_PER_PERIOD = 200
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

/** Nothing of it was void when `lives` had that version. */
type Kept = { readonly table: MatrixTable; livesVersion: number }

export class RangeService implements RangeLocks {
  readonly #options: RangeServiceOptions
  /** Of inodes whose L is held; not those that are empty. */
  readonly #tables = new Map<Ino, Kept>()
  /** Who waits here, by inode and place in its line. */
  readonly #waits = new Map<Ino, Map<number, LocalWait>>()
  /** Inodes that are being looked at; true: and then once more. */
  readonly #looking = new Map<Ino, boolean>()
  #timer: Timer | undefined
  #circlesSuspected = 0
  #deadlocks = 0
  /** Why nothing is done any more. */
  #stopped: FsError | undefined

  constructor(options: RangeServiceOptions) {
    this.#options = options
    const plain = journalCallouts(options.volume)
    options.locks.registerCallouts(RANGE_LOCK, {
      acquired: (rid, mode, vector) => {
        if (!brokenRules.tableGoesWithLock) this.#tables.delete(resourceNumber(rid))
        return plain.acquired(rid, mode, vector)
      },
      surrender: (rid, from, to) => {
        if (to === NL && !brokenRules.tableGoesWithLock) this.#tables.delete(resourceNumber(rid))
        return plain.surrender(rid, from, to)
      },
    })
  }

  // ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Locks are granted: goes on. Removes what earlier lives of this slot have left. */
  start(): void {
    this.#timer = this.#options.clock.every(LOOK_PERIOD_MS, () => this.#lookAfterWaits())
    void this.dropVoid().catch((error) =>
      this.#options.log.warn({ error: String(error) }, 'range locks of lives that are gone stay for now'),
    )
  }

  /** Nobody waits here any more, and what ends with this life is released. */
  async stop(): Promise<void> {
    const { self, volume, log } = this.#options
    const stopping = new FsError('EAGAIN', 'this node stops serving')
    this.#stopped = stopping
    const own = localClientOf(self, '')
    try {
      for (const client of volume.image.rangeClients(own, `${own}\u{10ffff}`)) await this.#releaseHere(client)
      // whoever waits here hears of it once nobody takes him for one who waits
      for (const ino of [...this.#waits.keys()])
        await this.#change(ino, (draft) => {
          dropWaits(draft, (waiter) => sameLife(waiter, self))
          for (const wait of this.#waits.get(ino)?.values() ?? []) draft.afterwards(() => this.#dropped(wait, stopping))
        })
    } catch (error) {
      // they are void once this life is gone
      log.warn({ error: String(error) }, 'range locks of this node are left to the others')
    }
    this.#end(stopping)
  }

  /** Nothing is written or answered any more. */
  withdraw(): void {
    this.#end(new FsError('EIO', 'this node has withdrawn from the filesystem'))
    this.#tables.clear()
  }

  #end(error: FsError): void {
    this.#stopped = error
    this.#timer?.cancel()
    for (const waits of this.#waits.values()) for (const wait of waits.values()) wait.fail(error)
    this.#waits.clear()
  }

  /** A view has resumed: what lives that are gone had is free now. */
  resumed(): void {
    for (const ino of this.#waits.keys()) this.wake(ino)
  }

  /** Removes the rows of lives that are gone, from all inodes. */
  async dropVoid(): Promise<void> {
    const { volume, lives } = this.#options
    const inos = new Set<Ino>()
    for (const client of volume.image.rangeClients('@', 'A')) {
      if (isVoid({ client, owner: '', start: 0, end: 0, mode: 'shared' }, lives))
        for (const ino of volume.image.inosRangedBy(client)) inos.add(ino)
    }
    for (const { ino, life } of volume.image.rangeWaitLives()) if (lives.isGone(life)) inos.add(ino)
    for (const ino of inos) {
      if (this.#stopped) return
      await this.#change(ino, () => {})
    }
  }

  // ── RangeLocks ───────────────────────────────────────────────────────────────────────────────────────────────────

  localClient(name: string): string {
    return localClientOf(this.#options.self, name)
  }

  async test(request: RangeRequest): Promise<RangeLock | undefined> {
    this.#check(request, request)
    const { ino } = request
    try {
      const hold = await this.#pin(ino, PR)
      try {
        const { volume, lives } = this.#options
        const table = this.#hasVoid(ino) ? readTable(volume.image, ino, lives) : this.#table(ino)
        const other = table.inTheWay(request)
        return other && plainLock(other)
      } finally {
        hold.release()
        this.#forgetEmpty(ino)
      }
    } catch (error) {
      throw asRangeError(error)
    }
  }

  async take(request: RangeRequest): Promise<RangeLock | undefined> {
    this.#check(request, request)
    const other = await this.#change(
      request.ino,
      (draft) => {
        const first = draft.table.inTheWay(request)
        if (!first) this.#hold(draft, request)
        return first && plainLock(first)
      },
      'grows',
    )
    if (!other) await this.#told(request.client)
    return other
  }

  wait(request: RangeRequest): RangeWait {
    const wait = new LocalWait(request)
    void this.#begin(wait)
    return { granted: wait.granted, cancel: () => this.#cancel(wait) }
  }

  async release(ino: Ino, owner: RangeOwner, range: ByteRange): Promise<void> {
    this.#check(owner, range)
    await this.#change(ino, (draft) => draft.release(owner, range))
    await this.#told(owner.client)
  }

  async releaseClient(client: string): Promise<void> {
    const { peers } = this.#options
    this.#check({ client, owner: '' }, { start: 0, end: 0 })
    if (!peers.isWhole()) throw new FsError('EAGAIN', 'what a lost node has granted is not known yet')
    try {
      // what a peer has granted and nobody else knows yet is in its own image
      const inos = await Promise.all(peers.slots().map((slot) => peers.inosRangedBy(slot, client)))
      await this.#releaseHere(client, inos.flat())
    } catch (error) {
      throw asRangeError(error)
    }
    await this.#told(client)
  }

  async #releaseHere(client: string, more: readonly Ino[] = []): Promise<void> {
    for (const ino of new Set([...this.inosRangedBy(client), ...more])) {
      await this.#change(ino, (draft) => {
        dropWaits(draft, (waiter) => waiter.client === client)
        for (const lock of [...draft.table.locks()]) if (lock.client === client) draft.release(lock, lock)
      })
    }
  }

  /** For a peer's `releaseClient`. */
  inosRangedBy(client: string): readonly Ino[] {
    return this.#options.volume.image.inosRangedBy(client)
  }

  /** Since the start; `waiting`: now, at this node. */
  stats() {
    let waiting = 0
    for (const waits of this.#waits.values()) waiting += waits.size
    const { rangeWeight: weight } = this.#options.volume.image.totals()
    return { weight, waiting, circlesSuspected: this.#circlesSuspected, deadlocks: this.#deadlocks }
  }

  /** Inodes above `after` of which bytes are locked or waited for, as this image has it: a little late for what other nodes do. None: that was all. */
  status(after: Ino, limit: number): RangeStatus[] {
    const { volume, lives } = this.#options
    return volume.image.rangedInos(after, limit).map((ino) => {
      const table = readTable(volume.image, ino, lives)
      const holders = [...table.locks()].slice(0, STATUS_ENTRIES)
      const waiters = table.waiters
        .slice(0, STATUS_ENTRIES)
        .map((waiter) => ({ ...plainLock(waiter), slot: waiter.slot }))
      return { ino, held: table.size, waiting: table.waiters.length, holders, waiters }
    })
  }

  // ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────

  async #begin(wait: LocalWait): Promise<void> {
    const { request } = wait
    try {
      this.#check(request, request)
      await this.#change(
        request.ino,
        (draft) => {
          if (wait.state !== 'new') return
          if (!draft.table.inTheWay(request)) {
            this.#hold(draft, request)
            draft.afterwards(() => this.#granted(wait))
            return
          }
          checkRoom(this.#options.volume, request)
          const { order } = draft.queue(request, this.#options.self)
          draft.afterwards(() => {
            wait.queued(order)
            const waits = this.#waits.get(request.ino)
            if (waits) waits.set(order, wait)
            else this.#waits.set(request.ino, new Map([[order, wait]]))
          })
        },
        'grows',
      )
      this.#checkDeadlock(wait)
    } catch (error) {
      wait.fail(asRangeError(error) as Error)
    }
  }

  /** Its row is a lock now. */
  #granted(wait: LocalWait): void {
    this.#forgetWait(wait)
    wait.won()
    this.#told(wait.request.client).then(
      () => wait.tell(),
      (error) => wait.fail(error),
    )
  }

  async #cancel(wait: LocalWait): Promise<boolean> {
    if (wait.state === 'new') wait.cancelled() // and is never queued
    if (wait.state === 'queued') {
      await this.#change(wait.request.ino, (draft) => {
        if (wait.state !== 'queued') return
        draft.drop(wait.order)
        draft.afterwards(() => this.#dropped(wait))
      })
    }
    return wait.state !== 'won'
  }

  #dropped(wait: LocalWait, why = new FsError('EINTR')): void {
    this.#forgetWait(wait)
    wait.fail(why)
  }

  #forgetWait({ request, order }: LocalWait): void {
    const waits = this.#waits.get(request.ino)
    waits?.delete(order)
    if (waits?.size === 0) this.#waits.delete(request.ino)
  }

  #checkDeadlock(wait: LocalWait, tables: TableCache = new Map()): void {
    if (wait.state !== 'queued' || wait.request.start === FLOCK_BYTE.start || wait.isBeingConfirmed) return
    const circle = seemsDeadlocked(this.#options, wait.request, tables)
    if (!circle) return
    wait.isBeingConfirmed = true
    this.#circlesSuspected++
    const tableOf = (ino: Ino) => {
      if (this.#hasVoid(ino)) this.#within(ino, () => {})
      return this.#table(ino)
    }
    confirmDeadlock(this.#options, wait.request, circle, tableOf, () => {
      if (wait.state !== 'queued') return
      this.#within(wait.request.ino, (draft) => {
        draft.drop(wait.order)
        draft.afterwards(() => {
          this.#forgetWait(wait)
          wait.fail(new FsError('EDEADLK'))
          this.#deadlocks++
        })
      })
    })
      .catch((error) => this.#options.log.debug({ error: String(error) }, 'a deadlock could not be confirmed'))
      .finally(() => {
        wait.isBeingConfirmed = false
      })
  }

  /** Looks whether somebody who waits here for bytes of the inode may have them now. */
  wake(ino: Ino): void {
    if (!this.#waits.has(ino) || this.#stopped) return
    if (this.#looking.has(ino)) {
      this.#looking.set(ino, true)
      return
    }
    this.#looking.set(ino, false)
    this.#change(ino, () => {})
      .catch(() => {}) // the next look is half a second away
      .finally(() => {
        const again = this.#looking.get(ino)
        this.#looking.delete(ino)
        if (again) this.wake(ino)
      })
  }

  /** What no hint has told: this image knows it sooner or later. */
  #lookAfterWaits(): void {
    const { volume, lives, self } = this.#options
    const tables: TableCache = new Map()
    let looks = 0
    for (const [ino, waits] of [...this.#waits]) {
      if (looks >= LOOKS_PER_PERIOD) break
      // the others first next time
      this.#waits.delete(ino)
      this.#waits.set(ino, waits)
      const table = readTable(volume.image, ino, lives)
      tables.set(ino, table)
      looks++
      const lost = new Set(waits.keys())
      for (const waiter of table.waiters) if (sameLife(waiter, self)) lost.delete(waiter.order)
      if (lost.size > 0 || table.promised().some((waiter) => sameLife(waiter, self))) this.wake(ino)
      else {
        for (const [order, wait] of [...waits]) {
          if (looks++ >= LOOKS_PER_PERIOD) break
          waits.delete(order)
          waits.set(order, wait)
          this.#checkDeadlock(wait, tables)
        }
      }
    }
  }

  // ── the table under its lock ─────────────────────────────────────────────────────────────────────────────────────

  /** Runs `work` with lock L held exclusively, and commits; rejects with what gateways may see. */
  async #change<T>(ino: Ino, work: (draft: RangeDraft) => T, growth?: 'grows'): Promise<T> {
    const { volume } = this.#options
    try {
      if (growth && !volume.hasRoom) await volume.room()
      const hold = await this.#pin(ino, EX)
      try {
        return this.#within(ino, work)
      } finally {
        hold.release()
      }
    } catch (error) {
      throw asRangeError(error)
    }
  }

  /** The same, by whoever holds L already; within the turn. */
  #within<T>(ino: Ino, work: (draft: RangeDraft) => T): T {
    const { volume, peers, self } = this.#options
    const draft = new RangeDraft(ino, this.#table(ino), (mutations) => volume.commit(mutations))
    try {
      if (this.#hasVoid(ino)) this.#dropVoidOf(draft)
      this.#noteLost(ino, draft.table)
      const result = work(draft)
      this.#grantOwn(draft)
      draft.commit()
      if (draft.hasChanged) {
        const slots = new Set([...draft.dropped, ...draft.table.promised().map(({ slot }) => slot)])
        for (const slot of slots) if (slot !== self.slot) peers.wake(slot, ino)
      }
      this.#forgetEmpty(ino)
      return result
    } catch (error) {
      this.#tables.delete(ino)
      throw error
    }
  }

  /** Those who wait here and whose turn it is hold what they waited for. */
  #grantOwn(draft: RangeDraft): void {
    const waits = this.#waits.get(draft.ino)
    for (let granted = waits !== undefined; granted; ) {
      granted = false
      for (const waiter of draft.table.promised()) {
        const wait = sameLife(waiter, this.#options.self) ? waits?.get(waiter.order) : undefined
        if (!wait) continue
        granted = true
        draft.drop(waiter.order)
        draft.hold(waiter, waiter, waiter.mode)
        draft.afterwards(() => this.#granted(wait))
        draft.commitIfLarge()
      }
    }
  }

  /** Some peer has released the client that waited here. */
  #noteLost(ino: Ino, table: MatrixTable): void {
    const waits = this.#waits.get(ino)
    if (!waits) return
    const there = new Set(table.waiters.map(({ order }) => order))
    for (const [order, wait] of waits) if (!there.has(order)) this.#dropped(wait)
  }

  #hold(draft: RangeDraft, request: RangeRequest): void {
    checkRoom(this.#options.volume, request)
    draft.hold(request, request, request.mode)
  }

  #hasVoid(ino: Ino): boolean {
    const { lives } = this.#options
    const kept = this.#kept(ino)
    if (kept.livesVersion === lives.version) return false
    if (kept.table.waiters.some((waiter) => isVoid(waiter, lives))) return true
    for (const lock of kept.table.locks()) if (isVoid(lock, lives)) return true
    kept.livesVersion = lives.version
    return false
  }

  #dropVoidOf(draft: RangeDraft): void {
    const { lives } = this.#options
    dropWaits(draft, (waiter) => isVoid(waiter, lives))
    for (const lock of [...draft.table.locks()]) if (isVoid(lock, lives)) draft.release(lock, lock)
  }

  #table(ino: Ino): MatrixTable {
    return this.#kept(ino).table
  }

  #kept(ino: Ino): Kept {
    let kept = this.#tables.get(ino)
    if (!kept) {
      kept = { table: readTable(this.#options.volume.image, ino), livesVersion: -1 }
      this.#tables.set(ino, kept)
    }
    return kept
  }

  #forgetEmpty(ino: Ino): void {
    if (this.#tables.get(ino)?.table.isEmpty) this.#tables.delete(ino)
  }

  async #pin(ino: Ino, mode: typeof EX | typeof PR): Promise<Hold> {
    const hold = await this.#options.locks.acquire(resourceId(RANGE_LOCK, ino), mode, { timeoutMs: PATIENCE_MS })
    return hold as Hold
  }

  /** Invariant 2. */
  async #told(client: string): Promise<void> {
    if (client.startsWith('@') || brokenRules.rangeAnswerIsDurable) return
    try {
      await this.#options.volume.flush()
    } catch (error) {
      throw asRangeError(error)
    }
  }

  #check(owner: RangeOwner, range: ByteRange): void {
    if (this.#stopped) throw this.#stopped
    checkRange(range)
    checkOwner(owner, this.#options.self)
  }
}

function dropWaits(draft: RangeDraft, which: (waiter: MatrixTable['waiters'][number]) => boolean): void {
  for (const waiter of [...draft.table.waiters]) {
    if (!which(waiter)) continue
    draft.drop(waiter.order)
    draft.commitIfLarge()
  }
}

/** Nothing but the lock. */
function plainLock(lock: RangeLock): RangeLock {
  const { client, owner, start, end, mode } = lock
  return { client, owner, start, end, mode }
}
