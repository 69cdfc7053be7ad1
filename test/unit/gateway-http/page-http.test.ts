/** The file page over a filesystem in memory: the shared suite, and what a real filesystem shows only by luck. */
import { spawnSync } from 'node:child_process'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FsError } from '../../../src/base/errors.ts'
import { HttpGateway } from '../../../src/gateway-http/index.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { closeClient, request } from '../../helpers/http-client.ts'
import { MemoryFs, type MemoryFsOptions } from '../../helpers/memory-fs.ts'
import { httpPageSuite } from '../../suites/http-page.ts'

const root = { uid: 0, gid: 0, gids: [] }

async function serve(options: MemoryFsOptions, caller = root) {
  const memory = new MemoryFs(options)
  const gateway = new HttpGateway({
    clock: realClock,
    exports: () => [
      { name: 'home', fs: memory.fs, caller },
      { name: 'frozen', fs: memory.fs, caller, readOnly: true },
    ],
  })
  const { url } = await gateway.listen('127.0.0.1', 0)
  return { memory, gateway, url }
}
type Served = Awaited<ReturnType<typeof serve>>

for (const asynchronous of [false, true]) {
  const shared = suite(`file page over memory, verbs ${asynchronous ? 'later' : 'at once'}`)
  let served: Served
  shared.before(async () => void (served = await serve({ asynchronous })))
  shared.after(() => served.gateway.close())
  httpPageSuite(shared, () => ({ urls: [served.url], fs: served.memory.fs }))
  shared.run()
}

const test = suite('file page faults')
test.after(() => closeClient())

const list = `
import io, json, sys, zipfile
with zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read())) as archive:
    assert archive.testzip() is None
    print(json.dumps({i.filename: None if i.is_dir() else archive.read(i).decode('latin1') for i in archive.infolist()}))
`
function unzip(bytes: Buffer): Record<string, string | null> {
  const { status, stdout, stderr } = spawnSync('python3', ['-c', list], {
    input: bytes,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  })
  assert.is(status, 0, stderr)
  return JSON.parse(stdout)
}

const MiB = 2 ** 20

/** A folder with a file of 3 MiB, which `change` may touch before its nth read. */
async function withLargeFile(change: (served: Served, reads: number) => void, run: (served: Served) => Promise<void>) {
  let reads = -1
  const served: Served = await serve({
    fault: (verb) => {
      if (verb === 'read' && reads >= 0) change(served, ++reads)
      return undefined
    },
  })
  try {
    await request(served.url, 'MKCOL', '/home/d')
    await request(served.url, 'PUT', '/home/d/small', { body: 'small' })
    await request(served.url, 'PUT', '/home/d/large', { body: Buffer.alloc(3 * MiB, 'a') })
    reads = 0
    await run(served)
  } finally {
    await served.gateway.close()
  }
}

async function touch({ memory: { fs } }: Served, body: Buffer): Promise<void> {
  const dir = (await fs.lookup(root, 1, 'd')).inode.ino
  const { ino } = (await fs.lookup(root, dir, 'large')).inode
  await fs.write(root, ino, 0, body, false, true)
}

test('a file that changes while an archive is made is in it in one version', async () => {
  let touched = false
  await withLargeFile(
    (served, reads) => {
      if (reads !== 3) return
      touched = true
      served.memory.pass(5000)
      void touch(served, Buffer.alloc(3 * MiB, 'b'))
    },
    async ({ url }) => {
      const got = unzip((await request(url, 'GET', '/home/d/?zip')).body)
      assert.ok(touched)
      assert.equal(Object.keys(got).sort(), ['d/', 'd/large', 'd/small'])
      assert.ok(got['d/large'] === 'b'.repeat(3 * MiB), 'a mixture')
    },
  )
})

test('one that never stops changing is left out, and the archive says so', async () => {
  let round = 0
  await withLargeFile(
    (served) => {
      served.memory.pass(5000)
      void touch(served, Buffer.alloc(10, String(round++ % 10)))
    },
    async ({ url }) => {
      const got = unzip((await request(url, 'GET', '/home/d/?zip')).body)
      assert.equal(Object.keys(got).sort(), ['NOT IN THIS ARCHIVE.txt', 'd/', 'd/small'])
      assert.match(got['NOT IN THIS ARCHIVE.txt'] as string, /large: it kept changing while it was read/)
    },
  )
})

