/** Requests and replies of the FUSE protocol, byte for byte, against the real filesystem in one process. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FsError } from '../../../src/base/errors.ts'
import { isPromise } from '../../../src/base/maybe-promise.ts'
import * as c from '../../../src/gateway-fuse/wire/constants.ts'
import * as l from '../../../src/gateway-fuse/wire/layouts.ts'
import { type LocalMatrix, makeLocalMatrix } from '../../helpers/local-matrix.ts'
import { MemoryFs } from '../../helpers/memory-fs.ts'
import { type Answer, FakeKernel, name, record, type Who } from './fake-kernel.ts'

const ROOT = 1
type Context = { matrix: LocalMatrix; kernel: FakeKernel; other: FakeKernel }
const test = suite<Context>('fuse session')

test.before(async (context) => {
  context.matrix = await makeLocalMatrix({ nodes: 2 })
  context.kernel = new FakeKernel(context.matrix.nodes[0]!.fs)
  context.other = new FakeKernel(context.matrix.nodes[1]!.fs)
  context.kernel.init()
  context.other.init()
})
test.after(async ({ matrix }) => {
  assert.equal(await matrix.check(), [])
  await matrix.close()
})

async function entry(answer: Answer | Promise<Answer>) {
  const { errno, body } = await answer
  assert.is(errno, 0)
  return {
    ...l.entryOut.decode(body),
    attr: l.attr.decode(body, l.entryOut.size),
    rest: body.subarray(l.entryOut.size + l.attr.size),
  }
}
async function attributes(answer: Answer | Promise<Answer>) {
  const { errno, body } = await answer
  assert.is(errno, 0)
  assert.equal(l.attrOut.decode(body), { attr_valid: 0, attr_valid_nsec: 0, dummy: 0 })
  return l.attr.decode(body, l.attrOut.size)
}
const errnoOf = async (answer: Answer | Promise<Answer>) => (await answer).errno
const create = (kernel: FakeKernel, text: string, given = {}, who: Who = {}) =>
  kernel.ask('CREATE', ROOT, [record(l.createIn, { mode: 0o100644, ...given }), name(text)], who)
const write = (kernel: FakeKernel, ino: number, data: string, given = {}) =>
  kernel.ask('WRITE', ino, [record(l.writeIn, { size: data.length, ...given }), Buffer.from(data)])
const read = async (kernel: FakeKernel, ino: number, offset = 0, size = 4096) =>
  (await kernel.ask('READ', ino, [record(l.readIn, { offset, size })])).body.toString('latin1')
const release = (kernel: FakeKernel, ino: number) => kernel.ask('RELEASE', ino, [record(l.releaseIn, {})])

test('INIT: nothing is cached, what the promises need is asked for, and only what the kernel offers', () => {
  const { agreed } = new FakeKernel(new MemoryFs().fs).init()
  assert.is(agreed?.major, 7)
  assert.is(agreed?.max_write, 1024 * 1024)
  assert.is(agreed?.max_pages, 256)
  assert.is(agreed?.time_gran, 1)
  const flags = agreed?.flags ?? 0
  assert.ok(flags & c.FUSE_HANDLE_KILLPRIV_V2 && flags & c.FUSE_ATOMIC_O_TRUNC)
  const writebackCache = 1 << 16
  const cacheSymlinks = 1 << 23
  const dontMask = 1 << 6
  assert.is(flags & (writebackCache | cacheSymlinks | dontMask), 0)
  assert.is(agreed?.flags2, c.FUSE2_DIRECT_IO_ALLOW_MMAP)
  const poor = new FakeKernel(new MemoryFs().fs).init({ flags: c.FUSE_ASYNC_READ, minor: 31 }).agreed
  assert.equal([poor?.flags, poor?.flags2], [c.FUSE_ASYNC_READ, 0])
})

test('INIT: a newer kernel is asked to speak our version, one too old is refused', () => {
  const kernel = new FakeKernel(new MemoryFs().fs)
  assert.equal([kernel.init({ major: 8 }).agreed?.major, kernel.init().agreed?.major], [7, 7])
  assert.is(kernel.init({ minor: 22 }).errno, c.EPROTO)
})

test('what is not served is ENOSYS, what needs no answer gets none', async ({ kernel }) => {
  const getxattr = 22
  const ioctl = 39
  for (const opcode of [getxattr, ioctl, 4711]) assert.is(await errnoOf(kernel.ask(opcode, ROOT)), c.ENOSYS)
  kernel.tell('INTERRUPT', 0, [record(l.interruptIn, { unique: 77 })])
  kernel.tell('FORGET', ROOT, [Buffer.alloc(8)])
  kernel.tell('BATCH_FORGET', 0, [Buffer.alloc(24)])
  assert.is(await errnoOf(kernel.ask('DESTROY', 0)), 0)
})

test('a cached request is answered within the call', async ({ kernel }) => {
  await kernel.ask('GETATTR', ROOT)
  assert.not.ok(isPromise(kernel.ask('GETATTR', ROOT)))
})

test('CREATE, LOOKUP, GETATTR: the attributes, and nothing of them for the kernel to keep', async ({
  kernel,
  other,
}) => {
  const made = await entry(create(kernel, 'f', { mode: 0o104755 }, { uid: 1000, gid: 2000 }))
  assert.equal([made.entry_valid, made.attr_valid, made.entry_valid_nsec, made.attr_valid_nsec], [0, 0, 0, 0])
  const { ino, mode, uid, gid, nlink, size } = made.attr
  assert.equal([mode, uid, gid, nlink, size], [0o104755, 1000, 2000, 1, 0])
  assert.is(made.nodeid, ino)
  assert.is(l.openOut.decode(made.rest).open_flags & c.FOPEN_DIRECT_IO, c.FOPEN_DIRECT_IO)
  const found = await entry(other.ask('LOOKUP', ROOT, [name('f')]))
  assert.equal([found.nodeid, found.generation], [made.nodeid, made.generation])
  assert.equal(await attributes(other.ask('GETATTR', ino)), found.attr)
  assert.is(await errnoOf(kernel.ask('LOOKUP', ROOT, [name('nothing')])), c.ENOENT)
  await release(kernel, ino)
})

test('CREATE of what another node has made meanwhile: the kernel is to look again, unless it must not be there', async ({
  kernel,
  other,
}) => {
  await entry(create(other, 'raced'))
  assert.is(await errnoOf(create(kernel, 'raced')), c.ESTALE)
  assert.is(await errnoOf(create(kernel, 'raced', { flags: c.O_EXCL })), c.EEXIST)
})

test('WRITE and READ: at offsets, at the end, and with a buffer that is the next request’s at once', async ({
  kernel,
  other,
}) => {
  const { nodeid: ino } = await entry(create(kernel, 'data'))
  assert.is(l.writeOut.decode((await write(kernel, ino, 'hello')).body).size, 5)
  await write(other, ino, ' world', { offset: 1, flags: c.O_APPEND })
  assert.is(await read(kernel, ino), 'hello world')
  // written back from a shared mapping: it has its place, whatever the file was opened with
  await write(kernel, ino, 'J', { offset: 0, flags: c.O_APPEND, write_flags: c.FUSE_WRITE_CACHE })
  const both = ['one;', 'two;'].map((text, index) =>
    write([kernel, other][index]!, ino, text, { flags: c.O_APPEND | c.O_DSYNC }),
  )
  await Promise.all(both)
  assert.match(await read(other, ino, 11), /^(one;two;|two;one;)$/)
  assert.is(await read(other, ino, 0, 5), 'Jello')
  assert.is(await read(kernel, ino, 1000), '')
  assert.is(await read(kernel, ino, 2 ** 52), '')
  assert.is(await errnoOf(write(kernel, ino, 'x', { offset: 2 ** 52 })), c.EFBIG)
  assert.is(await errnoOf(kernel.ask('FSYNC', ino, [Buffer.alloc(16)])), 0)
})

test('set-id bits go when the kernel says so, by WRITE, SETATTR and OPEN, and stay otherwise', async ({ kernel }) => {
  const { nodeid: ino } = await entry(create(kernel, 'setid'))
  const mode = async () => (await attributes(kernel.ask('GETATTR', ino))).mode & 0o7777
  const chmod = () => kernel.ask('SETATTR', ino, [record(l.setattrIn, { valid: c.FATTR_MODE, mode: 0o106777 })])
  const truncate = (more: number) =>
    kernel.ask('SETATTR', ino, [record(l.setattrIn, { valid: c.FATTR_SIZE | more, size: 0 })])
  const open = (flags: number, more: number) => kernel.ask('OPEN', ino, [record(l.openIn, { flags, open_flags: more })])
  await chmod()
  await write(kernel, ino, 'x')
  await truncate(0)
  await open(c.O_TRUNC, 0)
  assert.is(await mode(), 0o6777)
  for (const change of [
    () => write(kernel, ino, 'x', { write_flags: c.FUSE_WRITE_KILL_SUIDGID }),
    () => truncate(c.FATTR_KILL_SUIDGID),
    () => open(c.O_TRUNC, c.FUSE_OPEN_KILL_SUIDGID),
    () => kernel.ask('SETATTR', ino, [record(l.setattrIn, { valid: c.FATTR_UID, uid: 7 })]),
  ]) {
    await chmod()
    await change()
    assert.is(await mode(), 0o777)
  }
})

test('SETATTR: times before 1970 and after 2106, now, owners, sizes', async ({ kernel }) => {
  const { nodeid: ino } = await entry(create(kernel, 'times'))
  const times = record(l.setattrIn, {
    valid: c.FATTR_ATIME | c.FATTR_MTIME,
    mtime: 2 ** 33,
    atimensec: 5,
    mtimensec: 999_999_999,
  })
  times.writeBigInt64LE(-7n, l.setattrIn.offsetOf('atime'))
  const { body } = await kernel.ask('SETATTR', ino, [times])
  assert.is(body.readBigInt64LE(l.attrOut.size + l.attr.offsetOf('atime')), -7n)
  assert.is(body.readBigInt64LE(l.attrOut.size + l.attr.offsetOf('mtime')), 2n ** 33n)
  assert.is(body.readUInt32LE(l.attrOut.size + l.attr.offsetOf('mtimensec')), 999_999_999)
  times.writeBigInt64LE(2n ** 60n, l.setattrIn.offsetOf('atime'))
  assert.is(await errnoOf(kernel.ask('SETATTR', ino, [times])), c.EINVAL)
  const before = Math.floor(Date.now() / 1000)
  const now = c.FATTR_ATIME | c.FATTR_ATIME_NOW | c.FATTR_UID | c.FATTR_GID | c.FATTR_SIZE
  const changed = await attributes(
    kernel.ask('SETATTR', ino, [record(l.setattrIn, { valid: now, uid: 5, gid: 6, size: 2 ** 34 })]),
  )
  assert.ok(changed.atime >= before)
  assert.equal([changed.uid, changed.gid, changed.size], [5, 6, 2 ** 34])
  assert.is(
    await errnoOf(kernel.ask('SETATTR', ino, [record(l.setattrIn, { valid: c.FATTR_SIZE, size: 2 ** 50 })])),
    c.EFBIG,
  )
})

test('directories: made with their group, listed in pieces of any size, with types', async ({ kernel, other }) => {
  const mkdir = (parent: number, text: string, mode: number, who: Who) =>
    entry(kernel.ask('MKDIR', parent, [record(l.mkdirIn, { mode }), name(text)], who))
  const { nodeid: dir } = await mkdir(ROOT, 'dir', 0o755, { uid: 3, gid: 4 })
  await kernel.ask('SETATTR', dir, [record(l.setattrIn, { valid: c.FATTR_MODE, mode: 0o42777 })])
  const inner = await mkdir(dir, 'inner', 0o750, { uid: 5, gid: 6 })
  assert.equal([inner.attr.mode, inner.attr.uid, inner.attr.gid], [0o42750, 5, 4])
  const device = record(l.mknodIn, { mode: 0o020600, rdev: 0x1234_56ab })
  const { attr } = await entry(kernel.ask('MKNOD', dir, [device, name('device')], { uid: 5, gid: 6 }))
  assert.equal([attr.mode, attr.rdev, attr.uid, attr.gid], [0o020600, 0x1234_56ab, 5, 4])
  const link = await entry(kernel.ask('SYMLINK', dir, [name('\xffname'), name('target')], { uid: 5 }))
  assert.is((await other.ask('READLINK', link.nodeid)).body.toString(), 'target')
  assert.is(await errnoOf(kernel.ask('MKNOD', dir, [record(l.mknodIn, { mode: 0o170000 }), name('x')])), c.EINVAL)

  assert.is(await errnoOf(other.ask('OPENDIR', dir)), 0)
  for (const size of [40, 100, 4096]) {
    const seen: [string, number][] = []
    for (let offset = 0; ; ) {
      const { errno, body } = await other.ask('READDIR', dir, [record(l.readIn, { offset, size })])
      assert.is(errno, 0)
      assert.ok(body.length <= size)
      if (body.length === 0) break
      for (let at = 0; at < body.length; ) {
        const { off, namelen, type } = l.dirent.decode(body, at)
        seen.push([body.toString('latin1', at + l.dirent.size, at + l.dirent.size + namelen), type])
        at += Math.ceil((l.dirent.size + namelen) / 8) * 8
        offset = off
      }
    }
    assert.equal(
      seen,
      [
        ['.', 4],
        ['..', 4],
        ['inner', 4],
        ['device', 2],
        ['\xffname', 10],
      ],
      `in pieces of ${size}`,
    )
  }
  assert.is(await errnoOf(other.ask('FSYNCDIR', dir, [Buffer.alloc(16)])), 0)
  assert.is(await errnoOf(other.ask('RELEASEDIR', dir)), 0)
})

test('names: link, unlink, rename with and without replacing, rmdir', async ({ kernel, other }) => {
  const { nodeid: ino } = await entry(create(kernel, 'a'))
  const linked = await entry(other.ask('LINK', ROOT, [record(l.linkIn, { oldnodeid: ino }), name('b')]))
  assert.equal([linked.nodeid, linked.attr.nlink], [ino, 2])
  const move = (from: string, to: string, flags: number) =>
    errnoOf(kernel.ask('RENAME2', ROOT, [record(l.rename2In, { newdir: ROOT, flags }), name(from), name(to)]))
  assert.is(await move('a', 'b', c.RENAME_NOREPLACE), c.EEXIST)
  assert.is(await move('a', 'b', 2), c.EINVAL)
  assert.is(await move('a', 'c', c.RENAME_NOREPLACE), 0)
  const plain = [record(l.renameIn, { newdir: ROOT }), name('c'), name('d')]
  assert.is(await errnoOf(other.ask('RENAME', ROOT, plain)), 0)
  assert.is(await errnoOf(kernel.ask('RMDIR', ROOT, [name('d')])), c.ENOTDIR)
  for (const text of ['b', 'd']) assert.is(await errnoOf(other.ask('UNLINK', ROOT, [name(text)])), 0)
  assert.is((await attributes(kernel.ask('GETATTR', ino))).nlink, 0, 'it is open still')
  await release(kernel, ino)
})

test('what goes between LOOKUP and GETATTR: what it was, without a name', async ({ kernel, other }) => {
  const { attr } = await entry(create(kernel, 'walked', { mode: 0o100640 }, { uid: 7, gid: 8 }))
  await release(kernel, attr.ino)
  const found = await entry(kernel.ask('LOOKUP', ROOT, [name('walked')]))
  await other.ask('UNLINK', ROOT, [name('walked')])
  const { ctime: _, ctimensec: __, ...rest } = await attributes(kernel.ask('GETATTR', found.nodeid))
  const { ctime: ___, ctimensec: ____, ...before } = found.attr
  assert.equal(rest, { ...before, nlink: 0 })
})

test('what is gone: ESTALE of an object, ENOENT of names in it', async ({ kernel }) => {
  const gone = 2 ** 40
  assert.is(await errnoOf(kernel.ask('GETATTR', gone)), c.ESTALE)
  assert.is(await errnoOf(kernel.ask('LOOKUP', gone, [name('x')])), c.ENOENT)
  assert.is(await errnoOf(kernel.ask('READDIR', gone, [record(l.readIn, { size: 4096 })])), c.ENOENT)
})

test('STATX has the time of birth, STATFS the space', async ({ kernel }) => {
  const { body } = await kernel.ask('STATX', ROOT, [record(l.statxIn, { sx_mask: 0xfff })])
  const statx = l.statxOut.decode(body)
  assert.is(statx.mask, c.STATX_BASIC_STATS | c.STATX_BTIME)
  assert.equal([statx.ino, statx.mode & 0o170000], [ROOT, 0o040000])
  assert.ok(statx.btime > 0 && statx.btime <= statx.ctime)
  const space = l.statfsOut.decode((await kernel.ask('STATFS', ROOT)).body)
  assert.equal([space.bsize, space.frsize, space.namelen], [4096, 4096, 255])
  assert.ok(space.bfree > 0 && space.bfree <= space.blocks && space.ffree < space.files)
})

test('bad input: requests that are cut off fail, and change nothing', async ({ kernel }) => {
  for (const [opcode, parts] of [
    ['LOOKUP', [Buffer.from('no end')]],
    ['SETATTR', [Buffer.alloc(10, 0xff)]],
    ['WRITE', [record(l.writeIn, { size: 100 }), Buffer.alloc(99)]],
    ['RENAME', [record(l.renameIn, { newdir: ROOT }), name('only one')]],
    ['READ', []],
  ] as const) {
    assert.is(await errnoOf(kernel.ask(opcode, ROOT, parts)), c.EPROTO, opcode)
  }
})

test('an open whose answer nobody wants is closed again, and the end of the mount closes the rest', async ({
  matrix,
}) => {
  const fs = matrix.nodes[0]!.fs
  const kernel = new FakeKernel(fs)
  const { openFiles } = fs.stats()
  kernel.refuseNext = true
  const { nodeid: ino } = await entry(create(kernel, 'unwanted'))
  assert.is(fs.stats().openFiles, openFiles)
  for (let count = 0; count < 3; count++) assert.is(await errnoOf(kernel.ask('OPEN', ino, [record(l.openIn, {})])), 0)
  assert.is(fs.stats().openFiles, openFiles + 1)
  assert.equal([kernel.session.stats().open, kernel.session.stats().requests], [1, { CREATE: 1, OPEN: 3 }])
  kernel.session.end()
  assert.is(fs.stats().openFiles, openFiles)
})

test('"try again later" stays within the session: nothing is lost, nothing written twice', async () => {
  let left = 3
  const memory = new MemoryFs({
    fault: (verb) =>
      ['write', 'commitFile', 'lookup'].includes(verb) && left-- > 0 ? new FsError('EAGAIN') : undefined,
  })
  const kernel = new FakeKernel(memory.fs)
  const { nodeid: ino } = await entry(create(kernel, 'f'))
  const answer = write(kernel, ino, 'once', { flags: c.O_APPEND })
  assert.is(await errnoOf(answer), 0)
  assert.is(await read(kernel, ino), 'once')
  let commits = 2
  const later = new MemoryFs({
    fault: (verb) => (verb === 'commitFile' && commits-- > 0 ? new FsError('EAGAIN') : undefined),
  })
  const second = new FakeKernel(later.fs)
  const { nodeid: log } = await entry(create(second, 'log'))
  assert.is(await errnoOf(write(second, log, 'line', { flags: c.O_APPEND | c.O_DSYNC })), 0)
  assert.is(await read(second, log), 'line')
  await second.session.idle()
  assert.is(second.session.stats().inFlight, 0)
})

test('the filesystem’s failures as errno; doubt and a node that withdrew are EIO', async () => {
  for (const [code, errno] of [
    ['ENOSPC', c.ENOSPC],
    ['EDOUBT', c.EIO],
    ['EIO', c.EIO],
    ['ENOTSUP', c.EOPNOTSUPP],
    ['EBADCOOKIE', c.EINVAL],
    ['EMLINK', c.EMLINK],
  ] as const) {
    for (const asynchronous of [false, true]) {
      const kernel = new FakeKernel(new MemoryFs({ asynchronous, fault: () => new FsError(code) }).fs)
      assert.is(await errnoOf(kernel.ask('GETATTR', ROOT)), errno, code)
      assert.is(await errnoOf(kernel.ask('MKDIR', ROOT, [record(l.mkdirIn, {}), name('d')])), errno, code)
    }
  }
})

const MAX63 = 2 ** 63
const lock = (kernel: FakeKernel, name: 'GETLK' | 'SETLK' | 'SETLKW', ino: number, given: Partial<LockIn> = {}) =>
  kernel.ask(name, ino, [lockIn({ owner: 7, end: MAX63, type: c.F_WRLCK, pid: 100, ...given })])
type LockIn = { owner: number; start: number; end: number; type: number; pid: number; lk_flags: number }
/** The end of a file, 2^63-1, is no number that the layout's codec takes. */
function lockIn({ end = 0, ...rest }: Partial<LockIn>): Buffer {
  const bytes = record(l.lockIn, { ...rest, end: end === MAX63 ? 0 : end })
  if (end === MAX63) bytes.writeBigUInt64LE(2n ** 63n - 1n, l.offsetsOf(l.lockIn).end)
  return bytes
}
const flock = { lk_flags: c.FUSE_LK_FLOCK, start: 0, end: MAX63 }

