/**
 * The bytes of lock messages, laid out by hand at fixed offsets (little-endian): docs/formats/lock-messages.md. A batch is
 * everything one node had to tell another in one turn of the event loop. A batch that does not decode is refused whole.
 *
 *     batch    0 u16 magic · 2 u8 version · 3 u8 zero · 4 u32 messages · 8 u64 epoch · 16 messages …
 *     message  0 u8 type · 1 u8 mode · 2 u8 flags · 3 u8 pairs · 4 u32 seq low · 8 u16 seq high · 10 u16 zero
 *              12 u32 resource low · 16 u32 resource high · 20 pairs …
 *     pair     0 u32 slot + 256 × (LSN ÷ 2^32) · 4 u32 LSN mod 2^32
 */
import { assert } from '../base/assert.ts'
import { MatrixError } from '../base/errors.ts'
import { MAX_SLOTS } from '../base/limits.ts'
import { emptyVector, type MutableVector, type Vector } from '../base/vector.ts'
import { CANCELLED, type LockMessage, type LockMessageType } from './lock-message.ts'
import { EX, type Mode } from './modes.ts'

export const BATCH_MAGIC = 0x4c4d // 'ML'
export const BATCH_VERSION = 1
export const BATCH_HEADER_BYTES = 16
export const MESSAGE_BYTES = 20
export const PAIR_BYTES = 8
/** Longest message: one pair for every slot. */
export const MESSAGE_BYTES_MAX = MESSAGE_BYTES + MAX_SLOTS * PAIR_BYTES

const FLAG_NO_QUEUE = 1
const TWO_32 = 2 ** 32
const SEQ_MAX = 2 ** 48 - 1
const HIGH_MAX = 2 ** 21 - 1

/** Writes a batch's header; `messages` follow it. */
export function encodeBatchHeader(into: Buffer, epoch: number, messages: number): void {
  assert(Number.isSafeInteger(epoch) && epoch >= 0, `epoch ${epoch} encodes`)
  into.writeUInt16LE(BATCH_MAGIC, 0)
  into[2] = BATCH_VERSION
  into[3] = 0
  into.writeUInt32LE(messages, 4)
  into.writeUInt32LE(epoch % TWO_32, 8)
  into.writeUInt32LE(Math.floor(epoch / TWO_32), 12)
}

/** Writes `message` at `offset`; returns the offset behind it. `into` has room for MESSAGE_BYTES_MAX. */
export function encodeMessage(into: Buffer, offset: number, message: LockMessage): number {
  const { rid, seq } = message
  assert(Number.isSafeInteger(rid) && rid >= 0, `resource ${rid} encodes`)
  assert(seq >= 0 && seq <= SEQ_MAX, `sequence ${seq} encodes`)
  into[offset] = message.type
  into[offset + 1] = message.mode
  into[offset + 2] = message.noQueue ? FLAG_NO_QUEUE : 0
  into[offset + 3] = message.vector.size
  into.writeUInt32LE(seq % TWO_32, offset + 4)
  into.writeUInt16LE(Math.floor(seq / TWO_32), offset + 8)
  into.writeUInt16LE(0, offset + 10)
  into.writeUInt32LE(rid % TWO_32, offset + 12)
  into.writeUInt32LE(Math.floor(rid / TWO_32), offset + 16)
  let at = offset + MESSAGE_BYTES
  for (const [slot, lsn] of message.vector) {
    assert(slot < MAX_SLOTS && Number.isSafeInteger(lsn) && lsn >= 0, `vector ${slot}:${lsn} encodes`)
    into.writeUInt32LE(slot + Math.floor(lsn / TWO_32) * 256, at)
    into.writeUInt32LE(lsn % TWO_32, at + 4)
    at += PAIR_BYTES
  }
  return at
}

export type LockBatch = { readonly epoch: number; readonly messages: readonly LockMessage[] }

