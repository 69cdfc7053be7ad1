/** Server-sent events over real connections: what listeners get, and what becomes of those that do not read. */
import { createServer, get, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { EventStream, LISTENERS_MAX, type Listening } from '../../../src/admin/event-stream.ts'
import { realClock } from '../../../src/platform/real/clock.ts'

type Context = { stream: EventStream; server: Server; port: number; refused: number; listening: Listening }
const test = suite<Context>('admin events', {} as Context)

test.before.each(async (c) => {
  c.stream = new EventStream(realClock)
  c.refused = 0
  c.listening = {}
  c.server = createServer((_, response) => {
    if (c.stream.add(response, c.listening)) return
    c.refused++
    response.writeHead(503).end()
  })
  await new Promise<void>((done) => c.server.listen(0, '127.0.0.1', done))
  c.port = (c.server.address() as AddressInfo).port
})
test.after.each((c) => {
  c.stream.close()
  c.server.closeAllConnections()
  c.server.close()
})

async function until(holds: () => boolean): Promise<void> {
  for (let waited = 0; !holds(); waited += 10) {
    assert.ok(waited < 10_000, 'it never came')
    await sleep(10)
  }
}

test('a listener gets every event with its name, a number and JSON', async (c) => {
  let text = ''
  get({ port: c.port }, (response) => response.setEncoding('utf8').on('data', (more) => (text += more)))
  await until(() => text.includes('retry'))
  c.stream.send('timeline', { step: 'fence n2' })
  c.stream.send('state', { view: 7 })
  await until(() => text.includes('"view":7}\n\n'))
  assert.match(text, /^retry: 2000\n\nid: 1\nevent: timeline\ndata: \{"step":"fence n2"\}\n\nid: 2\nevent: state\n/)
})

test('a listener that never reads is cut off once much waits for it; the others go on', async (c) => {
  let read = 0
  get({ port: c.port }, (response) => response.on('data', (more: Buffer) => (read += more.length)))
  const lazy = connect(c.port, '127.0.0.1', () => lazy.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'))
  lazy.pause()
  lazy.on('error', () => {})
  await until(() => c.stream.listeners === 2)
  const large = 'x'.repeat(64 * 1024)
  // what the kernel takes for a connection is megabytes
  for (let sent = 0; c.stream.listeners === 2; sent++) {
    assert.ok(sent < 2000, 'it was never cut off')
    c.stream.send('log', { large })
    await sleep(1)
  }
  const before = read
  c.stream.send('log', { large })
  await until(() => read > before)
  assert.is(c.stream.listeners, 1)
})

test('there are only so many listeners; one that goes makes room', async (c) => {
  const requests = Array.from({ length: LISTENERS_MAX + 3 }, () => {
    const request = get({ port: c.port, agent: false })
    request.on('error', () => {})
    return request
  })
  await until(() => c.stream.listeners + c.refused === requests.length)
  assert.is(c.stream.listeners, LISTENERS_MAX)
  assert.is(c.refused, 3)
  for (const request of requests.slice(0, 10)) request.destroy()
  await until(() => c.stream.listeners < LISTENERS_MAX)
})

test('what is told regularly is made once for all who follow it, and not while nobody does', async (c) => {
  let made = 0
  c.stream.feed('overview', 20, async () => Buffer.from(`{"made":${++made}}`))
  await sleep(60)
  assert.is(made, 0)
  c.listening = { follow: 'overview' }
  const texts = ['', '', '']
  for (const i of texts.keys())
    get({ port: c.port }, (response) => response.on('data', (more) => (texts[i] += String(more))))
  await until(() => texts.every((text) => text.includes('event: overview\ndata: {"made":')))
  c.listening = {}
  let other = ''
  get({ port: c.port }, (response) => response.on('data', (more) => (other += String(more))))
  await until(() => other.includes('retry'))
  const before = made
  await until(() => made >= before + 3)
  assert.is(other, 'retry: 2000\n\n')
  assert.ok(texts.every((text) => text.split('event:').length <= made + 1))
})

test('what cannot be made is not told, and is tried again', async (c) => {
  let tries = 0
  c.stream.feed('overview', 10, async () => {
    if (++tries < 3) throw new Error('not now')
    return Buffer.from('{}')
  })
  c.listening = { follow: 'overview' }
  let text = ''
  get({ port: c.port }, (response) => response.on('data', (more) => (text += String(more))))
  await until(() => text.includes('data: {}\n\n'))
  assert.ok(tries >= 3)
})

test('a listener who may not listen any more is told nothing more', async () => {
  const periodic: (() => void)[] = []
  const clock = {
    ...realClock,
    every: (_: number, run: () => void) => {
      periodic.push(run)
      return { cancel() {} }
    },
  }
  const stream = new EventStream(clock)
  const may = [true, true]
  const server = createServer((request, response) => {
    const index = Number(request.url?.slice(1))
    stream.add(response, { may: async () => may[index] as boolean })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  const ended = [false, false]
  for (const i of ended.keys())
    get({ port, path: `/${i}` }, (response) => response.on('end', () => (ended[i] = true)).resume())
  await until(() => stream.listeners === 2)
  for (const run of periodic) run()
  await sleep(20)
  assert.is(stream.listeners, 2)
  may[0] = false
  for (const run of periodic) run()
  await until(() => ended[0] === true)
  assert.is(stream.listeners, 1)
  assert.is(ended[1], false)
  stream.close()
  server.closeAllConnections()
  server.close()
})

test.run()
