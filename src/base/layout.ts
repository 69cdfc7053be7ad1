/**
 * Byte layouts declared as tables: offset, encoder, decoder and the table in docs/formats all come from one declaration.
 * Little-endian. For the rare records (labels, leases, heads); what is hot is laid out by hand and tested against one of these.
 *
 * A sealed block wraps a body so that a reader can tell what it holds before trusting a byte of it:
 *
 *     offset size  name
 *          0    8  magic     what it is, ASCII
 *          8    4  version   of the body's format; zero is never valid
 *         12    4  length    of header and body, bytes
 *         16    4  crc       CRC-32C of the whole length, with this field zero
 *         20    4  reserved  zero
 *         24       body
 */
import { assert } from './assert.ts'
import { crc32c } from './crc32c.ts'
import { MatrixError } from './errors.ts'

type NumberType = 'u8' | 'u16' | 'u32' | 'i32' | 'u53'
type SizedType = 'bytes' | 'utf8' | 'reserved'

/** One row of a layout. `u53`: 8 bytes, a safe integer. `utf8`: padded with NUL. `uuid`: 16 bytes. `reserved`: zeroes, no value. */
export type Field = { readonly name: string; readonly meaning?: string } & (
  | { readonly type: NumberType | 'uuid' }
  | { readonly type: SizedType; readonly size: number }
)

type ValueOf<T extends Field['type']> = T extends NumberType ? number : T extends 'bytes' ? Uint8Array : string

/** The record that a table of fields describes. */
export type RecordOf<Fields extends readonly Field[]> = {
  -readonly [F in Exclude<Fields[number], { type: 'reserved' }> as F['name']]: ValueOf<F['type']>
}

/** A row of the documentation. */
export type FieldRow = {
  readonly offset: number
  readonly size: number
  readonly name: string
  readonly type: Field['type']
  readonly meaning: string
}

export interface Layout<R> {
  /** Bytes of one record. */
  readonly size: number
  /** A new buffer of `size` bytes. */
  encode(record: R): Buffer
  /** Writes `record` into `buffer` at `at`; what does not fit its field is a bug of the caller (`InvariantError`). */
  encodeInto(buffer: Buffer, at: number, record: R): void
  /** Reads a record; MatrixError 'protocol' when bytes are missing or a number is no safe integer. `bytes` fields are views. */
  decode(buffer: Buffer, at?: number): R
  /** Byte offset of a field from the beginning of the record. */
  offsetOf(name: keyof R & string): number
  describe(): readonly FieldRow[]
}

const sizes: Record<NumberType | 'uuid', number> = { u8: 1, u16: 2, u32: 4, i32: 4, u53: 8, uuid: 16 }

export function defineLayout<const Fields extends readonly Field[]>(fields: Fields): Layout<RecordOf<Fields>> {
  let size = 0
  const rows: FieldRow[] = fields.map((field) => {
    const row = {
      offset: size,
      size: 'size' in field ? field.size : sizes[field.type],
      name: field.name,
      type: field.type,
      meaning: field.meaning ?? '',
    }
    size += row.size
    return row
  })
  assert(new Set(rows.map((row) => row.name)).size === rows.length, 'a layout names a field twice')

  const encodeInto = (buffer: Buffer, at: number, record: Record<string, unknown>): void => {
    assert(at >= 0 && at + size <= buffer.length, `no room for a record of ${size} bytes`)
    for (const row of rows) encodeField(buffer, at + row.offset, row, record[row.name])
  }
  const layout: Layout<Record<string, unknown>> = {
    size,
    encodeInto,
    encode(record) {
      const buffer = Buffer.alloc(size)
      encodeInto(buffer, 0, record)
      return buffer
    },
    decode(buffer, at = 0) {
      if (at < 0 || at + size > buffer.length) {
        throw new MatrixError('protocol', `a record of ${size} bytes at ${at} exceeds its buffer of ${buffer.length}`)
      }
      const record: Record<string, unknown> = {}
      for (const row of rows) if (row.type !== 'reserved') record[row.name] = decodeField(buffer, at + row.offset, row)
      return record
    },
    offsetOf(name) {
      const row = rows.find((candidate) => candidate.name === name)
      assert(row, `no field ${name}`)
      return row.offset
    },
    describe: () => rows,
  }
  return layout as unknown as Layout<RecordOf<Fields>>
}

