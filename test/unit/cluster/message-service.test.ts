import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { InvariantError } from '../../../src/base/assert.ts'
import { isMatrixError } from '../../../src/base/errors.ts'
import { encodeMessage } from '../../../src/cluster/frames.ts'
import { encodeBody } from '../../../src/cluster/membership-messages.ts'
import { HELD_BYTES, MAX_PAYLOAD_BYTES, MessageService } from '../../../src/cluster/message-service.ts'
import type { Member, View } from '../../../src/cluster/view.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { SimHost, SimWorld } from '../../sim/world.ts'

const test = suite('cluster/message-service.ts')

const member = (slot: number, incarnation = 1): Member => ({
  slot,
  incarnation,
  name: `n${slot}`,
  address: { host: 'h', port: 1 },
})
const view = (id: number, ...members: Member[]): View => ({ id, members })

function service() {
  const world = new SimWorld(1)
  const sent: { to: number; frame: Buffer }[] = []
  const dropped: string[] = []
  const arrived: string[] = []
  const messages = new MessageService({
    self: member(0),
    clock: new SimHost(world, 'n0').clock,
    log: silentLog,
    send: (to, frame) => sent.push({ to, frame }) > 0,
    drop: (slot, reason) => void dropped.push(`${slot}: ${reason}`),
  })
  messages.onMessage('lock', (from, payload) => void arrived.push(`${from}: ${payload}`))
  const receive = (from: Member, id: number, text: string) =>
    messages.receive(from, encodeMessage(5, 'lock', 0, id, Buffer.from(text)))
  return { world, messages, sent, dropped, arrived, receive }
}

test('R36, R52: delivered in its own view only; an older one is dropped, a newer one waits', () => {
  const { messages, arrived, receive } = service()
  receive(member(1), 64, 'early')
  messages.install(view(64, member(0), member(1)))
  assert.equal(arrived, [])
  messages.deliverHeld()
  receive(member(1), 64, 'a')
  receive(member(2), 64, 'no member')
  receive(member(1, 2), 64, 'another life')
  messages.block()
  receive(member(1), 64, 'while blocked')
  receive(member(1), 128, 'c')
  receive(member(1), 192, 'of a view after the next')
  receive(member(1), 128, 'd')
  messages.install(view(128, member(0), member(1)))
  messages.deliverHeld()
  receive(member(1), 64, 'late')
  assert.equal(arrived, ['1: early', '1: a', '1: c', '1: d'])
  assert.is(messages.counters().lock.dropped, 4)
  messages.block()
  messages.install(view(192, member(0), member(1)))
  messages.deliverHeld()
  assert.is(arrived.at(-1), '1: of a view after the next')
})

test('messages to oneself arrive in order, not within the call, and not in another view', async () => {
  const { world, messages, arrived } = service()
  messages.install(view(64, member(0)))
  const payload = Buffer.from('1')
  messages.send(0, 'lock', payload)
  payload[0] = 0x32 // the buffer is the caller's again
  messages.send(0, 'lock', payload)
  assert.equal(arrived, [])
  await world.run(1)
  assert.equal(arrived, ['0: 1', '0: 2'])
  messages.send(0, 'lock', payload)
  messages.block()
  messages.send(0, 'lock', payload)
  messages.install(view(128, member(0)))
  await world.run(2)
  assert.is(arrived.length, 2)
})

test('what waits for a view is bounded: beyond it the link goes', () => {
  const { messages, dropped } = service()
  const frame = encodeMessage(5, 'lock', 0, 64, Buffer.alloc(MAX_PAYLOAD_BYTES))
  for (let bytes = 0; bytes + frame.length <= HELD_BYTES; bytes += frame.length) messages.receive(member(1), frame)
  assert.equal(dropped, [])
  messages.receive(member(1), frame)
  assert.is(dropped.length, 1)
})

test('a malformed frame or body ends the link and nothing else', () => {
  const { messages, dropped, arrived, receive } = service()
  messages.onRequest('volume', () => assert.unreachable())
  messages.install(view(64, member(0), member(1)))
  for (const frame of [
    Buffer.from([5]),
    encodeMessage(6, 'volume', 1, 64, Buffer.from([0x93, 1])),
    Buffer.alloc(40, 0xff),
  ]) {
    messages.receive(member(1), frame)
  }
  assert.is(dropped.length, 3)
  receive(member(1), 64, 'a')
  assert.equal(arrived, ['1: a'])
})

test('only who was asked can answer, once', async () => {
  const { world, messages, sent } = service()
  messages.install(view(64, member(0), member(1), member(2)))
  const asked = messages.request(1, 'volume', 'question')
  const id = sent[0]!.frame.readUInt32LE(4)
  messages.receive(member(2), encodeMessage(7, 'volume', id, 64, encodeBody('forged')))
  messages.receive(member(1), encodeMessage(7, 'volume', id, 64, encodeBody('answer')))
  messages.receive(member(1), encodeMessage(7, 'volume', id, 64, encodeBody('again')))
  assert.is(await world.settle(asked), 'answer')
})

test('when the view ends, whoever waits is told at once, and new requests are refused until the next', async () => {
  const { world, messages } = service()
  const ask = () =>
    world.settle(
      messages.request(1, 'volume', 1).then(
        () => undefined,
        (error: unknown) => error,
      ),
    )
  assert.ok(isMatrixError(await ask(), 'view-changed'))
  messages.install(view(64, member(0), member(1)))
  const waiting = ask()
  messages.block()
  assert.ok(isMatrixError(await waiting, 'view-changed'))
  assert.ok(isMatrixError(await ask(), 'view-changed'))
})

test('an answer is not sent into a view that is not the one of its question', async () => {
  const { world, messages, sent } = service()
  let answer: (value: string) => void = () => {}
  messages.onRequest('volume', () => new Promise<string>((resolve) => (answer = resolve)))
  messages.install(view(64, member(0), member(1)))
  messages.receive(member(1), encodeMessage(6, 'volume', 1, 64, encodeBody('q')))
  messages.block()
  messages.install(view(128, member(0), member(1)))
  answer('late')
  await world.run(1)
  assert.is(sent.length, 0)
})

test('a bug in a handler is not swallowed: it stops the node, and the asker is told', async () => {
  const { world, messages, sent } = service()
  messages.onRequest('volume', () => {
    throw new InvariantError('broken')
  })
  messages.install(view(64, member(0), member(1)))
  messages.receive(member(1), encodeMessage(6, 'volume', 1, 64, encodeBody('q')))
  assert.is(sent[0]!.frame[0], 8)
  const error = await world.run(1).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  assert.instance(error, InvariantError)
})

test.run()
