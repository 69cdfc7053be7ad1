/** A cable that is pulled, and put back. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CuttableTransport } from '../../../src/platform/cuttable-transport.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import type { Connection, Transport } from '../../../src/platform/transport.ts'

/** Two ends of a connection in memory. */
function pair(): readonly [Connection, Connection] {
  const make = (): Connection & { peer?: Connection } => ({
    send(frame) {
      this.peer?.onFrame(Buffer.from(frame))
    },
    close() {
      this.onClose('closed here')
      this.peer?.onClose('closed by the peer')
    },
    onFrame: () => {},
    onClose: () => {},
  })
  const [a, b] = [make(), make()]
  a.peer = b
  b.peer = a
  return [a, b]
}

async function connected() {
  const [inner, peer] = pair()
  const network: Transport = { connect: async () => inner, listen: async () => ({ port: 1, close: async () => {} }) }
  const transport = new CuttableTransport(network, realClock)
  const events: string[] = []
  const connection = await transport.connect({ host: 'peer', port: 1 })
  connection.onFrame = (frame) => void events.push(`got ${frame}`)
  connection.onClose = (reason) => void events.push(reason)
  peer.onFrame = (frame) => void events.push(`peer got ${frame}`)
  peer.onClose = (reason) => void events.push(`peer: ${reason}`)
  return { transport, connection, peer, events }
}

test('what is sent meanwhile arrives when the cable is back, in order', async () => {
  const { transport, connection, peer, events } = await connected()
  connection.send(Buffer.from('1'))
  transport.cut()
  connection.send(Buffer.from('2'))
  connection.send(Buffer.from('3'))
  peer.send(Buffer.from('a'))
  peer.send(Buffer.from('b'))
  assert.equal(events, ['peer got 1'])
  transport.heal()
  assert.equal(events, ['peer got 1', 'got a', 'got b', 'peer got 2', 'peer got 3'])
  peer.send(Buffer.from('c'))
  assert.is(events.at(-1), 'got c')
})

test('neither side hears of a close meanwhile, and each does once', async () => {
  const here = await connected()
  here.transport.cut()
  here.connection.send(Buffer.from('lost'))
  here.connection.close()
  assert.equal(here.events, ['closed here'])
  here.transport.heal()
  assert.equal(here.events, ['closed here', 'peer: closed by the peer'])
  const there = await connected()
  there.transport.cut()
  there.peer.close()
  assert.equal(there.events, ['peer: closed here'])
  there.transport.heal()
  assert.equal(there.events, ['peer: closed here', 'closed by the peer'])
})

test('a connection that is asked for meanwhile comes about afterwards', async () => {
  const { transport } = await connected()
  transport.cut()
  let done = false
  const asked = transport.connect({ host: 'peer', port: 1 }).then(() => (done = true))
  await new Promise((resolve) => setTimeout(resolve, 20))
  assert.not.ok(done)
  transport.heal()
  await asked
  assert.ok(done)
})

test.run()
