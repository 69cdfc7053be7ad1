/**
 * READDIR and READDIRPLUS. Cookies grow with every entry made and are never used again in a directory: an entry that stays
 * is listed exactly once, whatever comes and goes meanwhile. "." and ".." are 1 and 2.
 */
import { FsError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import { inodeLock, PR } from '../../locking/index.ts'
import { DOT_DOT_COOKIE } from '../cache/dir-window.ts'
import type { CachedInode } from '../cache/inode.ts'
import { DIR } from '../image/mutation.ts'
import {
  type Caller,
  type DirEntry,
  type DirListing,
  type DirListingPlus,
  isVersion,
  type ListingSeal,
  R_OK,
} from './matrix-fs.ts'
import type { Op } from './op.ts'
import { need } from './permission.ts'

/** Entries that one call gives at most, whatever the caller asks for: bounds locks pinned at once and time spent. */
const MAX_ENTRIES = 4096
/** When more inodes of a page are not in memory, they are read from the image together. */
const ENTRIES_TO_LOAD = 8

export function readdir(op: Op, caller: Caller, ino: Ino, cookie: number, limit: number): DirListing {
  const dir = op.directory(ino, PR)
  need(caller, dir, R_OK)
  return { dir, ...entriesAfter(op, dir, cookie, Math.min(limit, MAX_ENTRIES)) }
}

/**
 * The inodes' locks are gathered and acquired together, not one by one. While they turn out to be at other nodes, those of the entries
 * that come next are asked for, so that the other nodes work on them while this page is made and read.
 */
export function readdirplus(op: Op, caller: Caller, ino: Ino, cookie: number, limit: number): DirListingPlus {
  const dir = op.directory(ino, PR)
  need(caller, dir, R_OK)
  const { entries, eof } = entriesAfter(op, dir, cookie, Math.min(limit, MAX_ENTRIES))
  let unknown = 0
  for (const entry of entries) {
    if (!op.want(inodeLock(entry.ino), PR)) dir.listsAhead = true
    if (!op.mount.inodes.cached(entry.ino)) unknown++
  }
  const last = entries.at(-1)
  if (!eof && last && dir.listsAhead) askAhead(op, dir, last.cookie)
  if (eof) dir.listsAhead = false
  op.ready()
  if (unknown > ENTRIES_TO_LOAD && last)
    op.mount.inodes.loadListed(ino, Math.max(cookie, DOT_DOT_COOKIE) + 1, last.cookie)
  return { dir, entries: entries.map((entry) => ({ ...entry, inode: op.mount.inodes.get(entry.ino) })), eof }
}

/** Only as far as this node has the locks: it asks for none but that of the directory. */
export function isUnchanged(op: Op, caller: Caller, ino: Ino, { dir: before, members }: ListingSeal): boolean {
  const dir = op.directory(ino, PR)
  need(caller, dir, R_OK)
  if (!isVersion(before, dir)) return false
  for (const member of members) {
    const { ino } = member.inode
    if (!op.want(inodeLock(ino), PR) || !isVersion(member, op.mount.inodes.cached(ino))) return false
  }
  return true
}

/** Of the entries after `cookie`, where the page ends. */
function askAhead({ mount }: Op, dir: CachedInode, cookie: number): void {
  const next = mount.inodes.windows.at(dir, cookie, 1).ahead(mount.volume.image, dir, cookie)
  for (const { ino } of next) mount.locks.askAhead(inodeLock(ino), PR)
}

function entriesAfter(op: Op, dir: CachedInode, cookie: number, limit: number): { entries: DirEntry[]; eof: boolean } {
  if (!Number.isSafeInteger(cookie) || cookie < 0 || cookie >= dir.nextCookie) {
    if (cookie !== 0) throw new FsError('EBADCOOKIE')
  }
  const entries: DirEntry[] = []
  if (cookie < 1 && entries.length < limit) entries.push({ name: '.', cookie: 1, ino: dir.ino, type: DIR })
  if (cookie < DOT_DOT_COOKIE && entries.length < limit)
    entries.push({ name: '..', cookie: DOT_DOT_COOKIE, ino: dir.parent, type: DIR })
  const room = limit - entries.length
  if (room === 0) return { entries, eof: false }
  const { volume, inodes } = op.mount
  const from = Math.max(cookie, DOT_DOT_COOKIE)
  const page = inodes.windows.at(dir, from, room).page(volume.image, dir, from, room)
  if (page.eof) inodes.windows.ended(dir)
  for (const entry of page.entries) entries.push(entry)
  return { entries, eof: page.eof }
}
