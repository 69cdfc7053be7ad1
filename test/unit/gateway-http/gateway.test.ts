/** The gateway over a filesystem in memory: the shared suite, and faults that a real one shows only by luck. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FsError, MatrixError } from '../../../src/base/errors.ts'
import { HttpGateway } from '../../../src/gateway-http/index.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { closeClient, raw, request } from '../../helpers/http-client.ts'
import { MemoryFs, type MemoryFsOptions } from '../../helpers/memory-fs.ts'
import { type HttpFixture, httpExportSuite } from '../../suites/http-export.ts'

const root = { uid: 0, gid: 0, gids: [] }

async function serve(options: MemoryFsOptions, caller = root) {
  const memory = new MemoryFs(options)
  const gateway = new HttpGateway({
    clock: realClock,
    exports: () => [
      { name: 'home', fs: memory.fs, caller },
      { name: 'frozen', fs: memory.fs, caller, readOnly: true, cacheControl: 'public, max-age=60' },
    ],
  })
  const { url } = await gateway.listen('127.0.0.1', 0)
  return { memory, gateway, url, fixture: { urls: [url], fs: memory.fs } satisfies HttpFixture }
}
type Served = Awaited<ReturnType<typeof serve>>

for (const asynchronous of [false, true]) {
  const shared = suite(`gateway-http over memory, verbs ${asynchronous ? 'later' : 'at once'}`)
  let served: Served
  shared.before(async () => void (served = await serve({ asynchronous })))
  shared.after(() => served.gateway.close())
  httpExportSuite(shared, () => served.fixture)
  shared.run()
}

const test = suite('gateway-http faults')

test('CORS: pages of the origins that are configured, and no others', async () => {
  const memory = new MemoryFs()
  const make = async (corsOrigins: readonly string[]) => {
    const gateway = new HttpGateway({
      ...{ clock: realClock, corsOrigins },
      exports: () => [{ name: 'home', fs: memory.fs, caller: root }],
    })
    return { gateway, url: (await gateway.listen('127.0.0.1', 0)).url }
  }
  const app = 'https://app.example'
  const preflight = {
    Origin: app,
    'Access-Control-Request-Method': 'PUT',
    'Access-Control-Request-Headers': 'if, tus-resumable',
  }
  const none = await make([])
  const refused = await request(none.url, 'OPTIONS', '/home/', { headers: preflight })
  assert.is(refused.headers['access-control-allow-origin'], undefined)
  const named = await make([app])
  const answer = await request(named.url, 'OPTIONS', '/home/', { headers: preflight })
  assert.is(answer.status, 204)
  assert.is(answer.headers['access-control-allow-origin'], app)
  assert.is(answer.headers['access-control-allow-credentials'], 'true')
  assert.match(answer.headers['access-control-allow-methods'] as string, 'PATCH')
  assert.is(answer.headers['access-control-allow-headers'], 'if, tus-resumable')
  const got = await request(named.url, 'GET', '/home/none', { headers: { Origin: app } })
  assert.is(got.status, 404)
  assert.is(got.headers['access-control-allow-origin'], app)
  assert.match(got.headers['access-control-expose-headers'] as string, 'ETag')
  const other = await request(named.url, 'GET', '/home/none', { headers: { Origin: 'https://evil.example' } })
  assert.is(other.headers['access-control-allow-origin'], undefined)
  assert.match(other.headers['vary'] as string, 'Origin')
  const all = await make(['*'])
  const open = await request(all.url, 'GET', '/home/none', { headers: { Origin: app } })
  assert.is(open.headers['access-control-allow-origin'], '*')
  assert.is(open.headers['access-control-allow-credentials'], undefined)
  for (const { gateway } of [none, named, all]) await gateway.close()
})

/** Runs `run` with the nth verb failing, n = 1, 2, …, until it passes untouched. */
async function sweep(error: () => Error, run: (served: Served) => Promise<number>): Promise<number> {
  for (let n = 1; ; n++) {
    assert.ok(n < 100, 'the sweep has no end')
    let armed = false
    let count = 0
    let failed = ''
    const served = await serve({
      fault: (verb) => {
        if (!armed || ++count !== n) return undefined
        failed = verb
        return error()
      },
    })
    try {
      await request(served.url, 'PUT', '/home/a', { body: 'old' })
      await request(served.url, 'MKCOL', '/home/tree')
      await request(served.url, 'PUT', '/home/tree/f', { body: 'f' })
      armed = true
      const status = await run(served)
      armed = false
      if (failed === '') {
        assert.ok(status < 300, `untouched: ${status}`)
        return n
      }
      const content = (await request(served.url, 'GET', '/home/a')).text
      // Only when what failed is the wait for durability is the change there already, and not acknowledged.
      assert.ok(
        content === 'old' || (content === 'new' && (failed === 'afterDurable' || status < 300)),
        `${failed}: ${content}`,
      )
      if (status < 300) assert.ok(['getattr', 'remove'].includes(failed), `${failed} failed, and yet ${status}`)
      const left = served.memory.names().filter((name) => name.startsWith('.~put-'))
      assert.equal(left, [], `after ${failed}`)
    } finally {
      await served.gateway.close()
    }
  }
}

