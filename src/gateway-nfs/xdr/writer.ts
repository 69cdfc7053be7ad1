/**
 * Writes XDR (RFC 4506) into a buffer whose size the caller has made sure of. Writing beyond it, or a number that does not
 * fit its field, is a bug here, not bad input: it throws.
 */
import { assert } from '../../base/assert.ts'

const WORD = 2 ** 32

export class XdrWriter {
  bytes: Buffer
  view: DataView
  /** Offset of the next field. */
  at = 0

  constructor(bytes: Buffer) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  uint32(value: number): void {
    this.view.setUint32(this.at, value)
    this.at += 4
  }

  int32(value: number): void {
    this.view.setInt32(this.at, value)
    this.at += 4
  }

  /** An integer from 0 to 2^53-1 in eight bytes. */
  uint64(value: number): void {
    assert(value >= 0 && value <= Number.MAX_SAFE_INTEGER, 'a 64-bit field holds a safe integer')
    this.view.setUint32(this.at, value / WORD)
    this.view.setUint32(this.at + 4, value)
    this.at += 8
  }

  bool(value: boolean): void {
    this.uint32(value ? 1 : 0)
  }

  /** Bytes without a count, padded with zeroes to a multiple of four. */
  fixed(value: Uint8Array): void {
    this.bytes.set(value, this.at)
    this.at += value.length
    this.pad()
  }

  /** Bytes with their count. */
  opaque(value: Uint8Array): void {
    this.uint32(value.length)
    this.fixed(value)
  }

  /** A byte string (characters 0 … 255) with its count. */
  string(value: string): void {
    this.uint32(value.length)
    assert(this.at + value.length <= this.bytes.length, 'a reply has the room it was said to need')
    this.bytes.write(value, this.at, 'latin1')
    this.at += value.length
    this.pad()
  }

  /** Zeroes up to the next multiple of four, counted from the start of the buffer: records start at such multiples. */
  pad(): void {
    while ((this.at & 3) !== 0) this.bytes[this.at++] = 0
  }
}
