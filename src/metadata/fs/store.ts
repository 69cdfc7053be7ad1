/**
 * A small file with its content, in one transaction: where there was none, or in place of the file that had the name. It is what create, write, fsync and rename do
 * together, without a name in between; whoever looks, also after a crash, finds the old content or the new one, whole.
 *
 * The content is on the LUNs before (cache/staged-content.ts); so the verb itself is like any other, and may be run again.
 */
import { FsError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import { EX } from '../../locking/index.ts'
import { CachedInode } from '../cache/inode.ts'
import type { StagedContent } from '../cache/staged-content.ts'
import { DIR, type FileName, REG } from '../image/mutation.ts'
import type { AttributeChanges } from './attributes.ts'
import { needContent, needMembership } from './dav/covering.ts'
import { inheritLocks, inheritProperties } from './dav/handover.ts'
import { dropLink } from './drop-link.ts'
import { needFewer, needInsertable, newRecord } from './make-inode.ts'
import { type Caller, type Created, type StoreHow, W_OK, X_OK } from './matrix-fs.ts'
import { checkNewName } from './names.ts'
import type { Op } from './op.ts'
import { inGroup, need, needDeletable } from './permission.ts'
import { touchContent } from './times.ts'

/** Of the permission bits of a file that is replaced: writing clears setuid and setgid, and so does this. */
const KEPT_MODE = 0o1777

export function store(
  op: Op,
  caller: Caller,
  ino: Ino,
  name: FileName,
  content: StagedContent,
  how: StoreHow,
): Created {
  const dir = op.directory(ino, EX)
  need(caller, dir, X_OK)
  checkNewName(name)
  const entry = op.entry(dir, name)
  const old = entry && op.inode(entry.ino, EX)
  how.expect?.(old)
  if (old && how.noReplace) throw new FsError('EEXIST')
  if (old?.type === DIR) throw new FsError('EISDIR')
  if (old && old.type !== REG) throw new FsError('EINVAL', 'not a regular file')
  needInsertable(caller, dir)
  op.needJournal()
  if (old) {
    need(caller, old, W_OK)
    needDeletable(caller, dir, old)
    needContent(op, caller, old, dir.ino)
  } else {
    needFewer(op)
    needMembership(op, caller, dir)
  }

  const before = dir.before()
  const attributes = { ...attributesOf(caller, old, how), size: content.size }
  const record = newRecord(op, caller, dir, { type: REG, attributes })
  const inode = new CachedInode(record)
  op.push({ op: 'putInode', inode: record })
  if (old) {
    inheritProperties(op, old.ino, inode)
    if (caller.guard) inheritLocks(op, old, inode, dir)
    dropLink(op, old)
  }
  touchContent(op.edit(dir), op.mount.clock)
  op.putEntry(dir, name, record.ino, REG)
  op.place(inode, content)
  op.commit()
  op.mount.inodes.add(inode)
  content.placed(inode)
  return { before, dir, inode, created: !old }
}

/** The new file has the mode of the one that it replaces, and its owner as far as the caller may give files away. */
function attributesOf(caller: Caller, old: CachedInode | undefined, { mode, mtime }: StoreHow): AttributeChanges {
  const times = mtime && { mtime }
  if (!old) return { mode, ...times }
  const mayGive = caller.uid === 0 || (caller.uid === old.uid && inGroup(caller, old.gid))
  return { mode: old.mode & KEPT_MODE, ...times, ...(mayGive && { uid: old.uid, gid: old.gid }) }
}