/** The epoch of a batch, without decoding the rest. Throws MatrixError 'protocol'. */
export function epochOf(batch: Buffer): number {
  if (batch.length < BATCH_HEADER_BYTES) throw refused(`a batch of ${batch.length} bytes`)
  if (batch.readUInt16LE(0) !== BATCH_MAGIC) throw refused(`magic 0x${batch.readUInt16LE(0).toString(16)}`)
  if (batch[2] !== BATCH_VERSION || batch[3] !== 0) throw refused(`version ${batch[2]}.${batch[3]}`)
  const high = batch.readUInt32LE(12)
  if (high > HIGH_MAX) throw refused('epoch out of range')
  return high * TWO_32 + batch.readUInt32LE(8)
}

/** Decodes and checks a whole batch; throws MatrixError 'protocol' when anything in it is not as this version writes it. */
export function decodeBatch(batch: Buffer): LockBatch {
  const epoch = epochOf(batch)
  const count = batch.readUInt32LE(4)
  if (count * MESSAGE_BYTES > batch.length) throw refused(`${count} messages in ${batch.length} bytes`)
  const messages: LockMessage[] = []
  let offset = BATCH_HEADER_BYTES
  // most messages of a batch bring the vector of the one before: they share it
  let vectorAt = -1
  let vector = emptyVector
  for (let i = 0; i < count; i++) {
    if (offset + MESSAGE_BYTES > batch.length) throw refused('a cut message')
    const pairs = batch[offset + 3] as number
    const end = offset + MESSAGE_BYTES + pairs * PAIR_BYTES
    if (pairs > MAX_SLOTS || end > batch.length) throw refused('a cut vector')
    if (pairs > 0) {
      const at = offset + MESSAGE_BYTES
      const same = vector.size === pairs && batch.compare(batch, at, end, vectorAt, vectorAt + end - at) === 0
      if (!same) vector = decodeVector(batch, at, pairs)
      vectorAt = at
    }
    messages.push(decodeMessage(batch, offset, pairs > 0 ? vector : emptyVector))
    offset = end
  }
  if (offset !== batch.length) throw refused(`${batch.length - offset} bytes behind the last message`)
  return { epoch, messages }
}

function decodeMessage(batch: Buffer, offset: number, vector: Vector): LockMessage {
  const type = batch[offset] as number
  const mode = batch[offset + 1] as number
  const flags = batch[offset + 2] as number
  if (type < 1 || type > CANCELLED) throw refused(`message type ${type}`)
  if (mode > EX) throw refused(`mode ${mode}`)
  if (flags > FLAG_NO_QUEUE || batch.readUInt16LE(offset + 10) !== 0) throw refused('unknown flags')
  const high = batch.readUInt32LE(offset + 16)
  if (high > HIGH_MAX) throw refused('resource out of range')
  const rid = high * TWO_32 + batch.readUInt32LE(offset + 12)
  return {
    type: type as LockMessageType,
    rid,
    seq: batch.readUInt16LE(offset + 8) * TWO_32 + batch.readUInt32LE(offset + 4),
    mode: mode as Mode,
    noQueue: flags === FLAG_NO_QUEUE,
    vector,
  }
}

function decodeVector(batch: Buffer, offset: number, pairs: number): Vector {
  const vector: MutableVector = new Map()
  for (let i = 0; i < pairs; i++) {
    const word = batch.readUInt32LE(offset + i * PAIR_BYTES)
    const slot = word % 256
    const high = Math.floor(word / 256)
    if (slot >= MAX_SLOTS || high > HIGH_MAX) throw refused(`vector entry of slot ${slot}`)
    vector.set(slot, high * TWO_32 + batch.readUInt32LE(offset + i * PAIR_BYTES + 4))
  }
  if (vector.size !== pairs) throw refused('a slot twice in one vector')
  return vector
}

function refused(what: string): MatrixError {
  return new MatrixError('protocol', `lock messages refused: ${what}`)
}
