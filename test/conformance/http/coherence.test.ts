/** What one node has answered, every other node shows to the very next request (R45, R64); full filesystems recover. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT_INO } from '../../../src/base/ids.ts'
import { Prng } from '../../../src/base/prng.ts'
import { request } from '../../helpers/http-client.ts'
import { type HttpMatrix, makeHttpMatrix } from '../../helpers/http-matrix.ts'

const test = suite('http coherence')
let matrix: HttpMatrix
test.before(async () => void (matrix = await makeHttpMatrix({ nodes: 3, lunBytes: 96 * 1024 * 1024 })))
test.after(() => matrix.close())

test('R45 a PUT, DELETE or MOVE answered at one node is seen at another by the next request: 600 random rounds', async () => {
  const prng = new Prng(20_261_122)
  const url = () => prng.pick(matrix.urls)
  const names = Array.from({ length: 6 }, (_, i) => `/home/file${i}`)
  const content = new Map<string, { body: Buffer; etag: string | undefined }>()
  for (let round = 0; round < 600; round++) {
    const name = prng.pick(names)
    const what = prng.below(10)
    if (what < 6) {
      const body = prng.bytes(prng.pick([0, 1, 100, 4096, 5000, 70_000]))
      const answer = await request(url(), 'PUT', name, { body })
      assert.is(answer.status, content.has(name) ? 204 : 201)
      content.set(name, { body, etag: answer.headers.etag })
    } else if (what < 7) {
      assert.is((await request(url(), 'DELETE', name)).status, content.delete(name) ? 204 : 404)
    } else if (what < 8) {
      const target = prng.pick(names.filter((other) => other !== name))
      const source = content.get(name)
      const { status } = await request(url(), 'MOVE', name, { headers: { Destination: target } })
      assert.is(status, source ? (content.has(target) ? 204 : 201) : 404)
      if (source) {
        content.delete(name)
        // A rename is a change of the file: it has a new tag.
        content.set(target, { body: source.body, etag: undefined })
      }
    }
    const expected = content.get(name)
    const got = await request(url(), 'GET', name)
    assert.is(got.status, expected ? 200 : 404, `round ${round}`)
    if (!expected) continue
    assert.ok(got.body.equals(expected.body), `round ${round}: stale content`)
    if (expected.etag) assert.is(got.headers.etag, expected.etag, `round ${round}: another tag`)
  }
})

test('a listing that is answered as it was kept shows every change that any node has answered: 150 random rounds', async () => {
  const prng = new Prng(20_261_128)
  const root = { uid: 0, gid: 0, gids: [] }
  const props = '<resourcetype/><getcontentlength/><getlastmodified/><getetag/>'
  const body = `<propfind xmlns="DAV:"><prop>${props}</prop></propfind>`
  const url = () => prng.pick(matrix.urls)
  await request(url(), 'MKCOL', '/home/listed')
  const names = Array.from({ length: 600 }, (_, i) => `f${i}`)
  for (const name of names) await request(url(), 'PUT', `/home/listed/${name}`, { body: name })
  const list = async (at: string, depth: string) =>
    (await request(at, 'PROPFIND', '/home/listed/', { headers: { Depth: depth }, body })).text
  for (let round = 0; round < 150; round++) {
    for (const at of matrix.urls) for (let again = prng.below(3); again > 0; again--) await list(at, '1')
    const fs = prng.pick(matrix.filesystems)
    const name = prng.pick(names)
    const change = prng.below(7)
    if (change === 0) await request(url(), 'PUT', `/home/listed/${name}`, { body: prng.bytes(prng.below(9_000)) })
    else if (change === 1) await request(url(), 'DELETE', `/home/listed/${name}`)
    else if (change === 2) await request(url(), 'PUT', `/home/listed/new${round}`, { body: 'new' })
    else if (change === 3)
      await request(url(), 'MOVE', `/home/listed/${name}`, {
        headers: { Destination: `/home/listed/${prng.pick(names)}` },
      })
    else if (change === 4) await request(url(), 'MKCOL', `/home/listed/dir${round}`)
    else {
      const dir = (await fs.lookup(root, ROOT_INO, 'listed')).inode.ino
      const found = await (async () => fs.lookup(root, dir, name))().catch(() => undefined)
      if (found && change === 5) await fs.write(root, found.inode.ino, prng.below(20_000), prng.bytes(10), false)
      else if (found) await fs.setattr(root, found.inode.ino, { mtime: { s: round, ns: 0 } })
    }
    // a whole tree is put together anew each time
    for (const at of matrix.urls)
      assert.is(await list(at, '1'), await list(at, 'infinity'), `round ${round}: ${change}`)
  }
})

test('many clients replace one file at all nodes: every GET shows one upload, whole', async () => {
  const size = 300_000
  await request(matrix.urls[0] as string, 'PUT', '/home/contested', { body: Buffer.alloc(size, 99) })
  let writing = true
  const writers = Promise.all(
    matrix.urls.map(async (url, node) => {
      for (let i = 0; i < 12; i++) {
        const { status } = await request(url, 'PUT', '/home/contested', { body: Buffer.alloc(size, 3 * i + node + 1) })
        assert.is(status, 204)
      }
    }),
  ).finally(() => void (writing = false))
  const readers = matrix.urls.map(async (url) => {
    let reads = 0
    while (writing || reads === 0) {
      const { status, body } = await request(url, 'GET', '/home/contested')
      assert.is(status, 200, 'there is always a file')
      assert.is(body.length, size)
      assert.ok(body.equals(Buffer.alloc(size, body[0])), 'a mixture of two uploads')
      reads++
    }
    return reads
  })
  await writers
  for (const reads of await Promise.all(readers)) assert.ok(reads > 0)
})

test('a full filesystem answers 507, leaves nothing half-made, and takes files again after a DELETE', async () => {
  const [first, second] = matrix.urls as [string, string]
  assert.is((await request(first, 'PUT', '/home/keep', { body: 'keep' })).status, 201)
  const chunk = Buffer.alloc(8 * 1024 * 1024, 5)
  let stored = 0
  for (;;) {
    const { status } = await request(first, 'PUT', `/home/fill${stored}`, { body: chunk })
    if (status === 507) break
    assert.is(status, 201)
    assert.ok(++stored < 40, 'never full')
  }
  assert.ok(stored > 2, `full after ${stored}`)
  assert.is((await request(first, 'PUT', '/home/keep', { body: Buffer.alloc(64 * 1024 * 1024, 1) })).status, 507)
  assert.is((await request(second, 'GET', '/home/keep')).text, 'keep')
  const { entries } = await matrix.fs.readdir({ uid: 0, gid: 0, gids: [] }, 1, 0, 1000)
  assert.equal(
    entries.filter(({ name }) => name.startsWith('.~put-')),
    [],
  )
  for (let i = 0; i < stored; i++) assert.is((await request(second, 'DELETE', `/home/fill${i}`)).status, 204)
  assert.is((await request(second, 'PUT', '/home/again', { body: chunk })).status, 201)
  assert.ok((await request(first, 'GET', '/home/again')).body.equals(chunk))
})

test.run()
