/**
 * The journal of a slot: an endless sequence of frames, of which a ring on the first LUN holds the latest part
 * (docs/formats/journal.md). An LSN is a logical byte position, a multiple of JOURNAL_ALIGN; it lies at byte
 * `lsn mod journalBytes` of the ring. "Applied up to x" means: every byte before x. All integers are little-endian.
 *
 *     │ frame │ frame │ … │ frame │ pad │▒▒▒▒▒ older lap ▒▒▒▒▒ │
 *     0                          ring end                    a frame never wraps: a pad fills the rest of the ring
 *
 * Invariants
 * 1. LSNs never go back, also not across incarnations of the slot.
 * 2. One frame is under way at a time: a frame is handed to the LUN only once all before it are durable. So whoever sees a
 *    frame knows that its predecessors are durable, and what a crash leaves is at most one torn frame, at the end.
 * 3. A frame names what its writer had applied when it was handed over (deps); it is applied only after that.
 * 4. A frame at LSN x counts if and only if magic, version, filesystem, slot and LSN are exactly the expected ones, the
 *    checksum holds, and its incarnation owns x: the owner is that of the first seal beyond x, else the current incarnation
 *    (ownership.ts).
 *
 * A crash leaves: the pad durable and its frame not (the journal ends after the pad, or before it when that is torn), or a
 * torn frame (the journal ends before it). A frame that lands later is beyond the seal that recovery set.
 */

import { assert } from '../../base/assert.ts'
import { brokenRules } from '../../base/broken-rules.ts'
import { crc32c } from '../../base/crc32c.ts'
import { MatrixError } from '../../base/errors.ts'
import type { Incarnation, Lsn, Slot } from '../../base/ids.ts'
import { defineLayout } from '../../base/layout.ts'
import { JOURNAL_ALIGN, MAX_FRAME_BYTES, MAX_SLOTS } from '../../base/limits.ts'
import { roundUp } from '../../base/units.ts'
import { fromPairs, toPairs, type Vector } from '../../base/vector.ts'
import type { Mutation } from '../image/mutation.ts'
import { decodeMutations } from '../image/mutation-codec.ts'

/** 'MXJF' as its bytes lie on the disk. */
export const FRAME_MAGIC = 0x464a584d
export const JOURNAL_VERSION = 1

export const FRAME_DATA = 1
export const FRAME_PAD = 2

/** The table; encoding and decoding go by its offsets by hand, since every commit and every applied frame passes here. */
export const frameHeaderLayout = defineLayout([
  { name: 'magic', type: 'u32', meaning: '`MXJF` as bytes' },
  { name: 'version', type: 'u16', meaning: 'of this format: 1' },
  { name: 'type', type: 'u8', meaning: '1 frame, 2 pad' },
  { name: 'depCount', type: 'u8', meaning: 'dependencies that follow the header' },
  { name: 'fsid', type: 'u32', meaning: 'filesystem' },
  { name: 'slot', type: 'u32', meaning: 'whose journal it is' },
  { name: 'mutationCount', type: 'u32', meaning: 'mutations that follow the dependencies' },
  { name: 'bodyLength', type: 'u32', meaning: 'of dependencies and mutations, bytes' },
  { name: 'length', type: 'u32', meaning: 'to the next frame, bytes; a multiple of 512' },
  { name: 'crc', type: 'u32', meaning: 'CRC-32C of header and body, with this field zero' },
  { name: 'incarnation', type: 'u53', meaning: 'life of the node that wrote it' },
  { name: 'lsn', type: 'u53', meaning: 'logical position; a multiple of 512' },
])
/** One dependency: the writer had applied this slot's journal up to there. */
export const dependencyLayout = defineLayout([
  { name: 'slot', type: 'u32', meaning: 'a slot other than the own' },
  { name: 'lsn', type: 'u53', meaning: 'everything before it had been applied' },
])

