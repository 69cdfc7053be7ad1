/** SYMLINK. */
import { FsError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import { EX } from '../../locking/index.ts'
import { type FileName, LNK } from '../image/mutation.ts'
import { makeInode, needInsertable } from './make-inode.ts'
import { type Caller, type CreateAttributes, type Created, X_OK } from './matrix-fs.ts'
import { checkNewName, checkTarget } from './names.ts'
import type { Op } from './op.ts'
import { need } from './permission.ts'

export function symlink(
  op: Op,
  caller: Caller,
  ino: Ino,
  name: FileName,
  target: string,
  attributes: CreateAttributes,
): Created {
  const dir = op.directory(ino, EX)
  need(caller, dir, X_OK)
  checkNewName(name)
  checkTarget(target)
  if (op.entry(dir, name)) throw new FsError('EEXIST')
  needInsertable(caller, dir)
  const mode = attributes.mode ?? 0o777
  return makeInode(op, caller, dir, name, { type: LNK, attributes: { ...attributes, mode }, target })
}
