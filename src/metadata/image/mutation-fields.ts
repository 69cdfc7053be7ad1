/**
 * The table of mutations: every field of every mutation, in the order in which it lies in a journal frame, with its type.
 * Codec (mutation-codec.ts), validation and docs/formats/journal.md all follow it. Codes are on disk: never change or reuse one; 0 is never valid.
 */
import { MAX_SLOTS, NAME_MAX, SYMLINK_MAX } from '../../base/limits.ts'
import type { Mutation } from './mutation.ts'

export type MutationOp = Mutation['op']

/** How a field is written, and which values it may have. */
export type FieldType =
  | 'uint' // integer 0 … 2^53-1, as a varint
  | 'int' // integer between -2^52 and 2^52, zigzag, as a varint: seconds before 1970 exist
  | 'positive' // integer 1 … 2^53-1
  | 'u32' // integer below 2^32
  | 'nanos' // integer below 10^9
  | 'mode' // integer 0 … 0o7777
  | 'type' // file type 1 … 7
  | 'slot' // integer below MAX_SLOTS
  | 'flag' // 0 no, 1 yes
  | 'name' // byte string of 1 … 255 bytes without NUL and '/', neither '.' nor '..'
  | 'target' // byte string of 0 … 4095 bytes without NUL
  | 'text' // Unicode text, at most SETTING_MAX bytes of UTF-8

export type Field = readonly [name: string, type: FieldType]

/** Longest key or value of a setting, bytes of UTF-8. */
export const SETTING_MAX = 16_384

export const inodeFields: readonly Field[] = [
  ['ino', 'positive'],
  ['generation', 'u32'],
  ['type', 'type'],
  ['mode', 'mode'],
  ['nlink', 'u32'],
  ['uid', 'u32'],
  ['gid', 'u32'],
  ['size', 'uint'],
  ['rdevMajor', 'u32'],
  ['rdevMinor', 'u32'],
  ['atimeS', 'int'],
  ['atimeNs', 'nanos'],
  ['mtimeS', 'int'],
  ['mtimeNs', 'nanos'],
  ['ctimeS', 'int'],
  ['ctimeNs', 'nanos'],
  ['btimeS', 'int'],
  ['btimeNs', 'nanos'],
  ['change', 'uint'],
  ['parent', 'uint'],
  ['nextCookie', 'uint'],
  ['target', 'target'],
]

const ownerFields: readonly Field[] = [
  ['ino', 'positive'],
  ['client', 'text'],
  ['owner', 'text'],
]

