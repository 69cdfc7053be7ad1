/** The express lane: what it answers is what the usual way answers; whatever else comes is handed over with nothing lost, repeated, or out of order. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectByTls } from 'node:tls'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FsError, MatrixError } from '../../../src/base/errors.ts'
import { ROOT_INO } from '../../../src/base/ids.ts'
import { selfSigned } from '../../../src/cli/demo/self-signed.ts'
import { HttpGateway } from '../../../src/gateway-http/index.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { closeClient, raw, request } from '../../helpers/http-client.ts'
import { MemoryFs, type MemoryFsOptions } from '../../helpers/memory-fs.ts'

const root = { uid: 0, gid: 0, gids: [] }
/** A header that is not known to make no difference: with it the same request takes the usual way. */
const unusual = { 'X-Unusual': 'yes' }

async function serve(options: MemoryFsOptions = {}) {
  const memory = new MemoryFs(options)
  const gateway = new HttpGateway({
    clock: realClock,
    exports: () => [
      { name: 'home', fs: memory.fs, caller: root },
      { name: 'readonly', fs: memory.fs, caller: root, readOnly: true },
    ],
  })
  const { url } = await gateway.listen('127.0.0.1', 0)
  return { memory, gateway, url }
}

const test = suite('gateway-http, express lane')
let served: Awaited<ReturnType<typeof serve>>

test.before.each(async () => {
  served = await serve()
})
test.after.each(() => served.gateway.close())
test.after(() => closeClient())

/** Everything that a connection is answered until `count` answers are there, each as [status, body]. */
class Client {
  readonly socket: Socket
  #text = ''
  #told = (): void => undefined
  ended = false

  constructor(url: string, socket = connect(Number(new URL(url).port), '127.0.0.1')) {
    this.socket = socket
    socket.on('data', (chunk) => {
      this.#text += chunk.toString('latin1')
      this.#told()
    })
    socket.on('close', () => {
      this.ended = true
      this.#told()
    })
    socket.on('error', () => undefined)
  }

  send(...requests: readonly string[]): void {
    this.socket.write(Buffer.from(requests.join(''), 'latin1'))
  }

