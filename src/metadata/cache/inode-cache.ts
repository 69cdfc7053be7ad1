/**
 * The inodes in memory, each under its lock `I:<ino>`; bounded in number, those not used lately go first. What is dirty,
 * or has I/O under way, stays. Names of directories are cached with their inode, under the same lock.
 */
import type { Ino } from '../../base/ids.ts'
import { DIR } from '../image/mutation.ts'
import type { StoredInode } from '../image/rows.ts'
import type { VolumeApi } from '../volume-api.ts'
import type { DataCache } from './data-cache.ts'
import { DirWindows } from './dir-window.ts'
import { ExtentMap } from './extent-map.ts'
import { CachedInode, type Entry } from './inode.ts'

/** Names remembered per directory; a larger directory forgets all and starts again. */
const MAX_NAMES = 65_536
/** The eviction hand passes at most this many inodes for one new one. */
const MAX_STEPS = 64

export class InodeCache {
  readonly #volume: VolumeApi
  readonly #data: DataCache
  readonly #maxInodes: number
  readonly #inodes = new Map<Ino, CachedInode>()
  /** Where listings are. */
  readonly windows = new DirWindows()

  /** `maxInodes` bounds the number kept, as far as they are clean. */
  constructor(volume: VolumeApi, data: DataCache, maxInodes: number) {
    this.#volume = volume
    this.#data = data
    this.#maxInodes = maxInodes
  }

  get size(): number {
    return this.#inodes.size
  }

  /** What is in memory; valid only under the inode's lock. */
  cached(ino: Ino): CachedInode | undefined {
    return this.#inodes.get(ino)
  }

  /** From memory or from the image, under the inode's lock; undefined when there is no such inode. */
  get(ino: Ino): CachedInode | undefined {
    const cached = this.#inodes.get(ino)
    if (cached) {
      cached.referenced = true
      return cached
    }
    const stored = this.#volume.image.storedInode(ino)
    return stored && this.#store(stored)
  }

  /** Takes the inodes of a directory's entries with cookies `from` … `to` into memory, all of them under their locks, in one go. */
  loadListed(dir: Ino, from: number, to: number): void {
    for (const stored of this.#volume.image.listedInodes(dir, from, to)) {
      if (!this.#inodes.has(stored.record.ino)) this.#store(stored)
    }
  }

  #store({ record, blocks }: StoredInode): CachedInode {
    const extents = blocks > 0 ? { blocks, load: this.#loadExtents } : undefined
    return this.add(new CachedInode(record, extents))
  }

  readonly #loadExtents = (ino: Ino): ExtentMap => ExtentMap.from(this.#volume.image.extents(ino))

  add(inode: CachedInode): CachedInode {
    this.#inodes.set(inode.ino, inode)
    if (this.#inodes.size > this.#maxInodes) this.#evict()
    return inode
  }

  /** The lock goes: inode, names and content are forgotten (R14). Nothing of it may be dirty. */
  purge(ino: Ino): void {
    const inode = this.#inodes.get(ino)
    if (inode) this.drop(inode)
  }

  /** Takes an inode out for good: nothing of it is dirty, or it has been removed. */
  drop(inode: CachedInode): void {
    inode.dropped = true
    this.windows.drop(inode)
    this.#data.dropAll(inode)
    this.#inodes.delete(inode.ino)
  }

  /** What `name` means in `dir`, under the directory's lock; undefined when it is not there. */
  entry(dir: CachedInode, name: string): Entry | undefined {
    const known = dir.names?.get(name)
    if (known !== undefined) return known ?? undefined
    if (dir.knowsAllNames) return undefined
    const record = this.#volume.image.dirent(dir.ino, name)
    const entry = record && { ino: record.ino, type: record.type, cookie: record.cookie }
    this.setEntry(dir, name, entry)
    return entry
  }

  setEntry(dir: CachedInode, name: string, entry: Entry | undefined): void {
    dir.names ??= new Map()
    if (dir.names.size >= MAX_NAMES) {
      dir.names.clear()
      dir.knowsAllNames = false
    }
    if (entry || !dir.knowsAllNames) dir.names.set(name, entry ?? null)
    else dir.names.delete(name)
  }

  #evict(): void {
    let left = MAX_STEPS
    for (const [ino, inode] of this.#inodes) {
      if (this.#inodes.size <= this.#maxInodes || left-- <= 0) return
      if (inode.referenced || inode.dirty || inode.cleaning || (inode.loading && inode.loading.size > 0)) {
        inode.referenced = false
        this.#inodes.delete(ino)
        this.#inodes.set(ino, inode)
      } else {
        this.drop(inode)
      }
    }
  }
}

/** True for types whose inode may have entries. */
export function isDirectory(inode: { readonly type: number }): boolean {
  return inode.type === DIR
}
