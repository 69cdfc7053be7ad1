/**
 * The lock-caching layer (LCL): keeps DLM locks after their users are done, tells the floor above when they come and go,
 * and gives them up when another node wants them. lock-cache.ts says what users may rely on.
 *
 * A lock has a granted mode, at most one request under way, and at most one callout under way:
 *
 *     request ──granted──▶ acquiring ──callout done──▶ usable ──BAST, minimum hold over──▶ closing ──last pin released──▶
 *        ▲                                              │ ▲                                                 surrendering
 *        └──────────── a user wants more ───────────────┘ └──── what is left (PR, or nothing) ◀──callout done, DOWN sent──┘
 *
 * 1. A lock is usable only in a mode whose acquire callout is done, and only while the node's lease is good.
 * 2. A surrender callout begins when nobody pins more than what will be left, and the DOWN is sent after it is done (R13,
 *    R14). New users of more than that wait from *closing* on, so remote nodes do not starve; a user that pins the lock keeps
 *    finding it usable until it releases, so nobody waits for himself.
 * 3. Every grant serves those who waited for it before a BAST takes it away, so local users do not starve either.
 * 4. While one request is under way no other is sent. A request may be under way while the lock it wants to raise goes
 *    down: that is how two nodes that both convert PR to EX get past each other (lock-master.ts, rule 4).
 * 5. While the lock space is frozen nothing is surrendered and no DOWN is sent; what is cached stays usable (R8).
 * 6. A callout that fails leaves the node with an image it cannot trust: the lock space withdraws.
 *
 * The fast path (`holds`, `acquire` of an open lock, `release`) touches one Map entry and nothing else.
 */
import { assert } from '../base/assert.ts'
import { MatrixError } from '../base/errors.ts'
import { isPromise, type MaybePromise } from '../base/maybe-promise.ts'
import type { Timings } from '../base/timings.ts'
import { emptyVector, type Vector } from '../base/vector.ts'
import type { Clock, Timer } from '../platform/clock.ts'
import type { Dlm, LockClient } from './dlm.ts'
import { LocalLock, LockWaiter } from './local-lock.ts'
import type { AcquireOptions, CachedLock, Hold, LockCache, LockCallouts } from './lock-cache.ts'
import { compatible, coversMode, joinModes, type Mode, mayWrite, modeNames, NL, yieldMode } from './modes.ts'
import { lockTypes, type ResourceId, resourceName, resourceType } from './resource.ts'

/** Locks a node keeps at most (about 400 bytes each); beyond it the longest unused is given back for every new one. */
export const CACHED_LOCKS_MAX = 200_000
/** How many entries one new lock looks at to find an unused one. */
const EVICTION_LOOKS = 8
/** A lock is given back after this many looks of the ageing without use; the looks share out lockIdleMs. */
const IDLE_LOOKS = 4
/** Idle locks given back by one look of the ageing: a burst of releases must not stand in the way of work. */
const AGED_PER_LOOK = 4096

export type LclOptions = {
  readonly dlm: Dlm
  readonly clock: Clock
  readonly timings: Timings
  leaseGood(): boolean
  /** A callout failed. */
  onFatal(error: Error): void
  /** Default CACHED_LOCKS_MAX. */
  readonly cachedLocksMax?: number
}

/** Since the start. */
export type LclCounters = {
  readonly cached: number
  /** Acquires, and how many of them had to wait. */
  readonly acquired: number
  readonly waited: number
  readonly requests: number
  readonly basts: number
  readonly surrenders: number
  readonly aged: number
}

const noCallouts: LockCallouts = { acquired() {}, surrender: () => emptyVector }

