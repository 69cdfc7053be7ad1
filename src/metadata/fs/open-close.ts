/** Open files: while an inode is open here, `O:<ino>` is held in PR, and whoever unlinks it leaves it to the reaper. */

import { assert } from '../../base/assert.ts'
import type { Ino } from '../../base/ids.ts'
import { OPEN_LOCK, PR, resourceId } from '../../locking/index.ts'
import type { CachedInode } from '../cache/inode.ts'
import type { Mount } from './mount.ts'
import type { Op } from './op.ts'

export function open(op: Op, ino: Ino): CachedInode {
  const inode = op.inode(ino, PR)
  const { mount } = op
  const known = mount.open.get(ino)
  if (known) {
    known.count++
    return inode
  }
  const rid = resourceId(OPEN_LOCK, ino)
  op.lock(rid, PR)
  mount.open.set(ino, { count: 1, hold: op.keep(rid, PR) })
  return inode
}

/** The matching end of `open`. */
export function close(mount: Mount, ino: Ino): void {
  const known = mount.open.get(ino)
  assert(known, `inode ${ino} is closed as often as it was opened`)
  if (--known.count > 0) return
  mount.open.delete(ino)
  known.hold.release()
  if (mount.inodes.cached(ino)?.nlink === 0) mount.noteOrphan(ino)
}
