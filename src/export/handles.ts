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
 * A handle is not a secret: every request is checked against the export's clients and the object's permissions. Inode numbers are
 * never used again, so a handle whose object is gone finds nothing (stale); the generation is checked besides wherever
 * the inode is at hand. docs/formats/file-handle.md is this table.
 */
import { assert } from '../base/assert.ts'
import type { Ino } from '../base/ids.ts'
import { INO_MAX } from '../base/limits.ts'

export const HANDLE_BYTES = 24
const VERSION = 1
const WORD = 2 ** 32

export type Handle = {
  readonly fsid: number
  readonly exportId: number
  readonly ino: Ino
  readonly generation: number
}

/** Writes the handle of an object at `at`. */
export function encodeHandle(view: DataView, at: number, fsid: number, exportId: number, ino: Ino, generation: number) {
  assert(ino > 0 && ino <= INO_MAX && fsid > 0, 'a handle names an inode of a filesystem')
  view.setUint32(at, VERSION * 0x1000000)
  view.setUint32(at + 4, fsid)
  view.setUint32(at + 8, exportId)
  view.setUint32(at + 12, Math.floor(ino / WORD))
  view.setUint32(at + 16, ino % WORD)
  view.setUint32(at + 20, generation)
}

/** Reads the handle of `length` bytes at `at`; undefined when it is none of ours (NFS3ERR_BADHANDLE). */
export function decodeHandle(view: DataView, at: number, length: number): Handle | undefined {
  if (length !== HANDLE_BYTES || view.getUint32(at) !== VERSION * 0x1000000) return undefined
  const fsid = view.getUint32(at + 4)
  const ino = view.getUint32(at + 12) * WORD + view.getUint32(at + 16)
  if (fsid === 0 || ino === 0 || ino > INO_MAX) return undefined
  return { fsid, exportId: view.getUint32(at + 8), ino, generation: view.getUint32(at + 20) }
}
