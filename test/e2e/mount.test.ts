/**
 * The local mount, by the kernel's own file calls: two nodes of a demo have the filesystem mounted, and what is done in one
 * mount is there in the other by the next call. Whatever the kernel would cache is looked at before and after.
 */
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Demo, sanKind } from './demo.ts'
import { freeBasePort } from './free-ports.ts'

const cli = join(new URL('../..', import.meta.url).pathname, 'src/cli/main.ts')
const dir = fs.mkdtempSync(join(tmpdir(), 'matrixfs-e2e-mount-'))
fs.chmodSync(dir, 0o755)
let demo = new Demo({ dir, nodes: 2, lunSize: '128MiB', basePort: await freeBasePort(2), mount: true })
const { options } = demo
/** The mounts of n1 and n2. */
let one = ''
let two = ''
const code = (action: () => unknown): string => {
  try {
    action()
    return 'none'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error)
  }
}
const read = (path: string) => fs.readFileSync(path, 'utf8')
const mounted = () => fs.readFileSync('/proc/self/mounts', 'utf8').includes(dir)

test.before(async () => {
  if (code(() => fs.closeSync(fs.openSync('/dev/fuse', 'r+'))) !== 'none' || process.geteuid?.() !== 0) {
    throw new Error(
      'this test mounts with /dev/fuse: run it as root, after "modprobe fuse"; in a container with --device /dev/fuse --cap-add SYS_ADMIN',
    )
  }
  await demo.start()
  one = demo.node('n1').mount as string
  two = demo.node('n2').mount as string
})

test('the demo says where each node has mounted the filesystem', () => {
  assert.equal([one, two], [join(dir, 'mnt/n1'), join(dir, 'mnt/n2')])
  assert.ok(demo.output.includes(one), demo.output)
  assert.match(read('/proc/self/mounts'), new RegExp(`matrixfs:home ${one} fuse.matrixfs rw`))
})

test('R19 a file made, changed, cut and renamed in one mount is so in the other at once', () => {
  assert.is(
    code(() => fs.statSync(`${two}/f`)),
    'ENOENT',
  )
  fs.writeFileSync(`${one}/f`, 'hello')
  assert.is(read(`${two}/f`), 'hello')
  const fd = fs.openSync(`${two}/f`, 'r+')
  fs.writeSync(fd, 'J', 0)
  assert.is(read(`${one}/f`), 'Jello')
  fs.truncateSync(`${one}/f`, 2)
  assert.is(fs.fstatSync(fd).size, 2)
  assert.is(fs.readSync(fd, Buffer.alloc(9), 0, 9, 0), 2)
  fs.renameSync(`${one}/f`, `${one}/g`)
  assert.is(
    code(() => fs.statSync(`${two}/f`)),
    'ENOENT',
  )
  assert.is(fs.statSync(`${two}/g`).ino, fs.fstatSync(fd).ino)
  fs.closeSync(fd)
  fs.writeFileSync(`${one}/h`, 'replaced')
  fs.renameSync(`${two}/g`, `${two}/h`)
  assert.is(read(`${one}/h`), 'Je')
  fs.unlinkSync(`${one}/h`)
  assert.equal(fs.readdirSync(two), [])
})

test('appends of both nodes go to the end there is, whatever either kernel believes', () => {
  const fds = [fs.openSync(`${one}/log`, 'a'), fs.openSync(`${two}/log`, 'a')]
  for (let line = 0; line < 50; line++) for (const fd of fds) fs.writeSync(fd, `${fd}:${line}\n`)
  for (const fd of fds) fs.closeSync(fd)
  const wanted = Array.from({ length: 50 }, (_, line) => fds.map((fd) => `${fd}:${line}\n`).join('')).join('')
  assert.is(read(`${one}/log`), wanted)
  assert.is(read(`${two}/log`), wanted)
})

test('an unlinked file lives until its last close, in both mounts', () => {
  fs.writeFileSync(`${one}/gone`, 'still here')
  const fd = fs.openSync(`${one}/gone`, 'r+')
  fs.unlinkSync(`${two}/gone`)
  assert.is(
    code(() => fs.statSync(`${one}/gone`)),
    'ENOENT',
  )
  fs.writeSync(fd, 'S', 0)
  fs.ftruncateSync(fd, 5)
  assert.is(fs.readFileSync(fd, 'utf8'), 'Still')
  assert.is(fs.fstatSync(fd).nlink, 0)
  fs.closeSync(fd)
})

