/**
 * File content in memory, of all files of one filesystem on this node: bounded in bytes, clean chunks evicted by a clock hand.
 * Dirty data is counted here and never evicted: when there is too much of it, writers wait for the cleaner.
 */
import { BLOCK_SIZE } from '../../base/limits.ts'
import { BLOCKS_PER_CHUNK, CHUNK_BYTES, Chunk } from './chunk.ts'
import { HOLE } from './extent-map.ts'
import type { CachedInode } from './inode.ts'

/** What holes read as. */
export const zeroes = Buffer.alloc(CHUNK_BYTES)

/** Dirty data may fill this part of the cache. */
const DIRTY_SHARE = 0.4
/** The eviction hand goes at most this many times round before it gives up (all is dirty or busy). */
const MAX_ROUNDS = 2

export class DataCache {
  readonly #maxBytes: number
  readonly #chunks = new Set<Chunk>()
  #bytes = 0
  #dirtyBlocks = 0

  /** `maxBytes` bounds the buffers of this cache. */
  constructor(maxBytes: number) {
    this.#maxBytes = Math.max(maxBytes, 4 * CHUNK_BYTES)
  }

  get bytes(): number {
    return this.#bytes
  }

  get dirtyBytes(): number {
    return this.#dirtyBlocks * BLOCK_SIZE
  }

  /** True when writers should wait for cleaning before they make more dirty. */
  get tooDirty(): boolean {
    return this.#dirtyBlocks * BLOCK_SIZE > this.#maxBytes * DIRTY_SHARE
  }

  noteDirty(blocks: number): void {
    this.#dirtyBlocks += blocks
  }

  chunk(inode: CachedInode, index: number): Chunk | undefined {
    const chunk = inode.chunks?.get(index)
    if (chunk) chunk.referenced = true
    return chunk
  }

  /** The chunk with a buffer of at least `blocks` blocks; made when it is not there. Blocks that are not valid hold anything. */
  ensure(inode: CachedInode, index: number, blocks: number): Chunk {
    const existing = inode.chunks?.get(index)
    const wanted = blocks <= 1 ? BLOCK_SIZE : blocks <= 4 ? 4 * BLOCK_SIZE : CHUNK_BYTES
    if (existing) {
      existing.referenced = true
      if (existing.buffer.length < wanted) {
        const grown = Buffer.allocUnsafeSlow(wanted)
        existing.buffer.copy(grown)
        this.#bytes += wanted - existing.buffer.length
        existing.buffer = grown
      }
      return existing
    }
    return this.adopt(inode, index, Buffer.allocUnsafeSlow(wanted))
  }

  /** Puts a new chunk with this buffer into the cache. */
  adopt(inode: CachedInode, index: number, buffer: Buffer): Chunk {
    const chunk = new Chunk(inode, index, buffer)
    inode.chunks ??= new Map()
    inode.chunks.set(index, chunk)
    this.#chunks.add(chunk)
    this.#bytes += buffer.length
    if (this.#bytes > this.#maxBytes) this.#evict(chunk)
    return chunk
  }

  /** Takes a chunk out; its dirty data is lost. */
  drop(inode: CachedInode, chunk: Chunk): void {
    inode.chunks?.delete(chunk.index)
    if (this.#chunks.delete(chunk)) this.#bytes -= chunk.buffer.length
  }

  /** Takes everything of a file out. */
  dropAll(inode: CachedInode): void {
    if (!inode.chunks) return
    for (const chunk of inode.chunks.values()) if (this.#chunks.delete(chunk)) this.#bytes -= chunk.buffer.length
    inode.chunks = undefined
  }

  /** Evicts clean chunks, those not used since the last pass first. `keep` was just made. */
  #evict(keep: Chunk): void {
    let left = this.#chunks.size * MAX_ROUNDS
    for (const chunk of this.#chunks) {
      if (this.#bytes <= this.#maxBytes || left-- <= 0) return
      if (chunk === keep || chunk.referenced || !chunk.evictable) {
        chunk.referenced = false
        this.#chunks.delete(chunk)
        this.#chunks.add(chunk)
        continue
      }
      chunk.owner.chunks?.delete(chunk.index)
      this.#chunks.delete(chunk)
      this.#bytes -= chunk.buffer.length
    }
  }
}

/**
 * The pieces of bytes `from` … `to`-1 of a file, as views; undefined when something of it must be read from the LUN first.
 * `to` is not beyond the end of the file.
 */
export function piecesOf(cache: DataCache, inode: CachedInode, from: number, to: number): Buffer[] | undefined {
  const pieces: Buffer[] = []
  while (from < to) {
    const index = Math.floor(from / CHUNK_BYTES)
    const start = index * CHUNK_BYTES
    const end = Math.min(to, start + CHUNK_BYTES)
    const chunk = cache.chunk(inode, index)
    const first = Math.floor((from - start) / BLOCK_SIZE)
    const last = Math.floor((end - 1 - start) / BLOCK_SIZE)
    const wanted = ((1 << (last - first + 1)) - 1) << first
    if (chunk && (chunk.valid & wanted) === wanted) {
      pieces.push(chunk.buffer.subarray(from - start, end - start))
      from = end
      continue
    }
    // block by block: some may be holes
    const valid = chunk ? chunk.valid : 0
    for (let block = first; block <= last; block++) {
      const blockStart = Math.max(from, start + block * BLOCK_SIZE)
      const blockEnd = Math.min(end, start + (block + 1) * BLOCK_SIZE)
      if ((valid >> block) & 1) {
        pieces.push((chunk as Chunk).buffer.subarray(blockStart - start, blockEnd - start))
      } else if (inode.extents.addressOf(index * BLOCKS_PER_CHUNK + block) === HOLE) {
        pieces.push(zeroes.subarray(0, blockEnd - blockStart))
      } else {
        return undefined
      }
    }
    from = end
  }
  return pieces
}
