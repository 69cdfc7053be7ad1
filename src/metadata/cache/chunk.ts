/**
 * 64 KiB of a file in memory. One bit per 4 KiB block in each of four masks:
 *
 *     valid      the buffer holds the block's content
 *     dirty      … and the LUN does not yet
 *     reserved   … and a block of space is promised for it: it is not mapped, or it is to leave a LUN that is being drained
 *     pending    space for it is taken and being written: it will be mapped by the cleaning under way
 *
 * Invariants: dirty ⊆ valid; reserved ⊆ dirty; bytes of the buffer beyond the end of the file are zero.
 */
import { brokenRules } from '../../base/broken-rules.ts'
import { BLOCK_SIZE } from '../../base/limits.ts'

export const BLOCKS_PER_CHUNK = 16
export const CHUNK_BYTES = BLOCKS_PER_CHUNK * BLOCK_SIZE

/** The inode whose content it is. */
export interface ChunkOwner {
  chunks: Map<number, Chunk> | undefined
  /** Reads from the LUN under way, by chunk index. */
  readonly loading: ReadonlyMap<number, unknown> | undefined
}

export class Chunk {
  readonly owner: ChunkOwner
  readonly index: number
  buffer: Buffer
  valid = 0
  dirty = 0
  reserved = 0
  pending = 0
  /** I/O under way on the buffer: it is not evicted. */
  busy = 0
  /** Used since the eviction hand last passed. */
  referenced = true

  constructor(owner: ChunkOwner, index: number, buffer: Buffer) {
    this.owner = owner
    this.index = index
    this.buffer = buffer
  }

  /** First file block. */
  get firstBlock(): number {
    return this.index * BLOCKS_PER_CHUNK
  }

  /** The content of a block, which must be valid. */
  block(index: number): Buffer {
    return this.buffer.subarray(index * BLOCK_SIZE, (index + 1) * BLOCK_SIZE)
  }

  /** What a read under way brings is older than what was written here since: that has to stay, so that it is not taken for missing. */
  get evictable(): boolean {
    if ((this.dirty | this.pending) !== 0 || this.busy !== 0) return false
    return !this.owner.loading?.has(this.index) || brokenRules.loadedStays
  }
}

/** Bits `from` … `to`-1. */
export function bits(from: number, to: number): number {
  return ((1 << (to - from)) - 1) << from
}

export function bitCount(mask: number): number {
  mask -= (mask >> 1) & 0x5555
  mask = (mask & 0x3333) + ((mask >> 2) & 0x3333)
  return ((((mask + (mask >> 4)) & 0x0f0f) * 0x0101) >> 8) & 0x1f
}
