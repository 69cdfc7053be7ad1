/**
 * Where a file's blocks lie: its extents as three parallel arrays sorted by file block, loaded with the inode. What no
 * extent covers is a hole. An extent never crosses an allocation group, so that freeing it names one group.
 */
import { assert } from '../../base/assert.ts'
import type { Ino } from '../../base/ids.ts'
import type { Mutation } from '../image/mutation.ts'

/** `count` file blocks from `block` on lie at `address` …; address -1: a hole. */
export type Segment = { readonly block: number; readonly count: number; readonly address: number }

export const HOLE = -1

export class ExtentMap {
  readonly #blocks: number[] = []
  readonly #counts: number[] = []
  readonly #addresses: number[] = []
  #mapped = 0

  static from(extents: Iterable<Segment>): ExtentMap {
    const map = new ExtentMap()
    for (const { block, count, address } of extents) {
      map.#blocks.push(block)
      map.#counts.push(count)
      map.#addresses.push(address)
      map.#mapped += count
    }
    return map
  }

  /** Extents. */
  get length(): number {
    return this.#blocks.length
  }

  /** Blocks mapped. */
  get mapped(): number {
    return this.#mapped
  }

  at(index: number): Segment {
    return {
      block: this.#blocks[index] as number,
      count: this.#counts[index] as number,
      address: this.#addresses[index] as number,
    }
  }

  /** Address of one file block, or HOLE. */
  addressOf(block: number): number {
    const index = this.#after(block) - 1
    if (index < 0) return HOLE
    const offset = block - (this.#blocks[index] as number)
    return offset < (this.#counts[index] as number) ? (this.#addresses[index] as number) + offset : HOLE
  }

  /** The mapped or unmapped run at `block`, ending before `end`. */
  segmentAt(block: number, end: number): Segment {
    const next = this.#after(block)
    const index = next - 1
    if (index >= 0) {
      const offset = block - (this.#blocks[index] as number)
      const left = (this.#counts[index] as number) - offset
      if (left > 0) {
        return { block, count: Math.min(left, end - block), address: (this.#addresses[index] as number) + offset }
      }
    }
    const until = next < this.#blocks.length ? Math.min(end, this.#blocks[next] as number) : end
    return { block, count: until - block, address: HOLE }
  }

  /** Where a new block at `block` should lie: behind the extent before it. Undefined for an empty file. */
  goalFor(block: number): number | undefined {
    const index = this.#after(block) - 1
    if (index < 0) return undefined
    return (this.#addresses[index] as number) + (this.#counts[index] as number)
  }

  /**
   * Maps a hole. Joins with neighbours that continue it on the LUN, as long as `joinable` (same group) says so; the
   * mutations that say so are added. Changes this map: on a failed commit load it anew.
   */
  map(ino: Ino, segment: Segment, joinable: (left: number, right: number) => boolean, mutations: Mutation[]): void {
    let { block, count, address } = segment
    let index = this.#after(block)
    this.#mapped += count
    if (index > 0) {
      const end = (this.#blocks[index - 1] as number) + (this.#counts[index - 1] as number)
      assert(end <= block, 'only a hole is mapped')
      const left = this.#addresses[index - 1] as number
      if (end === block && left + (this.#counts[index - 1] as number) === address && joinable(left, address)) {
        index--
        block = this.#blocks[index] as number
        address = left
        count += this.#counts[index] as number
        this.#cut(index)
      }
    }
    if (index < this.#blocks.length) {
      const right = this.#addresses[index] as number
      assert((this.#blocks[index] as number) >= block + count, 'only a hole is mapped')
      if (this.#blocks[index] === block + count && right === address + count && joinable(address, right)) {
        mutations.push({ op: 'removeExtent', ino, block: block + count })
        count += this.#counts[index] as number
        this.#cut(index)
      }
    }
    this.#blocks.splice(index, 0, block)
    this.#counts.splice(index, 0, count)
    this.#addresses.splice(index, 0, address)
    mutations.push({ op: 'putExtent', ino, block, count, address })
  }

  /** Unmaps blocks that are mapped, wherever they lie in the file; gives what was freed. Changes this map: on a failed commit load it anew. */
  cut(
    ino: Ino,
    { block, count }: Pick<Segment, 'block' | 'count'>,
    mutations: Mutation[],
  ): { address: number; count: number }[] {
    const freed: { address: number; count: number }[] = []
    const end = block + count
    for (let at = block; at < end; ) {
      const index = this.#after(at) - 1
      const { block: first, count: length, address } = this.at(index)
      const to = Math.min(end, first + length)
      assert(index >= 0 && to > at, 'only what is mapped is unmapped')
      freed.push({ address: address + (at - first), count: to - at })
      this.#cut(index)
      this.#mapped -= to - at
      const parts: Segment[] = []
      if (at > first) parts.push({ block: first, count: at - first, address })
      else mutations.push({ op: 'removeExtent', ino, block: first })
      if (to < first + length) parts.push({ block: to, count: first + length - to, address: address + (to - first) })
      for (const [i, part] of parts.entries()) {
        this.#blocks.splice(index + i, 0, part.block)
        this.#counts.splice(index + i, 0, part.count)
        this.#addresses.splice(index + i, 0, part.address)
        mutations.push({ op: 'putExtent', ino, ...part })
      }
      at = to
    }
    return freed
  }

  /**
   * Unmaps from the end of the file down to `fromBlock`, at most `limit` extents; returns what was freed. The caller goes
   * on until `lastBlock <= fromBlock`.
   */
  truncate(ino: Ino, fromBlock: number, limit: number, mutations: Mutation[]): { address: number; count: number }[] {
    const freed: { address: number; count: number }[] = []
    while (this.#blocks.length > 0 && freed.length < limit && this.lastBlock > fromBlock) {
      const index = this.#blocks.length - 1
      const block = this.#blocks[index] as number
      const count = this.#counts[index] as number
      const address = this.#addresses[index] as number
      const keep = Math.max(0, fromBlock - block)
      if (keep > 0) {
        mutations.push({ op: 'putExtent', ino, block, count: keep, address })
        this.#counts[index] = keep
      } else {
        mutations.push({ op: 'removeExtent', ino, block })
        this.#cut(index)
      }
      freed.push({ address: address + keep, count: count - keep })
      this.#mapped -= count - keep
    }
    return freed
  }

  /** First file block behind the last extent. */
  get lastBlock(): number {
    const index = this.#blocks.length - 1
    return index < 0 ? 0 : (this.#blocks[index] as number) + (this.#counts[index] as number)
  }

  #cut(index: number): void {
    this.#blocks.splice(index, 1)
    this.#counts.splice(index, 1)
    this.#addresses.splice(index, 1)
  }

  /** Index of the first extent that starts behind `block`. */
  #after(block: number): number {
    let low = 0
    let high = this.#blocks.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#blocks[middle] as number) <= block) low = middle + 1
      else high = middle
    }
    return low
  }
}
