/** Reading directories: DIR codes. Every call goes to a node drawn at random, so cookies are good everywhere. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as c from '../../../src/gateway-nfs/v3/constants.ts'
import { makeNfsMatrix } from '../../helpers/nfs-matrix.ts'

const world = await makeNfsMatrix({ nodes: 2 })
const { any, root } = world
const none = Buffer.alloc(8)

const big = await any().mkdir(root, 'big')
const names = Array.from({ length: 300 }, (_, i) => `${'n'.repeat(i % 60)}-${i}`)
for (const name of names) await any().create(big, name)

async function plusAll(dir: Buffer, nameBytes: number, replyBytes: number) {
  const entries = []
  for (let cookie = 0, verifier: Buffer = none, pages = 0; ; pages++) {
    assert.ok(pages < 1000)
    const page = await any().ok('READDIRPLUS', { dir, cookie, verifier, nameBytes, replyBytes })
    entries.push(...page.entries)
    if (page.eof) return entries
    cookie = page.entries.at(-1)!.cookie
    verifier = page.verifier
  }
}

test('DIR1 every name once, in pages of any size, with both procedures', async () => {
  const wanted = ['.', '..', ...names].sort()
  for (const count of [256, 1000, 8192, 1 << 20]) {
    assert.equal((await any().list(big, count)).sort(), wanted, `count ${count}`)
  }
  for (const [nameBytes, replyBytes] of [
    [100, 8192],
    [8192, 512],
    [1 << 20, 1 << 20],
    [0, 4096],
  ] as const) {
    assert.equal(
      (await plusAll(big, nameBytes, replyBytes)).map((each) => each.name).sort(),
      wanted,
      `${nameBytes}, ${replyBytes}`,
    )
  }
})

test('DIR2 READDIRPLUS gives the attributes and handles that LOOKUP gives', async () => {
  for (const entry of (await plusAll(big, 8192, 8192)).slice(0, 50)) {
    const found = await any().ok('LOOKUP', { dir: big, name: entry.name })
    assert.equal(entry.object, found.object, entry.name)
    assert.equal(entry.attributes, found.attributes)
    assert.is(entry.fileid, found.attributes?.fileid)
  }
})

test('DIR3 cookies stay good while others create and remove: what was there all the time is seen once', async () => {
  const dir = await any().mkdir(root, 'DIR3')
  for (let i = 0; i < 60; i++) await any().create(dir, `stay-${i}`)
  for (let i = 0; i < 30; i++) await any().create(dir, `gone-${i}`)
  const seen: string[] = []
  for (let cookie = 0, verifier: Buffer = none, page = 0; ; page++) {
    const { entries, eof, verifier: next } = await any().ok('READDIR', { dir, cookie, verifier, count: 600 })
    seen.push(...entries.map((each) => each.name))
    if (eof) break
    cookie = entries.at(-1)!.cookie
    verifier = next
    if (page < 30) await any().ok('REMOVE', { dir, name: `gone-${29 - page}` })
    await any().create(dir, `new-${page}`)
    assert.ok(page < 200)
  }
  assert.equal(
    seen.filter((name) => name.startsWith('stay')).sort(),
    Array.from({ length: 60 }, (_, i) => `stay-${i}`).sort(),
  )
  assert.is(new Set(seen).size, seen.length)
  assert.ok(!seen.includes('gone-29'))
})

test('DIR4 the entry before a cookie may be gone', async () => {
  const dir = await any().mkdir(root, 'DIR4')
  for (const name of ['a', 'b', 'c']) await any().create(dir, name)
  const { entries, verifier } = await any().ok('READDIR', { dir, cookie: 0, verifier: none, count: 4096 })
  const b = entries.find((each) => each.name === 'b')!
  await any().ok('REMOVE', { dir, name: 'b' })
  const rest = await any().ok('READDIR', { dir, cookie: b.cookie, verifier, count: 4096 })
  assert.equal(
    rest.entries.map((each) => each.name),
    ['c'],
  )
})

test('DIR5 cookies and counts that are wrong', async () => {
  const readdir = (args: object) => any().call('READDIR', { dir: big, cookie: 0, verifier: none, count: 4096, ...args })
  const plus = (args: object) =>
    any().status('READDIRPLUS', { dir: big, cookie: 0, verifier: none, nameBytes: 4096, replyBytes: 4096, ...args })
  for (const count of [0, 50, 110]) assert.is((await readdir({ count })).status, c.NFS3ERR_TOOSMALL)
  for (const replyBytes of [0, 200]) assert.is(await plus({ replyBytes }), c.NFS3ERR_TOOSMALL)
  assert.is((await readdir({ cookie: 5, verifier: Buffer.alloc(8, 9) })).status, c.NFS3ERR_BAD_COOKIE)
  assert.is(await plus({ cookie: 5, verifier: Buffer.alloc(8, 9) }), c.NFS3ERR_BAD_COOKIE)
  assert.is((await readdir({ cookie: 5 })).status, 0, 'without a verifier')
  const end = await readdir({ cookie: 2 ** 50 })
  assert.ok(end.status === c.NFS3ERR_BAD_COOKIE || (end.status === 0 && 'ok' in end && end.ok?.eof))
  const file = await any().create(root, 'DIR5')
  assert.is((await readdir({ dir: file })).status, c.NFS3ERR_NOTDIR)
  assert.is(await plus({ dir: file }), c.NFS3ERR_NOTDIR)
})

test('DIR6 a directory without read permission', async () => {
  const dir = await any().mkdir(root, 'DIR6', 0o711)
  const other = await world.as({ uid: 5, gid: 5 })
  assert.is(await other.status('READDIR', { dir, cookie: 0, verifier: none, count: 4096 }), c.NFS3ERR_ACCES)
})

test.after(() => world.close())
test.run()
