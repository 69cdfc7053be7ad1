/**
 * Mutations as bytes (docs/formats/journal.md): one code byte, then the fields in the table's order. Integers are varints
 * (seven bits a byte, low ones first, at most eight bytes, the shortest form only), seconds zigzag first; strings are a
 * varint of their length in bytes and the bytes. Decoding is strict: whatever encoding would not have made is damage.
 */
import { isUtf8 } from 'node:buffer'
import { assert } from '../../base/assert.ts'
import { MatrixError } from '../../base/errors.ts'
import type { Mutation } from './mutation.ts'
import { type Field, faultOf, fieldsOf, isFieldValue, type MutationOp, mutationTable } from './mutation-fields.ts'

type Entry = { readonly op: MutationOp; readonly code: number; readonly fields: readonly Field[] }

const entries: readonly Entry[] = Object.entries(mutationTable).map(([op, { code, fields }]) => ({
  op: op as MutationOp,
  code,
  fields,
}))
const byCode: readonly (Entry | undefined)[] = entries.reduce<(Entry | undefined)[]>((out, entry) => {
  out[entry.code] = entry
  return out
}, [])

const SEVEN_BITS = 128

/** A buffer that grows; mutations are written one after another. */
export class MutationEncoder {
  #buffer: Buffer
  #length = 0

  constructor(initialBytes = 64 * 1024) {
    this.#buffer = Buffer.allocUnsafe(initialBytes)
  }

  get length(): number {
    return this.#length
  }

  /** What was written; valid until the next change. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  /** Forgets everything after the first `length` bytes. */
  truncate(length: number): void {
    assert(length <= this.#length, 'an encoder cannot be cut longer')
    this.#length = length
  }

  /** Appends a mutation; asserts that its fields have the table's types and ranges. */
  write(mutation: Mutation): void {
    const fault = faultOf(mutation)
    assert(fault === undefined, fault ?? '')
    const { code, fields } = mutationTable[mutation.op]
    const record = fieldsOf(mutation)
    this.#reserve(1)
    this.#buffer[this.#length++] = code
    for (const [name, type] of fields) {
      const value = record[name]
      if (type === 'text') this.#string(value as string, 'utf8')
      else if (typeof value === 'string') this.#string(value, 'latin1')
      else this.#varint(type === 'int' ? zigzag(value as number) : (value as number))
    }
  }

  #varint(value: number): void {
    this.#reserve(8)
    const buffer = this.#buffer
    while (value >= SEVEN_BITS) {
      const high = Math.floor(value / SEVEN_BITS)
      buffer[this.#length++] = value - high * SEVEN_BITS + SEVEN_BITS
      value = high
    }
    buffer[this.#length++] = value
  }

  #string(value: string, encoding: 'latin1' | 'utf8'): void {
    const bytes = encoding === 'latin1' ? value.length : Buffer.byteLength(value)
    this.#varint(bytes)
    this.#reserve(bytes)
    this.#length += this.#buffer.write(value, this.#length, encoding)
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return
    const larger = Buffer.allocUnsafe(2 * (this.#length + bytes))
    this.#buffer.copy(larger, 0, 0, this.#length)
    this.#buffer = larger
  }
}

/** Decodes exactly `count` mutations that fill `bytes`; throws MatrixError 'journal-damaged'. */
export function decodeMutations(bytes: Buffer, count: number): Mutation[] {
  const out: Mutation[] = []
  let at = 0

  const varint = (): number => {
    let value = 0
    let scale = 1
    for (let i = 0; i < 8; i++) {
      const byte = bytes[at++]
      if (byte === undefined) throw damaged('it ends within a number')
      value += (byte % SEVEN_BITS) * scale
      if (byte < SEVEN_BITS) {
        if (byte === 0 && i > 0) throw damaged('a number is not in its shortest form')
        if (!Number.isSafeInteger(value)) throw damaged('a number is too large')
        return value
      }
      scale *= SEVEN_BITS
    }
    throw damaged('a number is too long')
  }
  const text = (encoding: 'latin1' | 'utf8'): string => {
    const length = varint()
    if (at + length > bytes.length) throw damaged('it ends within a string')
    const from = at
    at += length
    if (encoding === 'utf8' && !isUtf8(bytes.subarray(from, at))) throw damaged('a text is not UTF-8')
    return bytes.toString(encoding, from, at)
  }

  for (let i = 0; i < count; i++) {
    const entry = byCode[bytes[at++] ?? 0]
    if (!entry) throw damaged(`mutation ${i} has an unknown code`)
    const record: Record<string, unknown> = entry.op === 'putInode' ? {} : { op: entry.op }
    for (const [name, type] of entry.fields) {
      let value: unknown
      if (type === 'text') value = text('utf8')
      else if (type === 'name' || type === 'target') value = text('latin1')
      else value = type === 'int' ? unzigzag(varint()) : varint()
      if (!isFieldValue(type, value)) throw damaged(`${entry.op}.${name} is ${JSON.stringify(value)}, not ${type}`)
      record[name] = value
    }
    out.push((entry.op === 'putInode' ? { op: 'putInode', inode: record } : record) as Mutation)
  }
  if (at !== bytes.length) throw damaged(`${bytes.length - at} bytes follow the last mutation`)
  return out
}

function zigzag(value: number): number {
  return value >= 0 ? value * 2 : -value * 2 - 1
}

function unzigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2
}

function damaged(why: string): MatrixError {
  return new MatrixError('journal-damaged', `mutations of a journal frame cannot be read: ${why}`)
}
