/**
 * The NFS server against whatever may come over the wire, and against what a filesystem may do to it: bad input gets a clear
 * answer or a closed connection, and the server goes on; a change is answered when it is durable, once.
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FsError, isMatrixError, MatrixError } from '../../../src/base/errors.ts'
import type { Incarnation, Slot } from '../../../src/base/ids.ts'
import { NfsServer } from '../../../src/gateway-nfs/index.ts'
import { RECORD_MAX } from '../../../src/gateway-nfs/limits.ts'
import { MOUNT_PROGRAM } from '../../../src/gateway-nfs/mount/tables.ts'
import * as c from '../../../src/gateway-nfs/v3/constants.ts'
import { procedures } from '../../../src/gateway-nfs/v3/tables.ts'
import type { MatrixFs } from '../../../src/metadata/index.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { MemoryFs } from '../../helpers/memory-fs.ts'
import { encodeCall, encodeWith, marked, NfsClient, unset } from '../../helpers/nfs-client.ts'
import { type Served, serve } from '../../helpers/nfs-served.ts'

const NFS = c.NFS_PROGRAM
const turn = () => new Promise((resolve) => setTimeout(resolve, 20))

/** Runs a case against a server of its own. */
function over(
  name: string,
  options: Parameters<typeof serve>[1] & { fs?: MatrixFs },
  run: (served: Served, client: NfsClient) => Promise<void>,
): void {
  test(name, async () => {
    const { fs = new MemoryFs().fs, ...rest } = options
    const served = await serve(fs, rest)
    try {
      await run(served, await served.connect())
    } finally {
      await served.close()
    }
  })
}

/** The server still answers a new client. */
async function alive(served: Served): Promise<void> {
  const client = await served.connect()
  assert.is((await client.rpc(NFS, 3, 0)).kind, 'success')
}

over('unknown programs, versions and procedures are told so', {}, async (_, client) => {
  const status = async (program: number, version: number, procedure: number) => {
    const reply = await client.rpc(program, version, procedure)
    return reply.kind === 'accepted' ? [reply.status, reply.rest.toString('hex')] : reply
  }
  assert.equal(await status(100099, 1, 0), [1, ''])
  assert.equal(await status(NFS, 2, 0), [2, '0000000300000003'])
  assert.equal(await status(NFS, 4, 0), [2, '0000000300000003'])
  assert.equal(await status(MOUNT_PROGRAM, 1, 0), [2, '0000000300000003'])
  assert.equal(await status(NFS, 3, 22), [3, ''])
  assert.equal(await status(MOUNT_PROGRAM, 3, 6), [3, ''])
  assert.equal(await status(NFS, 3, 1), [4, ''], 'GETATTR without arguments')
})

over('another RPC version and bad credentials are denied', {}, async (_, client) => {
  const send = async (change: (record: Buffer) => Buffer) => {
    const xid = client.nextXid()
    const record = encodeCall({ xid, program: NFS, version: 3, procedure: 0, user: { uid: 1, gid: 2, gids: [3] } })
    const reply = client.reply(xid)
    client.socket.write(marked(change(record)))
    return reply
  }
  const word = (at: number, value: number) => (record: Buffer) => {
    record.writeUInt32BE(value, at)
    return record
  }
  assert.equal(await send(word(8, 3)), { kind: 'denied', words: [0, 2, 2] }, 'RPC_MISMATCH')
  assert.equal(await send(word(24, 6)), { kind: 'denied', words: [1, 1] }, 'RPCSEC_GSS is not spoken')
  assert.equal(await send(word(28, 401)), { kind: 'denied', words: [1, 1] }, 'too long a credential')
  assert.equal(await send(word(28, 4)), { kind: 'denied', words: [1, 1] }, 'a credential that ends too early')
  assert.equal(await send(word(52, 17)), { kind: 'denied', words: [1, 1] }, 'seventeen groups')
  assert.equal(await send((record) => word(record.length - 4, 500)(record)), { kind: 'denied', words: [1, 3] })
  assert.is((await send((record) => record)).kind, 'success')
})

over('garbage closes the connection with a log line, and the server goes on', {}, async (served) => {
  const tooLong = Buffer.alloc(4)
  tooLong.writeUInt32BE(0x80000000 + RECORD_MAX + 1)
  for (const [bytes, reason] of [
    [Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), /above the limit/],
    [tooLong, /above the limit/],
    [marked(Buffer.from('not a call')), /not an RPC call/],
    [marked(Buffer.alloc(0)), /not an RPC call/],
    [marked(Buffer.alloc(64, 0xff)), /not an RPC call/],
  ] as const) {
    const client = await served.connect()
    served.lines.length = 0
    client.socket.write(bytes)
    await client.closed
    const line = served.lines.find((each) => each.level === 'warn')
    assert.match(String(line?.fields['reason']), reason)
    assert.match(String(line?.fields['client']), /^127\.0\.0\.1:\d+$/)
    await alive(served)
  }
})

