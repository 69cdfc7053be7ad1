/**
 * File handles: what a client keeps to name an object, for as long as it likes. The same on every node and after every
 * restart, opaque to clients. Big-endian, 24 bytes:
 *
 *     offset size  name
 *     0      1     version     1
 *     1      3     reserved    zero
 *     4      4     fsid        of the filesystem, never 0
 *     8      4     export      id of the export through which the client came
 *     12     8     ino         inode number, 1 … 2^50-1
 *     20     4     generation  of the inode
 *
 * A handle of an export of a part of a filesystem (exports.ts, `directory`) has version 2 and is sealed: 8 bytes more,
 *
 *     24     8     seal        SipHash-2-4 of the 24 bytes before, little-endian, by the export's key
 *
 * so that a client has only handles that it was given there, and cannot make up one of what lies outside. All nodes have the key.
 *
 * Otherwise a handle is not a secret: every request is checked against the export's clients and the object's permissions. Inode numbers are
 * never used again, so a handle whose object is gone finds nothing (stale); the generation is checked besides wherever
 * the inode is at hand. docs/formats/file-handle.md is this table.
 */
import { assert } from '../base/assert.ts'
import type { Ino } from '../base/ids.ts'
import { INO_MAX } from '../base/limits.ts'
import { siphash } from '../base/siphash.ts'

export const HANDLE_BYTES = 24
export const SEALED_HANDLE_BYTES = 32
const VERSION = 1
const SEALED_VERSION = 2
const WORD = 2 ** 32

const sealed = new Uint32Array(2)

export type Handle = {
  readonly fsid: number
  readonly exportId: number
  readonly ino: Ino
  readonly generation: number
  /** Its seal as it came, and what it is the seal of; undefined when it has none. */
  readonly seal: { readonly low: number; readonly high: number; readonly of: Uint8Array } | undefined
}

/** Writes the handle of an object at `at`; with a key it is sealed, and has SEALED_HANDLE_BYTES. */
export function encodeHandle(
  view: DataView,
  at: number,
  fsid: number,
  exportId: number,
  ino: Ino,
  generation: number,
  key?: Uint8Array,
) {
  assert(ino > 0 && ino <= INO_MAX && fsid > 0, 'a handle names an inode of a filesystem')
  view.setUint32(at, (key ? SEALED_VERSION : VERSION) * 0x1000000)
  view.setUint32(at + 4, fsid)
  view.setUint32(at + 8, exportId)
  view.setUint32(at + 12, Math.floor(ino / WORD))
  view.setUint32(at + 16, ino % WORD)
  view.setUint32(at + 20, generation)
  if (!key) return
  siphash(key, new Uint8Array(view.buffer, view.byteOffset + at, HANDLE_BYTES), sealed)
  view.setUint32(at + 24, sealed[0] as number, true)
  view.setUint32(at + 28, sealed[1] as number, true)
}

/** The handle was made with this key. */
export function isSealedBy({ seal }: Handle, key: Uint8Array): boolean {
  if (!seal) return false
  siphash(key, seal.of, sealed)
  return sealed[0] === seal.low && sealed[1] === seal.high
}

/** Reads the handle of `length` bytes at `at`; undefined when it is none of ours (NFS3ERR_BADHANDLE). */
export function decodeHandle(view: DataView, at: number, length: number): Handle | undefined {
  const version = length === HANDLE_BYTES ? VERSION : length === SEALED_HANDLE_BYTES ? SEALED_VERSION : 0
  if (version === 0 || view.getUint32(at) !== version * 0x1000000) return undefined
  const fsid = view.getUint32(at + 4)
  const ino = view.getUint32(at + 12) * WORD + view.getUint32(at + 16)
  if (fsid === 0 || ino === 0 || ino > INO_MAX) return undefined
  const seal = version === SEALED_VERSION ? sealAt(view, at) : undefined
  return { fsid, exportId: view.getUint32(at + 8), ino, generation: view.getUint32(at + 20), seal }
}

/** What it seals is copied: the buffer is another request's soon. */
function sealAt(view: DataView, at: number): Handle['seal'] {
  const of = Uint8Array.from(new Uint8Array(view.buffer, view.byteOffset + at, HANDLE_BYTES))
  return { low: view.getUint32(at + 24, true), high: view.getUint32(at + 28, true), of }
}
