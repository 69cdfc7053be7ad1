/** Copies into a WebDAV server: the HTTP gateway, and what a server without its gifts makes of them. */

import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { HttpGateway } from '../../../src/gateway-http/index.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { codeOf } from '../../../src/program-api/index.ts'
import {
  checkAddress,
  type Outcome,
  openTree,
  type ReplicateOptions,
  replicate,
  type Tree,
} from '../../../src/replicator/index.ts'
import { closeClient, request } from '../../helpers/http-client.ts'
import { MemoryFs } from '../../helpers/memory-fs.ts'

const root = { uid: 0, gid: 0, gids: [] }
const KiB = 1024
const FILE = { mode: 0o100600, uid: 0, gid: 0 }

type Context = { dir: string; from: string; url: string; gateway: HttpGateway; to: string; tree: Tree }
const test = suite<Context>('replicator to WebDAV', {} as Context)

test.before.each(async (c) => {
  c.dir = mkdtempSync(join(tmpdir(), 'matrixfs-replicator-dav-'))
  mkdirSync((c.from = join(c.dir, 'from')))
  const memory = new MemoryFs()
  c.gateway = new HttpGateway({ clock: realClock, exports: () => [{ name: 'home', fs: memory.fs, caller: root }] })
  c.url = (await c.gateway.listen('127.0.0.1', 0)).url
  await request(c.url, 'MKCOL', '/home/copy')
  c.to = `${c.url}home/copy`
  c.tree = await openTree(c.to, 'to')
})
test.after.each(async (c) => {
  await c.tree.close()
  await c.gateway.close()
  rmSync(c.dir, { recursive: true, force: true })
})
test.after(() => closeClient())

const run = (c: Context, options: Partial<ReplicateOptions> = {}): Promise<Outcome> =>
  replicate({
    ...{ from: c.from, to: c.to, journal: join(c.dir, 'journal.sqlite') },
    ...{ prune: 'made', exclude: [], owners: true, verify: true },
    ...options,
  })

const text = async (c: Context, path: string) => (await request(c.url, 'GET', `/home/copy/${path}`)).text

async function codeIn(call: Promise<unknown>): Promise<string | undefined> {
  return call.then(
    () => 'done',
    (error) => codeOf(error),
  )
}

test('calls do what they do at other trees', async ({ tree }) => {
  await tree.createFile('/a', FILE)
  assert.is(await codeIn(tree.createFile('/a', FILE)), 'EEXIST')
  await tree.write('/a', Buffer.from('hello'), 0)
  await tree.write('/a', Buffer.from('world'), 6)
  const into = Buffer.alloc(16, 1)
  await tree.read('/a', into, 0, 16)
  assert.is(into.toString('latin1'), 'hello\0world\0\0\0\0\0')
  await tree.read('/a', into, 20, 24)
  assert.equal([...into.subarray(0, 4)], [0, 0, 0, 0])
  await tree.touch('/a', { size: 100 * KiB })
  assert.is((await tree.stat('/a')).size, 100 * KiB)
  await tree.mkdir('/d', { mode: 0o755, uid: 0, gid: 0 })
  assert.is(await codeIn(tree.mkdir('/d', { mode: 0o755, uid: 0, gid: 0 })), 'EEXIST')
  await tree.rename('/a', '/d/ä b%?#&<x>')
  assert.equal(await tree.readdir('/'), ['d'])
  assert.equal(await tree.readdir('/d'), ['ä b%?#&<x>'])
  assert.is(await codeIn(tree.rmdir('/d')), 'ENOTEMPTY')
  assert.is(await codeIn(tree.stat('/a')), 'ENOENT')
  assert.is(await codeIn(tree.unlink('/a')), 'ENOENT')
  await tree.unlink('/d/ä b%?#&<x>')
  await tree.rmdir('/d')
  assert.equal(await tree.readdir('/'), [])
  assert.is(await codeIn(tree.symlink('x', '/l')), 'ENOTSUP')
})

test('bits, owner and time are kept, to the fraction, until somebody writes', async ({ tree, url }) => {
  await tree.createFile('/a', FILE)
  await tree.touch('/a', { mode: 0o104750, uid: 1000, gid: 50 })
  await tree.touch('/a', { atimeMs: 5, mtimeMs: 1_234_567_890_123.456 })
  const kept = await tree.stat('/a')
  assert.equal([kept.mode.toString(8), kept.uid, kept.gid, kept.mtimeMs], ['104750', 1000, 50, 1_234_567_890_123.456])
  const shown = (await request(url, 'GET', '/home/copy/a')).headers['last-modified'] as string
  assert.is(Date.parse(shown), 1_234_567_890_000)
  await tree.rename('/a', '/b')
  assert.is((await tree.stat('/b')).mtimeMs, 1_234_567_890_123.456)
  await request(url, 'PUT', '/home/copy/b', { body: 'by somebody' })
  const changed = await tree.stat('/b')
  assert.ok(changed.ino !== kept.ino && Math.abs(changed.mtimeMs - Date.now()) < 60_000)
})