test('a directory that is removed while it is open is empty, and takes no names', () => {
  fs.mkdirSync(`${one}/d`)
  const handle = fs.opendirSync(`${one}/d`)
  fs.rmdirSync(`${two}/d`)
  assert.is(handle.readSync(), null)
  handle.closeSync()
  assert.is(
    code(() => fs.writeFileSync(`${one}/d/f`, '')),
    'ENOENT',
  )
})

test('offsets of 64 bits, holes, and the largest file', () => {
  const fd = fs.openSync(`${one}/sparse`, 'w+')
  fs.writeSync(fd, 'far', 5 * 2 ** 32)
  fs.fsyncSync(fd)
  assert.is(fs.statSync(`${two}/sparse`).size, 5 * 2 ** 32 + 3)
  const bytes = Buffer.alloc(4, 'x')
  const other = fs.openSync(`${two}/sparse`, 'r')
  assert.is(fs.readSync(other, bytes, 0, 4, 5 * 2 ** 32 - 1), 4)
  assert.is(bytes.toString('latin1'), '\0far')
  assert.is(
    code(() => fs.ftruncateSync(fd, 2 ** 50)),
    'EFBIG',
  )
  assert.is(
    code(() => fs.writeSync(fd, 'x', 2 ** 45)),
    'EFBIG',
  )
  fs.closeSync(fd)
  fs.closeSync(other)
  fs.unlinkSync(`${two}/sparse`)
})

test('a directory of 3,000 entries is listed whole, while others come and go', () => {
  const names = Array.from({ length: 3000 }, (_, index) => `entry-${index}-${'n'.repeat(index % 60)}`)
  fs.mkdirSync(`${one}/many`)
  for (const name of names) fs.closeSync(fs.openSync(`${one}/many/${name}`, 'wx'))
  const handle = fs.opendirSync(`${two}/many`, { bufferSize: 16 })
  const seen: string[] = []
  for (let entry = handle.readSync(); entry; entry = handle.readSync()) {
    seen.push(entry.name)
    if (seen.length % 500 !== 0) continue
    fs.writeFileSync(`${one}/many/new-${seen.length}`, '')
    fs.unlinkSync(`${one}/many/new-${seen.length}`)
  }
  handle.closeSync()
  const kept = new Set(names)
  assert.equal(seen.filter((name) => kept.has(name)).sort(), [...names].sort())
  fs.rmSync(`${two}/many`, { recursive: true })
  assert.is(
    code(() => fs.statSync(`${one}/many`)),
    'ENOENT',
  )
})

test('hard and symbolic links, modes, owners, times, special files', () => {
  fs.writeFileSync(`${one}/l1`, 'x')
  fs.linkSync(`${one}/l1`, `${one}/l2`)
  assert.is(fs.statSync(`${two}/l2`).ino, fs.statSync(`${one}/l1`).ino)
  assert.is(fs.statSync(`${two}/l1`).nlink, 2)
  fs.symlinkSync('l1', `${two}/s`)
  assert.is(fs.readlinkSync(`${one}/s`), 'l1')
  assert.is(read(`${one}/s`), 'x')
  fs.chmodSync(`${two}/l2`, 0o4751)
  fs.chownSync(`${one}/l1`, 1000, 2000)
  fs.utimesSync(`${two}/s`, 1_000_000_000, 2_000_000_000)
  const { mode, uid, gid, mtimeMs, birthtimeMs } = fs.statSync(`${one}/l2`)
  assert.equal([mode & 0o7777, uid, gid, mtimeMs], [0o751, 1000, 2000, 2e12], 'a new owner takes the set-id bit away')
  assert.ok(birthtimeMs > 0 && birthtimeMs <= Date.now())
  assert.is(spawnSync('mkfifo', [`${one}/fifo`]).status, 0)
  assert.ok(fs.statSync(`${two}/fifo`).isFIFO())
  for (const name of ['l1', 'l2', 's', 'fifo']) fs.unlinkSync(`${one}/${name}`)
})

test('groups that no request carries count: the kernel checks them', () => {
  fs.writeFileSync(`${one}/shared`, 'for the group')
  fs.chownSync(`${one}/shared`, 0, 4242)
  fs.chmodSync(`${one}/shared`, 0o640)
  const cat = (groups: string) =>
    spawnSync('setpriv', ['--reuid=1000', '--regid=1000', groups, 'cat', `${two}/shared`], { encoding: 'utf8' })
  assert.is(cat('--groups=4242').stdout, 'for the group')
  assert.match(cat('--clear-groups').stderr, /Permission denied/)
  fs.unlinkSync(`${one}/shared`)
})

