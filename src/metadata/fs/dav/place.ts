/** From a place to its inode, within a verb. */
import { FsError } from '../../../base/errors.ts'
import { ROOT_INO } from '../../../base/ids.ts'
import { type Mode, PR } from '../../../locking/index.ts'
import type { CachedInode } from '../../cache/inode.ts'
import { type Caller, X_OK } from '../matrix-fs.ts'
import { checkName } from '../names.ts'
import type { Op } from '../op.ts'
import { need } from '../permission.ts'
import type { DavPlace } from './dav-fs.ts'

/** What lives at the place, locked in `mode`, its directory in PR; undefined when there is no such name. */
export function inodeAt(op: Op, caller: Caller, { dir: ino, name }: DavPlace, mode: Mode): CachedInode | undefined {
  if (name === '') return op.inode(ROOT_INO, mode)
  const dir = op.directory(ino, PR)
  need(caller, dir, X_OK)
  checkName(name)
  const entry = op.entry(dir, name)
  return entry && op.inode(entry.ino, mode)
}

/** The same for what has to be there: ENOENT. */
export function existingAt(op: Op, caller: Caller, place: DavPlace, mode: Mode): CachedInode {
  const inode = inodeAt(op, caller, place, mode)
  if (!inode) throw new FsError('ENOENT')
  return inode
}
