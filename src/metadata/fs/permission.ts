/**
 * Who may do what: POSIX permission bits, sticky directories, and the set-id bits that changes of owner and content clear.
 * Pure functions of the caller and an inode's attributes.
 */
import { FsError } from '../../base/errors.ts'
import { DIR, REG } from '../image/mutation.ts'
import { type Caller, R_OK, W_OK, X_OK } from './matrix-fs.ts'

export const SETUID = 0o4000
export const SETGID = 0o2000
export const STICKY = 0o1000
const GROUP_EXECUTE = 0o010
const ANY_EXECUTE = 0o111
export const MODE_BITS = 0o7777

type Attributes = { readonly type: number; readonly mode: number; readonly uid: number; readonly gid: number }

export function inGroup(caller: Caller, gid: number): boolean {
  return caller.gid === gid || caller.gids.includes(gid)
}

/** The bits R_OK|W_OK|X_OK that the caller has. Exactly one class of bits counts: owner, else group, else others. */
export function granted(caller: Caller, inode: Attributes): number {
  if (caller.uid === 0) {
    return inode.type === DIR || (inode.mode & ANY_EXECUTE) !== 0 ? R_OK | W_OK | X_OK : R_OK | W_OK
  }
  if (caller.uid === inode.uid) return (inode.mode >> 6) & 7
  if (inGroup(caller, inode.gid)) return (inode.mode >> 3) & 7
  return inode.mode & 7
}

/** Throws EACCES unless the caller has all bits of `wanted`. */
export function need(caller: Caller, inode: Attributes, wanted: number): void {
  if ((granted(caller, inode) & wanted) !== wanted) throw new FsError('EACCES')
}

export function isOwner(caller: Caller, inode: Attributes): boolean {
  return caller.uid === 0 || caller.uid === inode.uid
}

/** In a sticky directory a name goes only by the owner of the directory or of what it names (XSH 4.3). */
export function needDeletable(caller: Caller, dir: Attributes, victim: Attributes): void {
  if ((dir.mode & STICKY) !== 0 && !isOwner(caller, dir) && caller.uid !== victim.uid) throw new FsError('EPERM')
}

/** The mode after somebody wrote to the file, or its owner changed: set-user-id goes, set-group-id where it means running. */
export function withoutSetId(inode: Attributes): number {
  if (inode.type !== REG) return inode.mode
  const setGid = (inode.mode & GROUP_EXECUTE) !== 0 ? SETGID : 0
  return inode.mode & ~(SETUID | setGid)
}

/** The mode that a caller's chmod gives: set-group-id only to groups he is in. */
export function chmodMode(caller: Caller, inode: Attributes, mode: number, gid: number): number {
  const kept = mode & MODE_BITS
  if (caller.uid === 0 || inode.type === DIR || inGroup(caller, gid)) return kept
  return kept & ~SETGID
}
