/**
 * The mutations that nearly every frame consists of, written and read by hand in the order of the table (mutation-fields.ts): five
 * times as fast as following it, and every record has one shape. A test holds them against the table.
 */
import type { FieldReader, FieldWriter } from './field-codec.ts'
import type { InodeRecord, Mutation } from './mutation.ts'

/** Writes the fields of a hot mutation; false when it is none. */
export function writeHot(w: FieldWriter, mutation: Mutation): boolean {
  switch (mutation.op) {
    case 'putInode':
      writeInode(w, mutation.inode)
      return true
    case 'removeInode':
      w.positive(mutation.ino)
      return true
    case 'putDirent':
      w.positive(mutation.dir)
      w.name(mutation.name)
      w.positive(mutation.cookie)
      w.positive(mutation.ino)
      w.type(mutation.type)
      return true
    case 'removeDirent':
      w.positive(mutation.dir)
      w.name(mutation.name)
      return true
    case 'putExtent':
      w.positive(mutation.ino)
      w.uint(mutation.block)
      w.positive(mutation.count)
      w.uint(mutation.address)
      return true
    case 'putDone':
      w.slot(mutation.slot)
      w.u32(mutation.cell)
      w.u32(mutation.client)
      w.u32(mutation.xid)
      w.uint(mutation.check)
      w.uint(mutation.made)
      return true
    default:
      return false
  }
}

/** Reads the fields of a hot mutation; undefined when `op` is none. */
export function readHot(r: FieldReader, op: Mutation['op']): Mutation | undefined {
  switch (op) {
    case 'putInode':
      return { op, inode: readInode(r) }
    case 'removeInode':
      return { op, ino: r.positive() }
    case 'putDirent':
      return { op, dir: r.positive(), name: r.name(), cookie: r.positive(), ino: r.positive(), type: r.type() }
    case 'removeDirent':
      return { op, dir: r.positive(), name: r.name() }
    case 'putExtent':
      return { op, ino: r.positive(), block: r.uint(), count: r.positive(), address: r.uint() }
    case 'putDone':
      return { op, slot: r.slot(), cell: r.u32(), client: r.u32(), xid: r.u32(), check: r.uint(), made: r.uint() }
    default:
      return undefined
  }
}

function writeInode(w: FieldWriter, inode: InodeRecord): void {
  w.positive(inode.ino)
  w.u32(inode.generation)
  w.type(inode.type)
  w.mode(inode.mode)
  w.u32(inode.nlink)
  w.u32(inode.uid)
  w.u32(inode.gid)
  w.uint(inode.size)
  w.u32(inode.rdevMajor)
  w.u32(inode.rdevMinor)
  w.int(inode.atimeS)
  w.nanos(inode.atimeNs)
  w.int(inode.mtimeS)
  w.nanos(inode.mtimeNs)
  w.int(inode.ctimeS)
  w.nanos(inode.ctimeNs)
  w.int(inode.btimeS)
  w.nanos(inode.btimeNs)
  w.uint(inode.change)
  w.uint(inode.parent)
  w.uint(inode.nextCookie)
  w.target(inode.target)
}

function readInode(r: FieldReader): InodeRecord {
  return {
    ino: r.positive(),
    generation: r.u32(),
    type: r.type(),
    mode: r.mode(),
    nlink: r.u32(),
    uid: r.u32(),
    gid: r.u32(),
    size: r.uint(),
    rdevMajor: r.u32(),
    rdevMinor: r.u32(),
    atimeS: r.int(),
    atimeNs: r.nanos(),
    mtimeS: r.int(),
    mtimeNs: r.nanos(),
    ctimeS: r.int(),
    ctimeNs: r.nanos(),
    btimeS: r.int(),
    btimeNs: r.nanos(),
    change: r.uint(),
    parent: r.uint(),
    nextCookie: r.uint(),
    target: r.target(),
  }
}