/** A new content in one transaction, and one that goes through a temporary; with the fewest verbs that either takes. */
const uploads = [
  { way: 'at once', body: 'new', verbs: 5 },
  { way: 'in pieces', body: [Buffer.from('new')], verbs: 8 },
]
test('a listing in which nothing has changed is answered as it was', async () => {
  const { url, memory, gateway } = await serve({})
  await request(url, 'MKCOL', '/home/dir')
  for (let i = 0; i < 700; i++) await request(url, 'PUT', `/home/dir/f${i}`, { body: 'x' })
  const ask = async (prop: string) => {
    const body = `<propfind xmlns="DAV:"><prop>${prop}</prop></propfind>`
    const before = memory.calls.get('readdirplus') ?? 0
    const { status, text } = await request(url, 'PROPFIND', '/home/dir/', { headers: { Depth: '1' }, body })
    assert.is(status, 207)
    return { text, reads: (memory.calls.get('readdirplus') ?? 0) - before }
  }
  const first = await ask('<getetag/>')
  assert.equal(await ask('<getetag/>'), { text: first.text, reads: 0 })
  assert.ok((await ask('<getetag/><getcontentlength/>')).reads > 1, 'asked in another way')
  await request(url, 'PUT', '/home/dir/f5', { body: 'xyz' })
  const changed = await ask('<getcontentlength/>')
  assert.match(changed.text, '<D:getcontentlength>3</D:getcontentlength>')
  assert.ok((await ask('<getetag/>')).reads > 1)
  assert.is((await ask('<getetag/>')).reads, 0)
  // locks and dead properties have no version
  assert.ok((await ask('<lockdiscovery/>')).reads > 1 && (await ask('<lockdiscovery/>')).reads > 1)
  await gateway.close()
})

/** What the express lane takes. */
const quickUpload = { body: 'new', verbs: 1 }

for (const { way, body, verbs } of uploads) {
  test(`fault sweep: a PUT ${way} whose nth step finds no space answers 507 and leaves the old content and nothing else`, async () => {
    const steps = await sweep(
      () => new FsError('ENOSPC'),
      async ({ url }) => {
        const { status } = await request(url, 'PUT', '/home/a', { body, headers: { 'X-OC-Mtime': '1' } })
        assert.ok(status === 507 || status === 204, String(status))
        return status
      },
    )
    assert.ok(steps > verbs, `${steps} steps`)
  })

  test(`fault sweep: a node that withdraws in the middle of a PUT ${way} answers 503, retry, and closes`, async () => {
    await sweep(
      () => new MatrixError('withdrawn', 'test'),
      async ({ url }) => {
        const { status, headers } = await request(url, 'PUT', '/home/a', { body })
        if (status !== 204) {
          assert.is(status, 503)
          assert.is(headers['retry-after'], '2')
          assert.is(headers.connection, 'close')
        }
        return status
      },
    )
  })
}

