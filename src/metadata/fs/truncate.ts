/**
 * A file gets another size. Three cases, by where the new size lies:
 *
 *  - not beyond what the journal has: blocks are unmapped and the size committed, in steps from the end when there are many
 *    extents; each step is a valid file. Dirty data below stays dirty.
 *  - beyond it, and nothing is dirty and the last block needs no zeroing: the size is committed; the rest is a hole.
 *  - else it is late, like a write's: cleaning commits it behind the data. The verb's caller waits for that.
 */
import { FsError } from '../../base/errors.ts'
import { BLOCK_SIZE, FILE_MAX } from '../../base/limits.ts'
import { discardFrom } from '../cache/discard.ts'
import { markDirty, missingBlock, tailToZero } from '../cache/fill.ts'
import type { CachedInode } from '../cache/inode.ts'
import { DIR, REG } from '../image/mutation.ts'
import { MAX_EXTENTS_PER_TRANSACTION } from './drop-link.ts'
import type { Op } from './op.ts'
import { withoutSetId } from './permission.ts'
import { touchContent } from './times.ts'

/** Throws for what has no size to set. */
export function needTruncatable(inode: CachedInode, size: number): void {
  if (inode.type === DIR) throw new FsError('EISDIR')
  if (inode.type !== REG) throw new FsError('EINVAL', 'only regular files have a size')
  if (!Number.isSafeInteger(size) || size < 0) throw new FsError('EINVAL')
  if (size > FILE_MAX) throw new FsError('EFBIG')
}

/**
 * Commits everything gathered in `op` together with the new size; the inode is locked EX. `dropSetId`: whoever does it may not
 * keep the set-id bits. `more`: the verb commits another part after this one. True when part of it is late: then it is durable, and the verb's request
 * done, only after cleaning.
 */
export function applyTruncate(op: Op, inode: CachedInode, size: number, dropSetId: boolean, more = false): boolean {
  needTruncatable(inode, size)
  const { mount } = op
  op.quiet(inode)
  if (size > inode.committedSize && (inode.dirty || tailToZero(inode, size) !== undefined)) {
    growLate(op, inode, size, dropSetId)
    return true
  }
  const keepBlocks = Math.ceil(size / BLOCK_SIZE)
  while (inode.extents.lastBlock > keepBlocks) {
    const done = op.unmap(inode, keepBlocks, MAX_EXTENTS_PER_TRANSACTION)
    if (done) break
    // not the last step: a file that ends where its extents end now
    op.edit(inode).size = Math.min(inode.committedSize, inode.extents.lastBlock * BLOCK_SIZE)
    op.commitPart()
    cut(op, inode, inode.committedSize)
  }
  const draft = op.edit(inode)
  draft.size = size
  touchContent(draft, mount.clock)
  if (dropSetId) draft.mode = withoutSetId(draft)
  if (more) op.commitPart()
  else op.commit()
  cut(op, inode, size)
  return false
}

function cut(op: Op, inode: CachedInode, size: number): void {
  inode.size = size
  discardFrom(op.mount, inode, size)
}

function growLate(op: Op, inode: CachedInode, size: number, dropSetId: boolean): void {
  const { mount } = op
  const missing = size > inode.size ? missingBlock(inode, size, size + 1) : undefined
  if (missing !== undefined) op.waitForContent(inode, missing * BLOCK_SIZE, (missing + 1) * BLOCK_SIZE)
  const draft = op.edit(inode)
  touchContent(draft, mount.clock)
  if (dropSetId) draft.mode = withoutSetId(draft)
  op.commitPart()
  const tail = tailToZero(inode, size)
  if (tail !== undefined) markDirty(mount.data, inode, tail)
  if (size < inode.size) discardFrom(mount, inode, size)
  inode.size = size
  mount.cleaner.note(inode)
}
