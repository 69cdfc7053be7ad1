/** MKNOD: devices, fifos, sockets; regular files, too, as mknod(2) makes them. */
import { FsError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import { EX } from '../../locking/index.ts'
import { BLK, CHR, DIR, type FileName, type FileType, LNK } from '../image/mutation.ts'
import { makeInode, needInsertable } from './make-inode.ts'
import { type Caller, type CreateAttributes, type Created, X_OK } from './matrix-fs.ts'
import { checkNewName } from './names.ts'
import type { Op } from './op.ts'
import { need } from './permission.ts'

/** Device numbers of a node, 32 bits each (RFC 1813 specdata3). */
export type DeviceNumber = { readonly major: number; readonly minor: number }

export function mknod(
  op: Op,
  caller: Caller,
  ino: Ino,
  name: FileName,
  type: FileType,
  attributes: CreateAttributes,
  device: DeviceNumber,
): Created {
  const dir = op.directory(ino, EX)
  need(caller, dir, X_OK)
  checkNewName(name)
  if (type === DIR || type === LNK) throw new FsError('EINVAL', 'not a type that mknod makes')
  const isDevice = type === BLK || type === CHR
  if (isDevice && caller.uid !== 0) throw new FsError('EPERM', 'only the superuser makes devices')
  if (op.entry(dir, name)) throw new FsError('EEXIST')
  needInsertable(caller, dir)
  const numbers = isDevice ? { rdevMajor: device.major >>> 0, rdevMinor: device.minor >>> 0 } : {}
  return makeInode(op, caller, dir, name, { type, attributes: { ...attributes, size: undefined }, ...numbers })
}
