/** XDR types read back what they wrote, as RFC 4506 lays it out, and believe nothing. */
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { XdrError, XdrReader } from '../../../src/gateway-nfs/xdr/reader.ts'
import * as x from '../../../src/gateway-nfs/xdr/types.ts'
import { encodeWith } from '../../helpers/nfs-client.ts'

/** Plain objects, as decoders make them. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record<T>(model, { noNullPrototype: true })
const read = <T>(type: x.Xdr<T>, bytes: Buffer) => type.decode(new XdrReader().reset(bytes, 0, bytes.length))
const bad = (type: x.Xdr<unknown>, hex: string, says: RegExp) =>
  assert.throws(
    () => read(type, Buffer.from(hex.replaceAll(' ', ''), 'hex')),
    (error: Error) => error instanceof XdrError && says.test(error.message),
  )

const everything = x.struct({
  a: x.uint32,
  b: x.int32,
  c: x.uint64,
  d: x.bool,
  e: x.fixed(5),
  f: x.opaque(20),
  g: x.string(20),
  h: x.array(x.uint32, 4),
  i: x.list(x.struct({ name: x.string(9) }), 4),
  j: x.optional(x.uint64),
  k: x.union({ 1: x.uint32, 5: x.nothing, 9: x.string(3) }),
  l: x.outcome(x.struct({ fine: x.bool }), x.struct({ why: x.uint32 })),
})

test('whatever is written is read', () => {
  const word = fc.nat(2 ** 32 - 1)
  const bytes = (constraints: fc.IntArrayConstraints) => fc.uint8Array(constraints).map((each) => Buffer.from(each))
  const text = (maxLength: number) => bytes({ maxLength }).map((each) => each.toString('latin1'))
  const values = record({
    a: word,
    b: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    c: fc.maxSafeNat(),
    d: fc.boolean(),
    e: bytes({ minLength: 5, maxLength: 5 }),
    f: bytes({ maxLength: 20 }),
    g: text(20),
    h: fc.array(word, { maxLength: 4 }),
    i: fc.array(record({ name: text(9) }), { maxLength: 4 }),
    j: fc.option(fc.maxSafeNat(), { nil: undefined }),
    k: fc.oneof(
      record({ kind: fc.constant(1 as const), value: word }),
      record({ kind: fc.constant(5 as const), value: fc.constant(undefined) }),
      record({ kind: fc.constant(9 as const), value: text(3) }),
    ),
    l: fc.oneof(
      record({ status: fc.constant(0 as const), ok: record({ fine: fc.boolean() }) }),
      record({ status: fc.integer({ min: 1, max: 99 }), failed: record({ why: word }) }),
    ),
  }) as fc.Arbitrary<x.ValueOf<typeof everything>>
  fc.assert(
    fc.property(values, (value) => {
      const encoded = encodeWith(everything, value)
      assert.is(encoded.length % 4, 0)
      assert.equal(read(everything, encoded), value)
    }),
  )
})

test('golden bytes', () => {
  const type = x.struct({ a: x.uint64, b: x.string(9), c: x.list(x.uint32, 2) })
  const value = { a: 2 ** 40 + 1, b: 'abcde', c: [7] }
  assert.is(
    encodeWith(type, value).toString('hex'),
    '0000010000000001' + '000000056162636465000000' + '000000010000000700000000',
  )
})

test('every limit is kept', () => {
  bad(x.uint32, '000000', /ends within/)
  bad(x.bool, '00000002', /neither/)
  bad(x.opaque(3), '00000004 00000000', /above the limit of 3/)
  bad(x.opaque(2 ** 31), 'ffffffff', /above the limit/)
  bad(x.opaque(100), '00000005 00000000', /ends within/)
  bad(x.string(1), '00000002 61620000', /above the limit/)
  bad(x.array(x.uint32, 1), '00000002 00000000 00000000', /above the limit/)
  bad(x.list(x.uint32, 1), '00000001 00000000 00000001 00000000 00000000', /more than 1/)
  bad(x.union({ 1: x.nothing }), '00000002', /no arm 2/)
})

test('64-bit numbers above 2^53 are recognised, not misread', () => {
  const value = read(x.uint64, Buffer.from('ffffffffffffffff', 'hex'))
  assert.not(Number.isSafeInteger(value))
  assert.is(read(x.uint64, Buffer.from('001fffffffffffff', 'hex')), Number.MAX_SAFE_INTEGER)
  assert.throws(() => encodeWith(x.uint64, 2 ** 53), /safe integer/)
})

test.run()
