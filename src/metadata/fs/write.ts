/**
 * WRITE (Fig. 9): under the exclusive lock of the inode, into the cache. Space for it is promised before anything changes, and the
 * journal has room then, so cleaning does not fail for want of it. Size, times and change count are late: cleaning journals them behind the data.
 */
import { FsError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import { BLOCK_SIZE, FILE_MAX } from '../../base/limits.ts'
import { EX } from '../../locking/index.ts'
import { fill, markDirty, missingBlock, tailToZero, unreservedBlocks } from '../cache/fill.ts'
import { DIR, REG } from '../image/mutation.ts'
import { type Caller, type Changed, W_OK } from './matrix-fs.ts'
import type { Op } from './op.ts'
import { need, withoutSetId } from './permission.ts'
import { touchContent } from './times.ts'

export function write(op: Op, caller: Caller, ino: Ino, at: number | 'end', bytes: Buffer, trusted: boolean): Changed {
  const inode = op.inode(ino, EX)
  if (inode.type === DIR) throw new FsError('EISDIR')
  if (inode.type !== REG) throw new FsError('EINVAL', 'not a regular file')
  if (!trusted && caller.uid !== inode.uid) need(caller, inode, W_OK)
  const offset = at === 'end' ? inode.size : at
  if (!Number.isSafeInteger(offset) || offset < 0) throw new FsError('EINVAL')
  const end = offset + bytes.length
  if (end > FILE_MAX) throw new FsError('EFBIG')
  const before = inode.before()
  if (bytes.length === 0) return { before, inode }

  op.needJournal()
  const { data, cleaner, space, clock } = op.mount
  if (data.tooDirty) op.waitFor(() => cleaner.makeRoom(), { pinned: false })
  const missing = missingBlock(inode, offset, end)
  if (missing !== undefined) op.waitForContent(inode, missing * BLOCK_SIZE, (missing + 1) * BLOCK_SIZE)
  const blocks = unreservedBlocks(inode, offset, end)
  if (blocks > 0 && !space.reserve(blocks)) op.waitFor(() => space.grow(blocks), { pinned: false })

  const tail = tailToZero(inode, offset)
  if (tail !== undefined) markDirty(data, inode, tail)
  fill(data, inode, offset, bytes)
  if (end > inode.size) inode.size = end
  if (caller.uid !== 0) inode.mode = withoutSetId(inode)
  touchContent(inode, clock)
  inode.late = true
  inode.wire = undefined
  cleaner.note(inode)
  cleaner.writeBehind(inode)
  return { before, inode }
}