test('a tree is copied, then what has changed, then nothing; what WebDAV has not is left out', async (c) => {
  mkdirSync(join(c.from, 'sub', 'deeper'), { recursive: true })
  writeFileSync(join(c.from, 'sub', 'a'), 'content')
  writeFileSync(join(c.from, 'sub', 'deeper', 'empty'), '')
  writeFileSync(join(c.from, 'large'), Buffer.alloc(3 * 1024 * KiB + 7, 'large '))
  writeFileSync(join(c.from, 'sparse'), 'start')
  truncateSync(join(c.from, 'sparse'), 2 * 1024 * KiB)
  linkSync(join(c.from, 'sub', 'a'), join(c.from, 'other name'))
  symlinkSync('a', join(c.from, 'sub', 'link'))
  chmodSync(join(c.from, 'sub', 'a'), 0o640)
  utimesSync(join(c.from, 'sub', 'a'), 1, 1.25)
  const first = await run(c)
  assert.equal([first.failed, first.copied, first.skipped], [0, 5, 1], JSON.stringify(first.troubles))
  assert.is(await text(c, 'sub/a'), 'content')
  assert.is(await text(c, 'other%20name'), 'content')
  assert.is((await text(c, 'large')).length, 3 * 1024 * KiB + 7)
  assert.is((await text(c, 'sparse')).length, 2 * 1024 * KiB)
  const { mode, mtimeMs } = await c.tree.stat('/sub/a')
  assert.equal([mode & 0o777, mtimeMs], [0o640, 1250])

  const second = await run(c)
  assert.equal([second.failed, second.copied, second.adjusted, second.unchanged], [0, 0, 0, 5])

  writeFileSync(join(c.from, 'sub', 'deeper', 'empty'), 'not any more')
  rmSync(join(c.from, 'large'))
  await request(c.url, 'PUT', '/home/copy/sub/a', { body: 'touched' })
  await request(c.url, 'PUT', '/home/copy/not-ours', { body: 'stays' })
  const third = await run(c)
  assert.equal([third.failed, third.copied, third.pruned], [0, 2, 1], JSON.stringify(third))
  assert.is(await text(c, 'sub/a'), 'content')
  assert.is(await text(c, 'sub/deeper/empty'), 'not any more')
  assert.is(await text(c, 'not-ours'), 'stays')
  assert.is((await request(c.url, 'GET', '/home/copy/large')).status, 404)
})

test('what an interrupted run has left under hidden names goes', async (c) => {
  writeFileSync(join(c.from, 'a'), 'content')
  await request(c.url, 'PUT', '/home/copy/.~replica-0123456789abcdef01234567', { body: 'half' })
  assert.is((await run(c)).failed, 0)
  assert.equal((await c.tree.readdir('/')).sort(), ['a'])
})

test('a server that is none, or refuses, is told as what it is', async (c) => {
  const answers = { status: 200, body: 'hello' }
  const server = createServer((_, response) => void response.writeHead(answers.status).end(answers.body))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const tree = await openTree(`http://127.0.0.1:${(server.address() as AddressInfo).port}/x`, 'to')
  assert.is(await codeIn(tree.stat('/')), 'ENOTSUP')
  Object.assign(answers, { status: 207, body: '<not xml' })
  assert.is(await codeIn(tree.stat('/')), 'EIO')
  Object.assign(answers, { status: 207, body: '<!DOCTYPE x><multistatus xmlns="DAV:"/>' })
  assert.is(await codeIn(tree.stat('/')), 'EIO')
  for (const [status, code] of [
    [401, 'EACCES'],
    [403, 'EACCES'],
    [423, 'EBUSY'],
    [507, 'ENOSPC'],
    [500, 'EIO'],
  ] as const) {
    Object.assign(answers, { status })
    assert.is(await codeIn(tree.write('/a', Buffer.from('x'), 0)), code)
  }
  await tree.close()
  server.closeAllConnections()
  server.close()
  assert.is((await run(c, { to: `${c.url}home/none` }).catch((error) => error)).code, 'config')
})

test('addresses are checked, and passwords kept out of them', () => {
  const refusal = (address: string, use: 'from' | 'to' = 'to') => {
    try {
      checkAddress(address, use)
      return 'taken'
    } catch (error) {
      return (error as Error).message
    }
  }
  assert.is(refusal('https://files.example.org/home'), 'taken')
  assert.is(refusal('https://ann@files:8443/home?password-file=/etc/p&ca=/etc/ca.pem'), 'taken')
  assert.is(refusal('http://ann@127.0.0.1/home?password-file=/etc/p'), 'taken')
  assert.match(refusal('http://ann@files/home?password-file=/etc/p'), 'https only')
  assert.match(refusal('https://ann:secret@files/home'), 'name a file')
  assert.not.match(refusal('https://ann:secret@files/home'), 'secret')
  assert.match(refusal('https://ann@files/home'), 'go together')
  assert.match(refusal('https://files/home?ca=relative.pem'), 'absolute path')
  assert.match(refusal('https://files/home?x=1'), '"x" is unknown')
  assert.match(refusal('https://files/home', 'from'), 'can be copied to only')
})

test.run()
