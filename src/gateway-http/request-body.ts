/** Reading request bodies: whole and bounded for XML, in large pieces for uploads. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Call } from './call.ts'
import { HttpFailure } from './failure.ts'
import { PIECE_BYTES } from './limits.ts'
import { Disconnected } from './outlet.ts'

/** True when the request announces a body that is not empty. */
export function hasBody(req: IncomingMessage): boolean {
  return req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0
}

const awaitingContinue = new WeakSet<IncomingMessage>()

/** The client waits for `100 Continue` before it sends the body (RFC 9110 10.1.1). */
export function noteExpectation(req: IncomingMessage): void {
  awaitingContinue.add(req)
}

/** True when the body has been asked for by nobody, and will not come. */
export function neverInvited(req: IncomingMessage): boolean {
  return awaitingContinue.has(req)
}

function invite(req: IncomingMessage, res: ServerResponse): void {
  if (awaitingContinue.delete(req)) res.writeContinue()
}

/** A body that has arrived with its header, as small ones do: without the turns that a stream takes. */
function bodyAtHand({ req, res }: Call): Buffer | undefined {
  if (!req.complete || awaitingContinue.has(req) || res.destroyed) return undefined
  return String(req.readableLength) === req.headers['content-length'] ? (req.read() as Buffer) : undefined
}

async function* chunks(call: Call): AsyncGenerator<Buffer> {
  const { req, res } = call
  invite(req, res)
  try {
    // Without destroyOnReturn, a failure in the middle would cut the connection before its answer is sent.
    for await (const chunk of req.iterator({ destroyOnReturn: false })) yield chunk as Buffer
  } catch (error) {
    if (req.readableAborted || req.destroyed) throw new Disconnected()
    throw error
  }
  if (!req.complete) throw new Disconnected()
}

/** The whole body; 413 when it has more than `limit` bytes. */
export async function readBody(call: Call, limit: number): Promise<Buffer> {
  if (!hasBody(call.req)) return Buffer.alloc(0)
  if (Number(call.req.headers['content-length'] ?? 0) > limit) throw new HttpFailure(413)
  const whole = bodyAtHand(call)
  if (whole) {
    if (whole.length > limit) throw new HttpFailure(413)
    return whole
  }
  return collected(call, limit)
}

/** By its events: for a small body that costs less than an iterator. */
function collected({ req, res }: Call, limit: number): Promise<Buffer> {
  invite(req, res)
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    let length = 0
    const leave = (): void => {
      req.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose)
    }
    const onData = (chunk: Buffer): void => {
      length += chunk.length
      parts.push(chunk)
      if (length <= limit) return
      leave()
      req.pause()
      reject(new HttpFailure(413))
    }
    const onEnd = (): void => {
      leave()
      if (req.complete) resolve(parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts, length))
      else reject(new Disconnected())
    }
    const onClose = (): void => {
      leave()
      reject(new Disconnected())
    }
    req.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose)
    if (req.destroyed) onClose()
  })
}

/**
 * Hands the body to `write` in pieces of PIECE_BYTES (the last may be shorter), so that writes are aligned to blocks; the
 * piece is free again when `write` has returned or its promise is settled. Gives the length.
 */
export async function pipeBody(
  call: Call,
  write: (offset: number, piece: Buffer) => Promise<unknown> | undefined,
): Promise<number> {
  if (!hasBody(call.req)) return 0
  const whole = bodyAtHand(call)
  if (whole) {
    await write(0, whole)
    return whole.length
  }
  const { pieces } = call.workshop
  const announced = call.req.headers['content-length']
  let offset = 0
  let fill = 0
  let piece: Buffer | undefined
  for await (const chunk of chunks(call)) {
    // A small body that came in one chunk needs no second copy.
    if (!piece && String(chunk.length) === announced) {
      await write(0, chunk)
      return chunk.length
    }
    piece ??= pieces.take()
    for (let used = 0; used < chunk.length; ) {
      const count = chunk.copy(piece, fill, used)
      used += count
      fill += count
      if (fill < PIECE_BYTES) continue
      await write(offset, piece)
      offset += fill
      fill = 0
    }
  }
  if (piece) {
    if (fill > 0) await write(offset, piece.subarray(0, fill))
    pieces.give(piece)
  }
  return offset + fill
}