const at = (name: Parameters<typeof frameHeaderLayout.offsetOf>[0]) => frameHeaderLayout.offsetOf(name)
const MAGIC = at('magic')
const VERSION = at('version')
const TYPE = at('type')
const DEP_COUNT = at('depCount')
const FSID = at('fsid')
const SLOT = at('slot')
const MUTATION_COUNT = at('mutationCount')
const BODY_LENGTH = at('bodyLength')
const LENGTH = at('length')
const CRC = at('crc')
const INCARNATION = at('incarnation')
const LSN = at('lsn')
export const FRAME_HEADER_BYTES = frameHeaderLayout.size
const DEP_BYTES = dependencyLayout.size

/** Bytes that a frame needs at most besides its mutations. */
export const MAX_FRAME_OVERHEAD = FRAME_HEADER_BYTES + MAX_SLOTS * DEP_BYTES

/** Whose frame it is and where it lies. */
export type FrameIdentity = {
  readonly fsid: number
  readonly slot: Slot
  readonly incarnation: Incarnation
  readonly lsn: Lsn
}

/** A frame's header, once its checksum held. `length` is how far the next frame begins. */
export type Frame = FrameIdentity & {
  readonly type: typeof FRAME_DATA | typeof FRAME_PAD
  readonly length: number
  readonly deps: Vector
  /** Decodes the mutations; throws MatrixError 'journal-damaged' when they are not what the format says. */
  mutations(): Mutation[]
}

/** Length of a frame with so many bytes of mutations, at most; a multiple of JOURNAL_ALIGN. */
export function frameLength(mutationBytes: number): number {
  return roundUp(MAX_FRAME_OVERHEAD + mutationBytes, JOURNAL_ALIGN)
}

/** Bytes from `lsn` to the end of the ring when a frame of `length` does not fit there; else 0. */
export function padBefore(lsn: Lsn, length: number, ringBytes: number): number {
  const rest = ringBytes - (lsn % ringBytes)
  return length > rest ? rest : 0
}

/** A frame as it goes to the LUN, padded with zeroes to `length` bytes. */
export function encodeFrame(identity: FrameIdentity, deps: Vector, mutations: Buffer, count: number): Buffer {
  const pairs = toPairs(deps)
  const body = pairs.length * DEP_BYTES + mutations.length
  const length = roundUp(FRAME_HEADER_BYTES + body, JOURNAL_ALIGN)
  assert(length <= MAX_FRAME_BYTES, `a frame of ${length} bytes`)
  const frame = Buffer.allocUnsafe(length)
  writeHeader(frame, identity, { type: FRAME_DATA, depCount: pairs.length, count, body, length })
  let at = FRAME_HEADER_BYTES
  for (const [slot, lsn] of pairs) {
    frame.writeUInt32LE(slot, at)
    writeU53(frame, lsn, at + 4)
    at += DEP_BYTES
  }
  at += mutations.copy(frame, at)
  frame.fill(0, at)
  frame.writeUInt32LE(crc32c(frame.subarray(0, FRAME_HEADER_BYTES + body)), CRC)
  return frame
}

/** A pad of `length` bytes: only its first JOURNAL_ALIGN bytes are written. */
export function encodePad(identity: FrameIdentity, length: number): Buffer {
  const frame = Buffer.alloc(JOURNAL_ALIGN)
  writeHeader(frame, identity, { type: FRAME_PAD, depCount: 0, count: 0, body: 0, length })
  frame.writeUInt32LE(crc32c(frame.subarray(0, FRAME_HEADER_BYTES)), CRC)
  return frame
}

/**
 * What stands at the start of `bytes`: a frame whose checksum holds; or 'short' when it is longer than `bytes`; or
 * undefined. Says nothing about whether it is the expected one. Throws MatrixError 'format-version' for a newer journal.
 */
