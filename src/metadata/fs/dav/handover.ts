/** What becomes of an inode's properties and locks when its names change: added to the transaction that changes them. */
import type { Ino } from '../../../base/ids.ts'
import { EX, inodeLock } from '../../../locking/index.ts'
import type { CachedInode } from '../../cache/inode.ts'
import { DIR } from '../../image/mutation.ts'
import type { Caller } from '../caller.ts'
import type { Op } from '../op.ts'
import { locksBelow } from './covering.ts'

/** The inode goes, or has no name left. */
export function dropLocks(op: Op, { ino }: CachedInode): void {
  for (const { token } of op.mount.volume.image.davLocks(ino)) op.push({ op: 'removeDavLock', ino, token })
}

/**
 * An inode moves to another directory or name. WebDAV's MOVE leaves its locks behind (RFC 4918 7.6), and those below: they are the caller's,
 * as was checked. Under other protocols they follow the inode.
 */
export function moveLocks(op: Op, caller: Caller, inode: CachedInode, toDir: CachedInode): void {
  if (caller.guard) {
    const below = inode.type === DIR ? locksBelow(op, inode.ino) : []
    for (const { ino } of below) op.want(inodeLock(ino), EX)
    op.ready()
    dropLocks(op, inode)
    for (const { ino, token } of below) op.push({ op: 'removeDavLock', ino, token })
  } else if (inode.type !== DIR) {
    for (const lock of op.mount.volume.image.davLocks(inode.ino)) {
      if (lock.dir !== toDir.ino) op.push({ op: 'putDavLock', ...lock, dir: toDir.ino })
    }
  }
}

/** `inode` takes the name of `old` in `dir`. Over WebDAV the locks are the name's, and stay with it. */
export function inheritLocks(op: Op, old: CachedInode, inode: CachedInode, dir: CachedInode): void {
  for (const lock of op.mount.volume.image.davLocks(old.ino)) {
    op.push({ op: 'putDavLock', ...lock, ino: inode.ino, dir: inode.type === DIR ? 0 : dir.ino })
    // with other names left, it stays, and goes unlocked; else its locks go with it
    if (old.type !== DIR && old.nlink > 1) op.push({ op: 'removeDavLock', ino: old.ino, token: lock.token })
  }
}

/** `inode` is new content of what `old` was, if there was anything: it has the properties of that, and none of its own. */
export function inheritProperties(op: Op, old: Ino | undefined, { ino }: CachedInode): void {
  const { image } = op.mount.volume
  for (const name of image.deadProperties(ino).keys()) op.push({ op: 'removeDeadProperty', ino, name })
  if (old === undefined) return
  for (const [name, value] of image.deadProperties(old)) op.push({ op: 'putDeadProperty', ino, name, value })
}
