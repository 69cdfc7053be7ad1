/** UNLOCK, and LOCK that refreshes (RFC 4918 9.11, 9.10.2): through any resource that the lock covers. */
import { FsError } from '../../../base/errors.ts'
import { EX, inodeLock, PR } from '../../../locking/index.ts'
import type { Caller } from '../caller.ts'
import type { Op } from '../op.ts'
import { locksCovering } from './covering.ts'
import type { DavLock, DavPlace } from './dav-fs.ts'
import { existingAt } from './place.ts'

export function unlock(op: Op, caller: Caller, place: DavPlace, token: string): boolean {
  const lock = ownLockAt(op, caller, place, token)
  if (!lock) return false
  op.push({ op: 'removeDavLock', ino: lock.ino, token })
  op.commit()
  return true
}

export function refresh(
  op: Op,
  caller: Caller,
  place: DavPlace,
  token: string,
  timeoutMs: number,
): DavLock | undefined {
  const lock = ownLockAt(op, caller, place, token)
  if (!lock) return undefined
  const longer = { ...lock, expires: Math.floor(op.mount.clock.wall()) + timeoutMs }
  op.push({ op: 'putDavLock', ...longer })
  op.commit()
  return longer
}

/** The caller's lock, its inode held in EX. */
function ownLockAt(op: Op, caller: Caller, place: DavPlace, token: string): DavLock | undefined {
  const inode = existingAt(op, caller, place, PR)
  const lock = locksCovering(op, inode, place.dir).find((candidate) => candidate.token === token)
  if (!lock) return undefined
  op.lock(inodeLock(lock.ino), EX)
  if (lock.principal !== (caller.guard?.principal ?? ''))
    throw new FsError('EACCES', 'the lock is held by another user')
  return lock
}
