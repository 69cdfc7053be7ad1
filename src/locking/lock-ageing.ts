/**
 * How the lock cache stays bounded: a lock that was not used for lockIdleMs goes back to its master, and beyond a number of
 * locks every new one sends an unused one back.
 */
import type { Clock, Timer } from '../platform/clock.ts'
import type { LocalLock } from './local-lock.ts'
import type { LockKeeper } from './lock-keeper.ts'
import { NL } from './modes.ts'

/** Locks a node keeps (about 500 bytes each, and as much at the master); beyond it unused ones are given back for every new one. */
export const CACHED_LOCKS_MAX = 200_000
/** How many locks are looked at for one new lock to find unused ones. */
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
  #hand: IterableIterator<LocalLock>
  /** Locks given back because nobody used them, since the start. */
  aged = 0

  constructor(options: LockAgeingOptions) {
    this.#keeper = options.keeper
    this.#cachedLocksMax = options.cachedLocksMax
    this.#hand = options.keeper.locks()
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

  /** A lock was added. Beyond the limit a hand goes round all locks: it spares what was used since it last came by. */
  added(): void {
    if (this.#keeper.size <= this.#cachedLocksMax || this.#keeper.frozen) return
    let evictions = Math.min(EVICTIONS, this.#keeper.size - this.#cachedLocksMax)
    for (let looks = EVICTION_LOOKS; looks > 0 && evictions > 0; looks--) {
      const lock = this.#nextLock()
      if (lock?.quiet && lock.granted !== NL && !lock.touched && !lock.expected) {
        evictions--
        this.aged++
        this.#keeper.surrender(lock, NL)
      } else if (lock) {
        lock.touched = false
        lock.expected = false
      }
    }
  }

  /** An iterator that is kept: a new one would first pass over everything that was deleted at the map's beginning. */
  #nextLock(): LocalLock | undefined {
    const next = this.#hand.next()
    if (!next.done) return next.value
    this.#hand = this.#keeper.locks()
    return undefined
  }
}
