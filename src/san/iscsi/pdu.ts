/**
 * PDUs of iSCSI (RFC 7143, 11): a basic header segment of 48 bytes, big-endian, and a data segment padded to 4 bytes; each with a CRC-32C
 * behind it, least significant byte first, where that was negotiated.
 *
 *     0 opcode (40h: immediate)   1 flags   4 length of additional headers (none here)   5…7 length of the data
 *     8…15 LUN, or as the opcode says       16 initiator task tag                        20…47 as the opcode says
 */
import { assert } from '../../base/assert.ts'
import { crc32c } from '../../base/crc32c.ts'
import { MatrixError } from '../../base/errors.ts'

export const BHS_BYTES = 48
/** A tag that stands for none. */
export const NO_TAG = 0xffffffff
export const IMMEDIATE = 0x40

/** Of what an initiator sends. */
export const requestOpcode = {
  nopOut: 0x00,
  command: 0x01,
  login: 0x03,
  text: 0x04,
  dataOut: 0x05,
  logout: 0x06,
  taskManagement: 0x02,
} as const

/** Of what a target sends. */
export const responseOpcode = {
  nopIn: 0x20,
  response: 0x21,
  taskManagement: 0x22,
  login: 0x23,
  text: 0x24,
  dataIn: 0x25,
  logout: 0x26,
  r2t: 0x31,
  async: 0x32,
  reject: 0x3f,
} as const

export type Pdu = { readonly bhs: Buffer; readonly data: Buffer }

export type Digests = { readonly header: boolean; readonly data: boolean }

export function newBhs(opcode: number, flags: number, tag: number): Buffer {
  const bhs = Buffer.alloc(BHS_BYTES)
  bhs[0] = opcode
  bhs[1] = flags
  bhs.writeUInt32BE(tag, 16)
  return bhs
}

export function opcodeOf({ bhs }: Pdu): number {
  return bhs[0]! & 0x3f
}

export function tagOf({ bhs }: Pdu): number {
  return bhs.readUInt32BE(16)
}

/** The buffers of one PDU in order. Writes the length of `data` into `bhs`. */
export function encodePdu(bhs: Buffer, data: readonly Uint8Array[], digests: Digests): Uint8Array[] {
  let length = 0
  for (const part of data) length += part.length
  assert(length < 2 ** 24, `a data segment of ${length} bytes`)
  bhs.writeUIntBE(length, 5, 3)
  const buffers: Uint8Array[] = [bhs]
  if (digests.header) buffers.push(digest(crc32c(bhs)))
  if (length === 0) return buffers
  buffers.push(...data)
  const padding = Buffer.alloc(-length & 3)
  if (padding.length > 0) buffers.push(padding)
  if (digests.data) buffers.push(digest([...data, padding].reduce((crc, part) => crc32c(part, crc), 0)))
  return buffers
}

function digest(crc: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32LE(crc)
  return bytes
}

/** Finds PDUs in a stream. What lies within one chunk is not copied. */
export class PduReader {
  /** Of PDUs from now on. */
  digests: Digests = { header: false, data: false }
  readonly #maxData: number
  readonly #onPdu: (pdu: Pdu) => void
  #bhs: Buffer | undefined
  /** A part that has not arrived whole. */
  #partial: Buffer | undefined
  #filled = 0

  /** `maxData`: longest data segment that the target may send, as was declared. */
  constructor(maxData: number, onPdu: (pdu: Pdu) => void) {
    this.#maxData = maxData
    this.#onPdu = onPdu
  }

  /** Takes the next bytes of the stream. Throws MatrixError 'protocol' for what cannot be: nothing after it can be trusted. */
  push(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      const length = this.#wanted()
      let part: Buffer
      if (!this.#partial && chunk.length - at >= length) {
        part = chunk.subarray(at, at + length)
        at += length
      } else {
        this.#partial ??= Buffer.allocUnsafe(length)
        const taken = chunk.copy(this.#partial, this.#filled, at)
        this.#filled += taken
        at += taken
        if (this.#filled < this.#partial.length) return
        part = this.#partial
        this.#partial = undefined
        this.#filled = 0
      }
      this.#take(part)
    }
  }

  #wanted(): number {
    if (this.#partial) return this.#partial.length
    if (!this.#bhs) return BHS_BYTES + (this.digests.header ? 4 : 0)
    return padded(this.#bhs) + (this.digests.data ? 4 : 0)
  }

  #take(part: Buffer): void {
    const bhs = this.#bhs
    if (bhs) {
      const end = padded(bhs)
      if (this.digests.data) check(part, end, 'data')
      this.#bhs = undefined
      this.#onPdu({ bhs, data: part.subarray(0, bhs.readUIntBE(5, 3)) })
      return
    }
    if (this.digests.header) check(part, BHS_BYTES, 'header')
    const length = part.readUIntBE(5, 3)
    if (length > this.#maxData)
      throw new MatrixError('protocol', `the target announced ${length} bytes in one PDU; ${this.#maxData} are allowed`)
    if (part[4] !== 0) throw new MatrixError('protocol', 'the target sent an additional header; none was asked for')
    if (length === 0) this.#onPdu({ bhs: part.subarray(0, BHS_BYTES), data: Buffer.alloc(0) })
    else this.#bhs = part.subarray(0, BHS_BYTES)
  }
}

function padded(bhs: Buffer): number {
  return (bhs.readUIntBE(5, 3) + 3) & ~3
}

function check(part: Buffer, end: number, what: string): void {
  if (crc32c(part.subarray(0, end)) !== part.readUInt32LE(end))
    throw new MatrixError('protocol', `the ${what} digest of a PDU is wrong: it was damaged on its way`)
}

/** Whether `a` comes after `b`, as serial numbers of 32 bits do (RFC 1982). */
export function isAfter(a: number, b: number): boolean {
  return a !== b && (a - b) >>> 0 < 2 ** 31
}

export function next(serial: number): number {
  return (serial + 1) >>> 0
}
