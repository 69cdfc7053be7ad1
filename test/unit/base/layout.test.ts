import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { InvariantError } from '../../../src/base/assert.ts'
import { isMatrixError } from '../../../src/base/errors.ts'
import { defineLayout, seal, unseal } from '../../../src/base/layout.ts'

const test = suite('base: layout')

const layout = defineLayout([
  { name: 'kind', type: 'u8', meaning: 'first' },
  { name: 'port', type: 'u16' },
  { name: 'count', type: 'u32' },
  { name: 'delta', type: 'i32' },
  { name: 'size', type: 'u53' },
  { name: 'pad', type: 'reserved', size: 3 },
  { name: 'id', type: 'uuid' },
  { name: 'raw', type: 'bytes', size: 4 },
  { name: 'name', type: 'utf8', size: 8 },
])

const record = {
  kind: 1,
  port: 0x0203,
  count: 0x04050607,
  delta: -2,
  size: 2 ** 40 + 5,
  id: '00112233-4455-6677-8899-aabbccddeeff',
  raw: Buffer.from([1, 2, 3, 4]),
  name: 'grün',
}

test('golden bytes: little-endian, in the order of the table', () => {
  const hex = layout.encode(record).toString('hex')
  assert.is(
    hex,
    '01' +
      '0302' +
      '07060504' +
      'feffffff' +
      '0500000000010000' +
      '000000' +
      '00112233445566778899aabbccddeeff' +
      '01020304' +
      '6772c3bc6e000000',
  )
  assert.is(layout.size, hex.length / 2)
  assert.is(layout.offsetOf('size'), 11)
  assert.equal(layout.describe()[0], { offset: 0, size: 1, name: 'kind', type: 'u8', meaning: 'first' })
})

test('what is encoded is decoded, at any place', () => {
  const arbitrary = fc.record({
    kind: fc.integer({ min: 0, max: 255 }),
    port: fc.integer({ min: 0, max: 65535 }),
    count: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    delta: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    size: fc.maxSafeNat(),
    id: fc.uuid(),
    raw: fc.uint8Array({ minLength: 4, maxLength: 4 }),
    name: fc.string({ maxLength: 8 }).filter((text) => Buffer.byteLength(text) <= 8 && !text.includes('\0')),
  })
  fc.assert(
    fc.property(arbitrary, fc.nat(20), (value, at) => {
      const buffer = Buffer.alloc(layout.size + 20, 0xff)
      layout.encodeInto(buffer, at, value)
      const back = layout.decode(buffer, at)
      assert.equal({ ...back, raw: [...back.raw] }, { ...value, raw: [...value.raw] })
    }),
  )
})

test('a value that does not fit is a bug, never cut', () => {
  const wrong = [
    { kind: 256 },
    { port: -1 },
    { count: 1.5 },
    { delta: 2 ** 31 },
    { size: 2 ** 53 },
    { id: 'x' },
    { raw: Buffer.alloc(3) },
    { name: 'too long!' },
    { name: 'a\0b' },
  ]
  for (const change of wrong) {
    assert.throws(
      () => layout.encode({ ...record, ...change }),
      (error: unknown) => error instanceof InvariantError,
      JSON.stringify(change),
    )
  }
})

test('missing bytes and unsafe integers are refused', () => {
  const buffer = layout.encode(record)
  const refused = (run: () => unknown) => assert.throws(run, (error: unknown) => isMatrixError(error, 'protocol'))
  refused(() => layout.decode(buffer.subarray(1)))
  refused(() => layout.decode(buffer, -1))
  buffer.fill(0xff, layout.offsetOf('size'), layout.offsetOf('size') + 8)
  refused(() => layout.decode(buffer))
})

const format = { magic: 'TestTest', version: 2 }

test('a sealed block: golden bytes, and every kind of content told apart', () => {
  const block = seal(format, Buffer.from('body'), 32)
  assert.is(block.toString('hex', 0, 16), '5465737454657374' + '02000000' + '1c000000')
  assert.is(block.length, 32)
  const opened = unseal(format, block)
  assert.ok(opened.kind === 'ok' && opened.version === 2 && opened.body.toString() === 'body')
  assert.equal(unseal(format, Buffer.alloc(64)), { kind: 'blank' })
  assert.equal(unseal(format, Buffer.from('x')), { kind: 'other' })
  assert.equal(unseal({ ...format, magic: 'NotSoNot' }, block), { kind: 'other' })
  assert.equal(unseal({ ...format, version: 1 }, block), { kind: 'newer', version: 2 })
})

test('any changed bit within the length is noticed; lengths that lie are harmless', () => {
  const block = seal(format, Buffer.from('some body'))
  for (let bit = 0; bit < block.length * 8; bit++) {
    const bad = Buffer.from(block)
    bad[bit >> 3] ^= 1 << (bit & 7)
    const { kind } = unseal(format, bad)
    assert.ok(kind === 'damaged' || (bit < 64 && kind === 'other'), `bit ${bit}: ${kind}`)
  }
  assert.is(unseal(format, block.subarray(0, block.length - 1)).kind, 'damaged')
  assert.is(unseal(format, block.subarray(0, 10)).kind, 'other')
})

test.run()