  async answers(count: number): Promise<[status: number, body: string][]> {
    const found: [number, string][] = []
    while (found.length < count) {
      const [header, status] = /^HTTP\/1\.1 (\d{3})[\s\S]*?\r\n\r\n/.exec(this.#text) ?? []
      const length = Number(/content-length: (\d+)/i.exec(header ?? '')?.[1] ?? 0)
      if (header !== undefined && this.#text.length >= header.length + length) {
        found.push([Number(status), this.#text.slice(header.length, header.length + length)])
        this.#text = this.#text.slice(header.length + length)
        continue
      }
      assert.not.ok(this.ended, `the connection ended after ${found.length} answers and ${this.#text}`)
      await new Promise<void>((resolve) => (this.#told = resolve))
    }
    return found
  }

  async closed(): Promise<void> {
    while (!this.ended) await new Promise<void>((resolve) => (this.#told = resolve))
  }
}

const get = (path: string, headers = '') => `GET ${path} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`
const put = (path: string, body: string, headers = '') =>
  `PUT ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n${headers}\r\n${body}`

const calls = (verb: string) => served.memory.calls.get(verb) ?? 0

test('a PUT is answered as ever, whether the file is new or not', async () => {
  const { url } = served
  const shape = async (path: string, headers: Record<string, string>) => {
    const answer = await request(url, 'PUT', path, { body: 'content', headers })
    const { date, etag, 'last-modified': modified, ...rest } = answer.headers
    assert.ok(etag && modified && date)
    const stored = await request(url, 'GET', path)
    assert.equal([stored.text, stored.headers.etag, stored.headers['last-modified']], ['content', etag, modified])
    return { status: answer.status, text: answer.text, headers: Object.entries(rest).sort() }
  }
  for (const path of ['/home/new', '/home/new', '/home/%C3%A4 b'.replace(' ', '%20')])
    assert.equal(await shape(path, {}), await shape(`${path}-usual`, unusual), path)
  assert.is(await shape('/home/new', {}).then(({ status }) => status), 204)
  const before = calls('access')
  assert.match(await raw(url, put('/home/new', 'again')), /^HTTP\/1\.1 204/)
  assert.is(calls('access'), before, 'the express lane looks at nothing before the transaction')
})

test('a PUT that cannot be is answered as ever', async () => {
  const { url, memory } = served
  await request(url, 'MKCOL', '/home/dir')
  await memory.fs.symlink(root, ROOT_INO, 'link', 'target', {})
  const paths = [
    'home/dir',
    'home/none/x',
    'home/link',
    'readonly/x',
    'none/x',
    'home/x/',
    'home',
    'home/..%2fx',
    'home/%00',
  ]
  for (const path of [...paths, `home/${'n'.repeat(300)}`, 'home/.~put-000000000000000000000000']) {
    const [quick, usual] = [
      await raw(url, put(`/${path}`, 'content')),
      await raw(url, put(`/${path}`, 'content', 'X-Unusual: yes\r\n')),
    ].map((text) => /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1])
    // the second finds what the first has stored
    assert.is(quick === '201' ? '204' : quick, usual, path)
  }
  assert.is((await request(url, 'GET', '/home/target')).text, 'content')
})

test('what has no space, or no node, is said by the usual way; what failed once is done', async () => {
  const faults = [
    new FsError('ENOSPC'),
    new FsError('ENOSPC'),
    new FsError('EIO'),
    new MatrixError('withdrawn', 'gone'),
  ]
  let fault: Error | undefined
  const faulty = await serve({ fault: (verb) => (verb === 'store' ? fault : undefined) })
  try {
    for (fault of faults) {
      const usual = await raw(faulty.url, put('/home/a', 'new', 'X-Unusual: yes\r\n'))
      assert.is((await raw(faulty.url, put('/home/a', 'new'))).slice(0, 12), usual.slice(0, 12))
    }
    fault = undefined
    assert.match(await raw(faulty.url, put('/home/a', 'new')), /^HTTP\/1\.1 201/)
  } finally {
    await faulty.gateway.close()
  }
})

test('requests in one piece are answered in order, across the way from the lane to the HTTP server', async () => {
  const client = new Client(served.url)
  client.send(put('/home/a', 'one'), get('/home/a'), put('/home/a', 'two'), get('/home/a'), get('/home/none'))
  client.send(get('/home/a'), put('/home/a', 'three'), get('/home/a'), get('/home/a', 'Range: bytes=1-2\r\n'))
  assert.equal(
    (await client.answers(9)).map(([status, body]) => (status < 300 && body !== 'Created\n' ? body || status : status)),
    [201, 'one', 204, 'two', 404, 'two', 204, 'three', 'hr'],
  )
  client.socket.destroy()
})

test('however a request is cut, it is answered', async () => {
  const whole = put('/home/a', 'one') + get('/home/a') + put('/home/a', 'two') + get('/home/a')
  for (let cut = 1; cut < whole.length; cut += 7) {
    const client = new Client(served.url)
    client.send(whole.slice(0, cut))
    await sleep(2)
    client.send(whole.slice(cut))
    assert.equal(
      (await client.answers(4)).map(([, body]) => body).filter((body) => body && body !== 'Created\n'),
      ['one', 'two'],
      `cut after ${cut}`,
    )
    client.socket.destroy()
  }
})

test('a client that says no more still gets its answers', async () => {
  await request(served.url, 'PUT', '/home/a', { body: 'content' })
  for (const headers of ['', 'X-Unusual: yes\r\n']) {
    const client = new Client(served.url)
    client.socket.end(put('/home/b', 'content', headers) + get('/home/a', headers))
    assert.is((await client.answers(2))[1]?.[1], 'content')
    await client.closed()
  }
})

test('what is not HTTP as it should be is refused, never guessed', async () => {
  await request(served.url, 'PUT', '/home/a', { body: 'content' })
  const start = 'PUT /home/a HTTP/1.1\r\n'
  const refused = [
    'GET /home/a HTTP/1.1\r\n\r\n',
    'GET /home/a HTTP/1.1\nHost: x\n\n',
    'GET /home/a HTTP/1.1\r\nHost: x\r\nAccept : y\r\n\r\n',
    'GET /home/a HTTP/1.1\r\nHost: x\r\nAccept: a\rb\r\n\r\n',
    'GET /home/a HTTP/1.1\r\nHost: x\r\nAccept: a\0b\r\n\r\n',
    `${start}Host: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`,
    `${start}Host: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `${start}Host: x\r\nContent-Length: +3\r\n\r\nabc`,
    `${start}Host: x\r\nContent-Length: 0x3\r\n\r\nabc`,
    `${start}Host: x\r\nContent-Length: 3, 3\r\n\r\nabc`,
  ]
  for (const bytes of refused) assert.match(await raw(served.url, bytes), /^HTTP\/1\.1 400 /, JSON.stringify(bytes))
  assert.is((await request(served.url, 'GET', '/home/a')).text, 'content')
})

test('what follows a body is the next request, whatever it looks like', async () => {
  const client = new Client(served.url)
  const smuggled = get('/home/b')
  client.send(put('/home/a', smuggled), get('/home/a'))
  assert.equal(await client.answers(2), [
    [201, 'Created\n'],
    [200, smuggled],
  ])
  client.socket.destroy()
})

test('a client that reads slowly gets all of it, in order', async () => {
  const count = 600
  for (let i = 0; i < 3; i++) await request(served.url, 'PUT', `/home/f${i}`, { body: `${i}`.repeat(15_000) })
  const client = new Client(served.url)
  client.socket.pause()
  for (let i = 0; i < count; i++) client.send(get(`/home/f${i % 3}`))
  await sleep(200)
  client.socket.resume()
  const answers = await client.answers(count)
  for (const [i, [status, body]] of answers.entries())
    assert.ok(status === 200 && body === `${i % 3}`.repeat(15_000), `answer ${i}`)
  client.socket.destroy()
})

test('over TLS it is the same', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'matrixfs-express-'))
  const [cert, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')]
  const pair = selfSigned(['127.0.0.1'], 1)
  writeFileSync(cert, pair.cert)
  writeFileSync(key, pair.key, { mode: 0o600 })
  const { memory } = served
  const gateway = new HttpGateway({
    ...{ clock: realClock, tls: { cert, key } },
    exports: () => [{ name: 'home', fs: memory.fs, caller: root }],
  })
  try {
    const { url, port } = await gateway.listen('127.0.0.1', 0)
    const client = new Client(url, connectByTls({ port, host: '127.0.0.1', ca: pair.cert }))
    for (let i = 0; i < 5; i++) {
      client.send(put('/home/a', `content ${i}`), get('/home/a'))
      assert.is((await client.answers(2))[1]?.[1], `content ${i}`)
    }
    assert.is(calls('access'), 5, 'one for each GET: the PUTs were made in the lane')
    client.send(get('/home/a', 'Range: bytes=0-6\r\n'), get('/home/a'))
    assert.equal(await client.answers(2), [
      [206, 'content'],
      [200, 'content 4'],
    ])
    client.socket.destroy()
  } finally {
    await gateway.close()
    rmSync(dir, { recursive: true })
  }
})

test('who asks for the end of the connection gets it', async () => {
  await request(served.url, 'PUT', '/home/a', { body: 'content' })
  const client = new Client(served.url)
  client.send(get('/home/a'), get('/home/a', 'Connection: close\r\n'))
  assert.is((await client.answers(2))[1]?.[1], 'content')
  await client.closed()
})

test('a gateway that closes lets a PUT in the lane end, and cuts connections on which nothing is under way', async () => {
  const slow = await serve({ asynchronous: true })
  const [idle, busy] = [new Client(slow.url), new Client(slow.url)]
  idle.send(get('/home/none'))
  await idle.answers(1)
  const store = slow.memory.fs.store.bind(slow.memory.fs)
  let go = (): void => undefined
  const gate = new Promise<void>((resolve) => (go = resolve))
  let isUnderWay = false
  slow.memory.fs.store = async (...args) => {
    isUnderWay = true
    await gate
    return store(...args)
  }
  busy.send(put('/home/a', 'content'))
  while (!isUnderWay) await sleep(1)
  assert.is(slow.gateway.stats().underWay, 1)
  const closing = slow.gateway.close()
  await idle.closed()
  assert.not.ok(busy.ended)
  go()
  assert.is((await busy.answers(1))[0]?.[0], 201)
  await closing
  await busy.closed()
})

test.run()
