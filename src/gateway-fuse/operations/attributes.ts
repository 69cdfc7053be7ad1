/** GETATTR, STATX, SETATTR, STATFS. */
import { BLOCK_SIZE, FILE_MAX, NAME_MAX } from '../../base/limits.ts'
import type { AttributeChanges, FsStatistics, Inode, TimeChange } from '../../metadata/index.ts'
import { putAttributes, putStatx } from '../wire/attributes.ts'
import * as c from '../wire/constants.ts'
import { offsetsOf, setattrIn, statfsOut } from '../wire/layouts.ts'
import type { Request } from '../wire/request.ts'
import { FuseFailure, type Operation, superuser, then } from './operation.ts'

const s = offsetsOf(setattrIn)
const f = offsetsOf(statfsOut)

export const getattr: Operation<undefined, Inode> = {
  name: 'GETATTR',
  decode: () => undefined,
  run: ({ fs, found, ino }) => found.orFound(ino, () => fs.getattr(ino)),
  encode: (out, inode) => putAttributes(out, inode),
}

/** Which fields are asked for does not matter: all are at hand. */
export const statx: Operation<undefined, Inode> = {
  name: 'STATX',
  decode: () => undefined,
  run: ({ fs, found, ino }) => found.orFound(ino, () => fs.getattr(ino)),
  encode: (out, inode) => putStatx(out, inode),
}

/** Chmod, chown, truncate, utimensat. The change of ctime is the filesystem's own. */
export const setattr: Operation<AttributeChanges, Inode> = {
  name: 'SETATTR',
  decode: changesOf,
  run: ({ fs, ino }, changes) => then(fs.setattr(superuser, ino, changes), ({ inode }) => inode),
  encode: (out, inode) => putAttributes(out, inode),
}

function changesOf(request: Request): AttributeChanges {
  const valid = request.u32(s.valid)
  const has = (bit: number) => (valid & bit) !== 0
  const size = has(c.FATTR_SIZE) ? request.u64(s.size) : undefined
  if (size !== undefined && !(size <= FILE_MAX)) throw new FuseFailure(c.EFBIG)
  return {
    ...(has(c.FATTR_MODE) && { mode: request.u32(s.mode) & 0o7777 }),
    ...(has(c.FATTR_UID) && { uid: request.u32(s.uid) }),
    ...(has(c.FATTR_GID) && { gid: request.u32(s.gid) }),
    ...(size !== undefined && { size }),
    ...(has(c.FATTR_KILL_SUIDGID) && { dropSetId: true }),
    ...(has(c.FATTR_ATIME) && { atime: timeOf(request, has(c.FATTR_ATIME_NOW), s.atime, s.atimensec) }),
    ...(has(c.FATTR_MTIME) && { mtime: timeOf(request, has(c.FATTR_MTIME_NOW), s.mtime, s.mtimensec) }),
  }
}

function timeOf(request: Request, now: boolean, seconds: number, nanos: number): TimeChange {
  if (now) return 'now'
  const time = { s: request.i64(seconds), ns: request.u32(nanos) }
  if (!Number.isSafeInteger(2 * time.s) || time.ns >= 1e9) throw new FuseFailure(c.EINVAL)
  return time
}

export const statfs: Operation<undefined, FsStatistics> = {
  name: 'STATFS',
  decode: () => undefined,
  run: ({ fs }) => fs.statfs(),
  encode(out, { totalBytes, freeBytes, totalFiles, freeFiles }) {
    const at = out.take(statfsOut.size)
    const free = Math.floor(freeBytes / BLOCK_SIZE)
    out.u64(at + f.blocks, Math.floor(totalBytes / BLOCK_SIZE))
    out.u64(at + f.bfree, free)
    out.u64(at + f.bavail, free)
    out.u64(at + f.files, totalFiles)
    out.u64(at + f.ffree, freeFiles)
    out.u32(at + f.bsize, BLOCK_SIZE)
    out.u32(at + f.frsize, BLOCK_SIZE)
    out.u32(at + f.namelen, NAME_MAX)
  },
}
