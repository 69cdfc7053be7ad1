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
import { realPrograms } from '../../../src/platform/real/programs.ts'
import { tlsDialer } from '../../../src/platform/real/tls-dialer.ts'
import { type ProbeTarget, type ProbeTools, probe, ServiceMonitor } from '../../../src/services/index.ts'
import { SimHost, SimWorld } from '../../sim/world.ts'

const LIFE = { slot: 0 as Slot, incarnation: 1 as Incarnation }
const test = suite('services: monitors')
const LIMIT_MS = 2_000
const tools: ProbeTools = { dialer: realDialer, tls: tlsDialer, programs: realPrograms, whyNot: () => undefined }
type NetworkKind = Extract<ProbeTarget, { at: unknown }>['kind']

/** The reason why a probe of what answers by `serve` fails; undefined when it does not. */
async function against(kind: NetworkKind, serve: (socket: Socket) => void): Promise<string | undefined> {
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

function reasonOf(kind: NetworkKind, port: number): Promise<string | undefined> {
  const at = { host: '127.0.0.1', port }
  return reasonFor({ kind, at, path: '/', query: 'example.org' } as ProbeTarget)
}

function reasonFor(target: ProbeTarget, limitMs = LIMIT_MS): Promise<string | undefined> {
  return probe(tools, target, { limitMs, end: AbortSignal.timeout(limitMs) }).then(
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

/** A service that says its lines one by one: the first at once, each other once it has heard a line. */
const speaks =
  (...lines: string[]) =>
  (socket: Socket) => {
    const next = () => void socket.write(lines.shift() ?? '')
    socket.on('data', next)
    next()
  }

test('FTP, SMTP, IMAP and POP3: a greeting and a harmless command are answered, in one line or several', async () => {
  const well: [NetworkKind, string[]][] = [
    ['ftp', ['220-Hello\r\n220 there\r\n', '530 Please login\r\n', '221 Bye\r\n']],
    ['ftp', ['220 vsFTPd\r\n', '200 NOOP ok.\r\n', '221 Bye\r\n']],
    ['smtp', ['220-mx\r\n220-220 is no end\r\n220 ready\r\n', '250 2.0.0 Ok\r\n', '221 2.0.0 Bye\r\n']],
    ['imap', ['* OK [CAPABILITY IMAP4rev2] ready\r\n', '* 3 EXISTS\r\na1 OK done\r\n', '* BYE\r\na2 OK\r\n']],
    ['pop3', ['+OK ready\r\n', '+OK bye\r\n']],
  ]
  for (const [kind, lines] of well) assert.is(await against(kind, speaks(...lines)), undefined, `${kind} ${lines[0]}`)
  const ill: [NetworkKind, string[], RegExp][] = [
    ['ftp', ['421 Too many users\r\n'], /it says "421 Too many users"/],
    ['ftp', ['220 hi\r\n', '421 Timeout\r\n'], /421/],
    ['smtp', ['554 no SMTP service here\r\n'], /it says "554 no/],
    ['smtp', ['SSH-2.0-OpenSSH\r\n'], /not a reply: "SSH-2.0-OpenSSH"/],
    ['imap', ['* BYE overloaded\r\n'], /BYE/],
    ['imap', ['* OK\r\n', 'a1 BAD no\r\n'], /it says "BAD no"/],
    ['pop3', ['-ERR locked\r\n'], /-ERR locked/],
    ['smtp', [`220-${'x'.repeat(70_000)}`], /longer answer/],
  ]
  for (const [kind, lines, reason] of ill)
    assert.match((await against(kind, speaks(...lines))) as string, reason, `${kind} ${lines[0]?.slice(0, 20)}`)
})

test('WebDAV says so in a header, or asks who it is', async () => {
  const says = (text: string) => (socket: Socket) => void socket.write(text)
  assert.is(await against('webdav', says('HTTP/1.1 200 OK\r\nDAV: 1, 2\r\n\r\n')), undefined)
  assert.is(await against('webdav', says('HTTP/1.1 401 Unauthorized\r\n\r\n')), undefined)
  assert.is(await against('webdav', says('HTTP/1.1 200 OK\r\n\r\n')), 'it does not speak WebDAV')
  assert.is(await against('webdav', says('HTTP/1.1 404 Not Found\r\nDAV: 1\r\n\r\n')), 'status 404')
})

test('DNS: a name that is there or not is an answer; SERVFAIL, REFUSED and other messages are none', async () => {
  const questions: Buffer[] = []
  const answers = (code: number, id?: number) => (socket: Socket) =>
    socket.on('data', (question) => {
      questions.push(question)
      const answer = Buffer.from(question)
      if (id !== undefined) answer.writeUInt16BE(id, 2)
      answer.writeUInt16BE(0x8000 | code, 4)
      socket.write(answer)
    })
  assert.is(await against('dns', answers(0)), undefined)
  assert.is(await against('dns', answers(3)), undefined)
  assert.is(await against('dns', answers(2)), 'it says SERVFAIL')
  assert.is(await against('dns', answers(5)), 'it says REFUSED')
  assert.is(await against('dns', answers(0, 1)), 'not an answer to the query')
  assert.is(questions[0]?.toString('hex'), '001d6d660100000100000000000007657861' + '6d706c65036f72670000010001')
})

test('a script is well with exit code 0; a disk is read, a directory listed; what hangs is late', async () => {
  const script = (path: string) => reasonFor({ kind: 'script', script: path })
  assert.is(await script('/bin/true'), undefined)
  assert.is(await script('/bin/false'), 'exit code 1')
  assert.match((await script('/no/such')) as string, 'cannot be started')
  const disk = (path: string, limitMs?: number) => reasonFor({ kind: 'disk', path }, limitMs)
  assert.is(await disk('/bin/true'), undefined)
  assert.is(await disk('/tmp'), undefined)
  assert.match((await disk('/no/such')) as string, 'No such file')
})

test('a gateway with a port is there when it accepts; LUNs and filesystems are as this node finds them', async () => {
  const server = createServer((socket) => socket.destroy())
  const port = await listening(server)
  assert.is(await reasonFor({ kind: 'gateway', host: '127.0.0.1', port }), undefined)
  server.close()
  assert.ok(await reasonFor({ kind: 'gateway', host: '127.0.0.1', port }))
  const sights: ProbeTools = {
    ...tools,
    whyNot: (kind, name) => (name === 'lun1' ? undefined : `${kind} ${name} is lost`),
  }
  const patience = { limitMs: LIMIT_MS, end: new AbortController().signal }
  await probe(sights, { kind: 'lun', of: 'lun1' }, patience)
  assert.is(
    await probe(sights, { kind: 'lun', of: 'lun2' }, patience).catch(({ message }) => message),
    'lun lun2 is lost',
  )
})

test('a probe that nobody waits for any more ends its connection', async () => {
  const ended = new Promise<void>((resolve) => {
    void against('smtp', (socket) => socket.on('close', () => resolve()))
  })
  await ended
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
      tools: {
        ...tools,
        dialer: {
          dial: () => {
            service.probes++
            if (service.state === 'hangs') return new Promise(() => {})
            return service.state === 'well'
              ? Promise.resolve(stream)
              : Promise.reject(new MatrixError('peer-gone', 'nobody listens there'))
          },
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
