/**
 * Reads XDR (RFC 4506: big-endian, everything a multiple of four bytes) from a record that came over the wire. Nothing is
 * believed: a field beyond the record's end or above its limit throws `XdrError`, which becomes GARBAGE_ARGS.
 *
 * A reader is reused for every record; what it returns as Buffer is a view that is valid only until the call handler returns.
 */

/** The bytes are not what the protocol says. Cheap (no stack): strangers may send as many as they like. */
export class XdrError extends Error {
  override readonly name = 'XdrError'
  constructor(message: string) {
    const limit = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    super(message)
    Error.stackTraceLimit = limit
  }
}

const EMPTY = Buffer.alloc(0)
const WORD = 2 ** 32

export class XdrReader {
  bytes: Buffer = EMPTY
  view: DataView = new DataView(EMPTY.buffer, 0, 0)
  /** Position of the next field, and where the record ends; offsets in `bytes`. */
  at = 0
  end = 0

  /** Begins to read `bytes` from `start` to `end`. */
  reset(bytes: Buffer, start: number, end: number): this {
    if (bytes !== this.bytes) {
      this.bytes = bytes
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    }
    this.at = start
    this.end = end
    return this
  }

  get remaining(): number {
    return this.end - this.at
  }

  /** Moves over `length` bytes and gives the offset where they begin. */
  skip(length: number): number {
    const at = this.at
    if (length > this.end - at) throw new XdrError('the record ends within a field')
    this.at = at + length
    return at
  }

  uint32(): number {
    return this.view.getUint32(this.skip(4))
  }

  int32(): number {
    return this.view.getInt32(this.skip(4))
  }

  /** Exact up to 2^53; larger values lose their low bits and are recognised by `Number.isSafeInteger`. */
  uint64(): number {
    const at = this.skip(8)
    return this.view.getUint32(at) * WORD + this.view.getUint32(at + 4)
  }

  bool(): boolean {
    const value = this.uint32()
    if (value > 1) throw new XdrError('a boolean is neither 0 nor 1')
    return value === 1
  }

  /** An enumeration whose values are 0 … `most`. */
  upTo(most: number): number {
    const value = this.uint32()
    if (value > most) throw new XdrError(`a value of ${value} is above ${most}, the last that there is`)
    return value
  }

  /** `length` bytes and their padding: a view. */
  fixed(length: number): Buffer {
    const at = this.skip((length + 3) & ~3)
    return this.bytes.subarray(at, at + length)
  }

  /** A counted byte sequence of at most `limit` bytes: a view. */
  opaque(limit: number): Buffer {
    return this.fixed(this.count(limit))
  }

  /** A counted byte sequence as a byte string (characters 0 … 255). */
  string(limit: number): string {
    const length = this.count(limit)
    const at = this.skip((length + 3) & ~3)
    return this.bytes.toString('latin1', at, at + length)
  }

  /** The count before a variable sequence. */
  count(limit: number): number {
    const length = this.uint32()
    if (length > limit) throw new XdrError(`a length of ${length} is above the limit of ${limit}`)
    return length
  }
}
