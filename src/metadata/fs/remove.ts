/** REMOVE: takes a name that is not a directory's. */
import { FsError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import { EX } from '../../locking/index.ts'
import { DIR, type FileName } from '../image/mutation.ts'
import { needContent, needMembership } from './dav/covering.ts'
import { dropLink } from './drop-link.ts'
import { type Caller, type DirChanged, W_OK, X_OK } from './matrix-fs.ts'
import { checkName, isDotName } from './names.ts'
import type { Op } from './op.ts'
import { need, needDeletable } from './permission.ts'
import { touchContent } from './times.ts'

export function remove(op: Op, caller: Caller, ino: Ino, name: FileName): DirChanged {
  const dir = op.directory(ino, EX)
  need(caller, dir, X_OK)
  checkName(name)
  if (isDotName(name)) throw new FsError(name === '.' ? 'EINVAL' : 'EISDIR')
  const entry = op.entry(dir, name)
  if (!entry) throw new FsError('ENOENT')
  need(caller, dir, W_OK)
  const inode = op.inode(entry.ino, EX)
  needDeletable(caller, dir, inode)
  if (inode.type === DIR) throw new FsError('EISDIR')
  needMembership(op, caller, dir)
  needContent(op, caller, inode, ino)
  const before = dir.before()
  op.removeEntry(dir, name)
  dropLink(op, inode)
  touchContent(op.edit(dir), op.mount.clock)
  op.commit()
  return { before, dir }
}
