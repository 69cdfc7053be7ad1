import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { InvariantError } from '../../../src/base/assert.ts'
import { isMatrixError } from '../../../src/base/errors.ts'
import { FieldReader, FieldWriter } from '../../../src/metadata/image/field-codec.ts'
import { readHot, writeHot } from '../../../src/metadata/image/hot-mutations.ts'
import {
  decodeMutations,
  MutationEncoder,
  readByTable,
  writeByTable,
} from '../../../src/metadata/image/mutation-codec.ts'
import { type FieldType, type MutationOp, mutationTable } from '../../../src/metadata/image/mutation-fields.ts'
import type { Mutation } from '../../../src/metadata/index.ts'
import { inode } from './fixture.ts'

function encode(...mutations: Mutation[]): Buffer {
  const encoder = new MutationEncoder(16)
  for (const mutation of mutations) encoder.write(mutation)
  return Buffer.from(encoder.bytes)
}

const bytes = (min: number, max: number, bad: string) =>
  fc
    .array(fc.integer({ min: 1, max: 255 }), { minLength: min, maxLength: max })
    .map((codes) =>
      codes.map((code) => (bad.includes(String.fromCharCode(code)) ? 'x' : String.fromCharCode(code))).join(''),
    )

const values: Record<FieldType, fc.Arbitrary<unknown>> = {
  uint: fc.maxSafeNat(),
  int: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map((value) => value * 1_048_576),
  positive: fc.maxSafeNat().map((value) => Math.max(1, value)),
  u32: fc.integer({ min: 0, max: 0xffff }).map((value) => value * 0x10001),
  nanos: fc.integer({ min: 0, max: 999_999_999 }),
  mode: fc.integer({ min: 0, max: 0o7777 }),
  type: fc.integer({ min: 1, max: 7 }),
  slot: fc.integer({ min: 0, max: 63 }),
  flag: fc.boolean(),
  name: bytes(1, 255, '/.'),
  target: bytes(0, 300, ''),
  text: fc.string({ unit: 'grapheme', maxLength: 100 }),
}

const mutations: fc.Arbitrary<Mutation> = fc.oneof(
  ...(Object.keys(mutationTable) as MutationOp[]).map((op) => {
    const fields = fc.record(Object.fromEntries(mutationTable[op].fields.map(([name, type]) => [name, values[type]])), {
      noNullPrototype: true,
    })
    return fields.map(
      (record) => (op === 'putInode' ? { op, inode: record } : { op, ...record }) as unknown as Mutation,
    )
  }),
)

test('every mutation comes back from its bytes', () => {
  fc.assert(
    fc.property(fc.array(mutations, { maxLength: 8 }), (list) => {
      assert.equal(decodeMutations(encode(...list), list.length), list)
    }),
    { seed: 1, numRuns: 500 },
  )
})

test('mutations written and read by hand are those of the table', () => {
  let hot = 0
  fc.assert(
    fc.property(mutations, (mutation) => {
      const [byHand, byTable] = [new FieldWriter(16), new FieldWriter(16)]
      writeByTable(byTable, mutation)
      assert.equal(readByTable(new FieldReader(byTable.bytes), mutation.op), mutation)
      if (!writeHot(byHand, mutation)) {
        assert.is(readHot(new FieldReader(byTable.bytes), mutation.op), undefined)
        return
      }
      hot++
      assert.equal(byHand.bytes, byTable.bytes)
      const read = new FieldReader(byTable.bytes)
      assert.equal(readHot(read, mutation.op), mutation)
      assert.is(read.left, 0)
    }),
    { seed: 3, numRuns: 1000 },
  )
  assert.ok(hot > 100)
})

test('golden bytes: the format on disk does not change unnoticed', () => {
  assert.is(
    encode({ op: 'putDirent', dir: 1, name: 'caf\xe9', cookie: 300, ino: 2 ** 53 - 1, type: 1 }).toString('hex'),
    '0301' + '04636166e9' + 'ac02' + 'ffffffffffffff0f' + '01',
  )
  assert.is(encode({ op: 'putSetting', key: 'é', value: '' }).toString('hex'), '0e' + '02c3a9' + '00')
  assert.is(
    encode({ op: 'putInode', inode: inode(64, { mtimeS: -1 }) }).toString('hex'),
    '014001' +
      '01a40301' +
      'e80764' +
      '000000' +
      '80c49fd50c' +
      '01' +
      '01' +
      '02' +
      '80c49fd50c' +
      '03' +
      '80c49fd50c' +
      '04' +
      '0100' +
      '0000',
  )
  assert.is(
    encode(
      { op: 'putExtent', ino: 64, block: 0, count: 16, address: 2 ** 36 + 5 },
      { op: 'removeFree', address: 5 },
    ).toString('hex'),
    '0540001085808080800208' + '05',
  )
})

test('codes are unique and never zero', () => {
  const codes = Object.values(mutationTable).map(({ code }) => code)
  assert.is(new Set(codes).size, codes.length)
  assert.not(codes.includes(0))
})

test('decoding never does anything but answer or say damage', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.integer({ min: 0, max: 4 }), (raw, count) => {
      const input = Buffer.from(raw)
      try {
        const list = decodeMutations(input, count)
        assert.equal(encode(...list), input, 'what decodes is what encoding makes')
      } catch (error) {
        assert.ok(isMatrixError(error, 'journal-damaged'), String(error))
      }
    }),
    { seed: 2, numRuns: 3000 },
  )
})

test('a mutation cut short at any byte is damage', () => {
  const whole = encode(
    { op: 'putInode', inode: inode(64, { target: 'a/b' }) },
    { op: 'putSetting', key: 'k', value: 'v' },
  )
  for (let length = 0; length < whole.length; length++)
    assert.throws(
      () => decodeMutations(whole.subarray(0, length), 2),
      (error: unknown) => isMatrixError(error, 'journal-damaged'),
    )
})

const refused: [why: string, mutation: unknown][] = [
  ['inode 0', { op: 'removeInode', ino: 0 }],
  ['a fraction', { op: 'removeInode', ino: 1.5 }],
  ['beyond 2^53', { op: 'removeInode', ino: 2 ** 53 }],
  ['an empty name', { op: 'removeDirent', dir: 1, name: '' }],
  ['a name of 256 bytes', { op: 'removeDirent', dir: 1, name: 'x'.repeat(256) }],
  ['a slash', { op: 'removeDirent', dir: 1, name: 'a/b' }],
  ['NUL', { op: 'removeDirent', dir: 1, name: 'a\0b' }],
  ['the name .', { op: 'removeDirent', dir: 1, name: '.' }],
  ['the name ..', { op: 'removeDirent', dir: 1, name: '..' }],
  ['a character beyond a byte', { op: 'removeDirent', dir: 1, name: 'a€' }],
  ['slot 64', { op: 'putSlot', slot: 64, inoCounter: 1 }],
  ['a missing field', { op: 'putSlot', slot: 1 }],
  ['an empty extent', { op: 'putExtent', ino: 64, block: 0, count: 0, address: 1 }],
  ['a lone surrogate', { op: 'putSetting', key: 'k', value: '\ud800' }],
  ['an unknown op', { op: 'putEverything' }],
  ['nanoseconds of a whole second', { op: 'putInode', inode: inode(64, { mtimeNs: 1e9 }) }],
]
for (const [why, mutation] of refused)
  test(`own mutations are checked: ${why} is refused`, () => {
    const encoder = new MutationEncoder()
    assert.throws(
      () => encoder.write(mutation as Mutation),
      (error: unknown) => error instanceof InvariantError,
    )
    assert.is(encoder.length, 0)
  })

test.run()
