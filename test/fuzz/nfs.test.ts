// time limit: 300 s
/** The first inputs of `npm run fuzz -- nfs`, and the decoders by themselves, whose failures fast-check makes small. */
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Prng } from '../../src/base/prng.ts'
import { CallHeader } from '../../src/gateway-nfs/rpc/message.ts'
import { RecordError, RecordReader } from '../../src/gateway-nfs/rpc/record-marking.ts'
import { XdrError, XdrReader } from '../../src/gateway-nfs/xdr/reader.ts'
import type { Xdr } from '../../src/gateway-nfs/xdr/types.ts'
import { XdrWriter } from '../../src/gateway-nfs/xdr/writer.ts'
import { mutate } from './mutate.ts'
import { servedPrograms } from './nfs/calls.ts'
import { RandomReader } from './nfs/random-reader.ts'
import { nfsTarget } from './nfs/target.ts'
import { FuzzFailure, fuzz } from './runner.ts'

const types = servedPrograms.flatMap(({ name, procedures }) =>
  procedures.flatMap(({ number, args, result }) => [
    { name: `${name} ${number}, arguments`, type: args },
    { name: `${name} ${number}, result`, type: result },
  ]),
)
const known = { handles: [Buffer.alloc(24, 1)], names: ['a', 'name'] }
const room = new XdrWriter(Buffer.alloc(8 * 1024 * 1024))
const encode = (type: Xdr<unknown>, value: unknown): Buffer => {
  room.at = 0
  type.encode(room, value)
  return Buffer.from(room.bytes.subarray(0, room.at))
}

test('every type: what is encoded is decoded to the same, and every cut of it is bad input', () => {
  const anyValue = fc.gen().map((draw) => {
    const below = (bound: number) => draw(fc.nat, { max: bound - 1 })
    const { name, type } = types[below(types.length)]!
    return { name, type, value: new RandomReader({ below }, known).value(type), cut: below(1000) / 1000 }
  })
  fc.assert(
    fc.property(anyValue, ({ name, type, value, cut }) => {
      const bytes = encode(type, value)
      const from = new XdrReader().reset(bytes, 0, bytes.length)
      assert.equal(type.decode(from), value, name)
      assert.is(from.remaining, 0, name)
      const end = Math.floor(cut * bytes.length)
      if (end < bytes.length)
        assert.throws(
          () => type.decode(from.reset(bytes, 0, end)),
          (error: unknown) => error instanceof XdrError,
        )
    }),
    { numRuns: 3000, seed: 1 },
  )
})

test('any bytes are a value of a type, or bad input', () => {
  const prng = new Prng(7)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat({ max: types.length - 1 }), (raw, index) => {
      const { type } = types[index]!
      const bytes = mutate(prng, Buffer.from(raw), Buffer.alloc(40))
      const from = new XdrReader().reset(bytes, 0, bytes.length)
      try {
        type.decode(from)
      } catch (error) {
        assert.ok(error instanceof XdrError, String(error))
      }
      assert.ok(from.at <= bytes.length, 'nothing beyond the end was read')
    }),
    { numRuns: 20_000, seed: 1 },
  )
})

test('any bytes are a call, a refusal, or no call; any stream is records, or none', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.array(fc.nat({ max: 50 }), { maxLength: 8 }), (raw, cuts) => {
      const bytes = Buffer.from(raw)
      new CallHeader().parse(new XdrReader().reset(bytes, 0, bytes.length))
      let taken = 0
      const reader = new RecordReader((_, start, end) => {
        taken += end - start
        return true
      })
      try {
        let at = 0
        for (const cut of [...cuts, bytes.length]) {
          reader.push(bytes.subarray(at, at + cut))
          at = Math.min(bytes.length, at + cut)
        }
      } catch (error) {
        assert.ok(error instanceof RecordError, String(error))
      }
      assert.ok(taken <= bytes.length)
    }),
    { numRuns: 20_000, seed: 1 },
  )
})

test('twenty thousand inputs, and nothing falls over', async () => {
  const { kinds, inputs } = await fuzz(nfsTarget, { seed: 20_000, inputs: 20_000 })
  assert.is(inputs, 20_000)
  for (const { name } of servedPrograms) assert.ok(kinds.has(`${name}, made`) && kinds.has(`${name}, wrong`), name)
})

test('the runner sees a wrong answer, a hang, an error that nobody caught, and growth', async () => {
  const failing = (input: (number: number) => Promise<string>) =>
    fuzz(
      { name: 'x', about: '', start: async () => ({ input, check: async () => {}, close: async () => {} }) },
      { seed: 1, inputs: 20, hangMs: 50 },
    ).then(
      () => 'passed',
      (error) => (error instanceof FuzzFailure ? error.message : 'another error'),
    )
  assert.is(await failing(async () => 'fine'), 'passed')
  assert.match(
    await failing(async (number) => (number === 3 ? Promise.reject(new Error('wrong')) : 'a')),
    /seed 1, input 3: Error: wrong/,
  )
  assert.match(await failing(() => new Promise(() => {})), /not dealt with after 50 ms/)
  const later = async (number: number) => {
    if (number === 5) void Promise.reject(new Error('nobody caught'))
    await new Promise((resolve) => setImmediate(resolve))
    return 'a'
  }
  assert.match(await failing(later), /input 5: Error: nobody caught/)
  const kept: Buffer[] = []
  const keeps = async () => {
    kept.push(Buffer.alloc(16 * 1024 * 1024, 1))
    return 'a'
  }
  assert.match(await failing(keeps), /more in use/)
})

test.run()