export class Lcl implements LockCache, LockClient {
  readonly #dlm: Dlm
  readonly #clock: Clock
  readonly #timings: Timings
  readonly #leaseGood: () => boolean
  readonly #onFatal: (error: Error) => void
  readonly #cachedLocksMax: number
  readonly #callouts: LockCallouts[] = lockTypes.map(() => noCallouts)
  readonly #locks = new Map<ResourceId, LocalLock>()
  readonly #ageing: Timer
  #withdrawn = false
  #leaving = new Set<LocalLock>()
  #whenLeft: { resolve(): void; reject(error: Error): void }[] = []
  #acquired = 0
  #waited = 0
  #requests = 0
  #basts = 0
  #surrenders = 0
  #aged = 0

  constructor(options: LclOptions) {
    this.#dlm = options.dlm
    this.#clock = options.clock
    this.#timings = options.timings
    this.#leaseGood = () => options.leaseGood()
    this.#onFatal = options.onFatal
    this.#cachedLocksMax = options.cachedLocksMax ?? CACHED_LOCKS_MAX
    this.#ageing = options.clock.every(options.timings.lockIdleMs / IDLE_LOOKS, () => this.#age())
    this.#dlm.attach(this)
  }

  registerCallouts(type: number, callouts: LockCallouts): void {
    assert(this.#callouts[type] === noCallouts, `callouts of lock type ${lockTypes[type]} are registered once`)
    this.#callouts[type] = callouts
  }

  // ── users ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  holds(rid: ResourceId, mode: Mode): boolean {
    const lock = this.#locks.get(rid)
    return lock?.usable(mode) === true
  }

  peek(rid: ResourceId): CachedLock | undefined {
    return this.#locks.get(rid)
  }

  wanted(rid: ResourceId): boolean {
    const lock = this.#locks.get(rid)
    return lock !== undefined && lock.bast !== NL
  }

  acquire(rid: ResourceId, mode: Mode): MaybePromise<Hold>
  acquire(rid: ResourceId, mode: Mode, options: AcquireOptions): MaybePromise<Hold | undefined>
  acquire(rid: ResourceId, mode: Mode, options?: AcquireOptions): MaybePromise<Hold | undefined> {
    assert(mode !== NL, `${resourceName(rid)} is asked for in a mode`)
    const refusal = this.#refusal()
    if (refusal) return Promise.reject(refusal)
    this.#acquired++
    const lock = this.#lock(rid)
    if (options === undefined && coversMode[lock.open]![mode]) return new LockHold(this, lock, mode, false)
    const waiter = new LockWaiter(mode, {
      processScope: options?.scope === 'process',
      noQueue: options?.noQueue === true,
    })
    lock.leaving = false
    lock.waiters.push(waiter)
    this.#advance(lock)
    if (waiter.outcome) return 'error' in waiter.outcome ? Promise.reject(waiter.outcome.error) : waiter.outcome.hold
    this.#waited++
    if (options?.timeoutMs !== undefined) this.#limitWait(lock, waiter, options.timeoutMs)
    return waiter.promise()
  }

  acquireAll(wanted: ReadonlyMap<ResourceId, Mode>): MaybePromise<readonly Hold[]> {
    const refusal = this.#refusal()
    if (refusal) return Promise.reject(refusal)
    const order = [...wanted.keys()].sort((a, b) => a - b)
    // all requests leave together; then the locks are pinned one after another, so that whoever waits for one pins only smaller ones
    if (order.length > 1) for (const rid of order) this.#askAhead(rid, wanted.get(rid) as Mode)
    const holds: Hold[] = []
    for (const rid of order) {
      const hold = this.acquire(rid, wanted.get(rid) as Mode)
      if (isPromise(hold)) return this.#acquireRest(order, wanted, holds, hold)
      holds.push(hold)
    }
    return holds
  }

