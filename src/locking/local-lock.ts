/**
 * One lock as this node's cache keeps it: what the DLM granted, who uses it here, and what is under way. Pure state; what
 * happens to it when is lock-keeper.ts.
 */
import { brokenRules } from '../base/broken-rules.ts'
import type { Vector } from '../base/vector.ts'
import type { Timer } from '../platform/clock.ts'
import type { CachedLock } from './lock-cache.ts'
import type { LockWaiter } from './lock-waiter.ts'
import { CR, compatible, coversMode, EX, joinModes, type Mode, NL } from './modes.ts'
import type { ResourceId } from './resource.ts'

/** A callout under way; while there is one, nothing else is begun. */
export type Busy = 'no' | 'acquiring' | 'surrendering'

/** A request that its master has not answered yet. */
export type PendingRequest = {
  readonly seq: number
  readonly mode: Mode
  readonly noQueue: boolean
  cancelled: boolean
  /** Set once it turned out that it has to be waited for, ms. */
  sentAt: number | undefined
}

/** A surrender whose callout has finished while the lock space was frozen. */
export type Surrendered = { readonly to: Mode; readonly vector: Vector }

const nobody: readonly LockWaiter[] = []

/** What all locks of a cache share. */
export type LockOwner = {
  leaseGood(): boolean
  /** What users here may use of `lock` has changed from `before`. */
  usableChanged: UsableObserver | undefined
}

export type UsableObserver = (lock: LocalLock, before: Mode) => void

export class LocalLock implements CachedLock {
  readonly rid: ResourceId
  readonly #owner: LockOwner

  /** What the DLM granted, by which request. */
  granted: Mode = NL
  grantSeq = 0
  /** The vector of a grant whose acquire callout has not begun. */
  arrived: Vector | undefined
  /** Granted, and its callout done. */
  mode: Mode = NL
  /** New pins are let in up to here: `mode`, or what will be left once the lock has gone down. */
  open: Mode = NL
  /** The fast path is let in up to here: `open`, and what is pinned anyway. */
  usableMode: Mode = NL

  busy: Busy = 'no'
  request: PendingRequest | undefined
  /** The grant that the surrender under way gives up. */
  surrenderSeq = 0
  surrendered: Surrendered | undefined

  /** What another node wants that this one is in the way of; NL: nobody. */
  bast: Mode = NL
  bastAt = 0
  /** When the lock became usable in `mode`: the minimum hold time counts from here, ms. */
  usableSince = 0
  minHoldTimer: Timer | undefined
  /** Asked for ahead of its user (acquireAll). */
  prefetch: Mode = NL
  /** To be given up as soon as nobody uses it. */
  leaving = false

  /** Used since it was granted, and since the last look of the ageing or of the minimum hold time. */
  touched = false
  /** Granted ahead of a user that has not been seen yet. */
  expected = false
  idleLooks = 0

  /** Replaced when it changes: most locks never have any. */
  waiters: readonly LockWaiter[] = nobody
  pinned = 0
  /** Pins by mode; undefined while there are none, as in most locks. */
  #pins: number[] | undefined
  #processPins: number[] | undefined

  constructor(rid: ResourceId, owner: LockOwner) {
    this.rid = rid
    this.#owner = owner
  }

  usable(mode: Mode): boolean {
    if (!this.allows(mode)) return false
    this.touched = true
    return true
  }

  /** What `usable` answers, for an onlooker. */
  allows(mode: Mode): boolean {
    return coversMode[this.usableMode]![mode] === true && (this.#owner.leaseGood() || brokenRules.noUseAfterLease)
  }

  pin(mode: Mode, processScope: boolean): void {
    this.#pins ??= [0, 0, 0, 0, 0, 0]
    ;(this.#pins[mode] as number)++
    this.pinned++
    this.touched = true
    if (!processScope) return
    this.#processPins ??= [0, 0, 0, 0, 0, 0]
    ;(this.#processPins[mode] as number)++
  }

  unpin(mode: Mode, processScope: boolean): void {
    if (--this.pinned === 0) this.#pins = undefined
    else if (this.#pins) (this.#pins[mode] as number)--
    if (processScope && this.#processPins) (this.#processPins[mode] as number)--
    if (this.usableMode !== this.open) this.refresh()
  }

  /** Lets users in up to `mode` from now on; those who pin more keep it. */
  openTo(mode: Mode): void {
    this.open = mode
    this.refresh()
  }

  /** Recomputes `usableMode`: a pinned lock stays usable for the one who pinned it until it is released. */
  refresh(): void {
    let usable = this.open
    if (this.#pins && this.open !== this.mode) {
      for (let mode: number = CR; mode <= EX; mode++) {
        if ((this.#pins[mode] as number) > 0) usable = joinModes[usable]![mode] as Mode
      }
    }
    const before = this.usableMode
    this.usableMode = usable
    if (usable !== before) this.#owner.usableChanged?.(this, before)
  }

  /** Somebody here uses more than `mode`. */
  pinnedAbove(mode: Mode): boolean {
    if (!this.#pins) return false
    for (let pin: number = CR; pin <= EX; pin++) {
      if ((this.#pins[pin] as number) > 0 && !coversMode[mode]![pin]) return true
    }
    return false
  }

  /** Process scope: no local user of process scope is in the way of `mode` (R11). */
  fitsProcess(mode: Mode): boolean {
    if (!this.#processPins) return true
    for (let pin: number = CR; pin <= EX; pin++) {
      if ((this.#processPins[pin] as number) > 0 && !compatible[pin]![mode]) return false
    }
    return true
  }

  stopTimer(): void {
    this.minHoldTimer?.cancel()
    this.minHoldTimer = undefined
  }

  /** Nobody uses it, wants it or changes it. */
  get quiet(): boolean {
    return (
      this.pinned === 0 &&
      this.busy === 'no' &&
      !this.request &&
      !this.arrived &&
      this.waiters.length === 0 &&
      this.bast === NL
    )
  }

  /** Nothing is left to remember. */
  get gone(): boolean {
    return this.quiet && this.granted === NL && this.prefetch === NL
  }
}
