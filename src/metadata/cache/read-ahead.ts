/**
 * Reads ahead of whoever reads a file from front to back: a window that doubles while he goes on, so that a few large
 * requests are under way when he gets there. Reads at random places load nothing more than they ask for.
 */
import { isPromise } from '../../base/maybe-promise.ts'
import { KiB, MiB } from '../../base/units.ts'
import { inodeLock, type LockCache, PR } from '../../locking/index.ts'
import { CHUNK_BYTES } from './chunk.ts'
import type { CachedInode } from './inode.ts'
import type { Loader } from './loader.ts'

const FIRST_WINDOW = 256 * KiB
const MAX_WINDOW = 4 * MiB

/** Bytes `from` … `to`-1 have been asked for: returns up to where they should be loaded when they are not in memory. */
export function loadTo(inode: CachedInode, from: number, to: number): number {
  return from === inode.readNext && from > 0 ? Math.min(inode.size, Math.max(to, from + inode.readAheadWindow)) : to
}

/** Bytes `from` … `to`-1 have been read: loads what comes next when the reader nears the end of what was asked for. */
export function readAhead(loader: Loader, locks: LockCache, inode: CachedInode, from: number, to: number): void {
  const sequential = from === inode.readNext
  inode.readNext = to
  if (!sequential || to >= inode.size) {
    if (!sequential) inode.readAheadWindow = 0
    return
  }
  if (inode.readAheadWindow === 0) {
    inode.readAheadWindow = FIRST_WINDOW
    inode.readAheadTo = to
  }
  if (inode.readAheadTo - to > inode.readAheadWindow / 2) return
  const start = Math.max(to, inode.readAheadTo)
  const end = Math.min(inode.size, Math.ceil((to + inode.readAheadWindow) / CHUNK_BYTES) * CHUNK_BYTES)
  if (end <= start) return
  inode.readAheadTo = end
  inode.readAheadWindow = Math.min(MAX_WINDOW, inode.readAheadWindow * 2)
  const hold = locks.acquire(inodeLock(inode.ino), PR)
  if (isPromise(hold)) {
    // somebody else wants the file: it is given up, not read ahead
    hold.then((held) => held.release()).catch(() => {})
    return
  }
  // a failure is met again, and told, by the read that needs the data
  loader
    .load(inode, start, end)
    .catch(() => {})
    .finally(() => hold.release())
}
