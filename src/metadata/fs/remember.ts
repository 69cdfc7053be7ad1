/**
 * Records a request whose change came in more than one part, the last of them late (truncate.ts), once all of it is committed. A crash
 * in between leaves a change that is not recorded: it is made again when it is asked for again, as SETATTR can be.
 */
import type { Ino } from '../../base/ids.ts'
import { EX } from '../../locking/index.ts'
import type { Op } from './op.ts'

export function remember(op: Op, ino: Ino): void {
  op.inode(ino, EX)
  op.made = ino
  op.commit()
}
