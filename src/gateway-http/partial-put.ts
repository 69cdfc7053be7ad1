/**
 * PUT of a part (RFC 9110 14.5), for uploads that go on where they have stopped: `Content-Range: bytes FIRST-LAST/SIZE`, or `/*` while the size is
 * not known. Unlike a whole PUT it writes into the file in its place, as a program would: readers see what is there so far. A part begins within
 * the file or at its end (416 says where that is), so that no holes come about; the last one makes the file as long as the whole.
 *
 * Answered when it is durable. What has arrived of a part that breaks off stays: HEAD tells how much. A lock that somebody takes meanwhile ends the
 * part there (423): each piece is written in one transaction with a look at the locks.
 */
import { FILE_MAX } from '../base/limits.ts'
import { isPromise } from '../base/maybe-promise.ts'
import type { Inode } from '../metadata/index.ts'
import { durable, type ExportCall, header } from './call.ts'
import { HttpFailure } from './failure.ts'
import { fileMode } from './http-export.ts'
import { pipeBody } from './request-body.ts'
import type { Place } from './resolve.ts'

export type Part = { readonly first: number; readonly length: number; readonly size: number | undefined }

/** undefined for a whole PUT. Throws HttpFailure 400, 413. */
export function partOf(call: ExportCall): Part | undefined {
  const text = header(call, 'content-range')
  if (text === undefined) return undefined
  const [, from, to, whole] = /^\s*bytes (\d{1,16})-(\d{1,16})\/(\d{1,16}|\*)\s*$/.exec(text) ?? []
  const [first, last, size] = [Number(from), Number(to), whole === '*' ? undefined : Number(whole)]
  if (whole === undefined || last < first || (size !== undefined && last >= size))
    throw new HttpFailure(400, 'Content-Range: expected bytes FIRST-LAST/SIZE or bytes FIRST-LAST/*')
  if (last >= FILE_MAX || (size ?? 0) > FILE_MAX) throw new HttpFailure(413)
  const length = last - first + 1
  const announced = header(call, 'content-length')
  if (announced !== undefined && Number(announced) !== length)
    throw new HttpFailure(400, 'Content-Range and Content-Length differ')
  return { first, length, size }
}

/** The place has been checked. Gives the file. */
export async function putPart(call: ExportCall, place: Place, { first, length, size }: Part): Promise<Inode> {
  const { fs, caller, unbound } = call
  const current = place.inode
  if (first > (current?.size ?? 0)) {
    throw new HttpFailure(416, 'the part begins beyond the end of the file', {
      headers: { 'Content-Range': `bytes */${current?.size ?? 0}` },
    })
  }
  // a name that is free is made for the caller as he is, with the locks that bind him
  const inode =
    current ?? (await fs.create(caller, place.dir, place.name, { mode: fileMode(call.share) }, 'guarded')).inode
  const { ino } = inode
  let written = 0
  try {
    await pipeBody(call, (offset, piece) => {
      if (offset + piece.length > length) throw new HttpFailure(400, 'the body is longer than Content-Range says')
      written = offset + piece.length
      const writing = fs.dav.write(caller, place.dir, ino, first + offset, piece)
      return isPromise(writing) ? writing : undefined
    })
    if (written < length) throw new HttpFailure(400, 'the body is shorter than Content-Range says')
    await fs.dav.check(caller, place, 'content')
    if (size !== undefined && first + length === size) await fs.setattr(unbound, ino, { size })
  } finally {
    await fs.commitFile(ino)
  }
  await durable(fs)
  return inode
}