export function decodeFrame(bytes: Buffer): Frame | { readonly short: number } | undefined {
  if (bytes.length < FRAME_HEADER_BYTES || bytes.readUInt32LE(MAGIC) !== FRAME_MAGIC) return undefined
  const type = bytes[TYPE]
  const depCount = bytes[DEP_COUNT] as number
  const slot = bytes.readUInt32LE(SLOT)
  const count = bytes.readUInt32LE(MUTATION_COUNT)
  const body = bytes.readUInt32LE(BODY_LENGTH)
  const length = bytes.readUInt32LE(LENGTH)
  const lsn = readU53(bytes, LSN)
  const incarnation = readU53(bytes, INCARNATION)
  const used = FRAME_HEADER_BYTES + body
  if (length === 0 || length > MAX_FRAME_BYTES || length % JOURNAL_ALIGN !== 0 || lsn % JOURNAL_ALIGN !== 0)
    return undefined
  if (slot >= MAX_SLOTS || used > length || depCount > MAX_SLOTS || depCount * DEP_BYTES > body) return undefined
  if (type === FRAME_PAD ? body !== 0 || count !== 0 : type !== FRAME_DATA) return undefined
  if (used > bytes.length) return { short: used }
  const crc = bytes.readUInt32LE(CRC)
  if (crcWithout(bytes.subarray(0, used)) !== crc && !brokenRules.frameChecksum) return undefined
  const version = bytes.readUInt16LE(VERSION)
  if (version !== JOURNAL_VERSION)
    throw new MatrixError(
      'format-version',
      `a journal frame has version ${version}, this matrixfs knows ${JOURNAL_VERSION}`,
    )
  const pairs: [Slot, Lsn][] = []
  for (let i = 0, at = FRAME_HEADER_BYTES; i < depCount; i++, at += DEP_BYTES)
    pairs.push([bytes.readUInt32LE(at), readU53(bytes, at + 4)])
  return {
    type: type as Frame['type'],
    fsid: bytes.readUInt32LE(FSID),
    slot,
    incarnation,
    lsn,
    length,
    deps: fromPairs(pairs),
    mutations: () => decodeMutations(bytes.subarray(FRAME_HEADER_BYTES + depCount * DEP_BYTES, used), count),
  }
}

const zeroes = Buffer.alloc(4)

/** The checksum as if its own field were zero. */
function crcWithout(bytes: Buffer): number {
  return crc32c(bytes.subarray(CRC + 4), crc32c(zeroes, crc32c(bytes.subarray(0, CRC))))
}

type Shape = { type: number; depCount: number; count: number; body: number; length: number }

function writeHeader(frame: Buffer, identity: FrameIdentity, shape: Shape): void {
  assert(identity.lsn % JOURNAL_ALIGN === 0 && shape.length % JOURNAL_ALIGN === 0, 'frames are aligned')
  frame.writeUInt32LE(FRAME_MAGIC, MAGIC)
  frame.writeUInt16LE(JOURNAL_VERSION, VERSION)
  frame[TYPE] = shape.type
  frame[DEP_COUNT] = shape.depCount
  frame.writeUInt32LE(identity.fsid, FSID)
  frame.writeUInt32LE(identity.slot, SLOT)
  frame.writeUInt32LE(shape.count, MUTATION_COUNT)
  frame.writeUInt32LE(shape.body, BODY_LENGTH)
  frame.writeUInt32LE(shape.length, LENGTH)
  frame.writeUInt32LE(0, CRC)
  writeU53(frame, identity.incarnation, INCARNATION)
  writeU53(frame, identity.lsn, LSN)
}

function writeU53(buffer: Buffer, value: number, at: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, `${value} is no unsigned 53-bit integer`)
  buffer.writeUInt32LE(value % 2 ** 32, at)
  buffer.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4)
}

/** NaN-free: a value of more than 53 bits reads as -1, which no check accepts. */
function readU53(buffer: Buffer, at: number): number {
  const value = buffer.readUInt32LE(at) + buffer.readUInt32LE(at + 4) * 2 ** 32
  return Number.isSafeInteger(value) ? value : -1
}
