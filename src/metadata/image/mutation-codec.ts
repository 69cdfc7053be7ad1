/**
 * Mutations as bytes (docs/formats/journal.md): one code byte, then the fields in the table's order (field-codec.ts). Decoding is
 * strict: whatever encoding would not have made is damage.
 */
import { assert, InvariantError } from '../../base/assert.ts'
import { damaged, FIELD_FAULT, FieldReader, FieldWriter } from './field-codec.ts'
import { readHot, writeHot } from './hot-mutations.ts'
import type { Mutation } from './mutation.ts'
import { type Field, faultOf, fieldsOf, type MutationOp, mutationTable } from './mutation-fields.ts'

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

/** Mutations are written one after another. */
export class MutationEncoder {
  readonly #writer: FieldWriter

  constructor(initialBytes = 64 * 1024) {
    this.#writer = new FieldWriter(initialBytes)
  }

  get length(): number {
    return this.#writer.length
  }

  /** What was written; valid until the next change. */
  get bytes(): Buffer {
    return this.#writer.bytes
  }

  /** Forgets everything after the first `length` bytes. */
  truncate(length: number): void {
    assert(length <= this.length, 'an encoder cannot be cut longer')
    this.#writer.truncate(length)
  }

  /** Appends a mutation; asserts that its fields have the table's types and ranges, and else appends nothing. */
  write(mutation: Mutation): void {
    const mark = this.length
    const entry = mutationTable[mutation.op]
    assert(entry, `unknown mutation ${String(mutation.op)}`)
    try {
      this.#writer.code(entry.code)
      if (!writeHot(this.#writer, mutation)) writeByTable(this.#writer, mutation)
    } catch (error) {
      this.truncate(mark)
      throw error === FIELD_FAULT ? new InvariantError(faultOf(mutation) ?? 'a field cannot be written') : error
    }
  }
}

/** Decodes exactly `count` mutations that fill `bytes`; throws MatrixError 'journal-damaged'. */
export function decodeMutations(bytes: Buffer, count: number): Mutation[] {
  const out: Mutation[] = []
  const reader = new FieldReader(bytes)
  for (let i = 0; i < count; i++) {
    const op = byCode[reader.code()]?.op
    if (!op) throw damaged(`mutation ${i} has an unknown code`)
    out.push(readHot(reader, op) ?? readByTable(reader, op))
  }
  if (reader.left !== 0) throw damaged(`${reader.left} bytes follow the last mutation`)
  return out
}

/** The fields of any mutation, without its code. */
export function writeByTable(writer: FieldWriter, mutation: Mutation): void {
  const record = fieldsOf(mutation)
  for (const [name, type] of mutationTable[mutation.op].fields) writer[type](record[name] as never)
}

export function readByTable(reader: FieldReader, op: MutationOp): Mutation {
  const record: Record<string, unknown> = {}
  for (const [name, type] of mutationTable[op].fields) record[name] = reader[type]()
  return (op === 'putInode' ? { op, inode: record } : { op, ...record }) as Mutation
}
