/** LINK: another name for an inode that is not a directory. */
import { FsError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import { LINK_MAX } from '../../base/limits.ts'
import { EX, inodeLock } from '../../locking/index.ts'
import { DIR, type FileName } from '../image/mutation.ts'
import { needMembership } from './dav/covering.ts'
import { needInsertable } from './make-inode.ts'
import { type Caller, type DirChanged, type Inode, X_OK } from './matrix-fs.ts'
import { checkNewName } from './names.ts'
import type { Op } from './op.ts'
import { need } from './permission.ts'
import { touchAttributes, touchContent } from './times.ts'

export function link(op: Op, caller: Caller, ino: Ino, dirIno: Ino, name: FileName): DirChanged & { inode: Inode } {
  op.want(inodeLock(ino), EX)
  op.want(inodeLock(dirIno), EX)
  op.ready()
  const inode = op.inode(ino, EX)
  const dir = op.directory(dirIno, EX)
  need(caller, dir, X_OK)
  checkNewName(name)
  if (inode.type === DIR) throw new FsError('EPERM', 'a directory has one name')
  if (op.entry(dir, name)) throw new FsError('EEXIST')
  needInsertable(caller, dir)
  if (inode.nlink === 0) throw new FsError('ENOENT', 'the file has been removed')
  if (inode.nlink >= LINK_MAX) throw new FsError('EMLINK')
  needMembership(op, caller, dir)
  const before = dir.before()
  const draft = op.edit(inode)
  draft.nlink++
  touchAttributes(draft, op.mount.clock)
  op.putEntry(dir, name, ino, inode.type)
  touchContent(op.edit(dir), op.mount.clock)
  op.commit()
  return { before, dir, inode }
}
