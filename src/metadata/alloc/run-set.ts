/**
 * A set of blocks kept as sorted, disjoint, coalesced runs: free space of one allocation group. Two parallel arrays, so
 * that a search is a binary search over plain numbers; a group of 16,384 blocks has at most 8,192 runs.
 */
import { assert } from '../../base/assert.ts'

/** Consecutive blocks. */
export type Run = { readonly address: number; readonly count: number }

export class RunSet {
  readonly #starts: number[] = []
  readonly #counts: number[] = []
  #blocks = 0

  static from(runs: Iterable<Run>): RunSet {
    const set = new RunSet()
    for (const { address, count } of runs) set.add(address, count)
    return set
  }

  /** Blocks in the set. */
  get blocks(): number {
    return this.#blocks
  }

  get runs(): number {
    return this.#starts.length
  }

  at(index: number): Run {
    return { address: this.#starts[index] as number, count: this.#counts[index] as number }
  }

  toArray(): Run[] {
    return this.#starts.map((address, index) => ({ address, count: this.#counts[index] as number }))
  }

  /** Index of the run that contains `address`, or -1. */
  indexOf(address: number): number {
    const index = this.#after(address) - 1
    return index >= 0 && address < this.#end(index) ? index : -1
  }

  /** Adds blocks that are not in the set; joins them with their neighbours. */
  add(address: number, count: number): void {
    assert(count > 0, 'a run has blocks')
    const index = this.#after(address)
    const joinsLeft = index > 0 && this.#end(index - 1) === address
    const joinsRight = index < this.#starts.length && this.#starts[index] === address + count
    assert(index === 0 || this.#end(index - 1) <= address, 'run is already in the set (left)')
    assert(
      index === this.#starts.length || (this.#starts[index] as number) >= address + count,
      'run is already in the set',
    )
    if (joinsLeft && joinsRight) {
      this.#counts[index - 1] = (this.#counts[index - 1] as number) + count + (this.#counts[index] as number)
      this.#starts.splice(index, 1)
      this.#counts.splice(index, 1)
    } else if (joinsLeft) {
      this.#counts[index - 1] = (this.#counts[index - 1] as number) + count
    } else if (joinsRight) {
      this.#starts[index] = address
      this.#counts[index] = (this.#counts[index] as number) + count
    } else {
      this.#starts.splice(index, 0, address)
      this.#counts.splice(index, 0, count)
    }
    this.#blocks += count
  }

  /** Removes blocks that all are in one run of the set. */
  remove(address: number, count: number): void {
    const index = this.indexOf(address)
    assert(index >= 0 && address + count <= this.#end(index), 'removed run is in the set')
    const start = this.#starts[index] as number
    const end = this.#end(index)
    if (start === address && end === address + count) {
      this.#starts.splice(index, 1)
      this.#counts.splice(index, 1)
    } else if (start === address) {
      this.#starts[index] = address + count
      this.#counts[index] = end - address - count
    } else {
      this.#counts[index] = address - start
      if (end > address + count) {
        this.#starts.splice(index + 1, 0, address + count)
        this.#counts.splice(index + 1, 0, end - address - count)
      }
    }
    this.#blocks -= count
  }

  /**
   * Where to take up to `count` blocks: right at `goal` when it is free (a file grows in place), else the first run from
   * `goal` on, going round, that holds all of them, else the longest run there is. Undefined when the set is empty.
   */
  find(count: number, goal: number): Run | undefined {
    const runs = this.#starts.length
    if (runs === 0) return undefined
    const here = this.indexOf(goal)
    if (here >= 0) return { address: goal, count: Math.min(count, this.#end(here) - goal) }
    const first = this.#after(goal)
    let longest = 0
    for (let step = 0; step < runs; step++) {
      const index = (first + step) % runs
      if ((this.#counts[index] as number) >= count) return { address: this.#starts[index] as number, count }
      if ((this.#counts[index] as number) > (this.#counts[longest] as number)) longest = index
    }
    return this.at(longest)
  }

  #end(index: number): number {
    return (this.#starts[index] as number) + (this.#counts[index] as number)
  }

  /** Index of the first run that starts behind `address`. */
  #after(address: number): number {
    let low = 0
    let high = this.#starts.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#starts[middle] as number) <= address) low = middle + 1
      else high = middle
    }
    return low
  }
}
