/** LOOKUP: from a name in a directory to its inode. */
import { FsError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import { PR } from '../../locking/index.ts'
import type { FileName } from '../image/mutation.ts'
import { type Caller, type Inode, X_OK } from './matrix-fs.ts'
import { checkName } from './names.ts'
import type { Op } from './op.ts'
import { need } from './permission.ts'

export function lookup(op: Op, caller: Caller, ino: Ino, name: FileName): { dir: Inode; inode: Inode } {
  const dir = op.directory(ino, PR)
  need(caller, dir, X_OK)
  if (name === '.') return { dir, inode: dir }
  if (name === '..') return { dir, inode: op.inode(dir.parent, PR) }
  checkName(name)
  const entry = op.entry(dir, name)
  if (!entry) throw new FsError('ENOENT')
  return { dir, inode: op.inode(entry.ino, PR) }
}
