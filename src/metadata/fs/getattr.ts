/** GETATTR: the current attributes. */
import type { Ino } from '../../base/ids.ts'
import { PR } from '../../locking/index.ts'
import type { Inode } from './matrix-fs.ts'
import type { Op } from './op.ts'

export function getattr(op: Op, ino: Ino): Inode {
  return op.inode(ino, PR)
}
