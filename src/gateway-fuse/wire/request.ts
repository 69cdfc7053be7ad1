/**
 * One request as it lies in the buffer of the device. It is a view: good only within the turn in which it was received, since
 * the next request overwrites it. Offsets are those of the body, after the header.
 */
import { type Ino, ROOT_INO } from '../../base/ids.ts'
import { inHeader, offsetsOf } from './layouts.ts'

const at = offsetsOf(inHeader)
const BODY = inHeader.size
const WORD = 2 ** 32

/** A message that is not what its opcode says. The kernel does not send such. */
export class MalformedRequest extends Error {
  override readonly name = 'MalformedRequest'
}

export class Request {
  readonly #bytes: Buffer
  readonly #view: DataView
  #end = 0
  /** Where the next name begins, from the start of the message. */
  #name = 0

  /** `bytes` is used for every request that `take` is told of. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  /** Another request has been read into the buffer. Throws MalformedRequest. */
  take(length: number): this {
    if (length < BODY || this.#view.getUint32(at.len, true) !== length) {
      throw new MalformedRequest(`${length} bytes are no request`)
    }
    this.#end = length
    return this
  }

  get opcode(): number {
    return this.#view.getUint32(at.opcode, true)
  }
  /** 64 bits in two halves, low half first: all of them count. */
  get uniqueLow(): number {
    return this.#view.getUint32(at.unique, true)
  }
  get uniqueHigh(): number {
    return this.#view.getUint32(at.unique + 4, true)
  }
  get ino(): Ino {
    return this.#view.getUint32(at.nodeid, true) + this.#view.getUint32(at.nodeid + 4, true) * WORD || ROOT_INO
  }
  get uid(): number {
    return this.#view.getUint32(at.uid, true)
  }
  get gid(): number {
    return this.#view.getUint32(at.gid, true)
  }
  get bodyBytes(): number {
    return this.#end - BODY
  }

  u32(offset: number): number {
    this.#check(offset + 4)
    return this.#view.getUint32(BODY + offset, true)
  }

  /** Exact up to 2^53; what is larger is no safe integer. */
  u64(offset: number): number {
    this.#check(offset + 8)
    return this.#view.getUint32(BODY + offset, true) + this.#view.getUint32(BODY + offset + 4, true) * WORD
  }

  /** 64 bits that are no number. */
  hex64(offset: number): string {
    this.#check(offset + 8)
    return this.#view.getBigUint64(BODY + offset, true).toString(16)
  }

  i64(offset: number): number {
    this.#check(offset + 8)
    return this.#view.getUint32(BODY + offset, true) + this.#view.getInt32(BODY + offset + 4, true) * WORD
  }

  /** The bytes from `offset`: a view. */
  data(offset: number, length: number): Buffer {
    this.#check(offset + length)
    return this.#bytes.subarray(BODY + offset, BODY + offset + length)
  }

  /** The first name, after a fixed part of `fixed` bytes; a byte string. */
  name(fixed = 0): string {
    this.#name = BODY + fixed
    return this.nextName()
  }

  nextName(): string {
    const end = this.#bytes.indexOf(0, this.#name)
    if (end < 0 || end >= this.#end) throw new MalformedRequest('a name does not end')
    const name = this.#bytes.toString('latin1', this.#name, end)
    this.#name = end + 1
    return name
  }

  #check(end: number): void {
    if (BODY + end > this.#end) throw new MalformedRequest(`the body has ${this.bodyBytes} bytes, not ${end}`)
  }
}
