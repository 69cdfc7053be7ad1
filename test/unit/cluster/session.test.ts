import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { MAX_MESSAGE_BYTES } from '../../../src/base/limits.ts'
import { frameKinds } from '../../../src/cluster/frames.ts'
import { decodeAck } from '../../../src/cluster/hello.ts'
import { MAX_UNACKNOWLEDGED_BYTES, Session } from '../../../src/cluster/session.ts'
import type { Connection } from '../../../src/platform/transport.ts'

const test = suite('cluster/session.ts')

/** What was sent over one connection: numbers of frames, and `ack N`. */
function wire(): Connection & { readonly sent: string[] } {
  const sent: string[] = []
  const send = (frame: Uint8Array) =>
    void sent.push(frame[0] === frameKinds.ack ? `ack ${decodeAck(Buffer.from(frame))}` : String(frame[1]))
  return { sent, send, close() {}, onFrame() {}, onClose() {} }
}

const frame = (number: number) => Buffer.from([frameKinds.message, number])
const isProtocol = (error: unknown) => isMatrixError(error, 'protocol')

test('what the other end has not taken is sent again over the next connection, in order, before what comes later', () => {
  const session = new Session(7)
  session.send(frame(1)) // before there is any connection
  const first = wire()
  assert.is(session.carryOn(first, 0, false), 1)
  for (const number of [2, 3, 4]) session.send(frame(number))
  session.acknowledged(1)
  session.pause()
  session.send(frame(5))
  assert.equal(first.sent, ['1', '2', '3', '4'])
  const second = wire()
  assert.is(session.carryOn(second, 3, false), 2)
  session.send(frame(6))
  assert.equal(second.sent, ['4', '5', '6'])
})

test('the end that has not been asked tells first what it has taken', () => {
  const session = new Session(1)
  session.carryOn(wire(), 0, false)
  session.send(frame(1))
  session.take(10)
  session.take(10)
  const next = wire()
  session.carryOn(next, 0, true)
  assert.equal(next.sent, ['ack 2', '1'])
  session.acknowledge()
  assert.equal(next.sent, ['ack 2', '1'], 'it knows')
})

test('acknowledged is what came: at every tick, every 64 frames, every 256 KiB', () => {
  const session = new Session(1)
  const connection = wire()
  session.carryOn(connection, 0, false)
  session.acknowledge()
  session.take(1)
  assert.equal(connection.sent, [])
  session.acknowledge()
  assert.equal(connection.sent, ['ack 1'])
  for (let i = 0; i < 64; i++) session.take(1)
  assert.equal(connection.sent, ['ack 1', 'ack 65'])
  session.take(256 * 1024)
  assert.equal(connection.sent, ['ack 1', 'ack 65', 'ack 66'])
  session.pause()
  session.take(1)
  session.acknowledge()
  assert.is(connection.sent.length, 3)
  assert.is(session.received, 67)
})

test('an acknowledgement that cannot be is refused, and changes nothing', () => {
  const session = new Session(1)
  session.carryOn(wire(), 0, false)
  for (const number of [1, 2, 3]) session.send(frame(number))
  session.acknowledged(2)
  assert.throws(() => session.acknowledged(1), isProtocol)
  assert.throws(() => session.acknowledged(4), isProtocol)
  assert.throws(() => session.carryOn(wire(), 1, false), isProtocol)
  const next = wire()
  session.carryOn(next, 2, false)
  assert.equal(next.sent, ['3'])
})

test('what waits is bounded: beyond it the session is over', () => {
  const session = new Session(1)
  const connection = wire()
  session.carryOn(connection, 0, false)
  const large = Buffer.alloc(MAX_MESSAGE_BYTES, frameKinds.message)
  for (let i = 0; i < MAX_UNACKNOWLEDGED_BYTES / MAX_MESSAGE_BYTES; i++) assert.ok(session.send(large))
  session.acknowledged(1)
  assert.ok(session.send(large))
  assert.not(session.send(frame(1)))
  assert.not(session.send(frame(2)), 'and stays so')
  assert.not(connection.sent.includes('2'))
})

test.run()
