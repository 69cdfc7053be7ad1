import { createConnection, createServer, type Socket } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError, type MatrixError } from '../../../src/base/errors.ts'
import { MAX_MESSAGE_BYTES } from '../../../src/base/limits.ts'
import { type Log, silentLog } from '../../../src/platform/log.ts'
import { createTcpTransport } from '../../../src/platform/real/transport.ts'
import type { Connection, Listener } from '../../../src/platform/transport.ts'

const test = suite('platform/real/transport.ts: TCP with TLS-PSK')

const HOST = '127.0.0.1'

function transport(options: { secret?: string; matrixName?: string; log?: Log } = {}) {
  return createTcpTransport({ secret: 'sesame', matrixName: 'm', log: silentLog, handshakeMs: 400, ...options })
}

/** A log that remembers its lines. */
function collectingLog(): Log & { lines: string[] } {
  const lines: string[] = []
  const add = (fields: object, message: string) => void lines.push(`${message} ${JSON.stringify(fields)}`)
  const log: Log & { lines: string[] } = { lines, debug: add, info: add, warn: add, error: add, child: () => log }
  return log
}

async function pair(run: (client: Connection, server: Connection) => Promise<void>): Promise<void> {
  let accepted: (connection: Connection) => void = () => {}
  const server = new Promise<Connection>((resolve) => (accepted = resolve))
  const listener = await transport().listen({ host: HOST, port: 0 }, (connection) => accepted(connection))
  const client = await transport().connect({ host: HOST, port: listener.port })
  try {
    await run(client, await server)
  } finally {
    client.close()
    await listener.close()
  }
}

const collect = (connection: Connection, count: number) =>
  new Promise<Buffer[]>((resolve) => {
    const frames: Buffer[] = []
    connection.onFrame = (frame) => {
      frames.push(Buffer.from(frame))
      if (frames.length === count) resolve(frames)
    }
  })

const closed = (connection: Connection) => new Promise<string>((resolve) => (connection.onClose = resolve))
const rejection = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  )

test('many small frames arrive whole, once and in order, in both directions', async () => {
  await pair(async (client, server) => {
    const count = 20_000
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      const arrived = collect(to, count)
      for (let i = 0; i < count; i++) {
        const frame = Buffer.alloc(5 + (i % 40))
        frame.writeUInt32LE(i)
        from.send(frame)
      }
      const frames = await arrived
      frames.forEach((frame, i) => {
        if (frame.readUInt32LE() !== i || frame.length !== 5 + (i % 40)) assert.unreachable(`frame ${i} is wrong`)
      })
    }
  })
})

test('the largest frame arrives whole between small ones', async () => {
  await pair(async (client, server) => {
    const arrived = collect(server, 3)
    const large = Buffer.alloc(MAX_MESSAGE_BYTES, 7)
    client.send(Buffer.from('a'))
    client.send(large)
    client.send(Buffer.from('z'))
    const [a, middle, z] = (await arrived) as [Buffer, Buffer, Buffer]
    assert.is(a.toString(), 'a')
    assert.ok(middle.equals(large))
    assert.is(z.toString(), 'z')
  })
})

test('a frame beyond the limit is a bug of the sender and does not leave', async () => {
  await pair(async (client) => {
    assert.throws(() => client.send(Buffer.alloc(MAX_MESSAGE_BYTES + 1)), /frame of/)
    assert.throws(() => client.send(Buffer.alloc(0)), /frame of 0/)
  })
})

test('closing one end closes the other, each told once', async () => {
  await pair(async (client, server) => {
    const reasons = Promise.all([closed(client), closed(server)])
    client.close()
    client.close()
    assert.equal(await reasons, ['closed here', 'closed by the peer'])
    client.send(Buffer.from('into the void'))
  })
})

test('a peer that does not read does not fill our memory: its connection is closed', async () => {
  await pair(async (client, server) => {
    server.onFrame = () => {}
    const gone = closed(client)
    for (let i = 0; i < 6; i++) client.send(Buffer.alloc(MAX_MESSAGE_BYTES))
    assert.is(await gone, 'the peer does not read')
  })
})

test('a wrong secret is refused at both ends with its reason', async () => {
  const log = collectingLog()
  const accepted: Connection[] = []
  const listener = await transport({ log }).listen({ host: HOST, port: 0 }, (connection) => accepted.push(connection))
  const error = await rejection(transport({ secret: 'guess' }).connect({ host: HOST, port: listener.port }))
  assert.ok(isMatrixError(error, 'protocol'), String(error))
  assert.match(String(error), /secrets differ/)
  await listener.close()
  assert.is(accepted.length, 0)
  assert.match(log.lines.join('\n'), /not authenticated.*secrets differ/)
})

test('a node of another matrix is refused and named', async () => {
  const log = collectingLog()
  const listener = await transport({ log }).listen({ host: HOST, port: 0 }, () => assert.unreachable())
  const error = await rejection(transport({ matrixName: 'other' }).connect({ host: HOST, port: listener.port }))
  assert.ok(isMatrixError(error, 'protocol'), String(error))
  await listener.close()
  assert.match(log.lines.join('\n'), /another matrix.*matrixfs:other/)
})

test('nobody listens: peer-gone', async () => {
  const listener = await transport().listen({ host: HOST, port: 0 }, () => {})
  await listener.close()
  assert.ok(isMatrixError(await rejection(transport().connect({ host: HOST, port: listener.port })), 'peer-gone'))
})

test('a port in use is said so', async () => {
  const listener = await transport().listen({ host: HOST, port: 0 }, () => {})
  const error = await rejection(transport().listen({ host: HOST, port: listener.port }, () => {}))
  assert.ok(isMatrixError(error, 'in-use'), String(error))
  assert.match((error as MatrixError).message, new RegExp(String(listener.port)))
  await listener.close()
})

test('a listener that never answers the handshake: timeout, not for ever', async () => {
  const sockets: Socket[] = []
  const silent = createServer((socket) => void sockets.push(socket))
  await new Promise<void>((resolve) => silent.listen(0, HOST, resolve))
  const { port } = silent.address() as { port: number }
  assert.ok(isMatrixError(await rejection(transport().connect({ host: HOST, port })), 'timeout'))
  for (const socket of sockets) socket.destroy()
  silent.close()
})

/** Opens a plain TCP connection, sends `bytes`, and resolves when the other end closes it. */
function plain(listener: Listener, bytes: Buffer | undefined): Promise<void> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: HOST, port: listener.port }, () => bytes && socket.write(bytes))
    socket.on('error', () => {})
    socket.on('data', () => {})
    socket.on('close', () => resolve())
  })
}

test('garbage, half-sent handshakes and silence are dropped, and the listener goes on', async () => {
  const log = collectingLog()
  const accepted: Connection[] = []
  const listener = await transport({ log }).listen({ host: HOST, port: 0 }, (connection) => accepted.push(connection))
  await Promise.all([
    plain(listener, Buffer.from('GET / HTTP/1.1\r\n\r\n')),
    plain(listener, Buffer.alloc(4096, 0xff)),
    plain(listener, Buffer.from([22, 3, 1, 2, 0, 1])), // the first bytes of a ClientHello, and no more
    plain(listener, undefined),
  ])
  assert.is(accepted.length, 0)
  assert.is(log.lines.filter((line) => line.includes('not authenticated')).length, 4, log.lines.join('\n'))
  const client = await transport().connect({ host: HOST, port: listener.port })
  client.close()
  await listener.close()
})

test.run()
