/**
 * The lock-caching layer (LCL): the door through which the floors above use locks; lock-cache.ts says what they may rely on,
 * lock-keeper.ts what happens to a lock behind the door. The fast path (`holds`, `acquire` of an open lock, `release`)
 * touches one Map entry and nothing else.
 */
import { assert } from '../base/assert.ts'
import { MatrixError } from '../base/errors.ts'
import { isPromise, type MaybePromise } from '../base/maybe-promise.ts'
import type { Timings } from '../base/timings.ts'
import type { Clock } from '../platform/clock.ts'
import type { Dlm } from './dlm.ts'
import { Gathering } from './gathering.ts'
import type { HandoverSteps } from './handover-steps.ts'
import type { LocalLock, UsableObserver } from './local-lock.ts'
import { CACHED_LOCKS_MAX, LockAgeing } from './lock-ageing.ts'
import type { AcquireOptions, CachedLock, Hold, LockCache, LockCallouts } from './lock-cache.ts'
import { LockKeeper } from './lock-keeper.ts'
import { LockWaiter } from './lock-waiter.ts'
import { coversMode, joinModes, type Mode, modeNames, NL } from './modes.ts'
import { type ResourceId, resourceName } from './resource.ts'

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
  /** Requests to masters, BASTs obeyed, surrenders, and those of them that ageing began. */
  readonly requests: number
  readonly basts: number
  readonly surrenders: number
  readonly aged: number
  readonly steps: HandoverSteps
}

export class Lcl implements LockCache {
  readonly #clock: Clock
  readonly #keeper: LockKeeper
  readonly #ageing: LockAgeing
  #acquired = 0
  #waited = 0