test('fault sweep: a COPY of a tree over a file leaves the file or the whole tree', async () => {
  for (let n = 1, passed = false; !passed; n++) {
    let armed = false
    let count = 0
    const served = await serve({ fault: () => (armed && ++count === n ? new FsError('ENOSPC') : undefined) })
    await request(served.url, 'PUT', '/home/a', { body: 'old' })
    await request(served.url, 'MKCOL', '/home/tree')
    await request(served.url, 'PUT', '/home/tree/f', { body: 'f' })
    armed = true
    const { status } = await request(served.url, 'COPY', '/home/tree', { headers: { Destination: '/home/a' } })
    passed = count < n
    armed = false
    assert.ok(passed ? status === 204 : status === 507 || status === 204, `step ${n}: ${status}`)
    const file = await request(served.url, 'GET', '/home/a')
    const inTree = await request(served.url, 'GET', '/home/a/f')
    assert.ok(file.text === 'old' || inTree.text === 'f', `step ${n}`)
    if (passed) assert.equal(served.memory.names(), ['tree', 'a'])
    await served.gateway.close()
  }
})

/** Runs `run` with somebody else being faster right before its nth verb, n = 1, 2, …, until it comes too late. */
async function overtaken(
  other: (served: Served) => void,
  run: (served: Served, n: number) => Promise<void>,
): Promise<number> {
  for (let n = 1; ; n++) {
    let count = 0
    let armed = false
    let happened = false
    const served = await serve({
      fault: () => {
        if (armed && ++count === n) {
          armed = false
          happened = true
          other(served)
        }
        return undefined
      },
    })
    await request(served.url, 'PUT', '/home/a', { body: 'old' })
    await request(served.url, 'PUT', '/home/other', { body: 'other' })
    armed = true
    await run(served, n)
    await served.gateway.close()
    if (!happened) return n
    assert.ok(n < 50, 'the sweep has no end')
  }
}

test('a file that is replaced at any moment of a GET or a PUT is never missing', async () => {
  const replace = ({ memory }: Served) => void memory.fs.rename(root, 1, 'other', 1, 'a')
  const reads = await overtaken(replace, async ({ url }, n) => {
    const { status, text } = await request(url, 'GET', '/home/a')
    assert.is(status, 200, `before verb ${n}`)
    assert.ok(text === 'old' || text === 'other', text)
  })
  assert.ok(reads >= 3, `${reads} moments`)
  for (const { body, verbs } of [...uploads, quickUpload]) {
    const headers: Record<string, string> = verbs === quickUpload.verbs ? {} : { 'X-OC-Mtime': '1' }
    const writes = await overtaken(replace, async ({ url }, n) => {
      const { status } = await request(url, 'PUT', '/home/a', { body, headers })
      assert.is(status, 204, `before verb ${n}`)
    })
    assert.ok(writes > verbs, `${writes} moments`)
  }
})

test('with Overwrite: F nothing that was made meanwhile is replaced, at whatever moment', async () => {
  for (const method of ['MOVE', 'COPY']) {
    let refused = 0
    let made = false
    const make = ({ memory }: Served) => {
      try {
        memory.fs.link(root, (memory.fs.lookup(root, 1, 'other') as { inode: { ino: number } }).inode.ino, 1, 'b')
        made = true
      } catch {
        made = false // the request was faster
      }
    }
    await overtaken(make, async ({ url }, n) => {
      const { status } = await request(url, method, '/home/a', { headers: { Destination: '/home/b', Overwrite: 'F' } })
      const { text } = await request(url, 'GET', '/home/b')
      if (status === 412) refused++
      assert.equal([status, text], made ? [412, 'other'] : [201, 'old'], `${method}, before verb ${n}`)
      made = false
    })
    assert.ok(refused > 2, `${method} was refused ${refused} times`)
  }
})

