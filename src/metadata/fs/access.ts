/** ACCESS: which rights a caller has. */
import type { Ino } from '../../base/ids.ts'
import { PR } from '../../locking/index.ts'
import type { Caller, Inode } from './matrix-fs.ts'
import type { Op } from './op.ts'
import { granted } from './permission.ts'

export function access(op: Op, caller: Caller, ino: Ino, wanted: number): { inode: Inode; granted: number } {
  const inode = op.inode(ino, PR)
  return { inode, granted: granted(caller, inode) & wanted }
}