  async #acquireRest(
    order: readonly ResourceId[],
    wanted: ReadonlyMap<ResourceId, Mode>,
    holds: Hold[],
    first: Promise<Hold>,
  ): Promise<readonly Hold[]> {
    try {
      holds.push(await first)
      while (holds.length < order.length) {
        const rid = order[holds.length] as ResourceId
        const hold = this.acquire(rid, wanted.get(rid) as Mode)
        holds.push(isPromise(hold) ? await hold : hold)
      }
      return holds
    } catch (error) {
      for (const hold of holds) hold.release()
      throw error
    }
  }

  #askAhead(rid: ResourceId, mode: Mode): void {
    const lock = this.#lock(rid)
    if (coversMode[lock.open]![mode]) return
    lock.prefetch = joinModes[lock.prefetch]![mode] as Mode
    this.#advance(lock)
  }

  /** Why nothing can be acquired, if so. */
  #refusal(): MatrixError | undefined {
    if (this.#withdrawn) return new MatrixError('withdrawn', 'this node has withdrawn from the filesystem')
    if (!this.#leaseGood()) return new MatrixError('fenced', "this node's disk lease is over")
    return undefined
  }

  #limitWait(lock: LocalLock, waiter: LockWaiter, timeoutMs: number): void {
    waiter.timer = this.#clock.after(timeoutMs, () => {
      if (waiter.outcome) return
      lock.waiters.splice(lock.waiters.indexOf(waiter), 1)
      const what = `${resourceName(lock.rid)} was not granted ${modeNames[waiter.mode]} within ${timeoutMs} ms`
      waiter.settle({ error: new MatrixError('timeout', what) })
      this.#advance(lock)
    })
  }

  /** A user is done: only `LockHold` calls this. */
  unpin(lock: LocalLock, mode: Mode, processScope: boolean): void {
    lock.unpin(mode, processScope)
    if (lock.bast !== NL || lock.leaving || lock.waiters.length > 0) this.#advance(lock)
  }

  async surrenderAll(): Promise<void> {
    if (this.#withdrawn) return
    for (const lock of this.#locks.values()) {
      if (lock.pinned > 0 || lock.waiters.length > 0) continue
      lock.leaving = true
      lock.prefetch = NL
      this.#leaving.add(lock)
    }
    const left = new Promise<void>((resolve, reject) => this.#whenLeft.push({ resolve, reject }))
    for (const lock of [...this.#leaving]) this.#advance(lock)
    this.#checkLeft()
    await left
  }

  #checkLeft(): void {
    if (this.#leaving.size > 0 || this.#whenLeft.length === 0) return
    const whenLeft = this.#whenLeft
    this.#whenLeft = []
    this.#dlm.flush()
    for (const waiting of whenLeft) waiting.resolve()
  }

  // ── one lock's life ────────────────────────────────────────────────────────────────────────────────────────────────

  #lock(rid: ResourceId): LocalLock {
    let lock = this.#locks.get(rid)
    if (!lock) {
      lock = new LocalLock(rid, this.#leaseGood)
      this.#locks.set(rid, lock)
      if (this.#locks.size > this.#cachedLocksMax) this.#evict()
    }
    return lock
  }

  /** Does what can be done next for `lock`; called after whatever may have changed that. */
  #advance(lock: LocalLock): void {
    if (this.#withdrawn || lock.busy !== 'no') return
    if (lock.arrived) {
      this.#startAcquired(lock, lock.arrived)
      return
    }
    this.#admit(lock)
    this.#yield(lock)
    if (lock.busy !== 'no') return
    this.#ask(lock)
    if (lock.leaving && (lock.pinned > 0 || lock.waiters.length > 0)) lock.leaving = false
    if (lock.gone && this.#locks.get(lock.rid) === lock) this.#locks.delete(lock.rid)
    if (this.#leaving.size > 0 && (!lock.leaving || lock.gone) && this.#leaving.delete(lock)) this.#checkLeft()
  }

  /** Lets waiting users in, in order of arrival. */
  #admit(lock: LocalLock): void {
    if (lock.waiters.length === 0) return
    let processWaits = false
    const waiters = lock.waiters
    lock.waiters = waiters.filter((waiter) => {
      if (
        !coversMode[lock.open]![waiter.mode] ||
        (waiter.exclusive && (processWaits || !lock.fitsProcess(waiter.mode)))
      ) {
        processWaits ||= waiter.exclusive
        if (!waiter.noQueue || !coversMode[lock.open]![waiter.mode]) return true
        waiter.settle({ hold: undefined }) // another local user is in the way
        return false
      }
      const refusal = this.#refusal()
      if (refusal) waiter.settle({ error: refusal })
      else waiter.settle({ hold: new LockHold(this, lock, waiter.mode, waiter.exclusive) })
      return false
    })
  }

  /** Obeys a BAST, or leaves: closes the lock to new users, and surrenders once the old ones are done. */
  #yield(lock: LocalLock): void {
    if (this.#dlm.frozen) return
    let to: Mode = NL
    if (lock.bast !== NL) {
      to = yieldMode[lock.granted]![lock.bast] as Mode
      const wait = lock.touched ? lock.usableSince + this.#timings.minHoldMs - this.#clock.now() : 0
      if (wait > 0) {
        lock.minHoldTimer ??= this.#clock.after(wait, () => {
          lock.minHoldTimer = undefined
          this.#advance(lock)
        })
        return
      }
    } else if (!lock.leaving || lock.pinned > 0 || lock.waiters.length > 0 || lock.granted === NL) return
    if (lock.open !== to) lock.openTo(to)
    if (!lock.pinnedAbove(to)) this.#surrender(lock, to)
  }

  /** Asks the master for what the waiting users need. */
  #ask(lock: LocalLock): void {
    if (lock.open !== lock.mode) return // closing: it goes down first
    let need: Mode = lock.prefetch
    let tryNeed: Mode = NL
    for (const waiter of lock.waiters) {
      if (coversMode[lock.granted]![waiter.mode]) continue
      if (waiter.noQueue) tryNeed = joinModes[tryNeed]![waiter.mode] as Mode
      else need = joinModes[need]![waiter.mode] as Mode
    }
    const pending = lock.request
    if (pending) {
      if (tryNeed !== NL && !pending.noQueue) this.#denyWaiters(lock) // whether others are in the way shows only in the queue
      if (need !== NL || (tryNeed !== NL && pending.noQueue) || pending.cancelled) return
      pending.cancelled = true
      this.#dlm.cancel(lock.rid, pending.seq)
      return
    }
    if (need !== NL && tryNeed !== NL) this.#denyWaiters(lock)
    const wanted = need !== NL ? need : tryNeed
    if (wanted === NL) return
    const mode = joinModes[lock.granted]![wanted] as Mode
    if (mode === lock.granted) {
      lock.prefetch = NL
      return
    }
    this.#requests++
    lock.request = { seq: this.#dlm.nextSequence(), mode, noQueue: need === NL, cancelled: false }
    this.#dlm.request(lock.rid, lock.request.seq, mode, lock.request.noQueue)
  }

  /** Answers those who do not want to queue. */
  #denyWaiters(lock: LocalLock): void {
    lock.waiters = lock.waiters.filter((waiter) => {
      if (!waiter.noQueue || coversMode[lock.granted]![waiter.mode]) return true
      waiter.settle({ hold: undefined })
      return false
    })
  }

  #startAcquired(lock: LocalLock, vector: Vector): void {
    lock.arrived = undefined
    lock.busy = 'acquiring'
    const done = this.#callout(() => this.#calloutsOf(lock).acquired(lock.rid, lock.granted, vector))
    if (isPromise(done)) done.then(() => this.#finishAcquired(lock), this.#fail)
    else this.#finishAcquired(lock)
  }

  #finishAcquired(lock: LocalLock): void {
    if (this.#withdrawn) return
    lock.busy = 'no'
    lock.mode = lock.granted
    lock.usableSince = this.#clock.now()
    lock.touched = lock.prefetch !== NL
    lock.idleLooks = 0
    if (coversMode[lock.mode]![lock.prefetch]) lock.prefetch = NL
    lock.openTo(lock.mode)
    this.#advance(lock)
  }

  #surrender(lock: LocalLock, to: Mode): void {
    assert(
      lock.busy === 'no' && !lock.arrived && lock.mode === lock.granted,
      'a surrender begins with the lock at rest',
    )
    const from = lock.mode
    lock.busy = 'surrendering'
    lock.surrenderSeq = lock.grantSeq
    lock.surrenderFrom = from
    lock.surrenderTo = to
    this.#stopTimer(lock)
    lock.openTo(to)
    this.#surrenders++
    const vector = this.#callout(() => this.#calloutsOf(lock).surrender(lock.rid, from, to))
    if (isPromise(vector)) vector.then((done) => this.#surrendered(lock, done), this.#fail)
    else this.#surrendered(lock, vector)
  }

  #surrendered(lock: LocalLock, vector: Vector): void {
    if (this.#withdrawn) return
    lock.surrendered = { to: lock.surrenderTo, vector: mayWrite[lock.surrenderFrom] ? vector : emptyVector }
    if (!this.#dlm.frozen) this.#finishSurrender(lock)
  }

  #finishSurrender(lock: LocalLock): void {
    const { to, vector } = lock.surrendered as { to: Mode; vector: Vector }
    lock.surrendered = undefined
    lock.busy = 'no'
    lock.mode = to
    // a newer grant may have arrived meanwhile: that one stays, and waits for its callout
    if (lock.grantSeq === lock.surrenderSeq) lock.granted = to
    if (compatible[lock.granted]![lock.bast]) lock.bast = NL
    lock.openTo(to)
    this.#dlm.down(lock.rid, lock.surrenderSeq, to, vector)
    this.#advance(lock)
  }

  #calloutsOf(lock: LocalLock): LockCallouts {
    return this.#callouts[resourceType(lock.rid)] as LockCallouts
  }

  /** A callout that throws fails like one that rejects. */
  #callout<T>(call: () => MaybePromise<T>): MaybePromise<T> {
    try {
      return call()
    } catch (error) {
      return Promise.reject(error)
    }
  }

  readonly #fail = (error: unknown): void => {
    if (!this.#withdrawn) this.#onFatal(error instanceof Error ? error : new Error(String(error)))
  }

  #stopTimer(lock: LocalLock): void {
    lock.minHoldTimer?.cancel()
    lock.minHoldTimer = undefined
  }

  // ── what the DLM tells ─────────────────────────────────────────────────────────────────────────────────────────────

  granted(rid: ResourceId, seq: number, mode: Mode, vector: Vector): void {
    const lock = this.#answered(rid, seq, 'granted')
    lock.request = undefined
    lock.granted = mode
    lock.grantSeq = seq
    lock.arrived = vector
    lock.bast = NL // who still is in the way will be told again, about this grant
    this.#stopTimer(lock)
    if (lock.busy === 'no') lock.openTo(lock.mode)
    this.#advance(lock)
  }

  denied(rid: ResourceId, seq: number): void {
    const lock = this.#answered(rid, seq, 'denied')
    lock.request = undefined
    this.#denyWaiters(lock)
    this.#advance(lock)
  }

  cancelled(rid: ResourceId, seq: number): void {
    const lock = this.#answered(rid, seq, 'cancelled')
    lock.request = undefined
    this.#advance(lock)
  }

  blocking(rid: ResourceId, seq: number, wanted: Mode): void {
    const lock = this.#locks.get(rid)
    if (!lock || lock.grantSeq !== seq || compatible[lock.granted]![wanted]) return // it crossed with our DOWN
    this.#basts++
    lock.bast = wanted
    this.#advance(lock)
  }

  #answered(rid: ResourceId, seq: number, what: string): LocalLock {
    const lock = this.#locks.get(rid)
    if (lock?.request?.seq === seq) return lock
    throw new MatrixError('protocol', `${resourceName(rid)} was ${what} by request ${seq}, which is not under way`)
  }

  report(): void {
    for (const writing of [true, false]) {
      for (const lock of this.#locks.values()) {
        if (lock.granted !== NL && mayWrite[lock.granted] === writing)
          this.#dlm.held(lock.rid, lock.grantSeq, lock.granted)
      }
    }
    for (const lock of this.#locks.values()) {
      this.#stopTimer(lock)
      lock.bast = NL
      if (lock.busy === 'no' && lock.open !== lock.mode) lock.openTo(lock.mode)
      if (lock.request?.cancelled) lock.request = undefined
      else if (lock.request) this.#dlm.request(lock.rid, lock.request.seq, lock.request.mode, lock.request.noQueue)
    }
  }

  resumed(): void {
    for (const lock of this.#locks.values()) {
      if (lock.surrendered) this.#finishSurrender(lock)
      else if (lock.leaving || lock.waiters.length > 0 || lock.gone) this.#advance(lock)
    }
  }

  // ── limits and the end ─────────────────────────────────────────────────────────────────────────────────────────────

  /** Gives back what was not used for lockIdleMs. */
  #age(): void {
    if (this.#withdrawn || this.#dlm.frozen) return
    let left = AGED_PER_LOOK
    for (const lock of this.#locks.values()) {
      if (!lock.quiet || lock.granted === NL) continue
      if (lock.touched) lock.idleLooks = 0
      else if (++lock.idleLooks >= IDLE_LOOKS && left-- > 0) this.#giveBack(lock)
      lock.touched = false
    }
  }

  /** Second chance: what was used since it was last looked at goes to the end of the line. */
  #evict(): void {
    let looks = EVICTION_LOOKS
    for (const lock of this.#locks.values()) {
      if (looks-- === 0) return
      if (lock.quiet && lock.granted !== NL && !lock.touched && !this.#dlm.frozen) {
        this.#giveBack(lock)
        return
      }
      lock.touched = false
      this.#locks.delete(lock.rid)
      this.#locks.set(lock.rid, lock)
    }
  }

  #giveBack(lock: LocalLock): void {
    this.#aged++
    this.#surrender(lock, NL)
  }

  /** For good: nothing is usable any more, whoever waits is told. */
  withdraw(): void {
    if (this.#withdrawn) return
    this.#withdrawn = true
    this.#ageing.cancel()
    const error = new MatrixError('withdrawn', 'this node has withdrawn from the filesystem')
    for (const lock of this.#locks.values()) {
      this.#stopTimer(lock)
      lock.mode = lock.open = lock.usableMode = NL
      const waiters = lock.waiters
      lock.waiters = []
      for (const waiter of waiters) waiter.settle({ error })
    }
    for (const waiting of this.#whenLeft) waiting.reject(error)
    this.#whenLeft = []
  }

  counters(): LclCounters {
    return {
      cached: this.#locks.size,
      acquired: this.#acquired,
      waited: this.#waited,
      requests: this.#requests,
      basts: this.#basts,
      surrenders: this.#surrenders,
      aged: this.#aged,
    }
  }
}

class LockHold implements Hold {
  readonly rid: ResourceId
  readonly mode: Mode
  readonly #lcl: Lcl
  readonly #processScope: boolean
  #lock: LocalLock | undefined

  constructor(lcl: Lcl, lock: LocalLock, mode: Mode, processScope: boolean) {
    this.rid = lock.rid
    this.mode = mode
    this.#lcl = lcl
    this.#lock = lock
    this.#processScope = processScope
    lock.pin(mode, processScope)
  }

  release(): void {
    const lock = this.#lock
    assert(lock, `a hold of ${resourceName(this.rid)} is released once`)
    this.#lock = undefined
    this.#lcl.unpin(lock, this.mode, this.#processScope)
  }
}
