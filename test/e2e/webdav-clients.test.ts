/** WebDAV at real nodes: locks that hold across them and outlive one, and Debian's own clients at work through several nodes (R128, R129). */
// time limit: 600 s
import { spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { runProgram } from '../helpers/program.ts'
import { lockinfo } from '../suites/http-locks.ts'
import { Demo } from './demo.ts'
import { freeBasePort } from './free-ports.ts'

const demo = new Demo({ nodes: 3, lunSize: '256MiB', basePort: await freeBasePort(3) })
const dir = mkdtempSync(join(tmpdir(), 'matrixfs-webdav-'))
test.before(async () => void (await demo.start()))
test.after(async () => {
  await demo.dispose()
  rmSync(dir, { recursive: true, force: true })
})

const url = (node: string) => demo.node(node).http.url
async function send(
  node: string,
  method: string,
  path: string,
  init: { headers?: Record<string, string>; body?: string } = {},
) {
  const response = await fetch(`${url(node)}${path}`, { method, ...init })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

test('a lock taken at n1 stops a PUT at n2, survives the death of n1, and ends at its time-out', async () => {
  assert.is((await send('n1', 'PUT', 'locked', { body: 'old' })).status, 201)
  const seconds = 20
  const began = performance.now()
  const given = await send('n1', 'LOCK', 'locked', { headers: { Timeout: `Second-${seconds}` }, body: lockinfo() })
  assert.is(given.status, 200, given.text)
  const token = given.headers.get('lock-token') as string
  assert.is((await send('n2', 'PUT', 'locked', { body: 'x' })).status, 423)
  demo.kill('n1')
  // recovery may take a moment, and then a 423 it is again
  for (;;) {
    const { status } = await send('n2', 'PUT', 'locked', { body: 'x' })
    if (status === 423) break
    assert.is(status, 503, 'a PUT got through')
    await sleep(100)
  }
  const mine = await send('n3', 'PUT', 'locked', { headers: { If: `(${token})` }, body: 'with the token' })
  assert.is(mine.status, 204)
  for (let status = 423; status !== 204; status = (await send('n2', 'PUT', 'locked', { body: 'free' })).status) {
    assert.ok(performance.now() - began < 3 * 1000 * seconds, 'the lock has no end')
    await sleep(200)
  }
  assert.ok(performance.now() - began > 1000 * seconds, 'it ended too early')
  assert.is((await send('n3', 'GET', 'locked')).text, 'free')
  await demo.startNode('n1')
  assert.is((await send('n1', 'GET', 'locked')).text, 'free')
})

/** What is missing for a test, or undefined. */
function lacking(program: string, debianPackage: string): string | undefined {
  return spawnSync('which', [program]).status === 0 ? undefined : `${program} (apt-get install ${debianPackage})`
}
function check(missing: string | undefined, name: string, run: () => Promise<void>): void {
  if (missing) process.stderr.write(`skipped: "${name}" needs ${missing}\n`)
  ;(missing ? test.skip : test)(name, run)
}
async function run(
  program: string,
  args: readonly string[],
  options: { cwd?: string; limitMs?: number } = {},
): Promise<string> {
  const { status, output } = await runProgram(program, args, options)
  assert.is(status, 0, `${program} ${args.join(' ')}\n${output}`)
  return output
}

const canMount = process.getuid?.() === 0 ? lacking('mount.davfs', 'davfs2') : 'the superuser'

async function mountDav(node: string, owner: string): Promise<{ path: string; umount(): Promise<void> }> {
  const path = join(dir, `mnt-${owner}`)
  const cache = join(dir, `cache-${owner}`)
  mkdirSync(path, { recursive: true })
  mkdirSync(cache, { recursive: true })
  // davfs2 gives up its privileges, and still has to get at its cache
  for (const each of [dir, cache]) chmodSync(each, 0o777)
  const config = join(dir, `${owner}.conf`)
  // the kernel of today reads more at once than davfs2's buffer holds
  const settings = {
    buf_size: 64,
    use_locks: 1,
    lock_owner: owner,
    lock_timeout: 60,
    ask_auth: 0,
    delay_upload: 0,
    dir_refresh: 1,
    file_refresh: 0,
    cache_dir: cache,
  }
  writeFileSync(
    config,
    Object.entries(settings)
      .map(([key, value]) => `${key} ${value}\n`)
      .join(''),
    { mode: 0o600 },
  )
  await run('mount.davfs', ['-o', `conf=${config}`, url(node), path])
  return {
    path,
    umount: async () => void (await run('umount', [path], { limitMs: 60_000 })),
  }
}

check(
  canMount,
  'davfs2 at two nodes: a tree goes in and comes out the same, and locks keep editors apart',
  async () => {
    const ann = await mountDav('n1', 'ann')
    const bob = await mountDav('n2', 'bob')
    try {
      const tar = join(dir, 'tree.tar')
      await run('tar', ['-C', new URL('../../src', import.meta.url).pathname, '-cf', tar, 'gateway-http', 'export'])
      mkdirSync(join(ann.path, 'tree'))
      await run('tar', ['-C', join(ann.path, 'tree'), '-xf', tar])
      mkdirSync(join(dir, 'expected'))
      await run('tar', ['-C', join(dir, 'expected'), '-xf', tar])
      // a client's listings may be a second old
      await sleep(2000)
      await run('diff', ['-r', join(dir, 'expected'), join(bob.path, 'tree')])
      await run('tar', ['-C', join(bob.path, 'tree'), '-cf', join(dir, 'back.tar'), '.'])

      const [atAnn, atBob] = [ann, bob].map(({ path }) => join(path, 'tree/export/index.ts')) as [string, string]
      const open = openSync(atAnn, 'a')
      writeSync(open, '// ann\n')
      assert.throws(() => openSync(atBob, 'a'), /EACCES/)
      assert.is((await send('n3', 'PUT', 'tree/export/index.ts', { body: 'x' })).status, 423)
      closeSync(open)
      await sleep(2000)
      const later = openSync(atBob, 'a')
      writeSync(later, '// bob\n')
      closeSync(later)
      await sleep(2000)
      const { text } = await send('n3', 'GET', 'tree/export/index.ts')
      assert.is(text, `${readFileSync(join(dir, 'expected/export/index.ts'), 'utf8')}// ann\n// bob\n`)
      rmSync(join(bob.path, 'tree'), { recursive: true })
      assert.is((await send('n1', 'GET', 'tree/')).status, 404)
    } finally {
      await ann.umount()
      await bob.umount()
    }
  },
)

check(lacking('cadaver', 'cadaver'), 'cadaver: everything that its prompt can do', async () => {
  const [up, down] = [join(dir, 'up'), join(dir, 'down')]
  const content = Buffer.alloc(3_000_000, 'matrix')
  writeFileSync(up, content)
  const script = `mkcol cad
    cd cad
    put ${up} a
    lock a
    discover a
    propset a color blue
    propget a color
    unlock a
    copy a b
    move b c
    chexec + c
    get c ${down}
    cd ..
    rmcol cad
    quit
  `
  const { stdout } = spawnSync('cadaver', [url('n2')], { input: script, encoding: 'utf8', timeout: 60_000 })
  assert.not.match(stdout, /failed|does not support/, stdout)
  assert.match(stdout, /Lock token <urn:uuid:/)
  assert.match(stdout, 'Value of color is: blue')
  assert.ok(readFileSync(down).equals(content))
  assert.is((await send('n1', 'GET', 'cad/')).status, 404)
})

check(lacking('rclone', 'rclone'), 'rclone: sync and check, each call at another node', async () => {
  const tree = join(dir, 'sync')
  mkdirSync(join(tree, 'deep/er'), { recursive: true })
  for (let i = 0; i < 60; i++) writeFileSync(join(tree, i % 2 ? 'deep/er' : '.', `file ${i}`), 'x'.repeat(i * 1000))
  let turn = 0
  const rclone = (...args: string[]) => {
    const node = `n${(turn++ % 3) + 1}`
    return run('rclone', [
      ...args,
      '--webdav-url',
      url(node),
      '--webdav-vendor',
      'owncloud',
      '--config',
      '/dev/null',
      '--retries',
      '1',
    ])
  }
  await rclone('sync', tree, ':webdav:/sync')
  await rclone('check', tree, ':webdav:/sync', '--download')
  writeFileSync(join(tree, 'file 0'), 'changed')
  rmSync(join(tree, 'deep/er/file 1'))
  await rclone('sync', tree, ':webdav:/sync')
  await rclone('check', tree, ':webdav:/sync', '--download')
  assert.match(await rclone('sync', tree, ':webdav:/sync', '-v', '--stats', '1s'), /Transferred:\s+0 B/)
  await rclone('purge', ':webdav:/sync')
})

/** `rclone mount` of the export at a node, in the foreground as a service manager runs it. */
async function mountRclone(node: string, ...options: string[]): Promise<{ path: string; umount(): Promise<void> }> {
  const path = join(dir, `rclone-${node}`)
  mkdirSync(path)
  const own = ['--webdav-url', url(node), '--webdav-vendor', 'owncloud', '--config', '/dev/null']
  const cache = ['--cache-dir', join(dir, `rclone-cache-${node}`)]
  const child = spawn('rclone', ['mount', ':webdav:/', path, ...own, ...cache, ...options], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.on('data', (chunk) => void (output += chunk))
  child.stderr.on('data', (chunk) => void (output += chunk))
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const isMounted = () => readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${path} `)
  for (let tries = 0; !isMounted(); tries++) {
    assert.ok(tries < 300 && child.exitCode === null, `rclone mount is not there\n${output}`)
    await sleep(100)
  }
  return {
    path,
    umount: async () => {
      await run('fusermount3', ['-u', path])
      assert.is(await ended, 0, output)
      assert.not.match(output, /ERROR|CRITICAL/, output)
    },
  }
}

const canMountRclone = lacking('rclone', 'rclone') ?? lacking('fusermount3', 'fuse3')

check(canMountRclone, 'rclone mount at two nodes: programs write at one, and find the same at the other', async () => {
  // written through a cache of whole files, and looked at anew each time
  const fresh = ['--dir-cache-time', '0s', '--attr-timeout', '0s']
  const writer = await mountRclone('n1', '--vfs-cache-mode', 'writes', '--vfs-write-back', '0s', ...fresh)
  const reader = await mountRclone('n2', ...fresh)
  try {
    const source = new URL('../../src/gateway-http', import.meta.url).pathname
    const [there, back] = [join(writer.path, 'mounted'), join(reader.path, 'mounted')]
    await run('cp', ['-r', '--preserve=timestamps', source, there])
    const large = join(there, 'large')
    const content = Buffer.alloc(5_000_000, 'through a mount ')
    writeFileSync(large, content)
    // rclone sends a file when it is closed, and tells nobody when that is done
    for (let tries = 0; (await send('n3', 'GET', 'mounted/large')).text.length < content.length; tries++) {
      assert.ok(tries < 100, 'the large file has not arrived')
      await sleep(200)
    }
    assert.ok(readFileSync(join(back, 'large')).equals(content))
    // a piece from the middle: a GET with a range
    const piece = await run('dd', [`if=${join(back, 'large')}`, 'bs=1000', 'skip=4000', 'count=1', 'status=none'])
    assert.is(piece, content.subarray(4_000_000, 4_001_000).toString())
    rmSync(large)
    await run('diff', ['-r', source, back])
    await run('mv', [join(there, 'methods'), join(there, 'verbs')])
    assert.ok(existsSync(join(back, 'verbs/put.ts')) && !existsSync(join(back, 'methods')))
    rmSync(there, { recursive: true })
    assert.is((await send('n3', 'GET', 'mounted/')).status, 404)
  } finally {
    await writer.umount()
    await reader.umount()
  }
})

check(lacking('curl', 'curl'), 'curl: what scripts do with it, each call at another node', async () => {
  const [up, down] = [join(dir, 'curl-up'), join(dir, 'curl-down')]
  const content = Buffer.alloc(2_500_000, 'curl ')
  writeFileSync(up, content)
  let turn = 0
  /** --fail: whatever is no success ends it with 22. */
  const curl = (path: string, ...args: string[]) =>
    run('curl', ['-sS', '--fail', ...args, `${url(`n${(turn++ % 3) + 1}`)}${path}`])
  await curl('scripts/', '-X', 'MKCOL')
  // asks with Expect: 100-continue, since it is large
  await curl('scripts/', '-T', up)
  await curl('scripts/curl-up', '-o', down)
  assert.ok(readFileSync(down).equals(content))
  // a download that stopped goes on
  writeFileSync(down, content.subarray(0, 1_000_000))
  await curl('scripts/curl-up', '-C', '-', '-o', down)
  assert.ok(readFileSync(down).equals(content))
  // from a pipe: no length is known
  const piped = spawnSync('curl', ['-sS', '--fail', '-T', '-', `${url('n2')}scripts/piped`], { input: 'piped' })
  assert.is(piped.status, 0, String(piped.stderr))
  assert.is(await curl('scripts/piped'), 'piped')
  assert.is(await curl('scripts/piped', '-r', '1-3'), 'ipe')
  // once more only when it is newer, or another one
  const tags = join(dir, 'tags')
  await curl('scripts/piped', '--etag-save', tags, '-o', down)
  const again = ['--etag-compare', tags, '-o', '/dev/null', '-w', '%{http_code}']
  assert.is(await curl('scripts/piped', ...again), '304')
  assert.is(await curl('scripts/piped', '-z', down, '-o', '/dev/null', '-w', '%{http_code}'), '304')
  // an upload that stopped goes on
  await curl('scripts/parts', '-X', 'PUT', '-H', 'Content-Range: bytes 0-4/*', '-d', 'first')
  await curl('scripts/parts', '-X', 'PUT', '-H', 'Content-Range: bytes 5-10/11', '-d', 'second')
  assert.is(await curl('scripts/parts'), 'firstsecond')
  await curl('scripts/parts', '-X', 'MOVE', '-H', `Destination: ${url('n1')}scripts/whole`)
  const listed = await curl('scripts/', '-X', 'PROPFIND', '-H', 'Depth: 1')
  assert.equal(
    [...listed.matchAll(/<D:href>([^<]*)</g)].map(([, href]) => href),
    ['', 'curl-up', 'piped', 'whole'].map((name) => `/home/scripts/${name}`),
  )
  await curl('scripts/', '-X', 'DELETE')
  const gone = await runProgram('curl', ['-sS', '--fail', `${url('n1')}scripts/`])
  assert.is(gone.status, 22)
})

test('fsck finds nothing afterwards', () => {
  demo.check()
})

test.run()
