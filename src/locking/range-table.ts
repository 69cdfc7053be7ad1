/**
 * The byte-range locks of one inode, as a pure state: who holds what, who waits in which order. Nothing here waits, sends or writes.
 *
 * Invariants
 * 1. Ranges of two owners that share a byte are both shared.
 * 2. Ranges of one owner never share a byte; two that touch differ in mode. So an owner's state has one shape only, and a
 *    lock is named by its owner and its start.
 * 3. Waiters stand in order of arrival. When a range becomes free, they have the first choice in that order: a waiter with nobody in
 *    its way but those behind it is *promised* its range, and counts as a holder until it takes it or goes.
 *
 * A waiter with somebody in its way keeps nobody from anything, as in the kernels that the clients of this run: a request for what is
 * free is granted, whoever waits for more than that. If it had to stand behind those who wait, two could wait for each other although
 * neither holds what the other wants, and that would have to be told from a deadlock.
 */
import { brokenRules } from '../base/broken-rules.ts'
import { HeldRanges } from './held-ranges.ts'
import type { ByteRange, RangeLock, RangeMode, RangeOwner } from './range-locks.ts'

/** A request in the line; a later one has a higher `order`. */
export type RangeWaiter = RangeLock & { readonly order: number }

/** What became of an owner's locks: those that are no more, and those that are new. */
export type RangeChange = { readonly gone: readonly RangeLock[]; readonly come: readonly RangeLock[] }

const noChange: RangeChange = { gone: [], come: [] }

export class RangeTable<Waiter extends RangeWaiter = RangeWaiter> {
  /** By owner, ascending. */
  readonly #held = new Map<string, RangeLock[]>()
  /** The same by the bytes they touch. */
  readonly #ranges = new HeldRanges()
  /** By `order`, ascending. */
  readonly #waiters: Waiter[] = []
  /** The same by owner. */
  readonly #waitersOf = new Map<string, readonly Waiter[]>()
  /** Whose turn it is, as long as that is known: so a line of many costs a look at all of it only when something has become free. */
  #promised: readonly Waiter[] | undefined = []
  #size = 0

  /** Locks held. */
  get size(): number {
    return this.#size
  }

  get isEmpty(): boolean {
    return this.#size === 0 && this.#waiters.length === 0
  }

  /** In order of arrival. */
  get waiters(): readonly Waiter[] {
    return this.#waiters
  }

  /** Those of one owner, in order of arrival. */
  waitersOf(owner: RangeOwner): readonly Waiter[] {
    return this.#waitersOf.get(ownerKey(owner)) ?? []
  }

