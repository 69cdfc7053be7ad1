/**
 * An inode in memory, under `I:<ino>` held here in at least PR. Verbs see its current state; the image may be behind in one
 * way only: unstable writes change size, mtime, ctime and change count here (*late*), and cleaning journals them, after the
 * data is on the LUN. So a size in the journal never covers bytes that the LUN does not have.
 */
import type { Ino } from '../../base/ids.ts'
import { BLOCK_SIZE } from '../../base/limits.ts'
import type { Before, Inode } from '../fs/matrix-fs.ts'
import type { FileType, InodeRecord } from '../image/mutation.ts'
import type { Chunk, ChunkOwner } from './chunk.ts'
import { ExtentMap } from './extent-map.ts'

/** What a name means in a directory. */
export type Entry = { readonly ino: Ino; readonly type: FileType; readonly cookie: number }

/** Extents of an inode in the image: most inodes in memory are only looked at, and never need theirs. */
export type UnloadedExtents = { readonly blocks: number; load(ino: Ino): ExtentMap }

export type MutableRecord = { -readonly [Key in keyof InodeRecord]: InodeRecord[Key] }

export class CachedInode implements Inode, ChunkOwner {
  readonly ino: Ino
  readonly generation: number
  readonly type: FileType
  mode: number
  nlink: number
  uid: number
  gid: number
  size: number
  readonly rdevMajor: number
  readonly rdevMinor: number
  atimeS: number
  atimeNs: number
  mtimeS: number
  mtimeNs: number
  ctimeS: number
  ctimeNs: number
  readonly btimeS: number
  readonly btimeNs: number
  change: number
  parent: Ino
  nextCookie: number
  readonly target: string
  wire: unknown = undefined

  /** The size in the image. */
  committedSize: number
  /** Times or change count are newer than the image's. */
  late = false
  #extents: ExtentMap | undefined
  /** Until they are loaded: how many blocks they map, and where they come from. */
  readonly #unloaded: UnloadedExtents | undefined
  /** Content in memory, by chunk index. */
  chunks: Map<number, Chunk> | undefined = undefined
  dirtyBlocks = 0
  /** Indexes of all chunks with dirty blocks, and perhaps of some that are clean or gone by now. */
  dirtyChunks: Set<number> | undefined = undefined
  reservedBlocks = 0
  /** Monotonic ms since when something is dirty; 0 when nothing is. */
  dirtySince = 0
  /** LUNs with blocks written in place whose flush has failed: not stable, although nothing is dirty. */
  unflushed: Set<number> | undefined = undefined
  /** The newest cleaning under way; its part before the flush that ends it; and the cleaning that starts after that part. */
  cleaning: Promise<void> | undefined = undefined
  writing: Promise<unknown> | undefined = undefined
  nextCleaning: Promise<void> | undefined = undefined
  /** Chunk reads from the LUN under way, by chunk index. */
  loading: Map<number, Promise<void>> | undefined = undefined
  /** Where the next read of a sequential reader starts, and how far read-ahead has been asked for, bytes. */
  readNext = 0
  readAheadTo = 0
  readAheadWindow = 0
  /** Directories: a listing has met locks that are elsewhere; those of the entries to come are asked for ahead. */
  listsAhead = false
  /** Directories: what is known of names; null is known not to be there. */
  names: Map<string, Entry | null> | undefined = undefined
  /** Directories: every name there is has been in `names` from the beginning, so what is not is not there. */
  knowsAllNames = false
  /** Used since the eviction hand last passed. */
  referenced = true
  /** Taken out of the cache: whatever still works on it must not put anything into it. */
  dropped = false

  /** Without `extents` it has none. */
  constructor(record: InodeRecord, extents?: UnloadedExtents) {
    this.ino = record.ino
    this.generation = record.generation
    this.type = record.type
    this.mode = record.mode
    this.nlink = record.nlink
    this.uid = record.uid
    this.gid = record.gid
    this.size = record.size
    this.rdevMajor = record.rdevMajor
    this.rdevMinor = record.rdevMinor
    this.atimeS = record.atimeS
    this.atimeNs = record.atimeNs
    this.mtimeS = record.mtimeS
    this.mtimeNs = record.mtimeNs
    this.ctimeS = record.ctimeS
    this.ctimeNs = record.ctimeNs
    this.btimeS = record.btimeS
    this.btimeNs = record.btimeNs
    this.change = record.change
    this.parent = record.parent
    this.nextCookie = record.nextCookie
    this.target = record.target
    this.committedSize = record.size
    this.#unloaded = extents
  }

  /** Where the content lies; read from the image when somebody asks for the first time. */
  get extents(): ExtentMap {
    this.#extents ??= this.#unloaded ? this.#unloaded.load(this.ino) : ExtentMap.from([])
    return this.#extents
  }

  set extents(extents: ExtentMap) {
    this.#extents = extents
  }

  get allocated(): number {
    const mapped = this.#extents ? this.#extents.mapped : (this.#unloaded?.blocks ?? 0)
    return (mapped + this.reservedBlocks) * BLOCK_SIZE
  }

  /** True when the image or the LUN is behind this; never of what is gone. */
  get dirty(): boolean {
    return !this.dropped && (this.isBehind || this.unflushed !== undefined)
  }

  /** There is something to write or to commit. */
  get isBehind(): boolean {
    return this.dirtyBlocks > 0 || this.late || this.size !== this.committedSize
  }

  /** The row as the journal may have it now: with the size whose data is on the LUN. */
  record(): MutableRecord {
    return {
      ino: this.ino,
      generation: this.generation,
      type: this.type,
      mode: this.mode,
      nlink: this.nlink,
      uid: this.uid,
      gid: this.gid,
      size: this.committedSize,
      rdevMajor: this.rdevMajor,
      rdevMinor: this.rdevMinor,
      atimeS: this.atimeS,
      atimeNs: this.atimeNs,
      mtimeS: this.mtimeS,
      mtimeNs: this.mtimeNs,
      ctimeS: this.ctimeS,
      ctimeNs: this.ctimeNs,
      btimeS: this.btimeS,
      btimeNs: this.btimeNs,
      change: this.change,
      parent: this.parent,
      nextCookie: this.nextCookie,
      target: this.target,
    }
  }

  /** Takes over a row that was just committed; `size` stays when it is late. */
  committed(record: InodeRecord): void {
    this.mode = record.mode
    this.nlink = record.nlink
    this.uid = record.uid
    this.gid = record.gid
    this.atimeS = record.atimeS
    this.atimeNs = record.atimeNs
    this.mtimeS = record.mtimeS
    this.mtimeNs = record.mtimeNs
    this.ctimeS = record.ctimeS
    this.ctimeNs = record.ctimeNs
    this.change = record.change
    this.parent = record.parent
    this.nextCookie = record.nextCookie
    if (this.size === this.committedSize) this.size = record.size
    this.committedSize = record.size
    this.late = false
    this.wire = undefined
  }

  before(): Before {
    return {
      size: this.size,
      mtimeS: this.mtimeS,
      mtimeNs: this.mtimeNs,
      ctimeS: this.ctimeS,
      ctimeNs: this.ctimeNs,
    }
  }
}
