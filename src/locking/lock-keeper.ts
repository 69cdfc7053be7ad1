/**
 * The life of the locks that a node caches: from a user's wish over the master's grant and the callouts of the floor above
 * to the surrender when another node wants the lock.
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
 *    While it is only reopened (dlm.ts), some locks are granted and others wait for a fence: whoever waits for one and pins others gives
 *    these back when another node wants one of them, and starts over. Else the few that have to wait would make many wait.
 * 6. A callout that fails leaves the node with an image it cannot trust: the lock space withdraws.
 */

import { assert } from '../base/assert.ts'
import { brokenRules } from '../base/broken-rules.ts'
import { MatrixError } from '../base/errors.ts'
import { attempt, isPromise } from '../base/maybe-promise.ts'
import { emptyVector, type Vector } from '../base/vector.ts'
import type { Clock } from '../platform/clock.ts'
import type { Dlm, LockClient } from './dlm.ts'
import type { Gathering } from './gathering.ts'
import { StepTimer } from './handover-steps.ts'
import { LocalLock, type LockOwner, type PendingRequest, type UsableObserver } from './local-lock.ts'
import type { LockCallouts } from './lock-cache.ts'
import { LockHold } from './lock-hold.ts'
import { compatible, coversMode, joinModes, type Mode, mayWrite, NL, yieldMode } from './modes.ts'
import { lockTypes, type ResourceId, resourceName, resourceType } from './resource.ts'

export type LockKeeperOptions = {
  readonly dlm: Dlm
  readonly clock: Clock
  /** A lock just granted and used is kept at least this long, ms. */
  readonly minHoldMs: number
  leaseGood(): boolean
  /** A callout failed. */
  onFatal(error: Error): void
}

/** The minimum hold time, in moments: a lock that another node wants is kept until one passes without a use. */
const MOMENTS_OF_HOLD = 5

const noCallouts: LockCallouts = { acquired() {}, surrender: () => emptyVector }

export class LockKeeper implements LockClient {
  readonly #dlm: Dlm
  readonly #clock: Clock
  readonly #minHoldMs: number
  readonly #owner: LockOwner
  readonly #onFatal: (error: Error) => void
  readonly #callouts: LockCallouts[] = lockTypes.map(() => noCallouts)
  readonly #locks = new Map<ResourceId, LocalLock>()
  readonly #leaving = new Set<LocalLock>()
  /** Users that wait for one lock and pin others. */
  readonly gatherings = new Set<Gathering>()
  #whenLeft: { resolve(): void; reject(error: Error): void }[] = []
  #withdrawn = false
  requests = 0
  basts = 0
  surrenders = 0
  readonly steps = {
    granted: new StepTimer(),
    caughtUp: new StepTimer(),
    kept: new StepTimer(),
    written: new StepTimer(),
  }

  constructor(options: LockKeeperOptions) {
    this.#dlm = options.dlm
    this.#clock = options.clock
    this.#minHoldMs = options.minHoldMs
    this.#owner = { leaseGood: () => options.leaseGood(), usableChanged: undefined }
    this.#onFatal = options.onFatal
    this.#dlm.attach(this)
  }

