/**
 * Part of a file is to leave a LUN that is being drained: its content comes into memory and is marked dirty with space promised for it, under the
 * exclusive lock of the inode. Cleaning then does what it does for any new data (cache/cleaner.ts): writes it elsewhere, maps it there once it is
 * stable, and frees the old blocks in the same transaction. A crash leaves the file in its old place or in the new one.
 */
import { type Ino, lunIndexOf } from '../../base/ids.ts'
import { BLOCK_SIZE } from '../../base/limits.ts'
import { EX, inodeLock } from '../../locking/index.ts'
import { isInMemory, markMoving } from '../cache/fill.ts'
import type { CachedInode } from '../cache/inode.ts'
import { REG } from '../image/mutation.ts'
import type { Op } from './op.ts'

/** At most so much of a file in one step: others wait for its lock meanwhile. */
export const MAX_BLOCKS = 256
const MAX_EXTENTS = 32

/** Marks blocks of the file that lie on the LUN; undefined when there are none. Throws FsError ENOSPC when the other LUNs have no room. */
export function relocate(op: Op, ino: Ino, lunIndex: number): CachedInode | undefined {
  op.lock(inodeLock(ino), EX)
  const { data, cleaner, space, inodes } = op.mount
  const inode = inodes.get(ino)
  if (inode?.type !== REG || !space.isClosed(lunIndex)) return undefined
  const runs = runsOn(inode, lunIndex)
  const first = runs[0]
  const last = runs.at(-1)
  if (!first || !last) return undefined

  op.needJournal()
  if (data.tooDirty) op.waitFor(() => cleaner.makeRoom(), { pinned: false })
  const blocks = runs.flatMap(({ block, count }) => Array.from({ length: count }, (_, i) => block + i))
  if (blocks.some((block) => !isInMemory(inode, block)))
    op.waitForContent(inode, first.block * BLOCK_SIZE, (last.block + last.count) * BLOCK_SIZE)
  if (!space.reserve(blocks.length)) op.waitFor(() => space.grow(blocks.length), { pinned: false })
  for (const block of blocks) if (!markMoving(data, inode, block)) space.unreserve(1)
  cleaner.note(inode)
  return inode
}

type BlockRun = { readonly block: number; readonly count: number }

/** The first blocks that lie there, with content: what a file has beyond its size is about to be freed. */
function runsOn(inode: CachedInode, lunIndex: number): readonly BlockRun[] {
  const end = Math.ceil(inode.committedSize / BLOCK_SIZE)
  const runs: BlockRun[] = []
  let left = MAX_BLOCKS
  for (let i = 0; i < inode.extents.length && left > 0 && runs.length < MAX_EXTENTS; i++) {
    const { block, count, address } = inode.extents.at(i)
    if (lunIndexOf(address) !== lunIndex || block >= end) continue
    if (runs[0] && block - runs[0].block >= MAX_BLOCKS) break
    const taken = Math.min(count, left, end - block)
    runs.push({ block, count: taken })
    left -= taken
  }
  return runs
}
