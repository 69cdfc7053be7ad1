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

const PADDINGS = [0, 1, 2, 3].map((bytes) => Buffer.alloc(bytes))

/** Who is at the other end, for messages. */
export type Peer = 'target' | 'initiator'

export type Digests = { readonly header: boolean; readonly data: boolean }

export function newBhs(opcode: number, flags: number, tag: number): Buffer {
  const bhs = Buffer.allocUnsafe(BHS_BYTES).fill(0) // of the pool: an allocation of its own costs more than all the rest
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
  const padding = PADDINGS[-length & 3]!
  if (padding.length > 0) buffers.push(padding)
  if (digests.data) buffers.push(digest([...data, padding].reduce((crc, part) => crc32c(part, crc), 0)))
  return buffers
}

function digest(crc: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32LE(crc)
  return bytes
}

/** A data segment of which no more is missing is not worth a read of its own, bytes. */
const MIN_DIRECT = 16 * 1024
/** Read at a time while long data segments are due: enough for a header, so that nearly all of the data is read to its place. */
const SMALL_READ = 4 * 1024
/** Padding and digest. */
const MAX_TRAILER = 8

/**
 * Finds PDUs in a stream. What lies within one chunk is handed on as it lies there. A data segment that does not is gathered where `placeOf`
 * says it belongs, and what is still to come of it can be read right to there (`place`, `placed`).
 */
export class PduReader {
  /** Of PDUs from now on. */
  digests: Digests = { header: false, data: false }
  readonly #maxData: number
  readonly #onPdu: (pdu: Pdu) => void
  readonly #peer: Peer
  readonly #placeOf: (bhs: Buffer, bytes: number) => Buffer | undefined
  readonly #small = Buffer.alloc(SMALL_READ)
  /** The last data segment was long, so the next is likely to be. */
  #isLongDue = false
  readonly #header = Buffer.alloc(BHS_BYTES + 4)
  #headerFilled = 0
  /** The PDU whose data is being gathered. */
  #bhs: Buffer | undefined
  #data: Buffer = Buffer.alloc(0)
  readonly #trailer = Buffer.alloc(MAX_TRAILER)
  #trailerBytes = 0
  /** Of data and trailer. */
  #filled = 0

  /**
   * `maxData`: longest data segment that the peer may send, as was declared. `placeOf`: where the data of the PDU with this header belongs, if
   * anywhere. A PDU is valid only during `onPdu`, but for data that was put where it belongs.
   */
  constructor(
    maxData: number,
    onPdu: (pdu: Pdu) => void,
    peer: Peer = 'target',
    placeOf: (bhs: Buffer, bytes: number) => Buffer | undefined = () => undefined,
  ) {
    this.#maxData = maxData
    this.#onPdu = onPdu
    this.#peer = peer
    this.#placeOf = placeOf
  }

  /** Where the next bytes of the stream belong, when there are enough of them to come; or a small place for the header before them. */
  place(): Buffer | undefined {
    if (!this.#bhs) return this.#isLongDue ? this.#small : undefined
    const missing = this.#data.length - this.#filled
    return missing >= MIN_DIRECT ? this.#data.subarray(this.#filled) : undefined
  }

  /** So many bytes were put to `place`. */
  placed(bytes: number): void {
    if (!this.#bhs) {
      this.push(this.#small.subarray(0, bytes))
      return
    }
    this.#filled += bytes
    assert(this.#filled <= this.#data.length, 'bytes were put where there was a place')
    this.#endData()
  }

  /** Takes the next bytes of the stream. Throws MatrixError 'protocol' for what cannot be: nothing after it can be trusted. */
  push(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) at = this.#bhs ? this.#takeData(chunk, at) : this.#takeHeader(chunk, at)
  }

  #takeHeader(chunk: Buffer, from: number): number {
    const length = BHS_BYTES + (this.digests.header ? 4 : 0)
    let header: Buffer
    let at = from
    if (this.#headerFilled === 0 && chunk.length - at >= length) {
      header = chunk.subarray(at, (at += length))
    } else {
      const taken = chunk.copy(this.#header, this.#headerFilled, at, at + length - this.#headerFilled)
      this.#headerFilled += taken
      at += taken
      if (this.#headerFilled < length) return at
      this.#headerFilled = 0
      header = Buffer.from(this.#header)
    }
    if (this.digests.header) check(header.subarray(0, BHS_BYTES), header.readUInt32LE(BHS_BYTES), 'header')
    const bhs = header.subarray(0, BHS_BYTES)
    const bytes = bhs.readUIntBE(5, 3)
    if (bytes > this.#maxData)
      throw new MatrixError(
        'protocol',
        `the ${this.#peer} announced ${bytes} bytes in one PDU; ${this.#maxData} are allowed`,
      )
    if (bhs[4] !== 0)
      throw new MatrixError('protocol', `the ${this.#peer} sent an additional header; none was asked for`)
    if (bytes === 0) {
      this.#onPdu({ bhs, data: NO_DATA })
      return at
    }
    const trailerBytes = (-bytes & 3) + (this.digests.data ? 4 : 0)
    this.#isLongDue = bytes >= MIN_DIRECT + SMALL_READ
    if (chunk.length - at >= bytes + trailerBytes) {
      const data = chunk.subarray(at, at + bytes)
      this.#finish(bhs, data, chunk.subarray(at + bytes, at + bytes + trailerBytes))
      return at + bytes + trailerBytes
    }
    this.#bhs = Buffer.from(bhs)
    this.#data = this.#placeOf(bhs, bytes) ?? Buffer.allocUnsafe(bytes)
    assert(this.#data.length === bytes, 'data is put where it belongs')
    this.#trailerBytes = trailerBytes
    this.#filled = 0
    return at
  }

  #takeData(chunk: Buffer, from: number): number {
    let at = from
    const length = this.#data.length
    if (this.#filled < length) {
      const taken = chunk.copy(this.#data, this.#filled, at)
      this.#filled += taken
      at += taken
    }
    if (this.#filled >= length) {
      const had = this.#filled - length
      const taken = chunk.copy(this.#trailer, had, at, at + this.#trailerBytes - had)
      this.#filled += taken
      at += taken
    }
    this.#endData()
    return at
  }

  #endData(): void {
    const bhs = this.#bhs
    if (!bhs || this.#filled < this.#data.length + this.#trailerBytes) return
    const data = this.#data
    this.#bhs = undefined
    this.#data = NO_DATA
    this.#finish(bhs, data, this.#trailer.subarray(0, this.#trailerBytes))
  }

  #finish(bhs: Buffer, data: Buffer, trailer: Buffer): void {
    if (this.digests.data) {
      const end = trailer.length - 4
      check(data, trailer.readUInt32LE(end), 'data', trailer.subarray(0, end))
    }
    this.#onPdu({ bhs, data })
  }
}

const NO_DATA = Buffer.alloc(0)

function check(bytes: Buffer, crc: number, what: string, padding: Buffer = NO_DATA): void {
  const found = padding.length > 0 ? crc32c(padding, crc32c(bytes)) : crc32c(bytes)
  if (found !== crc)
    throw new MatrixError('protocol', `the ${what} digest of a PDU is wrong: it was damaged on its way`)
}

/** Whether `a` comes after `b`, as serial numbers of 32 bits do (RFC 1982). */
export function isAfter(a: number, b: number): boolean {
  return a !== b && (a - b) >>> 0 < 2 ** 31
}

export function next(serial: number): number {
  return (serial + 1) >>> 0
}
