/** A new object with its first name: what create, mkdir, symlink and mknod have in common. */
import { FsError } from '../../base/errors.ts'
import { FILE_MAX } from '../../base/limits.ts'
import { CachedInode, type MutableRecord } from '../cache/inode.ts'
import { DIR, type FileName, type FileType, REG } from '../image/mutation.ts'
import { needMembership } from './dav/covering.ts'
import { type Caller, type CreateAttributes, type Created, type TimeChange, W_OK, X_OK } from './matrix-fs.ts'
import type { Op } from './op.ts'
import { inGroup, MODE_BITS, need, SETGID } from './permission.ts'
import { needTimes, now, touchContent } from './times.ts'

export type NewObject = {
  readonly type: FileType
  readonly attributes: CreateAttributes
  readonly target?: string
  readonly rdevMajor?: number
  readonly rdevMinor?: number
}

/** The caller may add names to the directory, and the directory still has a name itself. */
export function needInsertable(caller: Caller, dir: CachedInode): void {
  if (dir.nlink === 0) throw new FsError('ENOENT', 'the directory has been removed')
  need(caller, dir, W_OK | X_OK)
}

/** There may be one inode more. */
export function needFewer({ mount }: Op): void {
  if (mount.volume.image.totals().inodes >= mount.maxFiles)
    throw new FsError('ENOSPC', 'the filesystem holds its most files')
}

/** Makes and names the object, in one transaction. The name has been checked and is free; `dir` is locked EX. */
export function makeInode(op: Op, caller: Caller, dir: CachedInode, name: FileName, object: NewObject): Created {
  const { mount } = op
  needFewer(op)
  needMembership(op, caller, dir)
  const before = dir.before()
  const record = newRecord(op, caller, dir, object)
  const inode = new CachedInode(record)
  const draft = op.edit(dir)
  if (object.type === DIR) draft.nlink++
  touchContent(draft, mount.clock)
  op.push({ op: 'putInode', inode: record })
  op.putEntry(dir, name, record.ino, record.type)
  op.commit()
  inode.knowsAllNames = object.type === DIR // it has none
  mount.inodes.add(inode)
  return { before, dir, inode, created: true }
}

/** The row of an inode that has its one name in `dir`, with a number that is taken for it; EPERM, EINVAL, EFBIG. */
export function newRecord(op: Op, caller: Caller, dir: CachedInode, object: NewObject): MutableRecord {
  const { attributes, type } = object
  const { mount } = op
  const { s, ns } = now(mount.clock)
  const inherits = (dir.mode & SETGID) !== 0
  const uid = attributes.uid ?? caller.uid
  const gid = attributes.gid ?? (inherits ? dir.gid : caller.gid)
  if (caller.uid !== 0 && (uid !== caller.uid || !(inGroup(caller, gid) || (inherits && gid === dir.gid)))) {
    throw new FsError('EPERM', 'only the superuser gives files away')
  }
  let mode = (attributes.mode ?? 0) & MODE_BITS
  if (type === DIR && inherits) mode |= SETGID
  else if (type !== DIR && caller.uid !== 0 && !inGroup(caller, gid)) mode &= ~SETGID
  const size = type === REG ? (attributes.size ?? 0) : 0
  if (size < 0 || !Number.isSafeInteger(size)) throw new FsError('EINVAL')
  if (size > FILE_MAX) throw new FsError('EFBIG')
  needTimes(attributes)
  const atime = timeOf(attributes.atime, s, ns)
  const mtime = timeOf(attributes.mtime, s, ns)
  return {
    ino: op.freshIno(),
    generation: mount.prng.uint32() || 1,
    type,
    mode,
    nlink: type === DIR ? 2 : 1,
    uid,
    gid,
    size: object.target === undefined ? size : object.target.length,
    rdevMajor: object.rdevMajor ?? 0,
    rdevMinor: object.rdevMinor ?? 0,
    atimeS: atime.s,
    atimeNs: atime.ns,
    mtimeS: mtime.s,
    mtimeNs: mtime.ns,
    ctimeS: s,
    ctimeNs: ns,
    btimeS: s,
    btimeNs: ns,
    change: 1,
    parent: type === DIR ? dir.ino : 0,
    nextCookie: type === DIR ? 3 : 0,
    target: object.target ?? '',
  }
}

function timeOf(change: TimeChange | undefined, s: number, ns: number): { s: number; ns: number } {
  return change === undefined || change === 'now' ? { s, ns } : change
}
