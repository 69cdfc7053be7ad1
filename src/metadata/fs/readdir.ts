/**
 * READDIR and READDIRPLUS. Cookies grow with every entry made and are never used again in a directory: an entry that stays
 * is listed exactly once, whatever comes and goes meanwhile. "." and ".." are 1 and 2.
 */
import { FsError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import { inodeLock, PR } from '../../locking/index.ts'
import type { CachedInode } from '../cache/inode.ts'
import { DIR } from '../image/mutation.ts'
import { type Caller, type DirEntry, type DirListing, type DirListingPlus, R_OK } from './matrix-fs.ts'
import type { Op } from './op.ts'
import { need } from './permission.ts'

/** Entries that one call gives at most, whatever the caller asks for: bounds locks pinned at once and time spent. */
const MAX_ENTRIES = 4096

export function readdir(op: Op, caller: Caller, ino: Ino, cookie: number, limit: number): DirListing {
  const dir = op.directory(ino, PR)
  need(caller, dir, R_OK)
  return { dir, ...entriesAfter(op, dir, cookie, Math.min(limit, MAX_ENTRIES)) }
}

/** The inodes' locks are gathered and acquired together, not one by one. */
export function readdirplus(op: Op, caller: Caller, ino: Ino, cookie: number, limit: number): DirListingPlus {
  const dir = op.directory(ino, PR)
  need(caller, dir, R_OK)
  const { entries, eof } = entriesAfter(op, dir, cookie, Math.min(limit, MAX_ENTRIES))
  for (const entry of entries) op.want(inodeLock(entry.ino), PR)
  op.ready()
  return { dir, entries: entries.map((entry) => ({ ...entry, inode: op.mount.inodes.get(entry.ino) })), eof }
}

function entriesAfter(op: Op, dir: CachedInode, cookie: number, limit: number): { entries: DirEntry[]; eof: boolean } {
  if (!Number.isSafeInteger(cookie) || cookie < 0 || cookie >= dir.nextCookie) {
    if (cookie !== 0) throw new FsError('EBADCOOKIE')
  }
  const entries: DirEntry[] = []
  if (cookie < 1 && entries.length < limit) entries.push({ name: '.', cookie: 1, ino: dir.ino, type: DIR })
  if (cookie < 2 && entries.length < limit) entries.push({ name: '..', cookie: 2, ino: dir.parent, type: DIR })
  const room = limit - entries.length
  const more = op.mount.volume.image.direntsAfter(dir.ino, Math.max(cookie, 2), room + 1)
  const eof = more.length <= room
  if (!eof) more.length = room
  for (const entry of more) entries.push(entry)
  return { entries, eof }
}
