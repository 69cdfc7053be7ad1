/** Attributes as the kernel gets them. How long it may believe them is nowhere set: zero, so that it asks every time. */
import { BLOCK_SIZE } from '../../base/limits.ts'
import { BLK, CHR, DIR, FIFO, type FileType, type Inode, LNK, REG, SOCK } from '../../metadata/index.ts'
import { STATX_BASIC_STATS, STATX_BTIME } from './constants.ts'
import { attr, attrOut, entryOut, offsetsOf, statxOut } from './layouts.ts'
import type { Reply } from './reply.ts'

const a = offsetsOf(attr)
const e = offsetsOf(entryOut)
const x = offsetsOf(statxOut)

const S_IFMT = 0o170000
/** The type bits of st_mode, by file type. */
export const typeBits: readonly number[] = typeTable()

function typeTable(): number[] {
  const bits: number[] = []
  bits[REG] = 0o100000
  bits[DIR] = 0o040000
  bits[BLK] = 0o060000
  bits[CHR] = 0o020000
  bits[LNK] = 0o120000
  bits[SOCK] = 0o140000
  bits[FIFO] = 0o010000
  return bits
}

/** The file type that a mode means; undefined when none. */
export function typeOfMode(mode: number): FileType | undefined {
  const type = typeBits.indexOf(mode & S_IFMT)
  return type > 0 ? (type as FileType) : undefined
}

/** Device numbers as they are in `rdev` (new_encode_dev of Linux). */
export function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0
}

export function decodeDevice(rdev: number): { readonly major: number; readonly minor: number } {
  return { major: (rdev >>> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00) }
}

function putAttr(out: Reply, inode: Inode): void {
  const at = out.take(attr.size)
  out.u64(at + a.ino, inode.ino)
  out.u64(at + a.size, inode.size)
  out.u64(at + a.blocks, inode.allocated / 512)
  out.u64(at + a.atime, inode.atimeS)
  out.u64(at + a.mtime, inode.mtimeS)
  out.u64(at + a.ctime, inode.ctimeS)
  out.u32(at + a.atimensec, inode.atimeNs)
  out.u32(at + a.mtimensec, inode.mtimeNs)
  out.u32(at + a.ctimensec, inode.ctimeNs)
  out.u32(at + a.mode, typeBits[inode.type]! | inode.mode)
  out.u32(at + a.nlink, inode.nlink)
  out.u32(at + a.uid, inode.uid)
  out.u32(at + a.gid, inode.gid)
  out.u32(at + a.rdev, encodeDevice(inode.rdevMajor, inode.rdevMinor))
  out.u32(at + a.blksize, BLOCK_SIZE)
}

/** The answer to GETATTR and SETATTR. */
export function putAttributes(out: Reply, inode: Inode): void {
  out.take(attrOut.size)
  putAttr(out, inode)
}

/** The answer to LOOKUP and to whatever makes a name. */
export function putEntry(out: Reply, inode: Inode): void {
  const at = out.take(entryOut.size)
  out.u64(at + e.nodeid, inode.ino)
  out.u64(at + e.generation, inode.generation)
  putAttr(out, inode)
}

/** The answer to STATX: the same, and the time of birth. */
export function putStatx(out: Reply, inode: Inode): void {
  const at = out.take(statxOut.size)
  out.u32(at + x.mask, STATX_BASIC_STATS | STATX_BTIME)
  out.u32(at + x.blksize, BLOCK_SIZE)
  out.u32(at + x.nlink, inode.nlink)
  out.u32(at + x.uid, inode.uid)
  out.u32(at + x.gid, inode.gid)
  out.u16(at + x.mode, typeBits[inode.type]! | inode.mode)
  out.u64(at + x.ino, inode.ino)
  out.u64(at + x.size, inode.size)
  out.u64(at + x.blocks, inode.allocated / 512)
  out.u64(at + x.atime, inode.atimeS)
  out.u32(at + x.atimensec, inode.atimeNs)
  out.u64(at + x.btime, inode.btimeS)
  out.u32(at + x.btimensec, inode.btimeNs)
  out.u64(at + x.ctime, inode.ctimeS)
  out.u32(at + x.ctimensec, inode.ctimeNs)
  out.u64(at + x.mtime, inode.mtimeS)
  out.u32(at + x.mtimensec, inode.mtimeNs)
  out.u32(at + x.rdev_major, inode.rdevMajor)
  out.u32(at + x.rdev_minor, inode.rdevMinor)
}
