/**
 * A write into the cache, in two halves: `missing` says what must be there first, `fill` copies and cannot fail. Between the
 * two no other code runs. Content is kept per block; what a write leaves of a block must be valid before (R71, R72).
 */
import { BLOCK_SIZE } from '../../base/limits.ts'
import { BLOCKS_PER_CHUNK, CHUNK_BYTES, type Chunk } from './chunk.ts'
import type { DataCache } from './data-cache.ts'
import { HOLE } from './extent-map.ts'
import type { CachedInode } from './inode.ts'

/** A block that must be read from the LUN before bytes `from` … `to`-1 can be written; undefined when none. */
export function missingBlock(inode: CachedInode, from: number, to: number): number | undefined {
  const first = Math.floor(from / BLOCK_SIZE)
  const last = Math.floor((to - 1) / BLOCK_SIZE)
  const keepsHead = from > first * BLOCK_SIZE && first * BLOCK_SIZE < inode.size
  const keepsTail = to < (last + 1) * BLOCK_SIZE && to < inode.size
  if ((keepsHead || (keepsTail && first === last)) && mustLoad(inode, first)) return first
  if (keepsTail && mustLoad(inode, last)) return last
  const tail = tailToZero(inode, from)
  return tail !== undefined && mustLoad(inode, tail) ? tail : undefined
}

/**
 * The last block of the file, when a file that grows from `from` on leaves it behind with bytes beyond the old end: on the
 * LUN these are arbitrary, so the block is written again with zeroes there. Undefined when there is nothing to do.
 */
export function tailToZero(inode: CachedInode, from: number): number | undefined {
  if (from <= inode.size || inode.size % BLOCK_SIZE === 0) return undefined
  const block = Math.floor(inode.size / BLOCK_SIZE)
  return inode.extents.addressOf(block) === HOLE ? undefined : block
}

/** Blocks of bytes `from` … `to`-1 for which no space is mapped, promised or on its way. */
export function unreservedBlocks(inode: CachedInode, from: number, to: number): number {
  const end = Math.ceil(to / BLOCK_SIZE)
  let block = Math.floor(from / BLOCK_SIZE)
  let count = 0
  while (block < end) {
    const segment = inode.extents.segmentAt(block, end)
    if (segment.address === HOLE) {
      for (let b = block; b < block + segment.count; b++) {
        const index = Math.floor(b / BLOCKS_PER_CHUNK)
        const chunk = inode.chunks?.get(index)
        if (!chunk || (((chunk.reserved | chunk.pending) >> (b - index * BLOCKS_PER_CHUNK)) & 1) === 0) count++
      }
    }
    block += segment.count
  }
  return count
}

/** Copies `data` to byte `from` of the file and marks the blocks dirty; what has no space yet takes part of the reservation. */
export function fill(cache: DataCache, inode: CachedInode, from: number, data: Buffer): void {
  const to = from + data.length
  let position = from
  while (position < to) {
    const index = Math.floor(position / CHUNK_BYTES)
    const start = index * CHUNK_BYTES
    const end = Math.min(to, start + CHUNK_BYTES)
    const first = Math.floor((position - start) / BLOCK_SIZE)
    const last = Math.ceil((end - start) / BLOCK_SIZE)
    const chunk = cache.ensure(inode, index, last)
    // a block that starts as a hole is zero where the write does not reach
    if (position > start + first * BLOCK_SIZE && ((chunk.valid >> first) & 1) === 0) zero(chunk.buffer, first)
    if (end < start + last * BLOCK_SIZE && ((chunk.valid >> (last - 1)) & 1) === 0) zero(chunk.buffer, last - 1)
    data.copy(chunk.buffer, position - start, position - from, end - from)
    for (let b = first; b < last; b++) markDirty(cache, inode, chunk.firstBlock + b)
    position = end
  }
}

/** Marks a block in memory dirty; it takes one reserved block when it has no space. */
export function markDirty(cache: DataCache, inode: CachedInode, block: number): void {
  const index = Math.floor(block / BLOCKS_PER_CHUNK)
  const chunk = cache.ensure(inode, index, block - index * BLOCKS_PER_CHUNK + 1)
  const bit = 1 << (block - index * BLOCKS_PER_CHUNK)
  chunk.valid |= bit
  if ((chunk.dirty & bit) === 0) {
    if (chunk.dirty === 0) (inode.dirtyChunks ??= new Set()).add(index)
    chunk.dirty |= bit
    inode.dirtyBlocks++
    cache.noteDirty(1)
  }
  if (((chunk.reserved | chunk.pending) & bit) === 0 && inode.extents.addressOf(block) === HOLE) {
    chunk.reserved |= bit
    inode.reservedBlocks++
  }
}

/** Marks a mapped block in memory dirty, with a reserved block of its own to move to; false when it has one. */
export function markMoving(cache: DataCache, inode: CachedInode, block: number): boolean {
  markDirty(cache, inode, block)
  const chunk = inode.chunks?.get(Math.floor(block / BLOCKS_PER_CHUNK)) as Chunk
  const bit = 1 << (block % BLOCKS_PER_CHUNK)
  if ((chunk.reserved & bit) !== 0) return false
  chunk.reserved |= bit
  inode.reservedBlocks++
  return true
}

function zero(buffer: Buffer, block: number): void {
  buffer.fill(0, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE)
}

function mustLoad(inode: CachedInode, block: number): boolean {
  return !isInMemory(inode, block) && inode.extents.addressOf(block) !== HOLE
}

/** The content of the block is in the cache. */
export function isInMemory(inode: CachedInode, block: number): boolean {
  const index = Math.floor(block / BLOCKS_PER_CHUNK)
  const chunk = inode.chunks?.get(index)
  return chunk !== undefined && ((chunk.valid >> (block - index * BLOCKS_PER_CHUNK)) & 1) === 1
}