over('every NFS procedure refuses every cut of its arguments', {}, async (served, client) => {
  const root = await client.mount('/home')
  const args = encodeWith(procedures.SETATTR.args, { object: root, attributes: unset, guardCtime: undefined })
  for (let number = 1; number < 22; number++) {
    const reply = await client.rpc(NFS, 3, number, Buffer.from(args.subarray(0, 16)))
    assert.is(reply.kind === 'accepted' && reply.status, 4, `procedure ${number}`)
  }
  await alive(served)
})

over('half a record, then silence: closed after its time', { limits: { halfRecordMs: 0 } }, async (served, client) => {
  client.socket.write(Buffer.from([0x80, 0, 0]))
  const idle = await served.connect()
  await Promise.race([client.closed, new Promise((_, reject) => setTimeout(reject, 8000, new Error('still open')))])
  assert.ok(served.lines.some((line) => /half a record/.test(String(line.fields['reason']))))
  assert.is((await idle.rpc(NFS, 3, 0)).kind, 'success', 'one that waits between requests stays')
})

over(
  'a client that goes away in the middle of everything does no harm',
  { fs: new MemoryFs({ asynchronous: true }).fs },
  async (served) => {
    const record = encodeCall({ xid: 1, program: NFS, version: 3, procedure: 0 })
    for (const cut of [1, 4, 10, 43]) {
      const client = await served.connect()
      client.socket.write(marked(record).subarray(0, cut))
      await turn()
      client.socket.resetAndDestroy()
    }
    const client = await served.connect()
    const root = await client.mount('/home')
    for (let i = 0; i < 50; i++) client.call('GETATTR', { object: root }).catch(() => {})
    await turn()
    client.socket.resetAndDestroy()
    await turn()
    await alive(served)
  },
)

over(
  'a thousand connections of one client, each with half a record, keep nobody else from being served',
  {},
  async (served) => {
    const half = marked(encodeCall({ xid: 1, program: NFS, version: 3, procedure: 0 })).subarray(0, 20)
    const address = '127.0.0.9'
    const many: NfsClient[] = []
    for (let opened = 0; opened < 1000; opened += 100) {
      const more = Array.from({ length: 100 }, () => NfsClient.connect(served.port, { localAddress: address }))
      many.push(...(await Promise.all(more)))
    }
    for (const { socket } of many) socket.write(half)
    while (served.server.stats().connections < 1000) await turn()
    const other = await served.connect()
    const root = await other.mount('/home')
    const began = performance.now()
    for (let i = 0; i < 100; i++) assert.is(await other.status('GETATTR', { object: root }), 0)
    assert.ok(performance.now() - began < 5000, 'a hundred calls beside them')
    await alive(served)
    for (const { socket } of many) socket.resetAndDestroy()
    for (let tries = 0; tries < 250 && served.server.stats().connections > 4; tries++) await turn()
    assert.ok(served.server.stats().connections <= 4, 'and nothing of it is left')
  },
)

over(
  'a client that floods the server and reads no answer is read no further, and others are served',
  {},
  async (served) => {
    const flood = await served.connect()
    const root = await flood.mount('/home')
    const file = await flood.create(root, 'big')
    await flood.write(file, 0, Buffer.alloc(1024 * 1024, 'x'))
    flood.socket.pause()
    const args = encodeWith(procedures.READ.args, { object: file, offset: 0, count: 1024 * 1024 })
    const call = marked(encodeCall({ xid: 7, program: NFS, version: 3, procedure: 6, user: { uid: 0, gid: 0 }, args }))
    const calls = Buffer.concat(Array.from({ length: 1000 }, () => call))
    // its answers would be a gigabyte for each of these
    for (let sent = 0; sent < 100; sent++) flood.socket.write(calls)
    const other = await served.connect()
    let slowest = 0
    for (const until = performance.now() + 1500; performance.now() < until; ) {
      const began = performance.now()
      assert.is(await other.status('GETATTR', { object: root }), 0)
      slowest = Math.max(slowest, performance.now() - began)
    }
    assert.ok(slowest < 1000, `${slowest} ms for a GETATTR beside the flood`)
    assert.ok(flood.socket.writableLength > calls.length, 'most of it is still at the client')
    assert.ok(served.server.stats().inFlight <= 257, `${served.server.stats().inFlight} in flight`)
    flood.socket.resetAndDestroy()
    await turn()
    await alive(served)
  },
)