test('an archive that the filesystem fails in the middle of is cut, not ended', async () => {
  for (const verb of ['read', 'readdir', 'getattr']) {
    let armed = false
    let count = 0
    const served = await serve({
      fault: (called) => (armed && called === verb && ++count === 2 ? new FsError('EIO') : undefined),
    })
    await request(served.url, 'MKCOL', '/home/d')
    for (const name of ['a', 'b', 'c'])
      await request(served.url, 'PUT', `/home/d/${name}`, { body: Buffer.alloc(200_000) })
    await request(served.url, 'MKCOL', '/home/d/e')
    armed = true
    const answer = await request(served.url, 'GET', '/home/d/?zip').catch((error: Error) => error)
    assert.ok(answer instanceof Error || answer.status === 500, `${verb}: a whole archive after a failure`)
    await served.gateway.close()
  }
})

test('what the caller may not read is left out of archives and searches, and is named', async () => {
  const served = await serve({}, { uid: 7, gid: 7, gids: [] })
  const { fs } = served.memory
  const dir = (await fs.mkdir(root, 1, 'd', { mode: 0o755 })).inode.ino
  await fs.create(root, dir, 'open', { mode: 0o644 }, 'guarded')
  await fs.create(root, dir, 'secret', { mode: 0o600 }, 'guarded')
  const closed = (await fs.mkdir(root, dir, 'closed', { mode: 0o700 })).inode.ino
  await fs.create(root, closed, 'secret inside', { mode: 0o644 }, 'guarded')
  // Its names may be listed, but nothing in it may be reached.
  const listable = (await fs.mkdir(root, dir, 'listable', { mode: 0o744 })).inode.ino
  await fs.create(root, listable, 'secret too', { mode: 0o644 }, 'guarded')
  const got = unzip((await request(served.url, 'GET', '/home/d/?zip')).body)
  assert.equal(Object.keys(got).sort(), ['NOT IN THIS ARCHIVE.txt', 'd/', 'd/closed/', 'd/listable/', 'd/open'])
  const remarks = got['NOT IN THIS ARCHIVE.txt'] as string
  for (const name of ['secret', 'closed', 'listable'])
    assert.ok(remarks.includes(`${name}: no permission to read it`), remarks)
  assert.not.match(remarks, /inside|too/)
  const page = (await request(served.url, 'GET', '/home/d/?search=secret')).text
  assert.not.match(page, /secret inside|secret too/)
  assert.match(page, /2 folders could not be looked into/)
  assert.is((await request(served.url, 'GET', '/home/d/closed/?search=x')).status, 403)
  assert.is((await request(served.url, 'GET', '/home/d/closed/?zip')).status, 403)
  // Somebody else's folder: nothing is offered.
  assert.not.match((await request(served.url, 'GET', '/home/d/')).text, /data-do/)
  await served.gateway.close()
})

test('more searches at a time than the node wants are told to come again', async () => {
  const served = await serve({ asynchronous: true })
  await request(served.url, 'MKCOL', '/home/d')
  for (let i = 0; i < 50; i++) await request(served.url, 'MKCOL', `/home/d/${i}`)
  const answers = await Promise.all(Array.from({ length: 32 }, () => request(served.url, 'GET', '/home/d/?search=1')))
  const count = (status: number) => answers.filter((answer) => answer.status === status).length
  assert.is(count(200) + count(503), 32)
  assert.ok(count(200) >= 16)
  assert.ok(count(503) > 0)
  assert.is((await request(served.url, 'GET', '/home/d/?search=1')).status, 200)
  await served.gateway.close()
})

test('a folder of many is shown page by page', async () => {
  const served = await serve({})
  const dir = (await served.memory.fs.mkdir(root, 1, 'd', { mode: 0o755 })).inode.ino
  for (let i = 0; i < 4500; i++) await served.memory.fs.create(root, dir, `f${i}`, { mode: 0o644 }, 'guarded')
  const page = async (query: string) => {
    const { text } = await request(served.url, 'GET', `/home/d/${query}`)
    return { text, names: [...text.matchAll(/<bdi>(f\d+)<\/bdi>/g)].map((match) => match[1]) }
  }
  const first = await page('')
  assert.is(first.names.length, 2000)
  assert.is(first.names[10], 'f10')
  assert.match(first.text, /Page 1 of 3.*page=2/s)
  assert.match(first.text, /4,500 files/)
  const last = await page('?page=3&order=desc')
  assert.is(last.names.length, 500)
  assert.is(last.names.at(-1), 'f0')
  await served.gateway.close()
})

test.run()
