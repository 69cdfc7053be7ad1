/** MKDIR. */
import { FsError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import { LINK_MAX } from '../../base/limits.ts'
import { EX } from '../../locking/index.ts'
import { DIR, type FileName } from '../image/mutation.ts'
import { makeInode, needInsertable } from './make-inode.ts'
import { type Caller, type CreateAttributes, type Created, X_OK } from './matrix-fs.ts'
import { checkNewName } from './names.ts'
import type { Op } from './op.ts'
import { need } from './permission.ts'

export function mkdir(op: Op, caller: Caller, ino: Ino, name: FileName, attributes: CreateAttributes): Created {
  const dir = op.directory(ino, EX)
  need(caller, dir, X_OK)
  checkNewName(name)
  if (op.entry(dir, name)) throw new FsError('EEXIST')
  needInsertable(caller, dir)
  if (dir.nlink >= LINK_MAX) throw new FsError('EMLINK')
  return makeInode(op, caller, dir, name, { type: DIR, attributes })
}