  registerCallouts(type: number, callouts: LockCallouts): void {
    assert(this.#callouts[type] === noCallouts, `callouts of lock type ${lockTypes[type]} are registered once`)
    this.#callouts[type] = callouts
  }

  /** `changed` is told, from now on, of every change of what users here may use. */
  observe(changed: UsableObserver): void {
    this.#owner.usableChanged = changed
  }

  get size(): number {
    return this.#locks.size
  }

  get frozen(): boolean {
    return this.#dlm.frozen
  }

  find(rid: ResourceId): LocalLock | undefined {
    return this.#locks.get(rid)
  }

  locks(): IterableIterator<LocalLock> {
    return this.#locks.values()
  }

  add(rid: ResourceId): LocalLock {
    const lock = new LocalLock(rid, this.#owner)
    this.#locks.set(rid, lock)
    return lock
  }

  /** Why nothing can be acquired, if so. */
  refusal(): MatrixError | undefined {
    if (this.#withdrawn) return new MatrixError('withdrawn', 'this node has withdrawn from the filesystem')
    if (!this.#owner.leaseGood()) return new MatrixError('fenced', "this node's disk lease is over")
    return undefined
  }

  pin(lock: LocalLock, mode: Mode, processScope: boolean): LockHold {
    return new LockHold(lock, mode, processScope, this.#unpinned)
  }

  readonly #unpinned = (lock: LocalLock): void => {
    if (lock.bast !== NL || lock.leaving || lock.waiters.length > 0) this.advance(lock)
  }

  // ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Does what can be done next for `lock`; called after whatever may have changed that. */
  advance(lock: LocalLock): void {
    if (this.#withdrawn || lock.busy !== 'no') return
    if (lock.arrived) {
      this.#startAcquired(lock, lock.arrived)
      return
    }
    this.#admit(lock)
    this.#yield(lock)
    if (lock.busy !== 'no') return
    this.#ask(lock)
    if (lock.gone && this.#locks.get(lock.rid) === lock) this.#locks.delete(lock.rid)
    if (this.#leaving.size > 0 && (!lock.leaving || lock.gone) && this.#leaving.delete(lock)) this.#checkLeft()
  }

  /** Lets waiting users in, in order of arrival. */
  #admit(lock: LocalLock): void {
    if (lock.waiters.length === 0) return
    let processWaits = false
    lock.waiters = lock.waiters.filter((waiter) => {
      if (!coversMode[lock.open]![waiter.mode]) {
        processWaits ||= waiter.processScope
        return true
      }
      if (waiter.processScope && (processWaits || !lock.fitsProcess(waiter.mode))) {
        processWaits = true
        if (waiter.noQueue) waiter.settle({ hold: undefined })
        return !waiter.noQueue
      }
      const error = this.refusal()
      waiter.settle(error ? { error } : { hold: this.pin(lock, waiter.mode, waiter.processScope) })
      return false
    })
  }

  /** Obeys a BAST, or leaves: closes the lock to new users, and surrenders once the old ones are done. */
  #yield(lock: LocalLock): void {
    if (this.#dlm.frozen) return
    if (lock.leaving && (lock.pinned > 0 || lock.waiters.length > 0)) lock.leaving = false // it is in use again
    let to: Mode = NL
    if (lock.bast !== NL) {
      to = yieldMode[lock.granted]![lock.bast] as Mode
      if (lock.minHoldTimer) return
      const wait = this.#keepFor(lock)
      if (wait > 0) {
        lock.minHoldTimer = this.#clock.after(wait, () => {
          lock.minHoldTimer = undefined
          this.advance(lock)
        })
        return
      }
    } else if (!lock.leaving || lock.granted === NL) return
    if (lock.open !== to) lock.openTo(to)
    if (!lock.pinnedAbove(to) || brokenRules.usersFinish) this.surrender(lock, to)
  }

  /**
   * How long another node has to wait before it is looked at again, ms; 0: it gets the lock now. Within the minimum hold time a
   * lock goes as soon as nobody has used it for a moment; one that was asked for ahead stays until its user has come.
   */
  #keepFor(lock: LocalLock): number {
    const left = lock.usableSince + this.#minHoldMs - this.#clock.now()
    if (left <= 0) return 0
    if (lock.touched) {
      lock.touched = false
      lock.expected = false
      return Math.min(left, this.#minHoldMs / MOMENTS_OF_HOLD)
    }
    return lock.expected ? left : 0
  }

  /** Asks the master for what the waiting users need, or takes that back when nobody needs it any more. */
  #ask(lock: LocalLock): void {
    if (lock.open !== lock.mode) return // closing: it goes down first
    let need: Mode = lock.prefetch
    let tryNeed: Mode = NL
    for (const waiter of lock.waiters) {
      if (coversMode[lock.granted]![waiter.mode]) continue
      if (waiter.noQueue) tryNeed = joinModes[tryNeed]![waiter.mode] as Mode
      else need = joinModes[need]![waiter.mode] as Mode
    }
    if (lock.request) {
      this.#reconsider(lock, lock.request, need, tryNeed)
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
    this.requests++
    const request = { seq: this.#dlm.nextSequence(), mode, noQueue: need === NL, cancelled: false, sentAt: undefined }
    lock.request = request
    this.#dlm.request(lock.rid, request.seq, mode, request.noQueue)
    if (lock.request?.seq === request.seq) lock.request.sentAt = this.#clock.now()
  }

  #reconsider(lock: LocalLock, request: PendingRequest, need: Mode, tryNeed: Mode): void {
    if (!request.noQueue && tryNeed !== NL) {
      this.#denyWaiters(lock) // whether others are in the way only queueing tells
      tryNeed = NL
    }
    if (need !== NL || tryNeed !== NL || request.cancelled) return
    request.cancelled = true
    this.#dlm.cancel(lock.rid, request.seq)
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
    const done = attempt(() => this.#calloutsOf(lock).acquired(lock.rid, lock.granted, vector))
    if (!isPromise(done) || brokenRules.caughtUpBeforeUse) {
      this.#finishAcquired(lock)
      return
    }
    const began = this.#clock.now()
    done.then(() => {
      this.steps.caughtUp.add(began, this.#clock.now())
      this.#finishAcquired(lock)
    }, this.#fail)
  }

  #finishAcquired(lock: LocalLock): void {
    if (this.#withdrawn) return
    lock.busy = 'no'
    lock.mode = lock.granted
    lock.usableSince = this.#clock.now()
    lock.touched = false
    lock.expected = lock.prefetch !== NL
    lock.idleLooks = 0
    if (coversMode[lock.mode]![lock.prefetch]) lock.prefetch = NL
    lock.openTo(lock.mode)
    this.advance(lock)
  }

  /** Takes the lock down to `to`; it is at rest, and nobody pins more than that. */
  surrender(lock: LocalLock, to: Mode): void {
    assert(
      lock.busy === 'no' && !lock.arrived && lock.mode === lock.granted,
      'a surrender begins with the lock at rest',
    )
    const from = lock.mode
    lock.busy = 'surrendering'
    lock.surrenderSeq = lock.grantSeq
    lock.stopTimer()
    lock.openTo(to)
    this.surrenders++
    const began = this.#clock.now()
    if (lock.bast !== NL) this.steps.kept.add(lock.bastAt, began)
    const vector = attempt(() => this.#calloutsOf(lock).surrender(lock.rid, from, to))
    if (!isPromise(vector)) {
      this.#surrendered(lock, from, to, vector)
      return
    }
    vector.then((done) => {
      this.steps.written.add(began, this.#clock.now())
      this.#surrendered(lock, from, to, done)
    }, this.#fail)
  }

  #surrendered(lock: LocalLock, from: Mode, to: Mode, vector: Vector): void {
    if (this.#withdrawn) return
    lock.surrendered = { to, vector: mayWrite[from] ? vector : emptyVector }
    if (!this.#dlm.frozen) this.#finishSurrender(lock)
  }

  #finishSurrender(lock: LocalLock): void {
    assert(lock.surrendered, 'the surrender callout is done')
    const { to, vector } = lock.surrendered
    lock.surrendered = undefined
    lock.busy = 'no'
    lock.mode = to
    // a newer grant may have arrived meanwhile: that one stays, and waits for its callout
    if (lock.grantSeq === lock.surrenderSeq) lock.granted = to
    if (compatible[lock.granted]![lock.bast]) lock.bast = NL
    lock.openTo(to)
    this.#dlm.down(lock.rid, lock.surrenderSeq, to, vector)
    this.advance(lock)
  }

  #calloutsOf(lock: LocalLock): LockCallouts {
    return this.#callouts[resourceType(lock.rid)] as LockCallouts
  }

  readonly #fail = (error: unknown): void => {
    if (!this.#withdrawn) this.#onFatal(error instanceof Error ? error : new Error(String(error)))
  }

  // ── what the DLM tells ─────────────────────────────────────────────────────────────────────────────────────────────

  granted(rid: ResourceId, seq: number, mode: Mode, vector: Vector): void {
    const lock = this.#answered(rid, seq, 'granted')
    const sentAt = lock.request?.sentAt
    if (sentAt !== undefined) this.steps.granted.add(sentAt, this.#clock.now())
    lock.request = undefined
    lock.granted = mode
    lock.grantSeq = seq
    lock.arrived = vector
    lock.bast = NL // who still is in the way will be told again, about this grant
    lock.stopTimer()
    if (lock.busy === 'no') lock.openTo(lock.mode)
    this.advance(lock)
  }

  denied(rid: ResourceId, seq: number): void {
    const lock = this.#answered(rid, seq, 'denied')
    lock.request = undefined
    this.#denyWaiters(lock)
    this.advance(lock)
  }

  cancelled(rid: ResourceId, seq: number): void {
    const lock = this.#answered(rid, seq, 'cancelled')
    lock.request = undefined
    this.advance(lock)
  }

  blocking(rid: ResourceId, seq: number, wanted: Mode): void {
    const lock = this.#locks.get(rid)
    if (!lock || lock.grantSeq !== seq || compatible[lock.granted]![wanted]) return // it crossed with our DOWN
    this.basts++
    if (lock.bast === NL) lock.bastAt = this.#clock.now()
    lock.bast = wanted
    if (this.#dlm.isReopening) for (const gathering of this.gatherings) if (gathering.has(rid)) gathering.giveBack()
    this.advance(lock)
  }

  #answered(rid: ResourceId, seq: number, what: string): LocalLock {
    const lock = this.#locks.get(rid)
    if (lock?.request?.seq === seq) return lock
    throw new MatrixError('protocol', `${resourceName(rid)} was ${what} by request ${seq}, which is not under way`)
  }

  report(): void {
    for (const writing of [true, false]) {
      for (const lock of this.#locks.values()) {
        if (lock.granted !== NL && mayWrite[lock.granted] === writing && !(brokenRules.heldIsReported && !writing)) {
          this.#dlm.held(lock.rid, lock.grantSeq, lock.granted)
        }
      }
    }
    for (const lock of this.#locks.values()) {
      lock.stopTimer()
      lock.bast = NL // the new master will tell
      if (lock.busy === 'no' && lock.open !== lock.mode) lock.openTo(lock.mode)
      if (lock.request?.cancelled) lock.request = undefined
      else if (lock.request) this.#dlm.request(lock.rid, lock.request.seq, lock.request.mode, lock.request.noQueue)
    }
  }

  resumed(): void {
    for (const lock of this.#locks.values()) {
      if (lock.surrendered) this.#finishSurrender(lock)
      else if (lock.leaving || lock.waiters.length > 0 || lock.gone) this.advance(lock)
    }
  }

  // ── the end ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Gives up all that nobody uses; resolves when the last DOWN has been handed to the mesh. */
  async leave(): Promise<void> {
    if (this.#withdrawn) return
    for (const lock of this.#locks.values()) {
      if (lock.pinned > 0 || lock.waiters.length > 0) continue
      lock.leaving = true
      lock.prefetch = NL
      this.#leaving.add(lock)
    }
    const left = new Promise<void>((resolve, reject) => this.#whenLeft.push({ resolve, reject }))
    for (const lock of [...this.#leaving]) this.advance(lock)
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

  /** For good: nothing is usable any more, whoever waits is told. */
  withdraw(): void {
    if (this.#withdrawn) return
    this.#withdrawn = true
    const error = new MatrixError('withdrawn', 'this node has withdrawn from the filesystem')
    for (const lock of this.#locks.values()) {
      lock.stopTimer()
      lock.mode = NL
      lock.open = NL
      lock.usableMode = NL
      const waiters = lock.waiters
      lock.waiters = []
      for (const waiter of waiters) waiter.settle({ error })
    }
    for (const waiting of this.#whenLeft) waiting.reject(error)
    this.#whenLeft = []
  }
}
