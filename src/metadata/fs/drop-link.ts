/**
 * An inode loses a name. With its last one it goes: at once, in the same transaction, when nobody on the matrix has it open
 * (`O:<ino>` can be had exclusively without waiting) and it has few extents; else it becomes an orphan of this node, and the
 * reaper (orphans.ts) removes it later. A crash in between leaves the orphan row.
 */
import { EX, OPEN_LOCK, resourceId } from '../../locking/index.ts'
import type { CachedInode } from '../cache/inode.ts'
import { DIR } from '../image/mutation.ts'
import { dropLocks } from './dav/handover.ts'
import type { Op } from './op.ts'
import { touchAttributes } from './times.ts'

/** Extents unmapped in one transaction: bounds a frame. */
export const MAX_EXTENTS_PER_TRANSACTION = 4096

/** Adds to the transaction what losing one name means for an inode locked EX. A directory has only the one. */
export function dropLink(op: Op, inode: CachedInode): void {
  const { mount } = op
  const left = inode.type === DIR ? 0 : inode.nlink - 1
  if (left > 0) {
    const draft = op.edit(inode)
    draft.nlink = left
    touchAttributes(draft, mount.clock)
    return
  }
  dropLocks(op, inode)
  const unused = !mount.open.has(inode.ino) && op.tryLock(resourceId(OPEN_LOCK, inode.ino), EX)
  if (unused && inode.extents.length <= MAX_EXTENTS_PER_TRANSACTION) {
    op.quiet(inode)
    op.unmap(inode, 0, MAX_EXTENTS_PER_TRANSACTION)
    op.removeInode(inode)
    return
  }
  const draft = op.edit(inode)
  draft.nlink = 0
  touchAttributes(draft, mount.clock)
  op.orphan(inode)
}