over(
  'connections of one address end at a limit, told once, and do not keep out those of another',
  { limits: { connectionsPerAddress: 3 } },
  async (served) => {
    const from = (localAddress: string) => NfsClient.connect(served.port, { localAddress })
    const many: NfsClient[] = []
    for (let n = 0; n < 3; n++) many.push(await from('127.0.0.7'))
    for (let n = 0; n < 5; n++) await (await from('127.0.0.7')).closed
    assert.is(served.lines.filter((line) => /of this address/.test(line.message)).length, 1)
    assert.is(served.server.stats().connectionsRefused, 5)
    const other = await from('127.0.0.8')
    assert.is((await other.rpc(NFS, 3, 0)).kind, 'success')
    many[0]!.socket.destroy()
    while (served.server.stats().connections > 4) await turn()
    const next = await from('127.0.0.7')
    assert.is((await next.rpc(NFS, 3, 0)).kind, 'success', 'there is room again')
    for (const client of [...many, other, next]) client.socket.destroy()
  },
)

over('one connection too many is refused', { limits: { connections: 1 } }, async (served) => {
  const second = await served.connect()
  await second.closed
  assert.ok(served.lines.some((line) => /too many/.test(line.message)))
})

over('requests in one chunk are answered in order of completion, in few writes', {}, async (_, client) => {
  const root = await client.mount('/home')
  let chunks = 0
  client.socket.on('data', () => chunks++)
  const replies = Array.from({ length: 100 }, () => {
    const xid = client.nextXid()
    const args = encodeWith(procedures.GETATTR.args, { object: root })
    return { xid, record: marked(encodeCall({ xid, program: NFS, version: 3, procedure: 1, args })) }
  })
  const all = Promise.all(replies.map(({ xid }) => client.reply(xid)))
  client.socket.write(Buffer.concat(replies.map(({ record }) => record)))
  assert.ok((await all).every((reply) => reply.kind === 'success'))
  assert.ok(chunks <= 3, `${chunks} chunks`)
})

over(
  'limits on requests in flight and on queued bytes hold the client back, and lose nothing',
  { fs: new MemoryFs({ asynchronous: true }).fs, limits: { inFlight: 4, queuedBytes: 100_000 } },
  async (served, client) => {
    const root = await client.mount('/home')
    const file = await client.create(root, 'big')
    const content = Buffer.alloc(400_000, 'x')
    await client.write(file, 0, content)
    let most = 0
    const timer = setInterval(() => (most = Math.max(most, served.server.stats().inFlight)), 1)
    const reads = await Promise.all(Array.from({ length: 60 }, () => client.read(file, 0, 400_000)))
    clearInterval(timer)
    assert.ok(reads.every((each) => each.equals(content)))
    assert.ok(most <= 4, `${most} in flight`)
  },
)

/** A filesystem whose changes become durable when the test says so. */
function held() {
  const memory = new MemoryFs()
  const waiting: ((error?: Error) => void)[] = []
  const fs: MatrixFs = Object.assign(Object.create(memory.fs), {
    afterDurable: (done: () => void) => waiting.push(done),
  })
  return { fs, memory, waiting, release: (error?: Error) => waiting.splice(0).forEach((done) => done(error)) }
}

test('a change is answered only when it is durable; reads do not wait for it (R70)', async () => {
  const { fs, release } = held()
  const served = await serve(fs)
  const client = await served.connect()
  const root = await client.mount('/home')
  let answered = 0
  const changes = ['a', 'b', 'c'].map((name) => client.mkdir(root, name).then(() => answered++))
  await turn()
  await client.ok('GETATTR', { object: root })
  assert.is(answered, 0)
  release()
  await Promise.all(changes)
  assert.is(answered, 3)
  await served.close()
})

test('when changes cannot be made durable, the connection closes without an answer', async () => {
  const { fs, release } = held()
  const served = await serve(fs)
  const client = await served.connect()
  const root = await client.mount('/home')
  const made = client.mkdir(root, 'lost').then(
    () => 'answered',
    (error: Error) => error.message,
  )
  await turn()
  release(new MatrixError('withdrawn', 'the journal failed'))
  assert.match(await made, /connection was closed/)
  await alive(served)
  await served.close()
})

for (const error of [
  new FsError('EDOUBT'),
  new MatrixError('withdrawn', 'gone'),
  new MatrixError('fenced', 'lease over'),
]) {
  for (const asynchronous of [false, true]) {
    test(`${error.message} (${asynchronous ? 'later' : 'at once'}): silence and a closed connection`, async () => {
      let fault: Error | undefined
      const { fs } = new MemoryFs({ asynchronous, fault: (verb) => (verb === 'mkdir' ? fault : undefined) })
      const served = await serve(fs)
      const client = await served.connect()
      const root = await client.mount('/home')
      fault = error
      await client.mkdir(root, 'x').then(
        () => assert.unreachable('it was answered'),
        (failure: Error) => assert.match(failure.message, /connection was closed/),
      )
      assert.ok(served.lines.some((line) => line.fields['error'] === error.message))
      fault = undefined
      await (await served.connect()).mkdir(root, 'x')
      await served.close()
    })
  }
}

