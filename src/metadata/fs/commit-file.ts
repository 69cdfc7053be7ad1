/** COMMIT, fsync: what was written through this node is on the LUNs and journaled. Only says which inode; the caller cleans. */
import type { Ino } from '../../base/ids.ts'
import { PR } from '../../locking/index.ts'
import type { Changed } from './matrix-fs.ts'
import type { Op } from './op.ts'

/** What another node wrote was made durable before its lock came here; so only this node's cache matters. */
export function commitFile(op: Op, ino: Ino): Changed {
  const inode = op.inode(ino, PR)
  return { before: inode.before(), inode }
}
