/**
 * Entries of directories as they were rendered: clients ask for the same listings again and again, and most entries are as they were.
 *
 * An entry is used again while it is the same inode in memory (which it is for as long as this node has its lock, so that what another node changes
 * is another inode), its version is the same (every change of an inode counts it up, etag.ts), and so is its name; and nothing else may have
 * gone into it: no WebDAV locks, no dead properties, no statistics.
 *
 * A whole listing of such entries is kept as well, with what all of them were rendered from: one look at that tells whether it is still good.
 */
import type { Ino } from '../base/ids.ts'
import { isPromise } from '../base/maybe-promise.ts'
import { type Caller, type InodeVersion, isVersion, type ListingSeal, type MatrixFs } from '../metadata/index.ts'
import { MAX_RENDERED_ENTRIES, MAX_RENDERED_LISTINGS } from './limits.ts'

type Rendered = {
  readonly version: InodeVersion
  readonly name: string
  readonly bytes: Buffer
}

/** All entries of a directory, in order, and what they were rendered from. */
type Whole = { readonly bytes: Buffer; readonly seal: ListingSeal }

/** Those of one directory, asked for in one way. */
export class RenderedListing {
  readonly #entries = new Map<Ino, Rendered>()
  #whole: Whole | undefined

  /** All of it at once, when nothing in it has changed since it was kept. Rejects as the filesystem refuses. */
  async whole(fs: MatrixFs, caller: Caller, dir: Ino): Promise<Buffer | undefined> {
    const whole = this.#whole
    if (!whole) return undefined
    const asking = fs.isUnchanged(caller, dir, whole.seal)
    if (isPromise(asking) ? await asking : asking) return whole.bytes
    if (this.#whole === whole) this.#whole = undefined
    return undefined
  }

  keep(parts: readonly Buffer[], seal: ListingSeal): void {
    if (seal.members.length <= MAX_RENDERED_ENTRIES) this.#whole = { bytes: Buffer.concat(parts), seal }
  }

  /** `render` is called when there is none, or another. */
  entry(name: string, version: InodeVersion, render: () => string): Buffer {
    const { ino } = version.inode
    const known = this.#entries.get(ino)
    if (known?.name === name && isVersion(known.version, version.inode)) return known.bytes
    const bytes = Buffer.from(render())
    if (known || this.#entries.size < MAX_RENDERED_ENTRIES) this.#entries.set(ino, { version, name, bytes })
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