test('a full filesystem says ENOSPC, and has room again when something goes', () => {
  const fd = fs.openSync(`${one}/filler`, 'w')
  const chunk = Buffer.alloc(1 << 20, 1)
  const filled = code(() => {
    for (let megabytes = 0; megabytes < 512; megabytes++) fs.writeSync(fd, chunk)
  })
  fs.closeSync(fd)
  assert.is(filled, 'ENOSPC')
  fs.unlinkSync(`${one}/filler`)
  assert.is(
    code(() => fs.writeFileSync(`${one}/after`, 'room', { flush: true })),
    'none',
  )
  assert.is(read(`${two}/after`), 'room')
})

test('matrix mount and matrix umount ask the running node', () => {
  const matrix = (...args: string[]) =>
    spawnSync(process.execPath, [cli, ...args, '--config', join(dir, 'n2.toml')], { encoding: 'utf8' })
  const place = fs.mkdtempSync(join(tmpdir(), 'matrixfs-e2e-place-'))
  assert.match(matrix('mount', 'nothing', place).stderr, /no filesystem "nothing".*it has: home/)
  assert.match(matrix('mount', 'home', `${place}/none`).stderr, /does not exist; make it with: mkdir -p/)
  assert.match(matrix('mount', 'home', '/proc').stderr, /is a mount point already \(proc/)
  const done = matrix('mount', 'home', place)
  assert.is(done.status, 0, done.stderr)
  assert.is(read(`${place}/after`), 'room')
  assert.match(matrix('mount').stdout, new RegExp(`home +${place}`))
  assert.match(matrix('mount', 'home', place).stderr, /is a mount point already \(matrixfs:home/)
  const fd = fs.openSync(`${place}/after`, 'r')
  assert.match(matrix('umount', place).stderr, /is in use.*--lazy/)
  fs.closeSync(fd)
  assert.is(matrix('umount', place).status, 0)
  assert.equal(fs.readdirSync(place), [])
  assert.match(matrix('umount', place).stderr, /nothing of this node is mounted at/)
  fs.rmdirSync(place)
})

test('unmounted from outside: the node goes on, and mounts again, since its configuration has that mount', async () => {
  assert.is(spawnSync('umount', [two]).status, 0)
  const { http } = demo.node('n2')
  assert.is(await (await fetch(`${http.url}after`)).text(), 'room')
  for (let patience = 100; patience > 0 && !fs.existsSync(`${two}/after`); patience--) await sleep(200)
  assert.is(read(`${two}/after`), 'room')
})

test('SIGKILL: that mount fails, the other goes on, and start-node brings it back', async () => {
  fs.writeFileSync(`${one}/durable`, 'fsync said so', { flush: true })
  demo.kill('n1')
  assert.is(read(`${two}/durable`), 'fsync said so')
  assert.match(
    code(() => fs.readdirSync(one)),
    /ENOTCONN|ECONNABORTED/,
  )
  fs.writeFileSync(`${two}/meanwhile`, 'written at n2')
  await demo.startNode('n1')
  assert.is(demo.node('n1').mount, one)
  assert.is(read(`${one}/meanwhile`), 'written at n2')
  assert.is(read(`${one}/durable`), 'fsync said so')
})

test('a clean end unmounts, also what is in use; and nothing is wrong with the filesystem', async () => {
  const fd = fs.openSync(`${one}/durable`, 'r')
  await demo.stop()
  assert.not.ok(mounted())
  assert.is(
    code(() => fs.readSync(fd, Buffer.alloc(1))),
    'ENOTCONN',
  )
  // it is closed all the same: the kernel could not ask about its locks
  assert.is(
    code(() => fs.closeSync(fd)),
    'ENOTCONN',
  )
  // the target of the demo ends with it
  if (sanKind() !== 'own') assert.match(demo.check(), /filesystem home is sound/)
})

test('a demo that was killed with its nodes leaves dead mounts: the next one clears them, with or without --mount', async () => {
  demo = new Demo({ ...options, dir })
  await demo.start()
  assert.match(demo.check(), /filesystem home is sound/)
  demo.kill('n1')
  demo.kill('n2')
  demo.killDemo()
  assert.ok(mounted())
  demo = new Demo({ ...options, dir, mount: false })
  await demo.start()
  assert.not.ok(mounted())
  assert.not.ok('mount' in demo.node('n1'))
  assert.equal(fs.readdirSync(one), [])
})

test.after(async () => {
  await demo.dispose()
  for (const place of [one, two]) if (mounted()) spawnSync('umount', ['-l', place])
  fs.rmSync(dir, { recursive: true, force: true })
})

test.run()
