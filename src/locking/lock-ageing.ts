/**
 * How the lock cache stays bounded: a lock that was not used for lockIdleMs goes back to its master, and beyond a number of
 * locks every new one sends an unused one back.
 */
import type { Clock, Timer } from '../platform/clock.ts'
import type { LockKeeper } from './lock-keeper.ts'
import { NL } from './modes.ts'

/** Locks a node keeps (about 400 bytes each); beyond it the longest unused is given back for every new one. */
export const CACHED_LOCKS_MAX = 200_000
/** How many entries one new lock looks at to find an unused one. */
const EVICTION_LOOKS = 8
/** Locks given back for one new lock at most: more than one, so that the cache comes back to its limit. */
const EVICTIONS = 2
/** A lock is given back after this many looks without use in between; the looks share out lockIdleMs. */
const IDLE_LOOKS = 4
/** Idle locks given back by one look: a burst of surrenders must not stand in the way of work. */
const AGED_PER_LOOK = 4096

export type LockAgeingOptions = {
  readonly keeper: LockKeeper
  readonly clock: Clock
  readonly lockIdleMs: number
  readonly cachedLocksMax: number
}

export class LockAgeing {
  readonly #keeper: LockKeeper
  readonly #cachedLocksMax: number
  readonly #timer: Timer
  /** Locks given back because nobody used them, since the start. */
  aged = 0

  constructor(options: LockAgeingOptions) {
    this.#keeper = options.keeper
    this.#cachedLocksMax = options.cachedLocksMax
    this.#timer = options.clock.every(options.lockIdleMs / IDLE_LOOKS, () => this.#look())
  }

  stop(): void {
    this.#timer.cancel()
  }

  #look(): void {
    if (this.#keeper.frozen) return
    let left = AGED_PER_LOOK
    for (const lock of this.#keeper.locks()) {
      if (!lock.quiet || lock.granted === NL) continue
      lock.idleLooks = lock.touched ? 0 : lock.idleLooks + 1
      lock.touched = false
      if (lock.idleLooks < IDLE_LOOKS || left-- <= 0) continue
      this.aged++
      this.#keeper.surrender(lock, NL)
    }
  }

  /** A lock was added: second chance, what was used since it was last looked at goes to the end of the line. */
  added(): void {
    if (this.#keeper.size <= this.#cachedLocksMax || this.#keeper.frozen) return
    let looks = EVICTION_LOOKS
    let evictions = Math.min(EVICTIONS, this.#keeper.size - this.#cachedLocksMax)
    for (const lock of this.#keeper.locks()) {
      if (looks-- === 0 || evictions === 0) return
      if (lock.quiet && lock.granted !== NL && !lock.touched) {
        evictions--
        this.aged++
        this.#keeper.surrender(lock, NL)
      } else {
        lock.touched = false
        this.#keeper.moveToEnd(lock)
      }
    }
  }
}