test('R129 SETLK and GETLK: one process is in the way of another, at both mounts; of the own ones the pid is known', async ({
  kernel,
  other,
}) => {
  const { nodeid: ino } = await entry(create(kernel, 'locked'))
  assert.is(await errnoOf(lock(kernel, 'SETLK', ino, { start: 10, end: 19 })), 0)
  assert.is(await errnoOf(lock(kernel, 'SETLK', ino, { owner: 8, start: 19 })), c.EAGAIN)
  assert.is(await errnoOf(lock(other, 'SETLK', ino, { start: 19 })), c.EAGAIN)
  assert.is(await errnoOf(lock(other, 'SETLK', ino, { start: 20 })), 0)
  const found = async (at: FakeKernel, given: Partial<LockIn>) => {
    const { body } = await lock(at, 'GETLK', ino, given)
    const { start, type, pid } = l.lockOut.decode(body.fill(0, 8, 16))
    return [start, type, pid]
  }
  assert.equal(await found(kernel, { owner: 8 }), [10, c.F_WRLCK, 100])
  assert.equal(await found(other, { owner: 8 }), [10, c.F_WRLCK, 0])
  assert.equal(await found(kernel, { owner: 7, end: 19 }), [0, c.F_UNLCK, 0])
  assert.is((await lock(kernel, 'GETLK', ino, { owner: 8, start: 30 })).body.readBigUInt64LE(8), 2n ** 63n - 1n)
  // close(2): all of the process go
  assert.is(await errnoOf(kernel.ask('FLUSH', ino, [record(l.flushIn, { lock_owner: 7 })])), 0)
  assert.equal(await found(other, { end: 19 }), [0, c.F_UNLCK, 0])
})

