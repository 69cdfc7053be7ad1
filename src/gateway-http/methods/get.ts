/**
 * GET and HEAD of files (RFC 9110 9.3.1): conditional, with ranges, streamed at the client's pace.
 *
 * 1. Everything a response says of the file (tag, size, date) is of one moment. The first piece is read in the same breath; if
 *    the file changed in between, the response starts anew.
 * 2. Who takes gzip gets a text so, unless he asks for a part, a digest or a certain version of it: these are of the file as it is. HEAD tells what the file is,
 *    and is never answered with less than its length.
 * 3. A file that changes while later pieces are read (file-pieces.ts) cuts the connection, so that nobody takes a mixture for
 *    either version.
 */
import { randomUUID } from 'node:crypto'
import { isPromise } from '../../base/maybe-promise.ts'
import { KiB } from '../../base/units.ts'
import type { ReadResult } from '../../metadata/index.ts'
import { DIR, R_OK, REG } from '../../metadata/index.ts'
import { type ExportCall, header, nowSeconds } from '../call.ts'
import { GzipOutlet, MIN_LENGTH, takesGzip } from '../compression.ts'
import { evaluate, ifRangeHolds } from '../conditions.ts'
import { contentTypeOf, isCompressible } from '../content-types.ts'
import { offerDigest } from '../digest.ts'
import { HttpFailure } from '../failure.ts'
import { fileHeaders, type Representation } from '../file-headers.ts'
import { copyOut, FileChanged, type Piece, readPiece, type Version, versionOf } from '../file-pieces.ts'
import { MAX_PACKED_BYTES, PIECE_BYTES } from '../limits.ts'
import { Disconnected, PlainOutlet } from '../outlet.ts'
import { type ByteRange, contentRange, parseRanges } from '../ranges.ts'
import { type Found, find, retryStale } from '../resolve.ts'
import { getDirectory } from './get-directory.ts'

/** Up to so much an answer has a buffer of its own, bytes: larger ones are cleared by the system first, and a pool costs less. */
const SMALL_BYTES = 32 * KiB
/** A file under constant change still gets an answer after so many tries; its tag is then that of the last one. */
const MAX_TRIES = 5

export function get(call: ExportCall): Promise<void> {
  return retryStale(
    () => getOnce(call),
    () => call.res.headersSent,
  )
}

async function getOnce(call: ExportCall): Promise<void> {
  const place = await find(call.fs, call.caller, call.path)
  if (place.inode.type === DIR) return getDirectory(call, place)
  if (call.target.trailingSlash) throw new HttpFailure(404, 'a file, not a directory')
  if (place.inode.type !== REG) throw new HttpFailure(403, 'devices, sockets and pipes are not served')
  return getFile(call, place)
}

async function getFile(call: ExportCall, place: Found): Promise<void> {
  const ino = place.inode.ino
  const type = contentTypeOf(call.path.at(-1) ?? '')
  const mayPack = isCompressible(type)
  if (mayPack) call.ctx.vary('Accept-Encoding')
  // Checked once, as by open(2); the reads are then trusted. A HEAD is told no more than a GET.
  const access = call.fs.access(call.caller, ino, R_OK)
  const { granted, inode } = isPromise(access) ? await access : access
  if (granted !== R_OK) throw new HttpFailure(403)
  let version = versionOf(inode)
  for (let tries = 1; ; tries++) {
    const isPacked = mayPack && packs(call, version.size)
    const representation = { version, type, isPacked }
    if (evaluate(call.req.headers, isPacked ? { ...version, isPacked } : version, true) === 'not-modified')
      return notModified(call, representation)
    await offerDigest(call, ino, version.etag)
    const ranges = rangesOf(call, version)
    const spans = ranges === 'whole' ? [{ first: 0, last: version.size - 1 }] : ranges
    const first = spans[0] as ByteRange
    if (call.req.method === 'HEAD' || version.size === 0) {
      return sendHead(call, representation, ranges)
    }
    const length = Math.min(PIECE_BYTES, first.last - first.first + 1)
    const reading = call.fs.read(call.caller, ino, first.first, length, true)
    const result = isPromise(reading) ? await reading : reading
    const current = versionOf(result.inode)
    if (current.etag === version.etag || tries === MAX_TRIES) {
      if (result.length < length)
        throw new HttpFailure(503, 'the file keeps changing', { headers: { 'Retry-After': '1' } })
      return sendSpans(call, ino, representation, ranges, result)
    }
    version = current
  }
}

/** This request for a compressible file of `size` bytes is answered with it compressed. */
function packs(call: ExportCall, size: number): boolean {
  if (call.req.method !== 'GET' || size < MIN_LENGTH || size > MAX_PACKED_BYTES) return false
  const isOfTheFile = ['range', 'if-match', 'want-repr-digest'].some((name) => header(call, name) !== undefined)
  return !isOfTheFile && takesGzip(call)
}

