/**
 * SETATTR: mode, owner, group, size, times (XSH chmod, chown, truncate, utimensat), in one transaction. Two exceptions, which a crash
 * may divide: a size that grows late follows the rest behind its data, and is waited for; explicit times follow a new size. SETATTR need
 * not be atomic (RFC 1813 3.3.2).
 */
import { FsError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import { EX } from '../../locking/index.ts'
import type { CachedInode, MutableRecord } from '../cache/inode.ts'
import { type AttributeChanges, type Before, type Caller, type Inode, type TimeChange, W_OK } from './matrix-fs.ts'
import type { Op } from './op.ts'
import { chmodMode, inGroup, isOwner, need, withoutSetId } from './permission.ts'
import { needTimes, touchAttributes } from './times.ts'
import { applyTruncate, needTruncatable } from './truncate.ts'

/** `late`: durable only after the inode is cleaned. */
export type SetattrResult = { readonly before: Before; readonly inode: Inode; readonly late: boolean }

export function setattr(
  op: Op,
  caller: Caller,
  ino: Ino,
  changes: AttributeChanges,
  guard: { s: number; ns: number } | undefined,
): SetattrResult {
  const inode = op.inode(ino, EX)
  if (guard && (guard.s !== inode.ctimeS || guard.ns !== inode.ctimeNs))
    throw new FsError('EAGAIN', 'ctime has changed')
  if (changes.size !== undefined) needAllowed(caller, inode, changes)
  needTimes(changes)
  const before = inode.before()
  if (changes.size !== undefined) {
    needTruncatable(inode, changes.size)
    op.quiet(inode)
  }
  if (changes.size === undefined) {
    changeAttributes(op, caller, inode, changes)
    op.commit()
    return { before, inode, late: false }
  }
  changeOwnerAndMode(op, caller, inode, changes)
  const timesFollow = changes.atime !== undefined || changes.mtime !== undefined
  const late = applyTruncate(op, inode, changes.size, caller.uid !== 0 || changes.dropSetId === true, timesFollow)
  if (timesFollow) {
    changeTimes(op.edit(inode), changes)
    if (late) op.commitPart()
    else op.commit()
  }
  return { before, inode, late }
}

/** All but the size: added to the verb's transaction. */
export function changeAttributes(op: Op, caller: Caller, inode: CachedInode, changes: AttributeChanges): void {
  needAllowed(caller, inode, changes)
  const draft = changeOwnerAndMode(op, caller, inode, changes)
  touchAttributes(draft, op.mount.clock)
  changeTimes(draft, changes)
}

function changeOwnerAndMode(op: Op, caller: Caller, inode: CachedInode, changes: AttributeChanges): MutableRecord {
  const draft = op.edit(inode)
  changeOwner(caller, draft, changes)
  if (changes.mode !== undefined) draft.mode = chmodMode(caller, draft, changes.mode, draft.gid)
  return draft
}

function needAllowed(caller: Caller, inode: CachedInode, changes: AttributeChanges): void {
  const owner = isOwner(caller, inode)
  if (changes.mode !== undefined && !owner) throw new FsError('EPERM')
  if (changes.uid !== undefined && caller.uid !== 0 && (!owner || changes.uid !== inode.uid)) throw new FsError('EPERM')
  if (changes.gid !== undefined && caller.uid !== 0) {
    if (!owner || (changes.gid !== inode.gid && !inGroup(caller, changes.gid))) throw new FsError('EPERM')
  }
  if (!owner) {
    const explicit = (time: TimeChange | undefined) => time !== undefined && time !== 'now'
    if (explicit(changes.atime) || explicit(changes.mtime)) throw new FsError('EPERM')
    if (changes.atime !== undefined || changes.mtime !== undefined || changes.size !== undefined)
      need(caller, inode, W_OK)
  }
}

function changeOwner(_caller: Caller, draft: MutableRecord, { uid, gid }: AttributeChanges): void {
  if (uid === undefined && gid === undefined) return
  draft.uid = uid ?? draft.uid
  draft.gid = gid ?? draft.gid
  draft.mode = withoutSetId(draft)
}

/** 'now' is the ctime that the change has already: a time that is marked later is later. */
function changeTimes(draft: MutableRecord, { atime, mtime }: AttributeChanges): void {
  const now = { s: draft.ctimeS, ns: draft.ctimeNs }
  if (atime !== undefined) {
    const { s, ns } = atime === 'now' ? now : atime
    draft.atimeS = s
    draft.atimeNs = ns
  }
  if (mtime !== undefined) {
    const { s, ns } = mtime === 'now' ? now : mtime
    draft.mtimeS = s
    draft.mtimeNs = ns
  }
}
