/**
 * Entries of directories as they were rendered: clients ask for the same listings again and again, and most entries are as they were.
 *
 * An entry is used again while it is the same inode in memory (which it is for as long as this node has its lock, so that what another node changes
 * is another inode), its version is the same (every change of an inode counts it up, etag.ts), and so is its name; and nothing else may have
 * gone into it: no WebDAV locks, no dead properties, no statistics.
 */
import type { Ino } from '../base/ids.ts'
import type { Inode } from '../metadata/index.ts'
import { MAX_RENDERED_ENTRIES, MAX_RENDERED_LISTINGS } from './limits.ts'

type Rendered = {
  readonly inode: Inode
  readonly change: number
  readonly ctimeS: number
  readonly ctimeNs: number
  readonly name: string
  readonly bytes: Buffer
}

/** Those of one directory, asked for in one way. */
export class RenderedListing {
  readonly #entries = new Map<Ino, Rendered>()

  /** `render` is called when there is none, or another. */
  entry(name: string, inode: Inode, render: () => string): Buffer {
    const { ino, change, ctimeS, ctimeNs } = inode
    const known = this.#entries.get(ino)
    const isSame = known?.inode === inode && known.change === change && known.name === name
    if (isSame && known.ctimeS === ctimeS && known.ctimeNs === ctimeNs) return known.bytes
    const bytes = Buffer.from(render())
    if (known || this.#entries.size < MAX_RENDERED_ENTRIES)
      this.#entries.set(ino, { inode, change, ctimeS, ctimeNs, name, bytes })
    return bytes
  }
}

/** Those that were asked for last. */
export class RenderedListings {
  readonly #listings = new Map<string, RenderedListing>()

  /** `key`: everything that an entry depends on, beside inode and name. */
  at(key: string): RenderedListing {
    const listing = this.#listings.get(key) ?? new RenderedListing()
    this.#listings.delete(key)
    this.#listings.set(key, listing)
    if (this.#listings.size > MAX_RENDERED_LISTINGS) this.#listings.delete(this.#listings.keys().next().value as string)
    return listing
  }
}
