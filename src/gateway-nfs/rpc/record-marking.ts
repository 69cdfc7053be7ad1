/**
 * RPC records on a byte stream (RFC 5531 11): a record is one or more fragments, each with four bytes before it, whose top bit says
 * "last fragment" and whose other 31 bits are the fragment's length.
 *
 * Invariants:
 *  1. A record that lies whole in one received chunk is handed over in place: no copy, no allocation.
 *  2. Any other is gathered in one buffer that is used again for the next; it grows with what was received, never with
 *     what a stranger promised.
 *  3. The handler is done with the bytes when it returns, and so is the reader with the chunk.
 *  4. When the handler answers false, a copy of the rest of the chunk waits until `resume`.
 */
import { FRAGMENTS_MAX, RECORD_MAX } from '../limits.ts'

const LAST_FRAGMENT = 0x80000000
const FIRST_GATHER_BYTES = 4096

/** Takes bytes.subarray(start, end); false means "no more for now". */
export type RecordHandler = (bytes: Buffer, start: number, end: number) => boolean

/** The stream is not RPC: the connection is of no more use. */
export class RecordError extends Error {
  override readonly name = 'RecordError'
}

export class RecordReader {
  readonly #handler: RecordHandler
  /** The chunk being taken apart, and how far it is. */
  #chunk: Buffer | undefined
  #at = 0
  /** The fragment header gathered so far: bytes of it, and its value. */
  #headerBytes = 0
  #header = 0
  /** Bytes of the current fragment that are still to come; -1 while in its header. */
  #missing = -1
  #last = false
  #fragments = 0
  /** Bytes gathered of a record that came in pieces. */
  #gathered = 0
  #gather = Buffer.alloc(0)

  constructor(handler: RecordHandler) {
    this.#handler = handler
  }

  /** True when part of a record has arrived and the rest has not. */
  get halfway(): boolean {
    return this.#headerBytes > 0 || this.#missing >= 0 || this.#fragments > 0
  }

  /** Bytes that wait since the handler said false. */
  get waiting(): number {
    return this.#chunk ? this.#chunk.length - this.#at : 0
  }

  /** Takes apart what was received; everything before must have been taken apart. Throws RecordError. True when all was. */
  push(chunk: Buffer): boolean {
    this.#chunk = chunk
    this.#at = 0
    if (this.resume()) return true
    this.#chunk = Buffer.from(chunk.subarray(this.#at))
    this.#at = 0
    return false
  }

  /** Goes on after the handler said false. True when nothing is left. Throws RecordError. */
  resume(): boolean {
    const chunk = this.#chunk
    if (!chunk) return true
    while (this.#at < chunk.length) {
      if (this.#missing < 0) this.#readHeader(chunk)
      if (this.#missing >= 0 && !this.#readFragment(chunk)) return false
    }
    this.#chunk = undefined
    return true
  }

  #readHeader(chunk: Buffer): void {
    if (this.#headerBytes === 0 && chunk.length - this.#at >= 4) {
      this.#header = chunk.readUInt32BE(this.#at)
      this.#at += 4
    } else {
      while (this.#headerBytes < 4 && this.#at < chunk.length) {
        this.#header = ((this.#header << 8) | chunk[this.#at++]!) >>> 0
        this.#headerBytes++
      }
      if (this.#headerBytes < 4) return
    }
    const header = this.#header
    this.#headerBytes = 0
    this.#header = 0
    this.#last = header >= LAST_FRAGMENT
    this.#missing = header % LAST_FRAGMENT
    this.#fragments++
    if (this.#gathered + this.#missing > RECORD_MAX) {
      throw new RecordError(`a record of ${this.#gathered + this.#missing} bytes is above the limit of ${RECORD_MAX}`)
    }
    if (this.#fragments > FRAGMENTS_MAX) throw new RecordError(`a record has more than ${FRAGMENTS_MAX} fragments`)
  }

  /** Takes what the chunk has of the current fragment; false when the handler wants no more. */
  #readFragment(chunk: Buffer): boolean {
    const start = this.#at
    const length = Math.min(this.#missing, chunk.length - start)
    const whole = length === this.#missing
    this.#at += length
    if (whole && this.#last && this.#gathered === 0) {
      this.#nextRecord()
      return this.#handler(chunk, start, start + length)
    }
    this.#keep(chunk, start, length)
    this.#missing -= length
    if (!whole) return true
    if (!this.#last) {
      this.#missing = -1
      return true
    }
    const total = this.#gathered
    this.#nextRecord()
    return this.#handler(this.#gather, 0, total)
  }

  #nextRecord(): void {
    this.#missing = -1
    this.#fragments = 0
    this.#gathered = 0
  }

  #keep(chunk: Buffer, start: number, length: number): void {
    const needed = this.#gathered + length
    if (needed > this.#gather.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(FIRST_GATHER_BYTES, 2 ** Math.ceil(Math.log2(needed))))
      this.#gather.copy(larger, 0, 0, this.#gathered)
      this.#gather = larger
    }
    chunk.copy(this.#gather, this.#gathered, start, start + length)
    this.#gathered = needed
  }
}