function encodeField(buffer: Buffer, at: number, row: FieldRow, value: unknown): void {
  const bad = () => `${row.name}: ${String(value)} does not fit ${row.type} of ${row.size} bytes`
  switch (row.type) {
    case 'u8':
    case 'u16':
    case 'u32':
      assert(isInteger(value) && value >= 0 && value < 2 ** (8 * row.size), bad())
      buffer.writeUIntLE(value, at, row.size)
      return
    case 'i32':
      assert(isInteger(value) && value >= -(2 ** 31) && value < 2 ** 31, bad())
      buffer.writeInt32LE(value, at)
      return
    case 'u53':
      assert(isInteger(value) && value >= 0, bad())
      buffer.writeUInt32LE(value % 2 ** 32, at)
      buffer.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4)
      return
    case 'uuid':
      assert(typeof value === 'string' && isUuid(value), bad())
      buffer.write(value.replaceAll('-', ''), at, 'hex')
      return
    case 'bytes':
      assert(value instanceof Uint8Array && value.length === row.size, `${row.name}: not ${row.size} bytes`)
      buffer.set(value, at)
      return
    case 'utf8':
      assert(typeof value === 'string' && Buffer.byteLength(value) <= row.size && !value.includes('\0'), bad())
      buffer.fill(0, at, at + row.size)
      buffer.write(value, at)
      return
    case 'reserved':
      buffer.fill(0, at, at + row.size)
      return
  }
}

function decodeField(buffer: Buffer, at: number, row: FieldRow): number | string | Uint8Array {
  switch (row.type) {
    case 'u8':
    case 'u16':
    case 'u32':
      return buffer.readUIntLE(at, row.size)
    case 'i32':
      return buffer.readInt32LE(at)
    case 'u53': {
      const value = buffer.readUInt32LE(at) + buffer.readUInt32LE(at + 4) * 2 ** 32
      if (!Number.isSafeInteger(value)) throw new MatrixError('protocol', `${row.name} is above 2^53`)
      return value
    }
    case 'uuid': {
      const hex = buffer.toString('hex', at, at + 16)
      return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
    }
    case 'utf8': {
      const end = buffer.subarray(at, at + row.size).indexOf(0)
      return buffer.toString('utf8', at, at + (end < 0 ? row.size : end))
    }
    default:
      return buffer.subarray(at, at + row.size)
  }
}

function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)
}

/** The header of every sealed block. */
export const sealHeader = defineLayout([
  { name: 'magic', type: 'bytes', size: 8, meaning: 'what the block is, ASCII' },
  { name: 'version', type: 'u32', meaning: 'of the body’s format; never zero' },
  { name: 'length', type: 'u32', meaning: 'of header and body, bytes' },
  { name: 'crc', type: 'u32', meaning: 'CRC-32C of the whole length, with this field zero' },
  { name: 'reserved', type: 'reserved', size: 4, meaning: 'zero' },
])

/** What a kind of sealed block is called on disk (eight ASCII characters) and the newest version this program knows. */
export type SealFormat = { readonly magic: string; readonly version: number }

/** `blank`: all zero. `other`: not this kind of block. `newer`: intact, but of a version this program does not know. */
export type Unsealed =
  | { readonly kind: 'ok'; readonly version: number; readonly body: Buffer }
  | { readonly kind: 'blank' | 'other' }
  | { readonly kind: 'newer'; readonly version: number }
  | { readonly kind: 'damaged'; readonly why: string }

/** Header and body in one buffer, zero-padded to a multiple of `padTo` bytes. */
export function seal(format: SealFormat, body: Uint8Array, padTo = 1): Buffer {
  const length = sealHeader.size + body.length
  const block = Buffer.alloc(Math.ceil(length / padTo) * padTo)
  const magic = Buffer.from(format.magic, 'latin1')
  sealHeader.encodeInto(block, 0, { magic, version: format.version, length, crc: 0 })
  block.set(body, sealHeader.size)
  block.writeUInt32LE(crc32c(block.subarray(0, length)), sealHeader.offsetOf('crc'))
  return block
}

/** Judges `block` without trusting any of it; the body is a view. Leaves the block as it was. */
export function unseal(format: SealFormat, block: Buffer): Unsealed {
  if (block.length < sealHeader.size || block.toString('latin1', 0, 8) !== format.magic) {
    return { kind: isZero(block) ? 'blank' : 'other' }
  }
  const { version, length, crc } = sealHeader.decode(block)
  if (length < sealHeader.size || length > block.length) return { kind: 'damaged', why: `impossible length ${length}` }
  const crcAt = sealHeader.offsetOf('crc')
  let actual = crc32c(block.subarray(0, crcAt))
  actual = crc32c(Buffer.alloc(4), actual)
  actual = crc32c(block.subarray(crcAt + 4, length), actual)
  if (actual !== crc) return { kind: 'damaged', why: 'checksum mismatch' }
  if (version === 0) return { kind: 'damaged', why: 'version zero' }
  if (version > format.version) return { kind: 'newer', version }
  return { kind: 'ok', version, body: block.subarray(sealHeader.size, length) }
}

const ZEROES = Buffer.alloc(4096)

function isZero(block: Buffer): boolean {
  for (let at = 0; at < block.length; at += ZEROES.length) {
    const part = block.subarray(at, at + ZEROES.length)
    if (part.compare(ZEROES, 0, part.length) !== 0) return false
  }
  return true
}