test('every failure of the filesystem becomes its status, with attributes where the protocol has room', async () => {
  let fault: Error | undefined
  const memory = new MemoryFs({ fault: (verb) => (verb === 'lookup' || verb === 'remove' ? fault : undefined) })
  const served = await serve(memory.fs)
  const client = await served.connect()
  const root = await client.mount('/home')
  for (const [error, status] of [
    [new FsError('ENOENT'), c.NFS3ERR_NOENT],
    [new FsError('EAGAIN'), c.NFS3ERR_JUKEBOX],
    [new FsError('ENOSPC'), c.NFS3ERR_NOSPC],
    [new FsError('EBADCOOKIE'), c.NFS3ERR_BAD_COOKIE],
    [new MatrixError('view-changed', ''), c.NFS3ERR_JUKEBOX],
    [new MatrixError('lun-io', ''), c.NFS3ERR_IO],
    [new TypeError('a bug'), c.NFS3ERR_SERVERFAULT],
  ] as const) {
    fault = error
    const lookup = await client.call('LOOKUP', { dir: root, name: 'x' })
    assert.is(lookup.status, status)
    assert.is('failed' in lookup && lookup.failed.dir?.fileid, 1)
    const remove = await client.call('REMOVE', { dir: root, name: 'x' })
    assert.is(remove.status, status)
    assert.is('failed' in remove && remove.failed.dir.after?.fileid, 1)
  }
  assert.ok(served.lines.some((line) => line.level === 'error' && /a bug/.test(String(line.fields['error']))))
  await served.close()
})

// --- repeated requests ---

test('a change that is asked again is not done again: same connection, and the next from the same port', async () => {
  const served = await serve(new MemoryFs().fs)
  const localAddress = '127.0.0.5' // where nobody else takes a port
  const first = await served.connect(undefined, { localAddress })
  const localPort = first.socket.localPort as number
  const root = await first.mount('/home')
  await first.create(root, 'f')
  const remove = (client: NfsClient, xid: number) => client.call('REMOVE', { dir: root, name: 'f' }, xid)
  assert.is((await remove(first, 77)).status, 0)
  assert.is((await remove(first, 77)).status, 0, 'repeated')
  assert.is((await remove(first, 78)).status, c.NFS3ERR_NOENT, 'another request')
  first.socket.resetAndDestroy() // the port is free at once
  await first.closed
  await turn()
  const again = await served.connect(undefined, { localAddress, localPort })
  assert.is((await remove(again, 77)).status, 0, 'repeated after reconnecting')
  const other = await served.connect()
  assert.is((await remove(other, 77)).status, c.NFS3ERR_NOENT, 'another client')
  assert.is((await again.call('REMOVE', { dir: root, name: 'g' }, 77)).status, c.NFS3ERR_NOENT, 'other arguments')
  assert.is(served.server.stats().duplicates, 2)
  await served.close()
})

test('a request repeated while the first is under way gets the same answer, when it is durable', async () => {
  const { fs, memory, release } = held()
  const served = await serve(fs)
  const client = await served.connect()
  const root = await client.mount('/home')
  const first = client.call('MKDIR', { dir: root, name: 'd', attributes: unset }, 5)
  await turn()
  const xidAgain = client.call('MKDIR', { dir: root, name: 'd', attributes: unset }, 5)
  let answered = false
  void xidAgain.then(() => (answered = true))
  await turn()
  assert.not(answered)
  release()
  assert.is((await xidAgain).status, 0)
  await turn()
  assert.is(client.strays, 1, 'both were answered')
  assert.is(memory.calls.get('mkdir'), 1)
  void first
  await served.close()
})

// --- life of the server ---

test('a port in use is refused with its name', async () => {
  const served = await serve(new MemoryFs().fs)
  const second = new NfsServer({
    exports: () => [],
    clock: realClock,
    log: silentLog,
    hostName: 'matrix',
    life: { slot: 0 as Slot, incarnation: 1 as Incarnation },
  })
  try {
    await second.listen('127.0.0.1', served.port)
    assert.unreachable()
  } catch (error) {
    assert.ok(isMatrixError(error, 'in-use'))
    assert.match((error as Error).message, new RegExp(`${served.port}`))
  }
  await second.close()
  await served.close()
})

test('closing answers what was taken', async () => {
  const { fs, release } = held()
  const served = await serve(fs)
  const client = await served.connect()
  const root = await client.mount('/home')
  const made = client.mkdir(root, 'last')
  await turn()
  const closed = served.server.close()
  await turn()
  release()
  await made
  await closed
  await client.closed
})

test.run()
