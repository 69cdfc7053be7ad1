/** READ (Fig. 8): under the shared lock of the inode, from the cache; what is not there is loaded from the LUNs first. */
import { FsError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import { PR } from '../../locking/index.ts'
import { piecesOf } from '../cache/data-cache.ts'
import type { CachedInode } from '../cache/inode.ts'
import { loadTo, readAhead } from '../cache/read-ahead.ts'
import { DIR, REG } from '../image/mutation.ts'
import { type Caller, R_OK, type ReadResult, X_OK } from './matrix-fs.ts'
import type { Op } from './op.ts'
import { granted } from './permission.ts'

export function read(op: Op, caller: Caller, ino: Ino, offset: number, length: number, trusted: boolean): ReadResult {
  const inode = op.inode(ino, PR)
  if (inode.type === DIR) throw new FsError('EISDIR')
  if (inode.type !== REG) throw new FsError('EINVAL', 'not a regular file')
  if (!trusted) needReadable(caller, inode)
  if (!Number.isSafeInteger(offset) || offset < 0 || length < 0) throw new FsError('EINVAL')
  if (offset >= inode.size || length === 0) return { inode, pieces: [], length: 0, eof: offset >= inode.size }
  const end = Math.min(inode.size, offset + length)
  const { data, loader, locks } = op.mount
  const pieces = piecesOf(data, inode, offset, end)
  if (!pieces) op.waitForContent(inode, offset, loadTo(inode, offset, end))
  readAhead(loader, locks, inode, offset, end)
  return { inode, pieces, length: end - offset, eof: end === inode.size }
}

/** The owner may, whatever the mode; and who may run a file may read it, since the server cannot tell (RFC 1813 4.4). */
function needReadable(caller: Caller, inode: CachedInode): void {
  if (caller.uid !== inode.uid && (granted(caller, inode) & (R_OK | X_OK)) === 0) throw new FsError('EACCES')
}
