/**
 * Reading one version of a file piece by piece. While it is read the file may change under us (a replacement by PUT cannot do that: it is
 * another inode, and this one is held open). Growing is harmless: what was promised is still there. After any other change of content the rest
 * belongs to another version, and `FileChanged` ends the reading, so that nobody takes a mixture for either.
 */
import { isPromise } from '../base/maybe-promise.ts'
import type { Inode, ReadResult } from '../metadata/index.ts'
import type { ExportCall } from './call.ts'
import { etagOf } from './etag.ts'
import { PIECE_BYTES } from './limits.ts'

/** What a response promises of the file: plain values, since the inode itself goes on changing. */
export type Version = {
  readonly etag: string
  readonly size: number
  readonly modifiedS: number
  readonly modifiedNs: number
}

export function versionOf(inode: Inode): Version {
  return { etag: etagOf(inode), size: inode.size, modifiedS: inode.mtimeS, modifiedNs: inode.mtimeNs }
}

export class FileChanged extends Error {
  override readonly name = 'FileChanged'
  constructor() {
    super('the file changed while it was read')
  }
}

/** A buffer of the pool, and how much of it is content. Whoever has it gives it back. */
export type Piece = { readonly piece: Buffer; readonly length: number }

/** What lies at `offset`, up to `last` (inclusive) or PIECE_BYTES. Throws FileChanged. */
export async function readPiece(
  call: ExportCall,
  ino: number,
  version: Version,
  offset: number,
  last: number,
): Promise<Piece> {
  const wanted = Math.min(PIECE_BYTES, last - offset + 1)
  const reading = call.fs.read(call.caller, ino, offset, wanted, true)
  const result = isPromise(reading) ? await reading : reading
  const now = result.inode
  const touched = now.mtimeS !== version.modifiedS || now.mtimeNs !== version.modifiedNs
  if (result.length < wanted || (touched && now.size <= version.size)) throw new FileChanged()
  return copyOut(call, result)
}

/** The pieces of a read are views on the cache: they are copied before anything is awaited. */
export function copyOut(call: ExportCall, { pieces }: ReadResult): Piece {
  const piece = call.workshop.pieces.take()
  let length = 0
  for (const part of pieces) length += part.copy(piece, length)
  return { piece, length }
}