  *locks(): IterableIterator<RangeLock> {
    for (const locks of this.#held.values()) yield* locks
  }

  locksOf(owner: RangeOwner): readonly RangeLock[] {
    return this.#held.get(ownerKey(owner)) ?? []
  }

  /** A lock that the table has not, as it was told by whoever knows; it conflicts with none. */
  add(lock: RangeLock): void {
    const key = ownerKey(lock)
    const locks = this.#held.get(key) ?? []
    locks.splice(firstEndingFrom(locks, lock.start), 0, lock)
    this.#held.set(key, locks)
    this.#ranges.add(lock)
    this.#size++
    this.#promised = undefined
  }

  // ── holding ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The lock with the lowest start that keeps `request` from being granted now: one that is held, or else promised. */
  inTheWay(request: RangeLock): RangeLock | undefined {
    return this.#heldAgainst(request) ?? (brokenRules.promisedIsKept ? undefined : firstOf(this.promised(), request))
  }

  /** Everybody in the way of `request`: holders, and those with a promise; some more than once. */
  *ownersInTheWay(request: RangeLock): IterableIterator<RangeOwner> {
    for (const lock of this.#ranges.touching(request)) if (conflicts(lock, request)) yield lock
    for (const waiter of this.promised()) if (conflicts(waiter, request)) yield waiter
  }

  #heldAgainst(request: RangeLock): RangeLock | undefined {
    let first: RangeLock | undefined
    for (const lock of this.#ranges.touching(request))
      if (conflicts(lock, request) && !(first && first.start <= lock.start)) first = lock
    return first
  }

  /**
   * From now on the owner holds `range` in `mode`, or nothing of it. What it held there is replaced; what lies around that is
   * split, and joined where the mode is the same (fcntl(2)). Whether it may is the caller's to know (`inTheWay`).
   */
  set(owner: RangeOwner, range: ByteRange, mode: RangeMode | undefined): RangeChange {
    const key = ownerKey(owner)
    const locks = this.#held.get(key) ?? []
    const { client, owner: name } = owner
    // those that share a byte with the range, or touch it
    const from = firstEndingFrom(locks, range.start - 1)
    let to = from
    while (to < locks.length && (locks[to] as RangeLock).start <= range.end + 1) to++
    const old = locks.slice(from, to)
    const pieces: RangeLock[] = []
    let { start, end } = range
    for (const lock of old) {
      if (lock.start < range.start) {
        if (lock.mode === mode) start = lock.start
        else pieces.push(trimmed(lock, lock.start, Math.min(lock.end, range.start - 1)))
      }
    }
    if (mode) pieces.push({ client, owner: name, start, end, mode })
    const middle = pieces.length - 1
    for (const lock of old) {
      if (lock.end > range.end) {
        if (lock.mode === mode) end = lock.end
        else pieces.push(trimmed(lock, Math.max(lock.start, range.end + 1), lock.end))
      }
    }
    if (mode) pieces[middle] = { client, owner: name, start, end, mode }
    const gone = old.filter((lock) => !pieces.some((piece) => isSame(piece, lock)))
    const come = pieces.filter((piece) => !old.some((lock) => isSame(piece, lock)))
    if (gone.length === 0 && come.length === 0) return noChange
    this.#promised = undefined
    for (const lock of old) this.#ranges.remove(lock)
    for (const piece of pieces) this.#ranges.add(piece)
    locks.splice(from, to - from, ...pieces)
    this.#size += pieces.length - old.length
    if (locks.length === 0) this.#held.delete(key)
    else this.#held.set(key, locks)
    return { gone, come }
  }

  // ── waiting ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The order that the next waiter gets. */
  get nextOrder(): number {
    return (this.#waiters.at(-1)?.order ?? 0) + 1
  }

  /** Its `order` is above that of all others. */
  queue(waiter: Waiter): void {
    const key = ownerKey(waiter)
    this.#waiters.push(waiter)
    this.#waitersOf.set(key, [...(this.#waitersOf.get(key) ?? []), waiter])
    // nobody's turn is changed by who comes last
    if (this.#promised && this.#isNext(waiter, this.#promised)) this.#promised = [...this.#promised, waiter]
  }

  /** No longer waits. */
  drop(order: number): Waiter | undefined {
    const waiter = this.waiterAt(order)
    if (!waiter) return undefined
    this.#waiters.splice(this.#indexOf(order), 1)
    const key = ownerKey(waiter)
    const others = this.waitersOf(waiter).filter((other) => other !== waiter)
    if (others.length > 0) this.#waitersOf.set(key, others)
    else this.#waitersOf.delete(key)
    // who is not promised keeps nobody from anything
    if (this.#promised?.includes(waiter)) this.#promised = undefined
    return waiter
  }

  waiterAt(order: number): Waiter | undefined {
    const waiter = this.#waiters[this.#indexOf(order)]
    return waiter?.order === order ? waiter : undefined
  }

  /** The index of the first waiter with that order or a higher one. */
  #indexOf(order: number): number {
    let low = 0
    let high = this.#waiters.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#waiters[middle] as Waiter).order < order) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Those whose turn it is (invariant 3), in order. What was given out does not change. */
  promised(): readonly Waiter[] {
    if (!this.#promised) {
      const promised: Waiter[] = []
      for (const waiter of this.#waiters) if (this.#isNext(waiter, promised)) promised.push(waiter)
      this.#promised = promised
    }
    return this.#promised
  }

  /** Whether nobody keeps it from its range but those behind it; `promised`: those before it whose turn it is. */
  #isNext(waiter: Waiter, promised: readonly Waiter[]): boolean {
    if (firstOf(promised, waiter)) return false
    for (const lock of this.#ranges.touching(waiter)) if (conflicts(lock, waiter)) return false
    return true
  }
}

/** Equal for two owners if and only if they are the same. */
export function ownerKey({ client, owner }: RangeOwner): string {
  return `${client.length}:${client}${owner}`
}

export function conflicts(a: RangeLock, b: RangeLock): boolean {
  return (
    a.start <= b.end &&
    b.start <= a.end &&
    (a.mode === 'exclusive' || b.mode === 'exclusive') &&
    !(a.client === b.client && a.owner === b.owner)
  )
}

/** The index of the first of one owner's locks that ends at `byte` or later. */
function firstEndingFrom(locks: readonly RangeLock[], byte: number): number {
  let low = 0
  let high = locks.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((locks[middle] as RangeLock).end < byte) low = middle + 1
    else high = middle
  }
  return low
}

function firstOf(locks: readonly RangeLock[], request: RangeLock): RangeLock | undefined {
  return locks.find((lock) => conflicts(lock, request))
}

function trimmed({ client, owner, mode }: RangeLock, start: number, end: number): RangeLock {
  return { client, owner, start, end, mode }
}

function isSame(a: RangeLock, b: RangeLock): boolean {
  return a.start === b.start && a.end === b.end && a.mode === b.mode
}
