/** RMDIR: takes an empty directory. */
import { FsError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import { EX } from '../../locking/index.ts'
import type { CachedInode } from '../cache/inode.ts'
import { DIR, type FileName } from '../image/mutation.ts'
import { needContent, needMembership } from './dav/covering.ts'
import { dropLink } from './drop-link.ts'
import { type Caller, type DirChanged, W_OK, X_OK } from './matrix-fs.ts'
import { checkName } from './names.ts'
import type { Op } from './op.ts'
import { need, needDeletable } from './permission.ts'
import { touchContent } from './times.ts'

export function rmdir(op: Op, caller: Caller, ino: Ino, name: FileName): DirChanged {
  const dir = op.directory(ino, EX)
  need(caller, dir, X_OK)
  checkName(name)
  if (name === '.') throw new FsError('EINVAL')
  if (name === '..') throw new FsError('ENOTEMPTY')
  const entry = op.entry(dir, name)
  if (!entry) throw new FsError('ENOENT')
  need(caller, dir, W_OK)
  const victim = op.inode(entry.ino, EX)
  needDeletable(caller, dir, victim)
  if (victim.type !== DIR) throw new FsError('ENOTDIR')
  needEmpty(op, victim)
  needMembership(op, caller, dir)
  needContent(op, caller, victim, ino)
  const before = dir.before()
  op.removeEntry(dir, name)
  dropLink(op, victim)
  const draft = op.edit(dir)
  draft.nlink--
  touchContent(draft, op.mount.clock)
  op.commit()
  return { before, dir }
}

/** Throws ENOTEMPTY unless the directory, locked, has no entries. */
export function needEmpty(op: Op, dir: CachedInode): void {
  if (op.mount.volume.image.hasEntries(dir.ino)) throw new FsError('ENOTEMPTY')
}
