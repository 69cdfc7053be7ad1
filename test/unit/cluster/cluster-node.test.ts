import { createServer } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FsError, isFsError, isMatrixError, MatrixError } from '../../../src/base/errors.ts'
import { Prng } from '../../../src/base/prng.ts'
import { timingsFrom } from '../../../src/base/timings.ts'
import { ClusterNode, type Mesh, type View } from '../../../src/cluster/index.ts'
import { type Log, silentLog } from '../../../src/platform/log.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { createTcpTransport } from '../../../src/platform/real/transport.ts'
import type { PeerAddress, Transport } from '../../../src/platform/transport.ts'

const test = suite('cluster/cluster-node.ts: nodes on real sockets')

const timings = timingsFrom(1000)

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer().listen(0, '127.0.0.1', () => resolve(server))
        }),
    ),
  )
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

type NodeOptions = {
  slot: number
  ports: number[]
  incarnation?: number
  secret?: string
  matrixName?: string
  ioTimeoutMs?: number
  log?: Log
  /** Further addresses, by slot. */
  others?: PeerAddress[][]
  through?: (transport: Transport) => Transport
}

function createNode({
  slot,
  ports,
  incarnation = 1,
  secret = 'sesame',
  matrixName = 'm',
  ioTimeoutMs,
  log = silentLog,
  others = [],
  through = (transport) => transport,
}: NodeOptions) {
  const all = ports.map((port, index) => ({
    slot: index,
    name: `n${index}`,
    address: { host: '127.0.0.1', port },
    otherAddresses: others[index],
  }))
  const node = new ClusterNode({
    self: { ...all[slot]!, incarnation },
    peers: all.filter((peer) => peer.slot !== slot),
    matrixName,
    clock: realClock,
    transport: through(createTcpTransport({ secret, matrixName, log })),
    timings: ioTimeoutMs ? timingsFrom(ioTimeoutMs) : timings,
    prng: new Prng(slot + 1),
    log,
  })
  const views: View[] = []
  node.addListener({ blocked() {}, installed: (view) => void views.push(view) })
  node.mesh.onRequest('volume', (_from, body) => {
    if (body === 'matrix') throw new MatrixError('no-space', 'none left')
    if (body === 'fs') return Promise.reject(new FsError('ENOENT', 'gone'))
    return { echo: body }
  })
  return { node, views }
}

