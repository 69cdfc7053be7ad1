/** READLINK: the target of a symbolic link, whose own permission bits mean nothing. */
import { FsError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import { PR } from '../../locking/index.ts'
import { LNK } from '../image/mutation.ts'
import type { Caller, Inode } from './matrix-fs.ts'
import type { Op } from './op.ts'

export function readlink(op: Op, _caller: Caller, ino: Ino): { inode: Inode; target: string } {
  const inode = op.inode(ino, PR)
  if (inode.type !== LNK) throw new FsError('EINVAL', 'not a symbolic link')
  return { inode, target: inode.target }
}