/** `putInode` carries its fields in `inode`; all others carry them themselves. */
export const mutationTable: Readonly<Record<MutationOp, { readonly code: number; readonly fields: readonly Field[] }>> =
  {
    putInode: { code: 1, fields: inodeFields },
    removeInode: { code: 2, fields: [['ino', 'positive']] },
    putDirent: {
      code: 3,
      fields: [
        ['dir', 'positive'],
        ['name', 'name'],
        ['cookie', 'positive'],
        ['ino', 'positive'],
        ['type', 'type'],
      ],
    },
    removeDirent: {
      code: 4,
      fields: [
        ['dir', 'positive'],
        ['name', 'name'],
      ],
    },
    putExtent: {
      code: 5,
      fields: [
        ['ino', 'positive'],
        ['block', 'uint'],
        ['count', 'positive'],
        ['address', 'uint'],
      ],
    },
    removeExtent: {
      code: 6,
      fields: [
        ['ino', 'positive'],
        ['block', 'uint'],
      ],
    },
    putFree: {
      code: 7,
      fields: [
        ['address', 'uint'],
        ['count', 'positive'],
      ],
    },
    removeFree: { code: 8, fields: [['address', 'uint']] },
    putFreed: {
      code: 9,
      fields: [
        ['slot', 'slot'],
        ['address', 'uint'],
        ['count', 'positive'],
      ],
    },
    removeFreed: {
      code: 10,
      fields: [
        ['slot', 'slot'],
        ['address', 'uint'],
      ],
    },
    putOrphan: {
      code: 11,
      fields: [
        ['slot', 'slot'],
        ['ino', 'positive'],
      ],
    },
    removeOrphan: {
      code: 12,
      fields: [
        ['slot', 'slot'],
        ['ino', 'positive'],
      ],
    },
    putSlot: {
      code: 13,
      fields: [
        ['slot', 'slot'],
        ['inoCounter', 'uint'],
      ],
    },
    putSetting: {
      code: 14,
      fields: [
        ['key', 'text'],
        ['value', 'text'],
      ],
    },
    putRangeLock: {
      code: 30,
      fields: [...ownerFields, ['start', 'uint'], ['end', 'uint'], ['exclusive', 'flag']],
    },
    removeRangeLock: { code: 31, fields: [...ownerFields, ['start', 'uint']] },
    putRangeWait: {
      code: 32,
      fields: [
        ...ownerFields,
        ['place', 'positive'],
        ['slot', 'slot'],
        ['incarnation', 'positive'],
        ['start', 'uint'],
        ['end', 'uint'],
        ['exclusive', 'flag'],
      ],
    },
    removeRangeWait: {
      code: 33,
      fields: [
        ['ino', 'positive'],
        ['place', 'positive'],
      ],
    },
    putNfsClient: {
      code: 34,
      fields: [
        ['slot', 'slot'],
        ['name', 'text'],
        ['address', 'text'],
        ['state', 'uint'],
        ['facts', 'text'],
      ],
    },
    removeNfsClient: {
      code: 35,
      fields: [
        ['slot', 'slot'],
        ['name', 'text'],
      ],
    },
  }

const INT_LIMIT = 2 ** 52 - 1

function isInteger(value: unknown, min: number, max: number): boolean {
  return Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max
}

const badName = /[\0/]|[^\0-\xff]/
const badTarget = /\0|[^\0-\xff]/

/** True when `value` may stand in a field of `type`. */
export function isFieldValue(type: FieldType, value: unknown): boolean {
  switch (type) {
    case 'uint':
      return isInteger(value, 0, Number.MAX_SAFE_INTEGER)
    case 'int':
      return isInteger(value, -INT_LIMIT, INT_LIMIT)
    case 'positive':
      return isInteger(value, 1, Number.MAX_SAFE_INTEGER)
    case 'u32':
      return isInteger(value, 0, 0xffffffff)
    case 'nanos':
      return isInteger(value, 0, 999_999_999)
    case 'mode':
      return isInteger(value, 0, 0o7777)
    case 'type':
      return isInteger(value, 1, 7)
    case 'slot':
      return isInteger(value, 0, MAX_SLOTS - 1)
    case 'flag':
      return typeof value === 'boolean'
    case 'name':
      return (
        typeof value === 'string' &&
        value.length >= 1 &&
        value.length <= NAME_MAX &&
        value !== '.' &&
        value !== '..' &&
        !badName.test(value)
      )
    case 'target':
      return typeof value === 'string' && value.length <= SYMLINK_MAX && !badTarget.test(value)
    case 'text':
      return typeof value === 'string' && value.isWellFormed() && Buffer.byteLength(value) <= SETTING_MAX
  }
}

/** The record that carries a mutation's fields. */
export function fieldsOf(mutation: Mutation): Readonly<Record<string, unknown>> {
  return (mutation.op === 'putInode' ? mutation.inode : mutation) as unknown as Readonly<Record<string, unknown>>
}

/** Says what is wrong with the shape of a mutation (types and ranges); undefined when nothing is. */
export function faultOf(mutation: Mutation): string | undefined {
  const entry = mutationTable[mutation.op]
  if (!entry) return `unknown mutation ${String(mutation.op)}`
  const record = fieldsOf(mutation)
  for (const [name, type] of entry.fields) {
    if (!isFieldValue(type, record[name]))
      return `${mutation.op}.${name} is ${JSON.stringify(record[name])}, not ${type}`
  }
  return undefined
}
