import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { Prng } from '../../../src/base/prng.ts'
import { channels, decodeHeader, encodeMessage, HEADER_BYTES } from '../../../src/cluster/frames.ts'
import {
  decodeMembershipMessage,
  encodeBody,
  type MembershipMessage,
} from '../../../src/cluster/membership-messages.ts'

const test = suite('cluster: frames and membership messages')

const isProtocol = (error: unknown) => isMatrixError(error, 'protocol')

test('golden bytes of a message', () => {
  const frame = encodeMessage(6, 'volume', 0x01020304, 2 ** 40 + 5, Buffer.from([0xaa, 0xbb]))
  assert.is(frame.toString('hex'), '06020000' + '04030201' + '0500000000010000' + 'aabb')
})

test('headers come back as they were', () => {
  for (const channel of channels) {
    for (const view of [0, 1, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
      const frame = encodeMessage(5, channel, 0xffffffff, view, new Uint8Array(3))
      assert.equal(decodeHeader(frame), { kind: 5, channel, request: 0xffffffff, view })
      assert.is(frame.length, HEADER_BYTES + 3)
    }
  }
})

test('headers that cannot be are refused', () => {
  const good = encodeMessage(5, 'lock', 0, 1, new Uint8Array(0))
  const broken = (offset: number, value: number) => {
    const frame = Buffer.from(good)
    frame[offset] = value
    return frame
  }
  for (const frame of [
    good.subarray(0, 15),
    Buffer.alloc(0),
    broken(0, 0),
    broken(0, 4),
    broken(0, 9),
    broken(1, channels.length),
    broken(2, 1),
    broken(3, 1),
    broken(15, 1),
  ]) {
    assert.throws(() => decodeHeader(frame), isProtocol)
  }
})

const member = { slot: 1, name: 'n1', incarnation: 3, address: { host: 'h', port: 7 } }
const alive = {
  type: 'alive',
  view: null,
  served: false,
  broken: false,
  leaving: false,
  reach: [{ slot: 1, incarnation: 3 }],
  lost: [],
  highest: 64,
}

test('membership messages come back as they were', () => {
  const messages = [
    alive,
    { ...alive, view: { id: 64, members: [member] } },
    { type: 'propose', number: 64, members: [{ ...member, slot: 0 }, member] },
    { type: 'accept', number: 64 },
    { type: 'refuse', number: 64, why: 'busy', highest: 65 },
    { type: 'commit', number: 64 },
  ] as MembershipMessage[]
  for (const message of messages) assert.equal(decodeMembershipMessage(encodeBody(message)), message)
})

test('membership messages that cannot be are refused', () => {
  for (const body of [
    undefined,
    null,
    7,
    {},
    { type: 'nonsense' },
    { ...alive, highest: -1 },
    { ...alive, highest: 2 ** 53 },
    { ...alive, reach: [{ slot: 64, incarnation: 1 }] },
    { ...alive, served: 1 },
    { type: 'propose', number: 64, members: [] },
    { type: 'propose', number: 64, members: [member, member] },
    { type: 'propose', number: 64, members: [member, { ...member, slot: 0 }] },
    { type: 'propose', number: 1.5, members: [member] },
    { type: 'refuse', number: 64, why: 'mood', highest: 1 },
    { type: 'commit' },
  ]) {
    assert.throws(() => decodeMembershipMessage(encodeBody(body)), isProtocol, JSON.stringify(body))
  }
})

test('garbage is refused, never a crash', () => {
  const prng = new Prng(11)
  for (let i = 0; i < 5000; i++) {
    const bytes = prng.bytes(prng.below(60))
    try {
      decodeMembershipMessage(bytes)
      assert.unreachable('garbage was taken for a message')
    } catch (error) {
      if (!isProtocol(error)) throw error
    }
  }
})

test.run()
