/**
 * The hot encodings that nearly every reply carries, at fixed offsets. test/unit/gateway-nfs/v3-codecs.test.ts holds them
 * against the tables. fattr3, big-endian, 84 bytes:
 *
 *     0 type   4 mode   8 nlink   12 uid   16 gid   20 size (8)   28 used (8)   36 rdev major   40 rdev minor
 *     44 fsid (8)   52 fileid (8)   60 atime s, ns   68 mtime s, ns   76 ctime s, ns
 *
 * It is kept, encoded, with the cached inode (`inode.wire`) until the inode changes.
 */
import { decodeHandle, type Export, encodeHandle, type Handle, handleBytes } from '../../export/index.ts'
import type { AttributeChanges, Before, Inode, MatrixFs, TimeChange } from '../../metadata/index.ts'
import { WIRE_HANDLE_MAX } from '../limits.ts'
import { XdrError, type XdrReader } from '../xdr/reader.ts'
import type { XdrWriter } from '../xdr/writer.ts'
import * as c from './constants.ts'

export const ATTRIBUTES_BYTES = 84
/** post_op_attr and wcc_data with everything present. */
export const AFTER_BYTES = 4 + ATTRIBUTES_BYTES
export const CHANGE_BYTES = 4 + 24 + AFTER_BYTES

const WORD = 2 ** 32

/** An encoding kept with an inode; a class, so that other gateways' encodings are told apart from it. */
class EncodedAttributes {
  readonly bytes: Buffer
  constructor(bytes: Buffer) {
    this.bytes = bytes
  }
}

function encodeAttributes(fs: MatrixFs, inode: Inode): EncodedAttributes {
  const bytes = Buffer.allocUnsafe(ATTRIBUTES_BYTES)
  const view = new DataView(bytes.buffer, bytes.byteOffset, ATTRIBUTES_BYTES)
  view.setUint32(0, inode.type)
  view.setUint32(4, inode.mode)
  view.setUint32(8, inode.nlink)
  view.setUint32(12, inode.uid)
  view.setUint32(16, inode.gid)
  view.setUint32(20, inode.size / WORD)
  view.setUint32(24, inode.size)
  view.setUint32(28, inode.allocated / WORD)
  view.setUint32(32, inode.allocated)
  view.setUint32(36, inode.rdevMajor)
  view.setUint32(40, inode.rdevMinor)
  view.setUint32(44, 0)
  view.setUint32(48, fs.fsid)
  view.setUint32(52, inode.ino / WORD)
  view.setUint32(56, inode.ino)
  view.setUint32(60, inode.atimeS)
  view.setUint32(64, inode.atimeNs)
  view.setUint32(68, inode.mtimeS)
  view.setUint32(72, inode.mtimeNs)
  view.setUint32(76, inode.ctimeS)
  view.setUint32(80, inode.ctimeNs)
  const encoded = new EncodedAttributes(bytes)
  inode.wire = encoded
  return encoded
}

/** fattr3 */
export function putAttributes(out: XdrWriter, fs: MatrixFs, inode: Inode): void {
  const wire = inode.wire
  const encoded = wire instanceof EncodedAttributes ? wire : encodeAttributes(fs, inode)
  out.bytes.set(encoded.bytes, out.at)
  out.at += ATTRIBUTES_BYTES
}

/** post_op_attr */
export function putAfter(out: XdrWriter, fs: MatrixFs | undefined, inode: Inode | undefined): void {
  if (fs && inode) {
    out.uint32(1)
    putAttributes(out, fs, inode)
  } else out.uint32(0)
}

/** wcc_data */
export function putChange(
  out: XdrWriter,
  before: Before | undefined,
  fs: MatrixFs | undefined,
  inode: Inode | undefined,
): void {
  if (before) {
    const { view, at } = out
    view.setUint32(at, 1)
    view.setUint32(at + 4, before.size / WORD)
    view.setUint32(at + 8, before.size)
    view.setUint32(at + 12, before.mtimeS)
    view.setUint32(at + 16, before.mtimeNs)
    view.setUint32(at + 20, before.ctimeS)
    view.setUint32(at + 24, before.ctimeNs)
    out.at = at + 28
  } else out.uint32(0)
  putAfter(out, fs, inode)
}

/** nfs_fh3 */
export function putHandle(out: XdrWriter, exported: Export, inode: Inode): void {
  const { fs, id, key } = exported
  const bytes = handleBytes(exported)
  out.view.setUint32(out.at, bytes)
  encodeHandle(out.view, out.at + 4, fs.fsid, id, inode.ino, inode.generation, key)
  out.at += 4 + bytes
}

/** nfs_fh3; undefined when it is none of ours. */
export function readHandle(from: XdrReader): Handle | undefined {
  const length = from.count(WIRE_HANDLE_MAX)
  const at = from.skip((length + 3) & ~3)
  return decodeHandle(from.view, at, length)
}

function readTimeToSet(from: XdrReader): TimeChange | undefined {
  switch (from.uint32()) {
    case c.DONT_CHANGE:
      return undefined
    case c.SET_TO_SERVER_TIME:
      return 'now'
    case c.SET_TO_CLIENT_TIME:
      return { s: from.uint32(), ns: from.uint32() }
    default:
      throw new XdrError('a time is set in an unknown way')
  }
}

/** sattr3. The permission bits of `mode` alone; `size` may be above 2^53 (then it is no safe integer). */
export function readAttributesToSet(from: XdrReader): AttributeChanges {
  const mode = from.bool() ? from.uint32() & 0o7777 : undefined
  const uid = from.bool() ? from.uint32() : undefined
  const gid = from.bool() ? from.uint32() : undefined
  const size = from.bool() ? from.uint64() : undefined
  const atime = readTimeToSet(from)
  const mtime = readTimeToSet(from)
  return { mode, uid, gid, size, atime, mtime }
}
