/**
 * A verb's answer as it was in the turn in which the verb ran. Inodes in memory go on changing; who gets the answer in a later turn would see,
 * beside what the verb did, what others have done since. A client takes the attributes before and after its change (RFC 1813 2.6,
 * wcc_data) for proof that nobody else changed anything in between: with a later "after" it would keep what others have made stale.
 */
import type { Ino } from '../../base/ids.ts'
import type { Inode } from '../fs/matrix-fs.ts'
import type { FileType } from '../image/mutation.ts'
import { CachedInode } from './inode.ts'

class InodeSnapshot implements Inode {
  readonly ino: Ino
  readonly generation: number
  readonly type: FileType
  readonly mode: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly rdevMajor: number
  readonly rdevMinor: number
  readonly atimeS: number
  readonly atimeNs: number
  readonly mtimeS: number
  readonly mtimeNs: number
  readonly ctimeS: number
  readonly ctimeNs: number
  readonly btimeS: number
  readonly btimeNs: number
  readonly change: number
  readonly parent: Ino
  readonly nextCookie: number
  readonly target: string
  readonly allocated: number
  wire: unknown

  constructor(inode: CachedInode) {
    this.ino = inode.ino
    this.generation = inode.generation
    this.type = inode.type
    this.mode = inode.mode
    this.nlink = inode.nlink
    this.uid = inode.uid
    this.gid = inode.gid
    this.size = inode.size
    this.rdevMajor = inode.rdevMajor
    this.rdevMinor = inode.rdevMinor
    this.atimeS = inode.atimeS
    this.atimeNs = inode.atimeNs
    this.mtimeS = inode.mtimeS
    this.mtimeNs = inode.mtimeNs
    this.ctimeS = inode.ctimeS
    this.ctimeNs = inode.ctimeNs
    this.btimeS = inode.btimeS
    this.btimeNs = inode.btimeNs
    this.change = inode.change
    this.parent = inode.parent
    this.nextCookie = inode.nextCookie
    this.target = inode.target
    this.allocated = inode.allocated
    this.wire = inode.wire
  }
}

/** The same answer, with snapshots of its inodes; file content in it stays what it is. */
export function asOfNow<T>(answer: T): T {
  return taken(answer, new Map()) as T
}

/** One that stands at two places of the answer stays one. */
function taken(value: unknown, seen: Map<CachedInode, Inode>): unknown {
  if (value instanceof CachedInode) {
    const known = seen.get(value)
    if (known) return known
    const snapshot = new InodeSnapshot(value)
    seen.set(value, snapshot)
    return snapshot
  }
  if (Array.isArray(value)) return value.some(hasInode) ? value.map((each) => taken(each, seen)) : value
  if (!isRecord(value)) return value
  const copy: Record<string, unknown> = {}
  for (const key of Object.keys(value)) copy[key] = taken(value[key], seen)
  return copy
}

function hasInode(value: unknown): boolean {
  return isRecord(value) && value.inode instanceof CachedInode
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
}
