/** Forgets file content beyond a size, dirty or not: when a file is cut or goes. Nothing of it is under way (op `quiet`). */
import { assert } from '../../base/assert.ts'
import { BLOCK_SIZE } from '../../base/limits.ts'
import type { Space } from '../alloc/space.ts'
import { BLOCKS_PER_CHUNK, bitCount, CHUNK_BYTES } from './chunk.ts'
import type { Cleaner } from './cleaner.ts'
import type { DataCache } from './data-cache.ts'
import type { CachedInode } from './inode.ts'

type Parts = { readonly data: DataCache; readonly space: Space; readonly cleaner: Cleaner }

/** Blocks wholly beyond `size` leave the cache and give back their reservations; the rest of the last block is zeroed. */
export function discardFrom({ data, space, cleaner }: Parts, inode: CachedInode, size: number): void {
  const keepBlocks = Math.ceil(size / BLOCK_SIZE)
  for (const chunk of [...(inode.chunks?.values() ?? [])]) {
    const keep = keepBlocks - chunk.index * BLOCKS_PER_CHUNK
    if (keep < BLOCKS_PER_CHUNK) {
      assert(chunk.pending === 0, 'nothing is discarded while it is written')
      const gone = keep <= 0 ? 0xffff : 0xffff & ~((1 << keep) - 1)
      const dirty = bitCount(chunk.dirty & gone)
      const reserved = bitCount(chunk.reserved & gone)
      inode.dirtyBlocks -= dirty
      inode.reservedBlocks -= reserved
      data.noteDirty(-dirty)
      space.unreserve(reserved)
      chunk.dirty &= ~gone
      chunk.reserved &= ~gone
      chunk.valid &= ~gone
      if (chunk.valid === 0) data.drop(inode, chunk)
    }
    const end = size - chunk.index * CHUNK_BYTES
    if (end > 0 && end < chunk.buffer.length && end % BLOCK_SIZE !== 0) {
      chunk.buffer.fill(0, end, Math.min(chunk.buffer.length, Math.ceil(end / BLOCK_SIZE) * BLOCK_SIZE))
    }
  }
  if (!inode.dirty) cleaner.forget(inode)
}
