/**
 * RENAME, in all its cases (XSH rename): over nothing, a file over a file, a directory over an empty directory, two names of
 * one inode (nothing happens). A directory that moves to another directory takes `R` first: only under it do parents of
 * directories change, so that whoever holds it sees every chain of parents stand still while he looks for a loop.
 *
 * Locks of WebDAV: for callers whom they bind, a rename is MOVE, or the last step of PUT and COPY (`fresh`).
 */
import { brokenRules } from '../../base/broken-rules.ts'
import { FsError } from '../../base/errors.ts'
import { type Ino, ROOT_INO } from '../../base/ids.ts'
import { LINK_MAX } from '../../base/limits.ts'
import { EX, inodeLock, RENAME_LOCK, resourceId } from '../../locking/index.ts'
import type { CachedInode, Entry } from '../cache/inode.ts'
import { DIR, type FileName, REG } from '../image/mutation.ts'
import { needContent, needMembership, needTree } from './dav/covering.ts'
import { inheritLocks, inheritProperties, moveLocks } from './dav/handover.ts'
import { dropLink } from './drop-link.ts'
import { needInsertable } from './make-inode.ts'
import { type Caller, type Fresh, type Renamed, W_OK, X_OK } from './matrix-fs.ts'
import { checkName, isDotName } from './names.ts'
import type { Op } from './op.ts'
import { need, needDeletable } from './permission.ts'
import { needEmpty } from './rmdir.ts'
import { touchAttributes, touchContent } from './times.ts'

/** Directories above one another that the loop check follows: more is damage. */
const MAX_DEPTH = 100_000

/** A place for a name. */
export type Place = { readonly dir: Ino; readonly name: FileName }

/**
 * What takes the place of another file brings its content: what had been written when the rename was asked for is stable on the LUNs before the rename
 * is journaled. Else a crash could leave neither the old content nor the new, but an empty file, to programs that write a new file and rename it over the old one
 * without fsync, as most do. For one rename, over all its runs: what is written meanwhile is not waited for.
 */
export class Written {
  #done = false

  needed(op: Op, inode: CachedInode): void {
    if (this.#done || inode.type !== REG || !inode.dirty || brokenRules.contentBeforeReplace) return
    this.#done = true
    const { cleaner } = op.mount
    op.waitFor(() => cleaner.clean(inode), { pinned: false })
  }
}

export function rename(
  op: Op,
  caller: Caller,
  source: Place,
  target: Place,
  noReplace: boolean,
  fresh: Fresh | undefined,
  written: Written,
): Renamed {
  checkName(source.name)
  checkName(target.name)
  if (isDotName(source.name) || isDotName(target.name)) throw new FsError('EINVAL')
  op.want(inodeLock(source.dir), EX)
  op.want(inodeLock(target.dir), EX)
  op.ready()
  const fromDir = op.directory(source.dir, EX)
  const toDir = op.directory(target.dir, EX)
  need(caller, fromDir, X_OK)
  need(caller, toDir, X_OK)
  const entry = op.entry(fromDir, source.name)
  if (!entry) throw new FsError('ENOENT')
  const over = op.entry(toDir, target.name)
  if (over && noReplace) throw new FsError('EEXIST')
  const moves = entry.type === DIR && fromDir !== toDir
  if (moves && !brokenRules.oneRenameAtATime) op.want(resourceId(RENAME_LOCK, 0), EX)
  op.want(inodeLock(entry.ino), EX)
  if (over) op.want(inodeLock(over.ino), EX)
  op.ready()

  need(caller, fromDir, W_OK)
  needInsertable(caller, toDir)
  const inode = op.inode(entry.ino, EX)
  needDeletable(caller, fromDir, inode)
  const before = { from: fromDir.before(), to: toDir.before() }
  const result = { from: { before: before.from, dir: fromDir }, to: { before: before.to, dir: toDir } }
  if (moves) {
    needNoLoop(op, inode.ino, toDir)
    need(caller, inode, W_OK)
    if (toDir.nlink >= LINK_MAX && !over) throw new FsError('EMLINK')
  }
  if (over && over.ino === entry.ino) return result
  if (over) written.needed(op, inode)
  if (caller.guard && !fresh) {
    needMembership(op, caller, fromDir)
    needTree(op, caller, inode, fromDir.ino)
  }
  if (!over || !fresh) needMembership(op, caller, toDir)
  if (!fresh) moveLocks(op, caller, inode, toDir)
  if (fresh === 'content') inheritProperties(op, over?.ino, inode)
  if (over) replace(op, caller, inode, toDir, over)
  move(op, inode, entry, { dir: fromDir, name: source.name }, { dir: toDir, name: target.name })
  op.commit()
  return result
}

function replace(op: Op, caller: Caller, inode: CachedInode, toDir: CachedInode, over: Entry): void {
  const victim = op.inode(over.ino, EX)
  needDeletable(caller, toDir, victim)
  if (inode.type === DIR && victim.type !== DIR) throw new FsError('ENOTDIR')
  if (inode.type !== DIR && victim.type === DIR) throw new FsError('EISDIR')
  if (victim.type === DIR) {
    needEmpty(op, victim)
    op.edit(toDir).nlink--
  }
  needContent(op, caller, victim, toDir.ino)
  if (caller.guard) inheritLocks(op, victim, inode, toDir)
  dropLink(op, victim)
}

type NameIn = { readonly dir: CachedInode; readonly name: FileName }

function move(op: Op, inode: CachedInode, entry: Entry, source: NameIn, target: NameIn): void {
  const { clock } = op.mount
  op.removeEntry(source.dir, source.name)
  op.putEntry(target.dir, target.name, entry.ino, entry.type)
  const draft = op.edit(inode)
  touchAttributes(draft, clock)
  if (source.dir !== target.dir && inode.type === DIR) {
    draft.parent = target.dir.ino
    op.edit(source.dir).nlink--
    op.edit(target.dir).nlink++
  }
  touchContent(op.edit(source.dir), clock)
  if (source.dir !== target.dir) touchContent(op.edit(target.dir), clock)
}

/** Throws EINVAL when `dir` is `ino` or lies under it. The chain is read from the image: it does not change under `R`. */
function needNoLoop(op: Op, ino: Ino, dir: CachedInode): void {
  let at = dir.ino
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    if (at === ino) throw new FsError('EINVAL', 'a directory cannot move into itself')
    if (at === ROOT_INO) return
    const above = op.mount.volume.image.inode(at)
    // an unlinked directory on the way: the target has been removed
    if (!above || above.nlink === 0) throw new FsError('ENOENT')
    at = above.parent
  }
  throw new FsError('EIO', 'directories form a loop')
}
