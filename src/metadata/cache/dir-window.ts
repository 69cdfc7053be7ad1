/**
 * The part of a directory that a listing is at, read from the image in larger and larger pieces: a verb that runs again, the next
 * page, and the asking for locks ahead all look at the same entries. Of a directory that is not large that is all of it, and the next listing
 * finds it here. Good as long as the directory is unchanged.
 */
import type { Image } from '../image/image.ts'
import type { DirentRecord } from '../image/rows.ts'
import type { CachedInode } from './inode.ts'

/** Cookie of "..": those of entries are greater. */
export const DOT_DOT_COOKIE = 2
/** Entries read at a time at most, and entries that were passed and are kept. */
const PIECE_MAX = 4096
const GROWTH = 4
const PASSED_MAX = 4096
/** Listings under way whose windows are kept, each of up to about 1 MiB. */
const WINDOWS_MAX = 64

export type DirPage = { readonly entries: readonly DirentRecord[]; readonly eof: boolean }

export class DirWindow {
  /** The directory's change count when it was read. */
  readonly #change: number
  /** Entries with greater cookies, up to the last one here, are all here. */
  #after: number
  #entries: DirentRecord[] = []
  #eof = false
  #piece: number
  #aheadTo = 0

  constructor(change: number, after: number, piece: number) {
    this.#change = change
    this.#after = after
    this.#piece = piece
  }

  /** Does it hold what comes after `cookie`, or begin there, with the directory as it is now? */
  covers(dir: CachedInode, cookie: number): boolean {
    return this.#change === dir.change && cookie >= this.#after && cookie <= this.#last
  }

  /** At most `limit` entries after `cookie`, which the window covers or begins at. */
  page(image: Image, dir: CachedInode, cookie: number, limit: number): DirPage {
    let from = this.#indexAfter(cookie)
    if (cookie === DOT_DOT_COOKIE) this.#aheadTo = 0 // another listing: the locks that the last one got may be elsewhere by now
    if (from > PASSED_MAX) {
      this.#entries.splice(0, from)
      this.#after = cookie
      from = 0
    }
    while (!this.#eof && this.#entries.length - from < limit) this.#read(image, dir)
    const entries = this.#entries.slice(from, from + limit)
    return { entries, eof: this.#eof && from + entries.length === this.#entries.length }
  }

  /** It has the directory from its first entry on. */
  get isWhole(): boolean {
    return this.#after === DOT_DOT_COOKIE
  }

  /** Entries after `cookie` that this listing was not given before; more are read when few are left. */
  ahead(image: Image, dir: CachedInode, cookie: number): readonly DirentRecord[] {
    const left = this.#entries.length - this.#indexAfter(cookie)
    if (!this.#eof && left < this.#piece / GROWTH) this.#read(image, dir)
    const ahead = this.#entries.slice(this.#indexAfter(Math.max(cookie, this.#aheadTo)))
    this.#aheadTo = this.#last
    return ahead
  }

  get #last(): number {
    return this.#entries.at(-1)?.cookie ?? this.#after
  }

  #indexAfter(cookie: number): number {
    let [low, high] = [0, this.#entries.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#entries[middle] as DirentRecord).cookie > cookie) high = middle
      else low = middle + 1
    }
    return low
  }

  #read(image: Image, dir: CachedInode): void {
    const more = image.direntsAfter(dir.ino, this.#last, this.#piece)
    this.#eof = more.length < this.#piece
    for (const entry of more) this.#entries.push(entry)
    this.#piece = Math.min(this.#piece * GROWTH, PIECE_MAX)
  }
}

/** The windows of listings under way, and of those before that saw all of a directory; those not used lately go first. */
export class DirWindows {
  readonly #windows = new Map<CachedInode, DirWindow>()

  /** A window that can give `limit` entries of `dir` after `cookie`. */
  at(dir: CachedInode, cookie: number, limit: number): DirWindow {
    const known = this.#windows.get(dir)
    const window = known?.covers(dir, cookie) ? known : new DirWindow(dir.change, cookie, limit + 1)
    this.#windows.delete(dir)
    this.#windows.set(dir, window)
    if (this.#windows.size > WINDOWS_MAX) this.drop(this.#windows.keys().next().value as CachedInode)
    return window
  }

  /** A listing has come to the end of `dir`. */
  ended(dir: CachedInode): void {
    if (!this.#windows.get(dir)?.isWhole) this.drop(dir)
  }

  drop(dir: CachedInode): void {
    this.#windows.delete(dir)
  }
}
