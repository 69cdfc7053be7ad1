/** Service monitors (R29): each probe against the real service and against what may be there instead; when a service is down and up again. */
import { createServer, type Server, type Socket } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MatrixError } from '../../../src/base/errors.ts'
import type { Incarnation, Slot } from '../../../src/base/ids.ts'
import { HttpGateway } from '../../../src/gateway-http/index.ts'
import { NfsServer } from '../../../src/gateway-nfs/index.ts'
import type { ByteStream } from '../../../src/platform/index.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { realDialer } from '../../../src/platform/real/dialer.ts'
import { probes, ServiceMonitor } from '../../../src/services/index.ts'
import { SimHost, SimWorld } from '../../sim/world.ts'

const LIFE = { slot: 0 as Slot, incarnation: 1 as Incarnation }
const test = suite('services: monitors')
const LIMIT_MS = 2_000

/** The reason why a probe of what answers by `serve` fails; undefined when it does not. */
async function against(kind: 'tcp' | 'nfs' | 'http', serve: (socket: Socket) => void): Promise<string | undefined> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    serve(socket)
  })
  const port = await listening(server)
  try {
    return await reasonOf(kind, port)
  } finally {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
}

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as { port: number }).port
}

function reasonOf(kind: 'tcp' | 'nfs' | 'http', port: number): Promise<string | undefined> {
  return probes[kind](realDialer, { host: '127.0.0.1', port }, LIMIT_MS).then(
    () => undefined,
    (error) => error.message as string,
  )
}

test('our own NFS and HTTP are well', async () => {
  const nfs = new NfsServer({ exports: () => [], clock: realClock, log: silentLog, hostName: 'matrix', life: LIFE })
  const http = new HttpGateway({ exports: () => [], clock: realClock })
  const [{ port: nfsPort }, { port: httpPort }] = [await nfs.listen('127.0.0.1', 0), await http.listen('127.0.0.1', 0)]
  assert.is(await reasonOf('nfs', nfsPort), undefined)
  assert.is(await reasonOf('http', httpPort), undefined)
  assert.is(await reasonOf('tcp', nfsPort), undefined)
  assert.match((await reasonOf('http', nfsPort)) as string, /no answer|not an answer/)
  await nfs.close()
  await http.close()
  assert.match((await reasonOf('tcp', nfsPort)) as string, /ECONNREFUSED|refused|nobody listens/i)
})

test('NFS: an answer in pieces is one; another answer, an end, or an endless one is none', async () => {
  const answer = (...words: number[]) => {
    const bytes = Buffer.alloc(4 * words.length)
    for (const [i, word] of words.entries()) bytes.writeUInt32BE(word, 4 * i)
    return bytes
  }
  const right = answer(0x80000018, 0x6d667662, 1, 0, 0, 0, 0)
  assert.is(
    await against('nfs', (socket) => {
      socket.write(right.subarray(0, 5))
      setTimeout(() => socket.write(right.subarray(5)), 20)
    }),
    undefined,
  )
  const unavailable = answer(0x80000018, 0x6d667662, 1, 0, 0, 0, 1)
  assert.match((await against('nfs', (socket) => socket.write(unavailable))) as string, 'not an answer to NULL')
  assert.match((await against('nfs', (socket) => socket.destroy())) as string, 'no answer')
  assert.match(
    (await against('nfs', (socket) => socket.write(Buffer.alloc(100_000)))) as string,
    /not an answer|longer/,
  )
})

test('HTTP: any status below 500 is well; others, and what is no HTTP, are not', async () => {
  const says = (text: string) => (socket: Socket) => void socket.write(text)
  assert.is(await against('http', says('HTTP/1.1 403 Forbidden\r\n\r\n')), undefined)
  assert.is(await against('http', says('HTTP/1.1 503 Unavailable\r\n\r\n')), 'status 503')
  assert.is(await against('http', says('SSH-2.0-x\r\n')), 'not an answer of HTTP')
})

/** A monitor in virtual time, of a service that does what `state` says. */
function monitored() {
  const world = new SimWorld(1)
  const { clock } = new SimHost(world, 'n1')
  const service = { state: 'well' as 'well' | 'refuses' | 'hangs', probes: 0 }
  const changes: [number, boolean][] = []
  const stream = { reset() {}, write() {} } as unknown as ByteStream
  const monitor = new ServiceMonitor(
    { kind: 'tcp', at: { host: 'x', port: 1 }, intervalMs: 1000, timeoutMs: 400, retries: 2 },
    {
      clock,
      log: silentLog,
      dialer: {
        dial: () => {
          service.probes++
          if (service.state === 'hangs') return new Promise(() => {})
          return service.state === 'well'
            ? Promise.resolve(stream)
            : Promise.reject(new MatrixError('peer-gone', 'nobody listens there'))
        },
      },
      onChange: () => changes.push([world.now, monitor.isUp]),
    },
  )
  monitor.start()
  return { world, service, changes, monitor }
}

test('it is down until it has answered, again after so many failures in a row, and up with the first answer', async () => {
  const { world, service, changes, monitor } = monitored()
  assert.not(monitor.isUp)
  await world.run(10)
  assert.equal(changes, [[0, true]])
  service.state = 'refuses'
  await world.run(2_900)
  assert.ok(monitor.isUp, 'two failures')
  await world.run(3_100)
  assert.equal(changes.at(-1), [3_000, false])
  assert.is(monitor.reason, 'nobody listens there')
  service.state = 'well'
  await world.run(4_100)
  assert.equal(changes.at(-1), [4_000, true])
  assert.is(monitor.reason, undefined)
  monitor.stop()
  const { probes } = service
  await world.run(10_000)
  assert.is(service.probes, probes, 'a monitor that was stopped probes no more')
})

test('a failure that passes is none; a service that hangs is down after its time-outs', async () => {
  const { world, service, changes, monitor } = monitored()
  await world.run(500)
  service.state = 'refuses'
  await world.run(2_500)
  service.state = 'well'
  await world.run(3_500)
  service.state = 'hangs'
  await world.run(6_300)
  assert.is(changes.length, 1)
  await world.run(6_500)
  assert.equal(changes.at(-1), [6_400, false])
  assert.is(monitor.reason, 'no answer within 400 ms')
})

test.run()