function rangesOf(call: ExportCall, version: Version): readonly ByteRange[] | 'whole' {
  // Range means something for GET only (RFC 9110 14.2).
  if (call.req.method !== 'GET') return 'whole'
  const ranges = parseRanges(header(call, 'range'), version.size)
  if (ranges === 'whole' || !ifRangeHolds(header(call, 'if-range'), version, nowSeconds(call))) return 'whole'
  if (ranges === 'unsatisfiable') {
    throw new HttpFailure(416, undefined, { headers: { 'Content-Range': `bytes */${version.size}` } })
  }
  return ranges
}

function notModified(call: ExportCall, representation: Representation): void {
  call.ctx.set(fileHeaders(call.share, representation))
  call.ctx.status = 304
}

type Layout = { readonly status: number; readonly headers: Record<string, string>; readonly boundary?: string }

function layout(call: ExportCall, representation: Representation, ranges: readonly ByteRange[] | 'whole'): Layout {
  const { version, type, isPacked } = representation
  const headers = fileHeaders(call.share, representation)
  if (isPacked) return { status: 200, headers: { ...headers, 'Content-Type': type, 'Content-Encoding': 'gzip' } }
  if (ranges === 'whole') {
    return { status: 200, headers: { ...headers, 'Content-Type': type, 'Content-Length': String(version.size) } }
  }
  const only = ranges[0] as ByteRange
  if (ranges.length === 1) {
    headers['Content-Type'] = type
    headers['Content-Length'] = String(only.last - only.first + 1)
    headers['Content-Range'] = contentRange(only, version.size)
    return { status: 206, headers }
  }
  const boundary = randomUUID()
  let length = partsEnd(boundary).length
  for (const range of ranges)
    length += partStart(boundary, type, range, version.size).length + range.last - range.first + 1
  headers['Content-Type'] = `multipart/byteranges; boundary=${boundary}`
  headers['Content-Length'] = String(length)
  return { status: 206, headers, boundary }
}

function partStart(boundary: string, type: string, range: ByteRange, size: number): string {
  return `\r\n--${boundary}\r\nContent-Type: ${type}\r\nContent-Range: ${contentRange(range, size)}\r\n\r\n`
}

function partsEnd(boundary: string): string {
  return `\r\n--${boundary}--\r\n`
}

function sendHead(call: ExportCall, representation: Representation, ranges: readonly ByteRange[] | 'whole'): void {
  const { status, headers } = layout(call, representation, ranges)
  call.ctx.respond = false
  call.res.writeHead(status, headers).end()
}

async function sendSpans(
  call: ExportCall,
  ino: number,
  representation: Representation,
  ranges: readonly ByteRange[] | 'whole',
  firstPiece: ReadResult,
): Promise<void> {
  const { res } = call
  const { version, type, isPacked } = representation
  const { status, headers, boundary } = layout(call, representation, ranges)
  const spans = ranges === 'whole' ? [{ first: 0, last: version.size - 1 }] : ranges
  const total = spans.reduce((sum, { first, last }) => sum + last - first + 1, 0)
  if (total === firstPiece.length && total <= SMALL_BYTES && !isPacked) {
    // The usual small file: one copy, one write, nothing to hold open.
    call.ctx.respond = false
    res.writeHead(status, headers).end(Buffer.concat(firstPiece.pieces, total))
    return
  }
  const copied = copyOut(call, firstPiece)
  if (total === firstPiece.length && !isPacked) {
    call.ctx.respond = false
    res.writeHead(status, headers).end(copied.piece.subarray(0, total), () => call.workshop.pieces.give(copied.piece))
    return
  }
  try {
    const opening = call.fs.open(ino)
    if (isPromise(opening)) await opening
  } catch (error) {
    call.workshop.pieces.give(copied.piece)
    throw error
  }
  call.ctx.respond = false
  try {
    res.writeHead(status, headers)
    const outlet = isPacked ? new GzipOutlet(res) : new PlainOutlet(res)
    let pending: Piece | undefined = copied
    for (const span of spans) {
      if (boundary) await outlet.write(partStart(boundary, type, span, version.size))
      for (let offset = span.first; offset <= span.last; ) {
        const next: Piece = pending ?? (await readPiece(call, ino, version, offset, span.last))
        pending = undefined
        offset += next.length
        await outlet.write(next.piece.subarray(0, next.length), () => call.workshop.pieces.give(next.piece))
      }
    }
    outlet.end(boundary ? partsEnd(boundary) : undefined)
  } catch (error) {
    if (!(error instanceof FileChanged)) throw error
    call.workshop.log.info({ export: call.share.name, ino }, 'a file changed while it was sent: connection cut')
    throw new Disconnected()
  } finally {
    call.fs.close(ino)
  }
}
