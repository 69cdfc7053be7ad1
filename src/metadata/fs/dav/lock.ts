/**
 * LOCK of a resource (RFC 4918 9.10). What is not there is made, as an empty file, in the same transaction (7.3). Two that lock one inode, or a
 * name that is not there, meet under the EX of it or its directory; for locks of infinite depth see covering.ts.
 */
import { FsError } from '../../../base/errors.ts'
import type { Ino } from '../../../base/ids.ts'
import { EX } from '../../../locking/index.ts'
import { DIR, REG } from '../../image/mutation.ts'
import { makeInode, needInsertable } from '../make-inode.ts'
import { type Caller, W_OK } from '../matrix-fs.ts'
import { checkNewName } from '../names.ts'
import type { Op } from '../op.ts'
import { need } from '../permission.ts'
import { isAlive, locksBelow, locksCovering, locksFromAbove, orderAdding } from './covering.ts'
import {
  type DavLock,
  type DavLocked,
  type DavLockRequest,
  type DavPlace,
  LockedError,
  MAX_ATTACHED_BYTES,
  MAX_LOCKS,
  MAX_LOCKS_PER_INODE,
} from './dav-fs.ts'
import { inodeAt } from './place.ts'

export function lock(op: Op, caller: Caller, place: DavPlace, request: DavLockRequest): DavLocked {
  const inode = inodeAt(op, caller, place, EX)
  if (!inode) return lockNew(op, caller, place, request)
  need(caller, inode, W_OK)
  const looksBelow = request.infinite && inode.type === DIR
  orderAdding(op, looksBelow)
  needNoConflict(locksCovering(op, inode, place.dir), request.shared)
  if (looksBelow) needNoConflict(locksBelow(op, inode.ino), request.shared, true)
  needRoom(op, inode.ino, request)
  for (const old of op.mount.volume.image.davLocks(inode.ino)) {
    if (!isAlive(op, old)) op.push({ op: 'removeDavLock', ino: old.ino, token: old.token })
  }
  const added = lockOf(op, caller, inode.ino, inode.type === DIR ? 0 : place.dir, request)
  op.push({ op: 'putDavLock', ...added })
  op.commit()
  return { lock: added, created: false }
}

/** Nothing is there: an empty file is made, and locked, at once. */
function lockNew(op: Op, caller: Caller, place: DavPlace, request: DavLockRequest): DavLocked {
  const dir = op.directory(place.dir, EX)
  needInsertable(caller, dir)
  checkNewName(place.name)
  orderAdding(op, false)
  needNoConflict(locksFromAbove(op, dir.ino), request.shared)
  const ino = op.freshIno()
  needRoom(op, ino, request)
  const added = lockOf(op, caller, ino, dir.ino, request)
  op.push({ op: 'putDavLock', ...added })
  makeInode(op, caller, dir, place.name, { type: REG, attributes: { mode: request.mode } })
  return { lock: added, created: true }
}

function needNoConflict(existing: readonly DavLock[], shared: boolean, below = false): void {
  const conflicts = shared ? existing.filter((lock) => !lock.shared) : existing
  if (conflicts.length > 0) throw new LockedError(conflicts, 'no-conflicting-lock', below)
}

function needRoom({ mount }: Op, ino: Ino, { owner, root, token }: DavLockRequest): void {
  const { image } = mount.volume
  if (image.davLockCount >= MAX_LOCKS) throw new FsError('ENOSPC', 'the filesystem holds its most WebDAV locks')
  const own = image.davLocks(ino)
  const bytes = [...own, { owner, root, token }].reduce(
    (sum, lock) => sum + Buffer.byteLength(lock.owner) + Buffer.byteLength(lock.root) + lock.token.length,
    0,
  )
  if (own.length >= MAX_LOCKS_PER_INODE || bytes > MAX_ATTACHED_BYTES)
    throw new FsError('ENOSPC', 'the resource has its most WebDAV locks')
}

function lockOf({ mount }: Op, { guard }: Caller, ino: Ino, dir: Ino, request: DavLockRequest): DavLock {
  const { token, shared, infinite, timeoutMs, owner, root } = request
  return {
    ...{ ino, token, dir, owner, root, principal: guard?.principal ?? '' },
    shared,
    infinite,
    expires: Math.floor(mount.clock.wall()) + timeoutMs,
  }
}
