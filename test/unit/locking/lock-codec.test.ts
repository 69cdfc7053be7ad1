import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { MAX_SLOTS } from '../../../src/base/limits.ts'
import { Prng } from '../../../src/base/prng.ts'
import {
  BATCH_HEADER_BYTES,
  decodeBatch,
  encodeBatchHeader,
  encodeMessage,
  MESSAGE_BYTES_MAX,
} from '../../../src/locking/lock-codec.ts'
import {
  DOWN,
  GRANT,
  type LockMessage,
  type LockMessageType,
  lockMessage,
  REQUEST,
} from '../../../src/locking/lock-message.ts'
import { EX, type Mode, NL } from '../../../src/locking/modes.ts'
import { inodeLock } from '../../../src/locking/resource.ts'

function encode(epoch: number, messages: readonly LockMessage[]): Buffer {
  const buffer = Buffer.alloc(BATCH_HEADER_BYTES + messages.length * MESSAGE_BYTES_MAX)
  encodeBatchHeader(buffer, epoch, messages.length)
  let end = BATCH_HEADER_BYTES
  for (const message of messages) end = encodeMessage(buffer, end, message)
  return buffer.subarray(0, end)
}

const anyMessage: fc.Arbitrary<LockMessage> = fc.record(
  {
    type: fc.integer({ min: 1, max: 9 }) as fc.Arbitrary<LockMessageType>,
    rid: fc.maxSafeInteger().map((n) => Math.floor(Math.abs(n) / 8) * 8),
    seq: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
    mode: fc.integer({ min: 0, max: 5 }) as fc.Arbitrary<Mode>,
    noQueue: fc.boolean(),
    vector: fc
      .uniqueArray(fc.tuple(fc.integer({ min: 0, max: MAX_SLOTS - 1 }), fc.maxSafeInteger().map(Math.abs)), {
        selector: ([slot]) => slot,
        maxLength: MAX_SLOTS,
      })
      .map((pairs) => new Map(pairs)),
  },
  { noNullPrototype: true },
)

test('any batch comes back as it was', () => {
  fc.assert(
    fc.property(fc.maxSafeInteger().map(Math.abs), fc.array(anyMessage, { maxLength: 5 }), (epoch, messages) => {
      assert.equal(decodeBatch(encode(epoch, messages)), { epoch, messages })
    }),
    { numRuns: 300, seed: 7 },
  )
})

test('golden bytes', () => {
  const batch = encode(5, [
    lockMessage(REQUEST, inodeLock(2 ** 40), 2 ** 32 + 9, EX, new Map(), true),
    lockMessage(DOWN, inodeLock(1), 3, NL, new Map([[2, 2 ** 33 + 512]])),
  ])
  assert.is(
    batch.toString('hex'),
    '4d4c0100020000000500000000000000' +
      '0105010009000000010000000000000000080000' +
      '0200000103000000000000000800000000000000' +
      '0202000000020000',
  )
})

test('a damaged batch is refused with a protocol error, never misread', () => {
  const good = encode(5, [lockMessage(REQUEST, 8, 1, EX), lockMessage(GRANT, 8, 1, EX, new Map([[1, 512]]))])
  const refuse = (batch: Buffer, what: string) =>
    assert.throws(
      () => decodeBatch(batch),
      (error: unknown) => isMatrixError(error, 'protocol'),
      what,
    )
  const changed = (offset: number, value: number) => {
    const copy = Buffer.from(good)
    copy[offset] = value
    return copy
  }
  for (let length = 0; length < good.length; length++) refuse(good.subarray(0, length), `cut to ${length}`)
  refuse(Buffer.concat([good, Buffer.alloc(1)]), 'a byte too many')
  refuse(changed(0, 0), 'magic')
  refuse(changed(2, 2), 'version')
  refuse(changed(4, 200), 'count')
  refuse(changed(16, 0), 'type 0')
  refuse(changed(16, 10), 'type 10')
  refuse(changed(17, 6), 'mode 6')
  refuse(changed(18, 2), 'flags')
  refuse(changed(19, 200), 'pairs')
  refuse(changed(good.length - 8, MAX_SLOTS), 'slot')
})

test('random bytes are refused or decoded, without any other error', () => {
  const prng = new Prng(1)
  for (let i = 0; i < 5000; i++) {
    const batch = encode(1, [lockMessage(GRANT, 8, 1, EX, new Map([[1, 512]]))])
    for (let k = prng.between(1, 4); k > 0; k--) batch[prng.below(batch.length)] = prng.uint32()
    try {
      decodeBatch(batch)
    } catch (error) {
      assert.ok(isMatrixError(error, 'protocol'), String(error))
    }
  }
})

test.run()