test('a full filesystem answers 507, and the space is there again', async () => {
  const { memory, gateway, url } = await serve({ capacity: 1_000_000 })
  const big = { body: Buffer.alloc(3_000_000) }
  assert.is((await request(url, 'PUT', '/home/big', big)).status, 507)
  assert.is(memory.used, 0)
  assert.equal(memory.names(), [])
  assert.is((await request(url, 'PUT', '/home/fits', { body: Buffer.alloc(900_000) })).status, 201)
  assert.is((await request(url, 'COPY', '/home/fits', { headers: { Destination: '/home/copy' } })).status, 507)
  assert.equal(memory.names(), ['fits'])
  assert.is((await request(url, 'DELETE', '/home/fits')).status, 204)
  assert.is(memory.used, 0)
  await gateway.close()
})

test('who may not read, write or list is told 403', async () => {
  const { memory, gateway, url } = await serve({}, { uid: 1000, gid: 1000, gids: [] })
  const { fs } = memory
  await fs.setattr(root, 1, { mode: 0o777 })
  const { inode } = await fs.create(root, 1, 'secret', { mode: 0o600 }, 'guarded')
  await fs.write(root, inode.ino, 0, Buffer.from('x'), true)
  await fs.mkdir(root, 1, 'closed', { mode: 0o700 })
  for (const [method, path] of [
    ['GET', '/home/secret'],
    ['HEAD', '/home/secret'],
    ['PUT', '/home/secret'],
    ['GET', '/home/closed/'],
    ['GET', '/home/closed/x'],
    ['PUT', '/home/closed/x'],
    ['MKCOL', '/home/closed/x'],
  ] as const) {
    assert.is(
      (await request(url, method, path, method === 'PUT' ? { body: 'y' } : {})).status,
      403,
      `${method} ${path}`,
    )
  }
  assert.is(memory.names().length, 2)
  // Its directory allows it: only the closed directory's own content stays.
  const denied = await fs.create(root, (await fs.lookup(root, 1, 'closed')).inode.ino, 'x', { mode: 0o600 }, 'guarded')
  assert.ok(denied.created)
  assert.is((await request(url, 'DELETE', '/home/closed')).status, 403)
  await gateway.close()
})

test('DELETE of a tree names the members that stay, and removes the others', async () => {
  const stubborn = 'b'
  const { gateway, url, memory } = await serve({
    fault: (verb, args) => (verb === 'remove' && args[2] === stubborn ? new FsError('EACCES') : undefined),
  })
  await request(url, 'MKCOL', '/home/d')
  await request(url, 'MKCOL', '/home/d/e')
  for (const path of ['d/a', 'd/e/b', 'd/e/c']) await request(url, 'PUT', `/home/${path}`, { body: 'x' })
  const { status, text } = await request(url, 'DELETE', '/home/d')
  assert.is(status, 207)
  assert.equal(
    [...text.matchAll(/<D:href>([^<]*)/g)].map((match) => match[1]),
    ['/home/d/e/b'],
  )
  assert.match(text, '403 Forbidden')
  const left = await request(url, 'PROPFIND', '/home/d', { headers: { Depth: 'infinity' } })
  assert.equal(
    [...left.text.matchAll(/<D:href>([^<]*)/g)].map((match) => match[1]),
    ['/home/d/', '/home/d/e/', '/home/d/e/b'],
  )
  assert.is(memory.count, 4)
  await gateway.close()
})

test('a file that is overwritten while it is sent cuts the connection instead of mixing versions', async () => {
  let reads = 0
  const size = 8 * 1024 * 1024
  const served: Served = await serve({
    fault: (verb) => {
      if (verb === 'read' && ++reads === 3) void served.memory.fs.write(root, ino, 0, Buffer.from('changed'), true)
      return undefined
    },
  })
  await request(served.url, 'PUT', '/home/a', { body: Buffer.alloc(size) })
  const { ino } = (await served.memory.fs.lookup(root, 1, 'a')).inode
  const before = served.memory.names()
  let failed = false
  await request(served.url, 'GET', '/home/a').catch(() => void (failed = true))
  assert.ok(failed, 'the whole file arrived')
  reads = 10
  assert.is((await request(served.url, 'GET', '/home/a')).body.length, size)
  assert.equal(served.memory.names(), before)
  await served.gateway.close()
})