async function until(condition: () => boolean, limitMs = 8_000): Promise<void> {
  const end = realClock.now() + limitMs
  while (!condition()) {
    if (realClock.now() > end) throw new Error(`not within ${limitMs} ms: ${condition}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  )
const members = (views: View[]) =>
  views
    .at(-1)
    ?.members.map((member) => `${member.slot}@${member.incarnation}`)
    .join(' ')

test('R36, R48, R52: three nodes agree, talk, ask, lose one, take it back, part', async () => {
  const ports = await freePorts(3)
  const [a, b, c] = [0, 1, 2].map((slot) => createNode({ slot, ports })) as [
    ReturnType<typeof createNode>,
    ReturnType<typeof createNode>,
    ReturnType<typeof createNode>,
  ]
  await Promise.all([a.node.start(), b.node.start(), c.node.start()])
  await until(() => [a, b, c].every(({ views }) => members(views) === '0@1 1@1 2@1'))

  const arrived: number[] = []
  b.node.mesh.onMessage('lock', (from, payload) => {
    assert.is(from, 0)
    arrived.push(payload.readUInt32LE())
  })
  const payload = Buffer.alloc(100)
  for (let i = 0; i < 10_000; i++) {
    payload.writeUInt32LE(i) // used again at once
    a.node.mesh.send(1, 'lock', payload)
  }
  await until(() => arrived.length === 10_000)
  assert.equal(
    arrived,
    Array.from({ length: 10_000 }, (_, i) => i),
  )
  assert.is(a.node.status().channels['lock']!.sentBytes, 1_000_000)

  const ask = (mesh: Mesh, to: number, body: unknown) => mesh.request(to, 'volume', body)
  const large = Buffer.alloc(8 * 2 ** 20, 5)
  assert.equal(await ask(a.node.mesh, 2, large), { echo: large })
  assert.equal(await ask(a.node.mesh, 0, [1, 'x']), { echo: [1, 'x'] })
  const refused = await failure(ask(c.node.mesh, 1, 'matrix'))
  assert.ok(isMatrixError(refused, 'no-space'))
  assert.is((refused as Error).message, 'none left')
  assert.ok(isFsError(await failure(ask(c.node.mesh, 1, 'fs')), 'ENOENT'))

  await c.node.stop() // as a killed process: its sockets close
  await until(() => [a, b].every(({ views }) => members(views) === '0@1 1@1'), timings.suspectMs)
  const again = createNode({ slot: 2, ports, incarnation: 2 })
  await again.node.start()
  await until(() => [a, b, again].every(({ views }) => members(views) === '0@1 1@1 2@2'))

  await a.node.leave()
  await until(() => members(b.views) === '1@1 2@2' && members(again.views) === '1@1 2@2', 1_000)
  await Promise.all([b.node.leave(), again.node.leave()])
})

test('what does not fit is refused with its reason at both ends: timings, an older incarnation, a wrong secret', async () => {
  const ports = await freePorts(4)
  const lines: string[] = []
  const add = (fields: object, message: string) => void lines.push(`${message} ${JSON.stringify(fields)}`)
  const log: Log = { debug() {}, info: add, warn: add, error: add, child: () => log }
  const a = createNode({ slot: 0, ports, log })
  const newer = createNode({ slot: 1, ports, incarnation: 5 })
  const slower = createNode({ slot: 2, ports, ioTimeoutMs: 1500 })
  const stranger = createNode({ slot: 3, ports, secret: 'guess' })
  await Promise.all([a.node.start(), newer.node.start(), slower.node.start(), stranger.node.start()])
  await until(() => members(a.views) === '0@1 1@5' && members(newer.views) === '0@1 1@5')
  await newer.node.stop()
  const older = createNode({ slot: 1, ports, incarnation: 4 })
  await older.node.start()
  await until(() =>
    ['I/O time-out 1500 ms', 'incarnation 5, not 4', 'secrets differ'].every((reason) =>
      lines.some((line) => line.includes(reason)),
    ),
  )
  await until(() => members(a.views) === '0@1')
  await Promise.all([a, older, slower, stranger].map(({ node }) => node.stop()))
})

test('R111: a node that is not known is refused, until it is added; one that left is no longer looked for', async () => {
  const ports = await freePorts(3)
  const lines: string[] = []
  const add = (fields: object, message: string) => void lines.push(`${message} ${JSON.stringify(fields)}`)
  const log: Log = { debug() {}, info: add, warn: add, error: add, child: () => log }
  const [a, b] = [0, 1].map((slot) => createNode({ slot, ports: ports.slice(0, 2), log })) as [
    ReturnType<typeof createNode>,
    ReturnType<typeof createNode>,
  ]
  await Promise.all([a.node.start(), b.node.start()])
  await until(() => [a, b].every(({ views }) => members(views) === '0@1 1@1'))
  const c = createNode({ slot: 2, ports })
  await c.node.start()
  await until(() => lines.some((line) => line.includes('slot 2 (n2) is not known at n0, or not yet')))
  const known = { slot: 2, name: 'n2', address: { host: '127.0.0.1', port: ports[2]! } }
  a.node.addPeer(known)
  b.node.addPeer(known)
  await until(() => [a, b, c].every(({ views }) => members(views) === '0@1 1@1 2@1'))
  a.node.removePeer(2)
  assert.is(a.node.status().peers.length, 2, 'it is linked')
  await c.node.leave()
  await until(() => members(a.views) === '0@1 1@1')
  await until(() => a.node.status().peers.every(({ slot, linked }) => linked === (slot === 1)))
  a.node.removePeer(2)
  assert.equal(
    a.node.status().peers.map(({ slot }) => slot),
    [1],
  )
  await Promise.all([a.node.leave(), b.node.leave()])
})

test('two networks: one goes away, the other carries on, and nothing is lost or reordered', async () => {
  const ports = await freePorts(4)
  const hosts = ['127.0.0.1', '127.0.0.2']
  const others = ports.slice(2).map((port) => [{ host: hosts[1]!, port }])
  // the first network goes through here, and is cut here
  const cut = new Set<() => void>()
  let isDown = false
  const through = (transport: Transport): Transport => ({
    listen: (address, accept) => transport.listen(address, accept),
    async connect(address) {
      const isFirst = address.host === hosts[0]
      if (isFirst && isDown) throw new MatrixError('no-route', 'down')
      const connection = await transport.connect(address)
      if (isFirst) cut.add(() => connection.close())
      return connection
    },
  })
  const nodes = [0, 1].map((slot) => createNode({ slot, ports: ports.slice(0, 2), others, through }))
  const [a, b] = nodes as [ReturnType<typeof createNode>, ReturnType<typeof createNode>]
  await Promise.all(nodes.map(({ node }) => node.start()))
  await until(() => nodes.every(({ views }) => members(views) === '0@1 1@1'))
  const arrived: number[] = []
  b.node.mesh.onMessage('lock', (_from, payload) => void arrived.push(payload.readUInt32LE()))
  const payload = Buffer.alloc(1000)
  let sent = 0
  const sendSome = () => {
    for (let i = 0; i < 2000; i++) {
      payload.writeUInt32LE(sent++)
      a.node.mesh.send(1, 'lock', payload)
    }
  }
  sendSome()
  await until(() => arrived.length > 100)
  isDown = true
  for (const close of cut) close()
  sendSome()
  await until(() => arrived.length === sent)
  assert.equal(
    arrived,
    Array.from({ length: sent }, (_, i) => i),
  )
  assert.is(a.node.status().peers[0]!.link!.network, 1)
  assert.is(a.views.length, 1)
  assert.is(b.views.length, 1)
  await Promise.all(nodes.map(({ node }) => node.leave()))
})

test('a port in use and a configuration that contradicts itself are said so', async () => {
  const ports = await freePorts(2)
  const first = createNode({ slot: 0, ports })
  await first.node.start()
  assert.ok(isMatrixError(await failure(createNode({ slot: 0, ports }).node.start()), 'in-use'))
  await first.node.stop()
  const peer = { slot: 0, name: 'n0', address: { host: '127.0.0.1', port: 1 } }
  const options = {
    matrixName: 'm',
    clock: realClock,
    transport: createTcpTransport({ secret: 's', matrixName: 'm', log: silentLog }),
    timings,
    prng: new Prng(1),
    log: silentLog,
  }
  assert.throws(
    () => new ClusterNode({ ...options, self: { ...peer, incarnation: 1 }, peers: [{ ...peer, name: 'n1' }] }),
    (error: unknown) => isMatrixError(error, 'config'),
  )
})

test.run()
