/**
 * The reply under construction: header, encoded part and pieces of data that leave behind it in the same write. There is one for
 * all requests of a mount: a reply is built and written within one turn.
 */
import { assert } from '../../base/assert.ts'
import { offsetsOf, outHeader } from './layouts.ts'

const at = offsetsOf(outHeader)
const WORD = 2 ** 32
/** Room for the largest encoded part: a listing. */
const REPLY_BYTES = 1024 * 1024 + 4096

export class Reply {
  readonly bytes = Buffer.alloc(REPLY_BYTES)
  readonly #view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length)
  /** Where the next byte goes. */
  at = 0
  #pieces: Buffer[] = []
  #pieceBytes = 0

  begin(): this {
    this.at = outHeader.size
    this.#pieces = []
    this.#pieceBytes = 0
    return this
  }

  /** Takes the next `size` bytes, zeroed, and returns where they begin. */
  take(size: number): number {
    const start = this.at
    this.at += size
    assert(this.at <= this.bytes.length, 'a reply fits its buffer')
    this.bytes.fill(0, start, this.at)
    return start
  }

  u16(offset: number, value: number): void {
    this.#view.setUint16(offset, value, true)
  }

  u32(offset: number, value: number): void {
    this.#view.setUint32(offset, value, true)
  }

  /** Of any sign. */
  u64(offset: number, value: number): void {
    this.#view.setUint32(offset, value >>> 0, true)
    this.#view.setInt32(offset + 4, Math.floor(value / WORD), true)
  }

  /** A byte string. */
  text(text: string): void {
    const start = this.take(text.length)
    this.bytes.write(text, start, 'latin1')
  }

  /** `length` bytes of data, in pieces that stay as they are until this reply is written. */
  attach(pieces: readonly Buffer[], length: number): void {
    let left = length
    for (const piece of pieces) {
      const bytes = piece.length <= left ? piece : piece.subarray(0, left)
      if (bytes.length === 0) break
      this.#pieces.push(bytes)
      left -= bytes.length
    }
    assert(left === 0, 'the pieces hold what was promised')
    this.#pieceBytes = length
  }

  /** Completes the header. `error`: errno, 0 for none. What is returned is to be written at once, in one write. */
  end(uniqueLow: number, uniqueHigh: number, error: number): readonly Buffer[] {
    if (error !== 0) this.begin()
    this.#view.setUint32(at.len, this.at + this.#pieceBytes, true)
    this.#view.setInt32(at.error, -error, true)
    this.#view.setUint32(at.unique, uniqueLow, true)
    this.#view.setUint32(at.unique + 4, uniqueHigh, true)
    return [this.bytes.subarray(0, this.at), ...this.#pieces]
  }
}
