/**
 * Locks of all owners, found by the bytes that they touch. Those of bounded length lie in the order of their starts, and none is longer than the longest there
 * ever was: so what touches a range begins not far before it. Those that go to the end of the file touch everything behind their start, and lie apart.
 */
import { FLOCK_BYTE, RANGE_END, type RangeLock } from './range-locks.ts'

export class HeldRanges {
  /** By start, ascending. */
  readonly #bounded: RangeLock[] = []
  readonly #toTheEnd = new Set<RangeLock>()
  /** Of `#bounded`, bytes; since it was empty. */
  #longest = 0

  /** The very object is removed later. */
  add(lock: RangeLock): void {
    if (isToTheEnd(lock)) {
      this.#toTheEnd.add(lock)
      return
    }
    this.#longest = Math.max(this.#longest, lock.end - lock.start + 1)
    this.#bounded.splice(this.#firstFrom(lock.start), 0, lock)
  }

  remove(lock: RangeLock): void {
    if (this.#toTheEnd.delete(lock)) return
    const at = this.#bounded.indexOf(lock, this.#firstFrom(lock.start))
    if (at >= 0) this.#bounded.splice(at, 1)
    if (this.#bounded.length === 0) this.#longest = 0
  }

  /** Those that share a byte with the range; bounded ones first, by start. */
  *touching({ start, end }: { readonly start: number; readonly end: number }): IterableIterator<RangeLock> {
    for (let i = this.#firstFrom(start - this.#longest + 1); i < this.#bounded.length; i++) {
      const lock = this.#bounded[i] as RangeLock
      if (lock.start > end) break
      if (lock.end >= start) yield lock
    }
    for (const lock of this.#toTheEnd) if (lock.start <= end && start <= lock.end) yield lock
  }

  /** The index of the first that begins at `byte` or later. */
  #firstFrom(byte: number): number {
    let low = 0
    let high = this.#bounded.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#bounded[middle] as RangeLock).start < byte) low = middle + 1
      else high = middle
    }
    return low
  }
}

function isToTheEnd({ start, end }: RangeLock): boolean {
  return end === RANGE_END && start !== FLOCK_BYTE.start
}