test('a file that is replaced while it is sent arrives whole, in its old version', async () => {
  let reads = 0
  const size = 8 * 1024 * 1024
  const served: Served = await serve({
    asynchronous: true,
    fault: (verb) => {
      if (verb === 'read' && ++reads === 3) void request(served.url, 'PUT', '/home/a', { body: 'new' })
      return undefined
    },
  })
  await request(served.url, 'PUT', '/home/a', { body: Buffer.alloc(size, 7) })
  const got = await request(served.url, 'GET', '/home/a')
  assert.ok(got.body.equals(Buffer.alloc(size, 7)))
  while ((await request(served.url, 'GET', '/home/a')).text !== 'new');
  assert.is(served.memory.count, 2)
  await served.gateway.close()
})

test('a client that hangs up in the middle of a GET leaves nothing open', async () => {
  const served = await serve({})
  await request(served.url, 'PUT', '/home/a', { body: Buffer.alloc(30 * 1024 * 1024) })
  await Promise.all(Array.from({ length: 5 }, () => hangUp(served.url)))
  await request(served.url, 'DELETE', '/home/a')
  for (let tries = 0; served.memory.count > 1 && tries < 100; tries++)
    await new Promise((resolve) => setTimeout(resolve, 20))
  assert.is(served.memory.count, 1)
  assert.is(served.gateway.stats().underWay, 0)
  await served.gateway.close()
})

async function hangUp(url: string): Promise<void> {
  const { connect } = await import('node:net')
  await new Promise<void>((resolve) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () =>
      socket.write('GET /home/a HTTP/1.1\r\nHost: x\r\n\r\n'),
    )
    socket.once('data', () => socket.destroy())
    socket.on('error', () => undefined)
    socket.on('close', () => resolve())
  })
}

test('temporaries of dead nodes are removed by a listing a day after their last change, whatever their modification time', async () => {
  const memory = new MemoryFs()
  let ahead = 0
  const gateway = new HttpGateway({
    clock: { ...realClock, wall: () => realClock.wall() + ahead },
    exports: () => [
      { name: 'home', fs: memory.fs, caller: root },
      { name: 'frozen', fs: memory.fs, caller: root, readOnly: true },
    ],
  })
  const { url } = await gateway.listen('127.0.0.1', 0)
  const name = '.~put-aaaaaaaaaaaaaaaaaaaaaaaa'
  const { inode } = await memory.fs.create(root, 1, name, { mode: 0o644 }, 'guarded')
  // as its client may have asked for (X-OC-Mtime)
  await memory.fs.setattr(root, inode.ino, { mtime: { s: 1_000_000_000, ns: 0 } })
  for (const [share, hours, left] of [
    ['home', 0, [name]],
    ['home', 23, [name]],
    ['frozen', 25, [name]],
    ['home', 25, []],
  ] as const) {
    ahead = hours * 3_600_000
    const { text } = await request(url, 'PROPFIND', `/${share}/`, { headers: { Depth: '1' } })
    assert.not.match(text, 'put-')
    assert.equal(memory.names(), left, `${share} after ${hours} hours`)
  }
  await gateway.close()
})

test('a second gateway on the port is refused; a closed one frees it', async () => {
  const { gateway, url, fixture } = await serve({})
  const port = Number(new URL(url).port)
  const second = new HttpGateway({ clock: realClock, exports: () => [] })
  try {
    await second.listen('127.0.0.1', port)
    assert.unreachable('two on one port')
  } catch (error) {
    assert.ok(error instanceof MatrixError && error.code === 'in-use', String(error))
  }
  assert.ok(fixture)
  await gateway.close()
  const third = new HttpGateway({ clock: realClock, exports: () => [] })
  assert.is((await third.listen('127.0.0.1', port)).port, port)
  assert.match(await raw(url, 'GET /home/ HTTP/1.1\r\nHost: x\r\n\r\n'), /^HTTP\/1\.1 404/)
  await third.close()
})

test.after(closeClient)
test.run()
