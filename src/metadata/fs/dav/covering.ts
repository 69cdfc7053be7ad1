/**
 * Which locks cover an object: those on it, and those of infinite depth on the directories above it. All these inodes are held, at least in PR, in
 * the run that decides, so what is seen is what there is, whatever node made it: a lock is put and removed only under its inode held in EX.
 * Nodes share the upper directories in PR as long as nobody changes them, so that in the usual case this costs a look into a table for each.
 *
 * Below a directory nobody can hold everything. So who adds a lock anywhere holds `R:1` in CW, as all nodes can at the same time; who has to see
 * all locks below a directory, because it goes or is locked with infinite depth, holds it in PR or more: then every node has given its CW up,
 * and made durable what it did under it.
 */
import { brokenRules } from '../../../base/broken-rules.ts'
import { FsError } from '../../../base/errors.ts'
import { type Ino, ROOT_INO } from '../../../base/ids.ts'
import { CW, DAV_LOCK_ORDER, EX, inodeLock, PR } from '../../../locking/index.ts'
import type { CachedInode } from '../../cache/inode.ts'
import { DIR } from '../../image/mutation.ts'
import type { Caller, DavGuard } from '../caller.ts'
import type { Op } from '../op.ts'
import { CLOCK_SKEW_MS, type DavLock, LockedError } from './dav-fs.ts'

/** Directories above one another: more is damage. */
const MAX_DEPTH = 100_000
/** Locks looked at, or removed, below a directory in one transaction: more stay in its way. */
const MAX_BELOW = 1000
const NONE: readonly DavLock[] = []

/** The lock counts, by the clock of this node. */
export function isAlive(op: Op, lock: DavLock): boolean {
  return lock.expires + CLOCK_SKEW_MS > op.mount.clock.wall()
}

/** Locks on the inode itself, which is held. */
export function ownLocks(op: Op, ino: Ino): readonly DavLock[] {
  return op.mount.volume.image.davLocks(ino).filter((lock) => isAlive(op, lock))
}

/** Locks of infinite depth on `dir` and everything above; holds all of it in PR. */
export function locksFromAbove(op: Op, dir: Ino): readonly DavLock[] {
  const { inodes, volume } = op.mount
  const chain: Ino[] = []
  for (let at = dir; ; ) {
    // of what is not held yet the image tells where it may be, so that all is asked for at once
    const held = brokenRules.locksAboveAreHeld || op.want(inodeLock(at), PR)
    const inode = held && !brokenRules.locksAboveAreHeld ? inodes.get(at) : volume.image.inode(at)
    if (!inode || chain.length > MAX_DEPTH) {
      op.ready()
      throw new FsError('ESTALE')
    }
    chain.push(at)
    if (at === ROOT_INO) break
    at = inode.parent
  }
  op.ready()
  if (volume.image.davLockCount === 0) return NONE
  return chain.flatMap((ino) => ownLocks(op, ino).filter(({ infinite }) => infinite))
}

/** All that cover an object found in `dir`; a directory knows its own. */
export function locksCovering(op: Op, inode: CachedInode, dir: Ino): readonly DavLock[] {
  op.lock(inodeLock(inode.ino), PR)
  if (inode.ino === ROOT_INO) return ownLocks(op, ROOT_INO)
  const above = locksFromAbove(op, inode.type === DIR ? inode.parent : dir)
  return op.mount.volume.image.davLockCount === 0 ? NONE : [...ownLocks(op, inode.ino), ...above]
}

/** A lock will be added; one of infinite depth to a directory, or another. */
export function orderAdding(op: Op, looksBelow: boolean): void {
  if (!brokenRules.locksBelowAreSeen) op.lock(DAV_LOCK_ORDER, looksBelow ? EX : CW)
}

/** Locks on what lies below a directory: their inodes are held in PR, so none of them is gone meanwhile. */
export function locksBelow(op: Op, dir: Ino): readonly DavLock[] {
  if (!brokenRules.locksBelowAreSeen) op.lock(DAV_LOCK_ORDER, PR)
  const known = () => op.mount.volume.image.allDavLocks().filter((lock) => isAlive(op, lock) && isBelow(op, lock, dir))
  const found = known()
  if (found.length > MAX_BELOW) throw new FsError('ENOSPC', `more than ${MAX_BELOW} locks below the directory`)
  if (found.length === 0) return found
  for (const { ino } of found) op.want(inodeLock(ino), PR)
  op.ready()
  return known()
}

function isBelow({ mount }: Op, lock: DavLock, dir: Ino): boolean {
  const { image } = mount.volume
  let at = lock.dir === 0 ? image.inode(lock.ino)?.parent : lock.dir
  for (let depth = 0; at !== undefined && depth < MAX_DEPTH; depth++) {
    if (at === dir) return lock.ino !== dir
    if (at === ROOT_INO) return false
    at = image.inode(at)?.parent
  }
  return false
}

/** The names in `dir` may be changed: one is added or taken. */
export function needMembership(op: Op, { guard }: Caller, dir: CachedInode): void {
  if (guard) needToken(guard, locksCovering(op, dir, 0))
}

/** The object's content and properties may be changed. */
export function needContent(op: Op, { guard }: Caller, inode: CachedInode, dir: Ino): void {
  if (guard) needToken(guard, locksCovering(op, inode, dir))
}

/** The object may go, with everything below. */
export function needTree(op: Op, caller: Caller, inode: CachedInode, dir: Ino): void {
  const { guard } = caller
  if (!guard) return
  needContent(op, caller, inode, dir)
  if (inode.type !== DIR) return
  const closed = locksBelow(op, inode.ino).filter((lock) => !opens(guard, lock))
  if (closed.length > 0) throw new LockedError(closed, 'lock-token-submitted', true)
}

/** One token is enough: where there are several locks they are shared. */
function needToken(guard: DavGuard, locks: readonly DavLock[]): void {
  if (locks.length === 0 || locks.some((lock) => opens(guard, lock))) return
  throw new LockedError(locks, 'lock-token-submitted')
}

function opens({ tokens, principal }: DavGuard, lock: DavLock): boolean {
  return lock.principal === principal && tokens.includes(lock.token)
}
