/**
 * Frames of the mesh: docs/formats/mesh.md. Integers are little-endian. Every frame begins with its kind; 0 is no kind.
 *
 * | offset | size | name | meaning |
 * |---|---|---|---|
 * | 0 | 1 | kind | `frameKinds` |
 *
 * hello, use, refuse, membership and ack go on with a msgpack body at offset 1. The frames of messages have a header:
 *
 * | offset | size | name | meaning |
 * |---|---|---|---|
 * | 0 | 1 | kind | message, request, reply, failure |
 * | 1 | 1 | channel | index into `channels` |
 * | 2 | 2 | zero | reserved |
 * | 4 | 4 | request | number of the request, unique among the asker's open ones; 0 in a message |
 * | 8 | 8 | view | number of the view it was sent in, below 2^53 |
 * | 16 | … | payload | message: the caller's bytes; otherwise msgpack |
 */
import { MatrixError } from '../base/errors.ts'
import type { ViewId } from '../base/ids.ts'
import type { Channel } from './mesh.ts'

export const frameKinds = {
  hello: 1,
  use: 2,
  refuse: 3,
  membership: 4,
  message: 5,
  request: 6,
  reply: 7,
  failure: 8,
  ack: 9,
} as const

export const channels: readonly Channel[] = ['lock', 'recovery', 'volume', 'admin', 'lun', 'service', 'report', 'job']
const channelIndex: Record<Channel, number> = {
  lock: 0,
  recovery: 1,
  volume: 2,
  admin: 3,
  lun: 4,
  service: 5,
  report: 6,
  job: 7,
}

export const HEADER_BYTES = 16

export type MessageKind = 5 | 6 | 7 | 8

export type MessageHeader = {
  readonly kind: MessageKind
  readonly channel: Channel
  readonly request: number
  readonly view: ViewId
}

/** A frame with its header; `payload` is copied, so the caller may use its buffer again at once. */
export function encodeMessage(
  kind: MessageKind,
  channel: Channel,
  request: number,
  view: ViewId,
  payload: Uint8Array,
): Buffer {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + payload.length)
  frame[0] = kind
  frame[1] = channelIndex[channel]
  frame[2] = 0
  frame[3] = 0
  frame.writeUInt32LE(request, 4)
  frame.writeUInt32LE(view % 2 ** 32, 8)
  frame.writeUInt32LE(Math.floor(view / 2 ** 32), 12)
  frame.set(payload, HEADER_BYTES)
  return frame
}

/** Throws MatrixError 'protocol' on anything that is not the header of a message. */
export function decodeHeader(frame: Buffer): MessageHeader {
  if (frame.length < HEADER_BYTES) throw new MatrixError('protocol', `a message of ${frame.length} bytes has no header`)
  const kind = frame[0] as number
  const channel = channels[frame[1] as number]
  const view = frame.readUInt32LE(8) + frame.readUInt32LE(12) * 2 ** 32
  if (kind < frameKinds.message || kind > frameKinds.failure)
    throw new MatrixError('protocol', `frame of unknown kind ${kind}`)
  if (!channel) throw new MatrixError('protocol', `message on unknown channel ${frame[1]}`)
  if (frame[2] !== 0 || frame[3] !== 0) throw new MatrixError('protocol', 'reserved bytes of a message are not zero')
  if (!Number.isSafeInteger(view)) throw new MatrixError('protocol', `view number beyond 2^53`)
  return { kind: kind as MessageKind, channel, request: frame.readUInt32LE(4), view }
}

/** A frame of `kind` with a msgpack body. */
export function encodeControl(kind: 1 | 2 | 3 | 4 | 9, body: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(1 + body.length)
  frame[0] = kind
  frame.set(body, 1)
  return frame
}