  constructor(options: LclOptions) {
    const { dlm, clock, timings } = options
    this.#clock = clock
    this.#keeper = new LockKeeper({
      dlm,
      clock,
      minHoldMs: timings.minHoldMs,
      leaseGood: () => options.leaseGood(),
      onFatal: (error) => options.onFatal(error),
    })
    this.#ageing = new LockAgeing({
      keeper: this.#keeper,
      clock,
      lockIdleMs: timings.lockIdleMs,
      cachedLocksMax: options.cachedLocksMax ?? CACHED_LOCKS_MAX,
    })
  }

  registerCallouts(type: number, callouts: LockCallouts): void {
    this.#keeper.registerCallouts(type, callouts)
  }

  holds(rid: ResourceId, mode: Mode): boolean {
    return this.#keeper.find(rid)?.usable(mode) === true
  }

  /** Every lock that users here may use now, with the mode. */
  *usableLocks(): IterableIterator<{ readonly rid: ResourceId; readonly mode: Mode }> {
    for (const lock of this.#keeper.locks()) {
      const { rid, usableMode: mode } = lock
      if (mode !== NL && lock.usable(mode)) yield { rid, mode }
    }
  }

  observe(changed: UsableObserver): void {
    this.#keeper.observe(changed)
  }

  *pinnedLocks(): IterableIterator<{ readonly rid: ResourceId; readonly pins: number }> {
    for (const { rid, pinned } of this.#keeper.locks()) if (pinned > 0) yield { rid, pins: pinned }
  }

  peek(rid: ResourceId): CachedLock | undefined {
    return this.#keeper.find(rid)
  }

  wanted(rid: ResourceId): boolean {
    const lock = this.#keeper.find(rid)
    return lock !== undefined && lock.bast !== NL
  }

  acquire(rid: ResourceId, mode: Mode): MaybePromise<Hold>
  acquire(rid: ResourceId, mode: Mode, options: AcquireOptions): MaybePromise<Hold | undefined>
  acquire(rid: ResourceId, mode: Mode, options?: AcquireOptions): MaybePromise<Hold | undefined> {
    assert(mode !== NL, `${resourceName(rid)} is asked for in a mode`)
    const refusal = this.#keeper.refusal()
    if (refusal) return Promise.reject(refusal)
    this.#acquired++
    const lock = this.#lock(rid)
    if (options?.scope !== 'process' && coversMode[lock.open]![mode]) return this.#keeper.pin(lock, mode, false)
    const waiter = new LockWaiter(mode, {
      processScope: options?.scope === 'process',
      noQueue: options?.noQueue === true,
    })
    lock.waiters = [...lock.waiters, waiter]
    this.#keeper.advance(lock)
    if (waiter.outcome) {
      return 'error' in waiter.outcome ? Promise.reject(waiter.outcome.error) : waiter.outcome.hold
    }
    this.#waited++
    if (options?.timeoutMs !== undefined) this.#limitWait(lock, waiter, options.timeoutMs)
    return waiter.promise()
  }

  acquireAll(wanted: ReadonlyMap<ResourceId, Mode>): MaybePromise<readonly Hold[]> {
    const refusal = this.#keeper.refusal()
    if (refusal) return Promise.reject(refusal)
    const order = [...wanted].sort(([a], [b]) => a - b)
    // All requests leave together. Then the locks are pinned one after another: who waits for one pins only smaller ones,
    // so no circle of waiting nodes can close.
    if (order.length > 1) for (const [rid, mode] of order) this.askAhead(rid, mode)
    const gathering = new Gathering(order)
    const missing = this.#gather(gathering)
    return missing ? this.#gatherRest(gathering, missing) : gathering.holds
  }

  /** Pins what is there, in order; gives what has to be waited for. */
  #gather({ order, holds }: Gathering): Promise<Hold> | undefined {
    while (holds.length < order.length) {
      const [rid, mode] = order[holds.length] as readonly [ResourceId, Mode]
      const hold = this.acquire(rid, mode)
      if (isPromise(hold)) return hold
      holds.push(hold)
    }
    return undefined
  }

  async #gatherRest(gathering: Gathering, first: Promise<Hold>): Promise<readonly Hold[]> {
    this.#keeper.gatherings.add(gathering)
    try {
      for (let missing: Promise<Hold> | undefined = first; missing; missing = this.#gather(gathering))
        gathering.add(await missing)
      return gathering.holds
    } catch (error) {
      gathering.giveBack()
      throw error
    } finally {
      this.#keeper.gatherings.delete(gathering)
    }
  }

  askAhead(rid: ResourceId, mode: Mode): void {
    if (this.#keeper.refusal()) return
    const lock = this.#lock(rid)
    if (coversMode[lock.open]![mode]) return
    lock.prefetch = joinModes[lock.prefetch]![mode] as Mode
    this.#keeper.advance(lock)
  }

  #lock(rid: ResourceId): LocalLock {
    const known = this.#keeper.find(rid)
    if (known) return known
    const lock = this.#keeper.add(rid)
    this.#ageing.added()
    return lock
  }

  #limitWait(lock: LocalLock, waiter: LockWaiter, timeoutMs: number): void {
    waiter.timer = this.#clock.after(timeoutMs, () => {
      if (waiter.outcome) return
      lock.waiters = lock.waiters.filter((other) => other !== waiter)
      const what = `${resourceName(lock.rid)} was not granted ${modeNames[waiter.mode]} within ${timeoutMs} ms`
      waiter.settle({ error: new MatrixError('timeout', what) })
      this.#keeper.advance(lock)
    })
  }

  surrenderAll(): Promise<void> {
    return this.#keeper.leave()
  }

  withdraw(): void {
    this.#ageing.stop()
    this.#keeper.withdraw()
  }

  counters(): LclCounters {
    const { size, requests, basts, surrenders } = this.#keeper
    return {
      cached: size,
      acquired: this.#acquired,
      waited: this.#waited,
      requests,
      basts,
      surrenders,
      aged: this.#ageing.aged,
      steps: this.#keeper.steps,
    }
  }
}