test('SETLKW waits, is granted at last, and ends with EINTR when it is interrupted', async ({ kernel, other }) => {
  const { nodeid: ino } = await entry(create(kernel, 'waited'))
  assert.is(await errnoOf(lock(kernel, 'SETLK', ino)), 0)
  const first = lock(other, 'SETLKW', ino)
  const second = lock(other, 'SETLKW', ino, { owner: 8 })
  await new Promise((resolve) => setTimeout(resolve, 50))
  assert.is(other.unanswered, 2)
  other.interrupt(other.lastUnique - 1)
  assert.is(await errnoOf(first), c.EINTR)
  assert.is(await errnoOf(lock(kernel, 'SETLK', ino, { type: c.F_UNLCK })), 0)
  assert.is(await errnoOf(second), 0)
  assert.is(await errnoOf(lock(kernel, 'SETLK', ino)), c.EAGAIN)
  // the last open file of the mount is closed: nothing is left, although no close(2) was told
  assert.is(await errnoOf(release(kernel, ino)), 0)
  await entry(other.ask('LOOKUP', ROOT, [name('waited')]))
  assert.is(await errnoOf(other.ask('OPEN', ino, [record(l.openIn, {})])), 0)
  assert.is(await errnoOf(release(other, ino)), 0)
  for (let tries = 0; (await errnoOf(lock(kernel, 'SETLK', ino))) === c.EAGAIN; tries++) {
    assert.ok(tries < 100)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
})

test('flock: apart from fcntl, and gone with its open file', async ({ kernel, other }) => {
  const { nodeid: ino } = await entry(create(kernel, 'flocked'))
  assert.is(await errnoOf(kernel.ask('OPEN', ino, [record(l.openIn, {})])), 0)
  assert.is(await errnoOf(lock(kernel, 'SETLK', ino, flock)), 0)
  assert.is(await errnoOf(lock(kernel, 'SETLK', ino, { owner: 9 })), 0, 'fcntl')
  assert.is(await errnoOf(lock(other, 'SETLK', ino, { ...flock, type: c.F_RDLCK })), c.EAGAIN)
  const wait = lock(other, 'SETLKW', ino, { ...flock, type: c.F_RDLCK })
  const gone = record(l.releaseIn, { lock_owner: 7, release_flags: c.FUSE_RELEASE_FLOCK_UNLOCK })
  assert.is(await errnoOf(kernel.ask('RELEASE', ino, [gone])), 0)
  assert.is(await errnoOf(wait), 0)
  // shared to exclusive while another has it shared: what it had is given up before it waits
  assert.is(await errnoOf(lock(kernel, 'SETLK', ino, { ...flock, owner: 10, type: c.F_RDLCK })), 0)
  const raise = lock(kernel, 'SETLKW', ino, { ...flock, owner: 10 })
  const raiseToo = lock(other, 'SETLKW', ino, flock)
  const done = await Promise.race([
    Promise.resolve(raise).then(() => kernel),
    Promise.resolve(raiseToo).then(() => other),
  ])
  const owner = done === kernel ? 10 : 7
  assert.is(await errnoOf(lock(done, 'SETLK', ino, { ...flock, owner, type: c.F_UNLCK })), 0)
  assert.equal([await errnoOf(raise), await errnoOf(raiseToo)], [0, 0])
})

test.run()
