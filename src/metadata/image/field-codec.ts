/**
 * The fields of mutations as bytes, one method per field type (mutation-fields.ts). Integers are varints: seven bits a byte, low
 * ones first, at most eight bytes, the shortest form only; seconds zigzag first. Strings are a varint of their length in bytes, and
 * the bytes. The writer refuses what a field may not hold (`FieldFault`: a bug of the caller), the reader takes exactly what the
 * writer makes (MatrixError 'journal-damaged').
 */
import { isUtf8 } from 'node:buffer'
import { MatrixError } from '../../base/errors.ts'
import { MAX_SLOTS } from '../../base/limits.ts'
import type { FileType } from './mutation.ts'
import { type FieldType, isFieldValue } from './mutation-fields.ts'

/** A value that its field may not hold. */
export const FIELD_FAULT = Symbol('field fault')

const SEVEN_BITS = 128
/** Below this, bit operations are exact. */
const INT31 = 2 ** 31
const U32_MAX = 2 ** 32 - 1
const NANOS_MAX = 999_999_999
const MODE_MAX = 0o7777
const TYPE_MAX = 7
const VARINT_BYTES_MAX = 8
/** Of 2^52-1, the largest int. */
const ZIGZAG_MAX = 2 ** 53 - 2

/** A buffer that grows; each method throws FIELD_FAULT before it has written anything of the value. */
export class FieldWriter {
  #buffer: Buffer
  #length = 0

  constructor(initialBytes: number) {
    this.#buffer = Buffer.allocUnsafe(initialBytes)
  }

  get length(): number {
    return this.#length
  }

  /** What was written; valid until the next change. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  truncate(length: number): void {
    this.#length = length
  }

  code(code: number): void {
    this.#reserve(1)
    this.#buffer[this.#length++] = code
  }

  uint(value: number): void {
    this.#number(value, Number.MAX_SAFE_INTEGER)
  }

  positive(value: number): void {
    if (value === 0) throw FIELD_FAULT
    this.#number(value, Number.MAX_SAFE_INTEGER)
  }

  int(value: number): void {
    this.#number(value >= 0 ? value * 2 : -value * 2 - 1, ZIGZAG_MAX)
  }

  u32(value: number): void {
    this.#number(value, U32_MAX)
  }

  nanos(value: number): void {
    this.#number(value, NANOS_MAX)
  }

  mode(value: number): void {
    this.#number(value, MODE_MAX)
  }

  type(value: number): void {
    if (value === 0) throw FIELD_FAULT
    this.#number(value, TYPE_MAX)
  }

  slot(value: number): void {
    this.#number(value, MAX_SLOTS - 1)
  }

  flag(value: boolean): void {
    if (typeof value !== 'boolean') throw FIELD_FAULT
    this.#number(value ? 1 : 0, 1)
  }

  name(value: string): void {
    if (!isFieldValue('name', value)) throw FIELD_FAULT
    this.#string(value, value.length, 'latin1')
  }

  target(value: string): void {
    if (value !== '' && !isFieldValue('target', value)) throw FIELD_FAULT
    this.#string(value, value.length, 'latin1')
  }

  text(value: string): void {
    if (!isFieldValue('text', value)) throw FIELD_FAULT
    this.#string(value, Buffer.byteLength(value), 'utf8')
  }

  #number(value: number, max: number): void {
    if (!(value >= 0 && value <= max && Number.isInteger(value))) throw FIELD_FAULT
    this.#reserve(VARINT_BYTES_MAX)
    const buffer = this.#buffer
    while (value >= INT31) {
      const high = Math.floor(value / SEVEN_BITS)
      buffer[this.#length++] = value - high * SEVEN_BITS + SEVEN_BITS
      value = high
    }
    let low = value | 0
    while (low >= SEVEN_BITS) {
      buffer[this.#length++] = (low & 0x7f) | 0x80
      low >>= 7
    }
    buffer[this.#length++] = low
  }

  #string(value: string, bytes: number, encoding: 'latin1' | 'utf8'): void {
    this.#number(bytes, INT31)
    this.#reserve(bytes)
    if (bytes > 0) this.#length += this.#buffer.write(value, this.#length, encoding)
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return
    const larger = Buffer.allocUnsafe(2 * (this.#length + bytes))
    this.#buffer.copy(larger, 0, 0, this.#length)
    this.#buffer = larger
  }
}

export class FieldReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  /** Bytes not read yet. */
  get left(): number {
    return this.#bytes.length - this.#at
  }

  /** 0 at the end, which is no code. */
  code(): number {
    return this.#bytes[this.#at++] ?? 0
  }

  uint(): number {
    const bytes = this.#bytes
    let value = bytes[this.#at++]
    if (value === undefined) throw damaged('it ends within a number')
    if (value < SEVEN_BITS) return value
    value -= SEVEN_BITS
    let scale = SEVEN_BITS
    for (let i = 1; i < VARINT_BYTES_MAX; i++) {
      const byte = bytes[this.#at++]
      if (byte === undefined) throw damaged('it ends within a number')
      value += (byte & 0x7f) * scale
      if (byte < SEVEN_BITS) {
        if (byte === 0) throw damaged('a number is not in its shortest form')
        if (!Number.isSafeInteger(value)) throw damaged('a number is too large')
        return value
      }
      scale *= SEVEN_BITS
    }
    throw damaged('a number is too long')
  }

  positive(): number {
    return this.#within('positive', this.uint(), 1, Number.MAX_SAFE_INTEGER)
  }

  int(): number {
    const value = this.uint()
    const signed = value % 2 === 0 ? value / 2 : -(value + 1) / 2
    if (!isFieldValue('int', signed)) throw damaged(`${signed} is no int`)
    return signed
  }

  u32(): number {
    return this.#within('u32', this.uint(), 0, U32_MAX)
  }

  nanos(): number {
    return this.#within('nanos', this.uint(), 0, NANOS_MAX)
  }

  mode(): number {
    return this.#within('mode', this.uint(), 0, MODE_MAX)
  }

  type(): FileType {
    return this.#within('type', this.uint(), 1, TYPE_MAX) as FileType
  }

  slot(): number {
    return this.#within('slot', this.uint(), 0, MAX_SLOTS - 1)
  }

  flag(): boolean {
    return this.#within('flag', this.uint(), 0, 1) === 1
  }

  name(): string {
    return this.#string('name')
  }

  target(): string {
    if (this.#bytes[this.#at] !== 0) return this.#string('target')
    this.#at++
    return ''
  }

  text(): string {
    return this.#string('text')
  }

  #within(type: FieldType, value: number, min: number, max: number): number {
    if (value < min || value > max) throw damaged(`${value} is no ${type}`)
    return value
  }

  #string(type: 'name' | 'target' | 'text'): string {
    const length = this.uint()
    if (length > this.left) throw damaged('it ends within a string')
    const from = this.#at
    this.#at += length
    if (type === 'text' && !isUtf8(this.#bytes.subarray(from, this.#at))) throw damaged('a text is not UTF-8')
    const value =
      type === 'text' ? this.#bytes.toString('utf8', from, this.#at) : this.#bytes.toString('latin1', from, this.#at)
    if (!isFieldValue(type, value)) throw damaged(`${JSON.stringify(value)} is no ${type}`)
    return value
  }
}

export function damaged(why: string): MatrixError {
  return new MatrixError('journal-damaged', `mutations of a journal frame cannot be read: ${why}`)
}
