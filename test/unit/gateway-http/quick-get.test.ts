/** The short cut for small files says what the usual way says, header for header; what is out of the ordinary goes the usual way. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT_INO } from '../../../src/base/ids.ts'
import { isPromise } from '../../../src/base/maybe-promise.ts'
import { HttpGateway } from '../../../src/gateway-http/index.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { closeClient, request } from '../../helpers/http-client.ts'
import { MemoryFs, type MemoryFsOptions } from '../../helpers/memory-fs.ts'

const root = { uid: 0, gid: 0, gids: [] }
const nobody = { uid: 65534, gid: 65534, gids: [] }

/** A header that the short cut does not know: with it the same question takes the usual way. */
const unusual = { 'X-Unusual': 'yes' }

async function serve(options: MemoryFsOptions = {}) {
  const memory = new MemoryFs(options)
  const gateway = new HttpGateway({
    clock: realClock,
    exports: () => [
      { name: 'home', fs: memory.fs, caller: root },
      { name: 'strangers', fs: memory.fs, caller: nobody, cacheControl: 'public, max-age=60' },
    ],
  })
  const { url } = await gateway.listen('127.0.0.1', 0)
  return { memory, gateway, url }
}

const test = suite('gateway-http, files at hand')
let served: Awaited<ReturnType<typeof serve>>

test.before(async () => {
  served = await serve()
  const { url, memory } = served
  await request(url, 'MKCOL', '/home/a%20dir')
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  for (const name of ['bytes', 'page.html', 'text.txt', 'paper.pdf', 'a%20dir/%C3%A4', 'secret'])
    assert.is((await request(url, 'PUT', `/home/${name}`, { body: bytes })).status, 201)
  await request(url, 'PUT', '/home/empty', { body: '' })
  await request(url, 'PUT', '/home/large', { body: Buffer.alloc(20_000, 'large') })
  const { inode } = await memory.fs.lookup(root, ROOT_INO, 'secret')
  await memory.fs.setattr(root, inode.ino, { mode: 0o600 })
  const link = memory.fs.symlink(root, ROOT_INO, 'link', 'bytes', {})
  if (isPromise(link)) await link
})

test.after(async () => {
  await served.gateway.close()
  closeClient()
})

const paths = [
  'bytes',
  'page.html',
  'text.txt',
  'paper.pdf',
  'a%20dir/%C3%A4',
  'a%20dir//%C3%A4',
  'empty',
  'large',
  'link',
  'secret',
  'none',
]
const odd = ['bytes/', 'bytes/none', 'bytes?x=1', 'a%20dir', '%', '.~put-000000000000000000000000', '..%2fbytes']

for (const share of ['home', 'strangers', 'none'])
  for (const path of [...paths, ...odd])
    test(`/${share}/${path} is answered as ever`, async () => {
      const ask = async (headers: Record<string, string>) => {
        const answer = await request(served.url, 'GET', `/${share}/${path}`, { headers })
        const { date, ...rest } = answer.headers
        return { status: answer.status, headers: sorted(rest), body: answer.body.toString('latin1') }
      }
      const usual = await ask(unusual)
      assert.equal(await ask({}), usual)
      assert.equal(await ask({ Accept: '*/*', 'User-Agent': 'curl/8', 'Accept-Language': 'de' }), usual)
      if (share === 'home' && path === 'bytes') assert.is(usual.body.length, 256)
    })

test('what changes the answer is heard: conditions, ranges, compression, digests', async () => {
  const { url } = served
  const { headers } = await request(url, 'GET', '/home/text.txt')
  const get = (more: Record<string, string>) => request(url, 'GET', '/home/text.txt', { headers: more })
  assert.is((await get({ 'If-None-Match': headers.etag as string })).status, 304)
  assert.is((await get({ 'If-Match': '"other"' })).status, 412)
  assert.is((await get({ Range: 'bytes=0-9' })).status, 206)
  assert.ok((await get({ 'Want-Repr-Digest': 'sha-256=1' })).headers['repr-digest'])
  assert.is((await request(url, 'HEAD', '/home/text.txt')).body.length, 0)
  assert.is(headers.vary, 'Accept-Encoding')
})

test('a filesystem that has nothing at hand answers the usual way, and a change is seen at once', async () => {
  const later = await serve({ asynchronous: true })
  try {
    for (const { url } of [served, later])
      for (let version = 1; version <= 20; version++) {
        await request(url, 'PUT', '/home/changing', { body: `version ${version}` })
        assert.is((await request(url, 'GET', '/home/changing')).text, `version ${version}`)
      }
  } finally {
    await later.gateway.close()
  }
})

test('the short cut is taken: no walk begins at the root', async () => {
  const walks = () => served.memory.calls.get('getattr') ?? 0
  const before = walks()
  await request(served.url, 'GET', '/home/bytes')
  assert.is(walks(), before)
  await request(served.url, 'GET', '/home/bytes', { headers: unusual })
  assert.is(walks(), before + 1)
})

test('requests are counted, whichever way they take', async () => {
  const before = served.gateway.stats().requests
  await request(served.url, 'GET', '/home/bytes')
  await request(served.url, 'GET', '/home/bytes', { headers: unusual })
  assert.is(served.gateway.stats().requests, before + 2)
})

function sorted(headers: object): [string, unknown][] {
  return Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1))
}

test.run()
