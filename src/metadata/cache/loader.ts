/**
 * Reads file content from the LUNs into the cache: what a read or a partial write misses, and ahead of sequential readers
 * (R67, R71). One request covers up to 1 MiB that is contiguous in the file and on the LUN; several are under way at once.
 *
 * Invariants: (1) a block that became valid meanwhile (a write) is not overwritten by what arrives, and is not evicted before that, however soon it is
 * clean again: a reader's lock keeps out other nodes, not this node's writers. (2) What arrives for an inode that left the cache is dropped, as when its lock was given up. (3) Bytes beyond the committed size are zeroed: on the LUN they are arbitrary.
 * (4) Nobody unmaps blocks of an inode while it loads (`quiet` in inode-io.ts).
 */
import { allEnded } from '../../base/all-ended.ts'
import { BLOCK_SIZE } from '../../base/limits.ts'
import { BLOCKS_PER_CHUNK, CHUNK_BYTES } from './chunk.ts'
import type { DataCache } from './data-cache.ts'
import { HOLE } from './extent-map.ts'
import type { CachedInode } from './inode.ts'
import { type LunIo, MAX_REQUEST_BLOCKS } from './lun-io.ts'

export class Loader {
  readonly #cache: DataCache
  readonly #io: LunIo

  constructor(cache: DataCache, io: LunIo) {
    this.#cache = cache
    this.#io = io
  }

  /** Loads every mapped block of bytes `from` … `to`-1 that is not in memory. Rejects with MatrixError 'lun-io' (R68, R72). */
  async load(inode: CachedInode, from: number, to: number): Promise<void> {
    const firstChunk = Math.floor(from / CHUNK_BYTES)
    const lastChunk = Math.floor((to - 1) / CHUNK_BYTES)
    const waits: Promise<void>[] = []
    inode.loading ??= new Map()
    for (let chunk = firstChunk; chunk <= lastChunk; ) {
      const under = inode.loading.get(chunk)
      if (under) {
        waits.push(under)
        chunk++
        continue
      }
      let end = chunk + 1
      while (end <= lastChunk && !inode.loading.has(end)) end++
      const fromBlock = Math.max(chunk * BLOCKS_PER_CHUNK, Math.floor(from / BLOCK_SIZE))
      const toBlock = Math.min(end * BLOCKS_PER_CHUNK, Math.ceil(to / BLOCK_SIZE))
      const loading: Promise<void> = this.#loadBlocks(inode, fromBlock, toBlock)
      const [first, behind] = [chunk, end]
      const done = () => {
        for (let index = first; index < behind; index++) inode.loading?.delete(index)
      }
      for (let index = first; index < behind; index++) inode.loading.set(index, loading)
      waits.push(loading.finally(done))
      chunk = end
    }
    if (waits.length === 1) await waits[0]
    else await Promise.all(waits)
  }

  async #loadBlocks(inode: CachedInode, fromBlock: number, toBlock: number): Promise<void> {
    const requests: Promise<void>[] = []
    let block = fromBlock
    while (block < toBlock) {
      const segment = inode.extents.segmentAt(block, Math.min(toBlock, block + MAX_REQUEST_BLOCKS))
      if (segment.address !== HOLE) this.#loadSegment(inode, block, segment.count, segment.address, requests)
      block += segment.count
    }
    await allEnded(requests)
  }

  /** Blocks contiguous in the file and on the LUN: requests for the parts that are not in memory. */
  #loadSegment(inode: CachedInode, block: number, count: number, address: number, requests: Promise<void>[]): void {
    const end = block + count
    let from = block
    while (from < end) {
      while (from < end && this.#isValid(inode, from)) from++
      let to = from
      while (to < end && !this.#isValid(inode, to)) to++
      if (to > from) requests.push(this.#request(inode, from, to, address + (from - block)))
      from = to
    }
  }

  async #request(inode: CachedInode, fromBlock: number, toBlock: number, address: number): Promise<void> {
    const buffer = Buffer.allocUnsafeSlow((toBlock - fromBlock) * BLOCK_SIZE)
    await this.#io.read(address, buffer)
    if (inode.dropped) return
    const endOfFile = inode.committedSize - fromBlock * BLOCK_SIZE
    if (endOfFile < buffer.length) buffer.fill(0, Math.max(0, endOfFile))
    for (let block = fromBlock; block < toBlock; ) {
      const index = Math.floor(block / BLOCKS_PER_CHUNK)
      const first = block - index * BLOCKS_PER_CHUNK
      const last = Math.min(BLOCKS_PER_CHUNK, toBlock - index * BLOCKS_PER_CHUNK)
      const offset = (block - fromBlock) * BLOCK_SIZE
      if (first === 0 && last === BLOCKS_PER_CHUNK && !inode.chunks?.has(index)) {
        const chunk = this.#cache.adopt(inode, index, buffer.subarray(offset, offset + CHUNK_BYTES))
        chunk.valid = 0xffff
      } else {
        const chunk = this.#cache.ensure(inode, index, last)
        for (let b = first; b < last; b++) {
          if ((chunk.valid >> b) & 1) continue
          buffer.copy(
            chunk.buffer,
            b * BLOCK_SIZE,
            offset + (b - first) * BLOCK_SIZE,
            offset + (b - first + 1) * BLOCK_SIZE,
          )
          chunk.valid |= 1 << b
        }
      }
      block = index * BLOCKS_PER_CHUNK + last
    }
  }

  #isValid(inode: CachedInode, block: number): boolean {
    const index = Math.floor(block / BLOCKS_PER_CHUNK)
    const chunk = inode.chunks?.get(index)
    return chunk !== undefined && ((chunk.valid >> (block - index * BLOCKS_PER_CHUNK)) & 1) === 1
  }
}
