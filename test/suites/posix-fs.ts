/**
 * POSIX semantics, as one suite for anything that is a `MatrixFs`: a matrix of one node, or of several with every call at
 * another node. Codes and cases follow XSH (rename, unlink, mkdir, chown …) and RFC 1813.
 */
import { suite, type Test } from 'uvu'
import * as assert from 'uvu/assert'
import type { FsErrorCode } from '../../src/base/errors.ts'
import { FsError } from '../../src/base/errors.ts'
import type { Ino } from '../../src/base/ids.ts'
import {
  type Caller,
  type CreateAttributes,
  DIR,
  FIFO,
  type Inode,
  LNK,
  type MatrixFs,
  REG,
} from '../../src/metadata/index.ts'

export const superuser: Caller = { uid: 0, gid: 0, gids: [] }
export const alice: Caller = { uid: 1000, gid: 1000, gids: [1000, 2000] }
export const bob: Caller = { uid: 1001, gid: 1001, gids: [1001] }

export type PosixTarget = {
  /** A node to ask next. */
  fs(): MatrixFs
  /** What is wrong with the filesystem as a whole; empty when nothing. */
  check(): Promise<readonly unknown[]>
  close(): Promise<void>
}

type Context = { target: PosixTarget; dir: Ino; readonly names: { next: number } }

/** The code that `action` fails with. */
export async function codeOf(action: () => unknown): Promise<FsErrorCode | 'none'> {
  try {
    await action()
    return 'none'
  } catch (error) {
    if (error instanceof FsError) return error.code
    throw error
  }
}

export async function readAll(fs: MatrixFs, ino: Ino, caller = superuser): Promise<Buffer> {
  const out: Buffer[] = []
  for (let offset = 0; ; ) {
    const { pieces, length, eof } = await fs.read(caller, ino, offset, 1 << 20)
    out.push(Buffer.concat(pieces.map((piece) => Buffer.from(piece))))
    offset += length
    if (eof) return Buffer.concat(out)
  }
}

/** A plain copy of what matters of an inode now. */
export function shot(inode: Inode) {
  const { ino, type, mode, nlink, uid, gid, size, change, ctimeS, ctimeNs, mtimeS, mtimeNs } = inode
  return { ino, type, mode, nlink, uid, gid, size, change, ctime: [ctimeS, ctimeNs], mtime: [mtimeS, mtimeNs] }
}

export function posixSuite(title: string, make: () => Promise<PosixTarget>): Test<Context> {
  const test = suite<Context>(title, { target: undefined as unknown as PosixTarget, dir: 1, names: { next: 1 } })
  const fs = (c: Context) => c.target.fs()
  const file = async (c: Context, name: string, content = '', caller = superuser, mode = 0o644, dir = c.dir) => {
    const { inode } = await fs(c).create(caller, dir, name, { mode }, 'guarded')
    const { ino } = inode
    if (content) await fs(c).write(caller, ino, 0, Buffer.from(content, 'latin1'), true)
    return ino
  }
  const mkdir = async (
    c: Context,
    name: string,
    caller = superuser,
    attributes: CreateAttributes = { mode: 0o755 },
    dir = c.dir,
  ) => (await fs(c).mkdir(caller, dir, name, attributes)).inode.ino
  const lookup = async (c: Context, name: string, dir = c.dir) => (await fs(c).lookup(superuser, dir, name)).inode
  const attributes = async (c: Context, ino: Ino) => shot(await fs(c).getattr(ino))

  test.before(async (c) => {
    c.target = await make()
  })
  test.before.each(async (c) => {
    c.dir = (await c.target.fs().mkdir(superuser, 1, `case${c.names.next++}`, { mode: 0o777 })).inode.ino
  })
  test.after(async (c) => {
    assert.equal(await c.target.check(), [], 'the filesystem is whole after all cases')
    await c.target.close()
  })

  // ── making and finding ─────────────────────────────────────────────────────────────────────────────────────────────

  test('create: a new file has its mode, owner and one link, and is found by name', async (c) => {
    const ino = await file(c, 'f', '', alice, 0o640)
    const inode = shot(await lookup(c, 'f'))
    assert.is(inode.ino, ino)
    assert.is(inode.type, REG)
    assert.is(inode.mode, 0o640)
    assert.is(inode.nlink, 1)
    assert.equal([inode.uid, inode.gid, inode.size], [1000, 1000, 0])
  })

  test('store: a file with its content, where there was none', async (c) => {
    for (const [name, bytes] of [
      ['empty', 0],
      ['short', 5],
      ['block', 4096],
      ['long', 65_536],
    ] as const) {
      const content = Buffer.alloc(bytes, `${name} `)
      const { inode, created, dir } = await fs(c).store(alice, c.dir, name, content, { mode: 0o640 })
      assert.is(created, true)
      assert.is(dir.ino, c.dir)
      const found = shot(await lookup(c, name))
      assert.equal([found.ino, found.type, found.mode, found.nlink], [inode.ino, REG, 0o640, 1])
      assert.equal([found.uid, found.gid, found.size], [1000, 1000, bytes])
      assert.ok((await readAll(fs(c), inode.ino)).equals(content), name)
      // and goes on as any other file
      await fs(c).write(superuser, inode.ino, 'end', Buffer.from('more'), true)
      assert.ok((await readAll(fs(c), inode.ino)).equals(Buffer.concat([content, Buffer.from('more')])), name)
    }
  })

  test('store: in place of a file, with its mode and owner; the old one lives on under its other names', async (c) => {
    const old = await file(c, 'f', 'old content', alice, 0o4751)
    await fs(c).link(superuser, old, c.dir, 'other')
    const { inode, created } = await fs(c).store(superuser, c.dir, 'f', Buffer.from('new'), {
      mode: 0o600,
      mtime: { s: 7, ns: 8 },
    })
    assert.is(created, false)
    const found = shot(await lookup(c, 'f'))
    assert.is(found.ino, inode.ino)
    assert.equal([found.mode, found.uid, found.gid, found.nlink], [0o751, 1000, 1000, 1])
    assert.equal(found.mtime, [7, 8])
    assert.is((await readAll(fs(c), inode.ino)).toString(), 'new')
    assert.is((await lookup(c, 'other')).ino, old)
    assert.is((await attributes(c, old)).nlink, 1)
    assert.is((await readAll(fs(c), old)).toString(), 'old content')
    // bob may write it, and cannot give away what he makes
    await fs(c).setattr(superuser, old, { mode: 0o666 })
    await fs(c).store(bob, c.dir, 'other', Buffer.from("bob's"), { mode: 0o600 })
    const bobs = shot(await lookup(c, 'other'))
    assert.equal([bobs.mode, bobs.uid, bobs.gid], [0o666, 1001, 1001])
    assert.is(await codeOf(() => fs(c).getattr(old)), 'ESTALE')
  })

  test('store: an open file is read until it is closed, whatever has its name', async (c) => {
    const old = await file(c, 'f', 'old')
    const at = fs(c)
    await at.open(old)
    await fs(c).store(superuser, c.dir, 'f', Buffer.from('new'), { mode: 0o600 })
    assert.is((await readAll(at, old)).toString(), 'old')
    at.close(old)
  })

  test('store: refuses what is no file, what may not be written, and what is not expected, and changes nothing', async (c) => {
    const how = { mode: 0o644 }
    const content = Buffer.from('new')
    const ino = await file(c, 'f', 'old', superuser, 0o644)
    await mkdir(c, 'd')
    await fs(c).symlink(superuser, c.dir, 'l', 'f', {})
    assert.is(await codeOf(() => fs(c).store(superuser, c.dir, 'd', content, how)), 'EISDIR')
    assert.is(await codeOf(() => fs(c).store(superuser, c.dir, 'l', content, how)), 'EINVAL')
    assert.is(await codeOf(() => fs(c).store(superuser, ino, 'x', content, how)), 'ENOTDIR')
    assert.is(await codeOf(() => fs(c).store(superuser, c.dir, 'n'.repeat(256), content, how)), 'ENAMETOOLONG')
    assert.is(await codeOf(() => fs(c).store(superuser, c.dir, 'f', content, { ...how, noReplace: true })), 'EEXIST')
    assert.is(await codeOf(() => fs(c).store(alice, c.dir, 'f', content, how)), 'EACCES')
    const closed = await mkdir(c, 'closed', superuser, { mode: 0o755 })
    assert.is(await codeOf(() => fs(c).store(alice, closed, 'f', content, how)), 'EACCES')
    const seen: (Ino | undefined)[] = []
    const expect = (current: Inode | undefined) => {
      seen.push(current?.ino)
      throw new FsError('EAGAIN')
    }
    for (const name of ['f', 'none'])
      assert.is(await codeOf(() => fs(c).store(superuser, c.dir, name, content, { ...how, expect })), 'EAGAIN')
    assert.equal([...new Set(seen)], [ino, undefined])
    assert.is((await lookup(c, 'f')).ino, ino)
    assert.is((await readAll(fs(c), ino)).toString(), 'old')
    assert.is(await codeOf(() => lookup(c, 'none')), 'ENOENT')
  })

  test('create: guarded refuses what exists, unchecked opens it and cuts it to the size asked for', async (c) => {
    const ino = await file(c, 'f', 'content')
    assert.is(await codeOf(() => fs(c).create(superuser, c.dir, 'f', {}, 'guarded')), 'EEXIST')
    const opened = await fs(c).create(superuser, c.dir, 'f', { size: 3 }, 'unchecked')
    assert.is(opened.created, false)
    assert.is(opened.inode.ino, ino)
    assert.is((await readAll(fs(c), ino)).toString(), 'con')
    await mkdir(c, 'd')
    assert.is(await codeOf(() => fs(c).create(superuser, c.dir, 'd', {}, 'unchecked')), 'EISDIR')
  })

  test('create: exclusive succeeds again with the same verifier only', async (c) => {
    const verifier = Buffer.from('8bytes!!')
    const first = await fs(c).create(superuser, c.dir, 'x', { mode: 0o600 }, { verifier })
    const again = await fs(c).create(superuser, c.dir, 'x', { mode: 0o600 }, { verifier })
    assert.is(again.inode.ino, first.inode.ino)
    const other = Buffer.from('8bytes!?')
    assert.is(await codeOf(() => fs(c).create(superuser, c.dir, 'x', {}, { verifier: other })), 'EEXIST')
  })

  test('names: 255 bytes of anything but NUL and slash; "." and ".." exist', async (c) => {
    const longest = '\xff'.repeat(255)
    const ino = await file(c, longest)
    assert.is((await lookup(c, longest)).ino, ino)
    for (const [name, code] of [
      ['x'.repeat(256), 'ENAMETOOLONG'],
      ['', 'EINVAL'],
      ['a/b', 'EINVAL'],
      ['a\0b', 'EINVAL'],
      ['.', 'EEXIST'],
      ['..', 'EEXIST'],
    ] as const) {
      assert.is(await codeOf(() => fs(c).create(superuser, c.dir, name, {}, 'guarded')), code, `create ${name}`)
      assert.is(await codeOf(() => fs(c).mkdir(superuser, c.dir, name, {})), code, `mkdir ${name}`)
      assert.is(await codeOf(() => fs(c).symlink(superuser, c.dir, name, 't', {})), code, `symlink ${name}`)
      assert.is(await codeOf(() => fs(c).link(superuser, ino, c.dir, name)), code, `link ${name}`)
    }
    assert.is(await codeOf(() => fs(c).remove(superuser, c.dir, '.')), 'EINVAL')
    assert.is(await codeOf(() => fs(c).rmdir(superuser, c.dir, '.')), 'EINVAL')
    assert.is(await codeOf(() => fs(c).rmdir(superuser, c.dir, '..')), 'ENOTEMPTY')
    assert.is(await codeOf(() => fs(c).rename(superuser, c.dir, '.', c.dir, 'y')), 'EINVAL')
    assert.is(await codeOf(() => fs(c).lookup(superuser, c.dir, 'x'.repeat(256))), 'ENAMETOOLONG')
  })

  test('lookup: ".", "..", what is not there, and in what is no directory', async (c) => {
    const d = await mkdir(c, 'd')
    assert.is((await lookup(c, '.', d)).ino, d)
    assert.is((await lookup(c, '..', d)).ino, c.dir)
    assert.is((await lookup(c, '..', 1)).ino, 1)
    assert.is(await codeOf(() => lookup(c, 'none')), 'ENOENT')
    const f = await file(c, 'f')
    assert.is(await codeOf(() => lookup(c, 'x', f)), 'ENOTDIR')
    assert.is(await codeOf(() => fs(c).getattr(99_999_999)), 'ESTALE')
  })

  test('mkdir: link counts of a directory are two and one per subdirectory', async (c) => {
    const d = await mkdir(c, 'd')
    await mkdir(c, 'e', superuser, { mode: 0o755 }, d)
    await mkdir(c, 'f', superuser, { mode: 0o755 }, d)
    assert.is((await attributes(c, d)).nlink, 4)
    await fs(c).rmdir(superuser, d, 'e')
    assert.is((await attributes(c, d)).nlink, 3)
    assert.is(await codeOf(() => fs(c).mkdir(superuser, c.dir, 'd', {})), 'EEXIST')
  })

  test('symlink and readlink: any bytes come back', async (c) => {
    const target = '../somewh\xe9re/else'
    const { inode } = await fs(c).symlink(superuser, c.dir, 's', target, {})
    assert.is(inode.type, LNK)
    assert.is(inode.size, target.length)
    assert.is((await fs(c).readlink(superuser, inode.ino)).target, target)
    const f = await file(c, 'f')
    assert.is(await codeOf(() => fs(c).readlink(superuser, f)), 'EINVAL')
    assert.is(await codeOf(() => fs(c).symlink(superuser, c.dir, 't', 'x'.repeat(4096), {})), 'ENAMETOOLONG')
    assert.is(await codeOf(() => fs(c).read(superuser, inode.ino, 0, 10)), 'EINVAL')
  })

  test('mknod: fifos for everybody, devices with their numbers for the superuser only', async (c) => {
    const { inode } = await fs(c).mknod(alice, c.dir, 'p', FIFO, { mode: 0o600 }, 0, 0)
    assert.is(inode.type, FIFO)
    assert.is(await codeOf(() => fs(c).mknod(alice, c.dir, 'b', 3, {}, 8, 1)), 'EPERM')
    const device = await fs(c).mknod(superuser, c.dir, 'b', 3, { mode: 0o600 }, 8, 1)
    assert.equal([device.inode.rdevMajor, device.inode.rdevMinor], [8, 1])
    assert.is(await codeOf(() => fs(c).mknod(superuser, c.dir, 'd', DIR, {}, 0, 0)), 'EINVAL')
    assert.is(await codeOf(() => fs(c).write(superuser, inode.ino, 0, Buffer.from('x'), false)), 'EINVAL')
  })

  // ── links and removal ──────────────────────────────────────────────────────────────────────────────────────────────

  test('link: two names of one inode; the second keeps it alive', async (c) => {
    const ino = await file(c, 'a', 'text')
    const before = await attributes(c, ino)
    await fs(c).link(superuser, ino, c.dir, 'b')
    const linked = await attributes(c, ino)
    assert.is(linked.nlink, 2)
    assert.ok(linked.change > before.change, 'ctime and change say so')
    await fs(c).remove(superuser, c.dir, 'a')
    assert.is((await readAll(fs(c), (await lookup(c, 'b')).ino)).toString(), 'text')
    await fs(c).remove(superuser, c.dir, 'b')
    assert.is(await codeOf(() => fs(c).getattr(ino)), 'ESTALE')
    const d = await mkdir(c, 'd')
    assert.is(await codeOf(() => fs(c).link(superuser, d, c.dir, 'd2')), 'EPERM')
  })

  test('remove and rmdir: each refuses the other kind, and what is not empty', async (c) => {
    const d = await mkdir(c, 'd')
    await file(c, 'f', '', superuser, 0o644, d)
    assert.is(await codeOf(() => fs(c).remove(superuser, c.dir, 'd')), 'EISDIR')
    assert.is(await codeOf(() => fs(c).rmdir(superuser, d, 'f')), 'ENOTDIR')
    assert.is(await codeOf(() => fs(c).rmdir(superuser, c.dir, 'd')), 'ENOTEMPTY')
    await fs(c).remove(superuser, d, 'f')
    await fs(c).rmdir(superuser, c.dir, 'd')
    assert.is(await codeOf(() => fs(c).getattr(d)), 'ESTALE')
    assert.is(await codeOf(() => fs(c).create(superuser, d, 'x', {}, 'guarded')), 'ESTALE')
    assert.is(await codeOf(() => fs(c).remove(superuser, c.dir, 'd')), 'ENOENT')
  })

  test('open: an unlinked file lives on the whole matrix until its last close', async (c) => {
    const holder = fs(c)
    const ino = await file(c, 'f', 'still here')
    await holder.open(ino)
    await fs(c).remove(superuser, c.dir, 'f')
    assert.is((await attributes(c, ino)).nlink, 0)
    assert.is((await readAll(fs(c), ino)).toString(), 'still here')
    await fs(c).write(superuser, ino, 0, Buffer.from('STILL'), true)
    assert.is((await readAll(fs(c), ino)).toString(), 'STILL here')
    assert.is(await codeOf(() => fs(c).link(superuser, ino, c.dir, 'back')), 'ENOENT')
    holder.close(ino)
    for (let tries = 0; (await codeOf(() => fs(c).getattr(ino))) !== 'ESTALE'; tries++) {
      assert.ok(tries < 100, 'the reaper takes it')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  })

  // ── rename ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  test('rename: over nothing, within and across directories', async (c) => {
    const d = await mkdir(c, 'd')
    const ino = await file(c, 'a')
    await fs(c).rename(superuser, c.dir, 'a', c.dir, 'b')
    await fs(c).rename(superuser, c.dir, 'b', d, 'c')
    assert.is((await lookup(c, 'c', d)).ino, ino)
    assert.is(await codeOf(() => lookup(c, 'b')), 'ENOENT')
    assert.is(await codeOf(() => fs(c).rename(superuser, c.dir, 'none', d, 'x')), 'ENOENT')
  })

  test('rename: a file replaces a file, which is gone', async (c) => {
    const a = await file(c, 'a', 'new')
    const b = await file(c, 'b', 'old')
    await fs(c).rename(superuser, c.dir, 'a', c.dir, 'b')
    assert.is((await lookup(c, 'b')).ino, a)
    assert.is(await codeOf(() => fs(c).getattr(b)), 'ESTALE')
  })

  test('rename: kinds must match, a replaced directory must be empty', async (c) => {
    const d = await mkdir(c, 'd')
    const e = await mkdir(c, 'e')
    await file(c, 'f')
    await file(c, 'inside', '', superuser, 0o644, e)
    assert.is(await codeOf(() => fs(c).rename(superuser, c.dir, 'f', c.dir, 'd')), 'EISDIR')
    assert.is(await codeOf(() => fs(c).rename(superuser, c.dir, 'd', c.dir, 'f')), 'ENOTDIR')
    assert.is(await codeOf(() => fs(c).rename(superuser, c.dir, 'd', c.dir, 'e')), 'ENOTEMPTY')
    await fs(c).remove(superuser, e, 'inside')
    const parentLinks = (await attributes(c, c.dir)).nlink
    await fs(c).rename(superuser, c.dir, 'd', c.dir, 'e')
    assert.is((await lookup(c, 'e')).ino, d)
    assert.is((await attributes(c, c.dir)).nlink, parentLinks - 1)
  })

  test('rename: with noReplace it takes no name that is there, not even its own', async (c) => {
    const a = await file(c, 'a')
    await file(c, 'b')
    await fs(c).link(superuser, a, c.dir, 'twin')
    for (const taken of ['b', 'twin', 'a']) {
      assert.is(await codeOf(() => fs(c).rename(superuser, c.dir, 'a', c.dir, taken, { noReplace: true })), 'EEXIST')
    }
    await fs(c).rename(superuser, c.dir, 'a', c.dir, 'c', { noReplace: true })
    assert.is((await lookup(c, 'c')).ino, a)
  })

  test('rename: two names of one inode stay as they are', async (c) => {
    const ino = await file(c, 'a')
    await fs(c).link(superuser, ino, c.dir, 'b')
    await fs(c).rename(superuser, c.dir, 'a', c.dir, 'b')
    assert.is((await lookup(c, 'a')).ino, ino)
    assert.is((await lookup(c, 'b')).ino, ino)
    await fs(c).rename(superuser, c.dir, 'a', c.dir, 'a')
    assert.is((await attributes(c, ino)).nlink, 2)
  })

  test('rename: a directory that moves takes its ".." along and never goes below itself', async (c) => {
    const a = await mkdir(c, 'a')
    const b = await mkdir(c, 'b')
    const inner = await mkdir(c, 'inner', superuser, { mode: 0o755 }, a)
    const deep = await mkdir(c, 'deep', superuser, { mode: 0o755 }, inner)
    assert.is(await codeOf(() => fs(c).rename(superuser, c.dir, 'a', deep, 'x')), 'EINVAL')
    assert.is(await codeOf(() => fs(c).rename(superuser, c.dir, 'a', a, 'x')), 'EINVAL')
    assert.is(await codeOf(() => fs(c).rename(superuser, inner, 'deep', c.dir, 'a')), 'ENOTEMPTY')
    await fs(c).rename(superuser, a, 'inner', b, 'inner')
    assert.is((await lookup(c, '..', inner)).ino, b)
    assert.equal([(await attributes(c, a)).nlink, (await attributes(c, b)).nlink], [2, 3])
  })

  // ── content ────────────────────────────────────────────────────────────────────────────────────────────────────────

  test('read and write: at any offset, across blocks and chunks, holes are zeroes', async (c) => {
    const ino = await file(c, 'f')
    const model = Buffer.alloc(400_000)
    let size = 0
    const write = async (offset: number, length: number, fill: string, stable: boolean) => {
      const data = Buffer.alloc(length, fill)
      await fs(c).write(superuser, ino, offset, data, stable)
      data.copy(model, offset)
      size = Math.max(size, offset + length)
      assert.ok((await readAll(fs(c), ino)).equals(model.subarray(0, size)), `after ${length} at ${offset}`)
    }
    await write(0, 10, 'a', true)
    await write(5, 4096, 'b', false)
    await write(65_530, 20, 'c', true)
    await write(200_000, 70_000, 'd', false)
    await write(131_072, 65_536, 'e', true)
    await write(300_001, 1, 'f', true)
    const { length, eof } = await fs(c).read(superuser, ino, size, 10)
    assert.equal([length, eof], [0, true])
  })

  test('write: appended at whatever nodes at once, nothing is lost or torn', async (c) => {
    const ino = await file(c, 'log', 'begin\n')
    const lines = Array.from({ length: 60 }, (_, index) => `${index}:${'x'.repeat(index * 37)}\n`)
    await Promise.all(lines.map((line) => fs(c).write(superuser, ino, 'end', Buffer.from(line), false)))
    const content = (await readAll(fs(c), ino)).toString()
    assert.ok(content.startsWith('begin\n'))
    assert.equal(content.split('\n').slice(1, -1).sort(), lines.map((line) => line.slice(0, -1)).sort())
  })

  test('truncate: down, up, and what was cut away is zero for ever', async (c) => {
    const ino = await file(c, 'f', 'x'.repeat(10_000))
    await fs(c).setattr(superuser, ino, { size: 5000 })
    await fs(c).setattr(superuser, ino, { size: 20_000 })
    const content = await readAll(fs(c), ino)
    assert.is(content.length, 20_000)
    assert.ok(content.subarray(0, 5000).every((byte) => byte === 120))
    assert.ok(content.subarray(5000).every((byte) => byte === 0))
    await fs(c).write(superuser, ino, 19_999, Buffer.from('y'), false)
    await fs(c).setattr(superuser, ino, { size: 0 })
    await fs(c).write(superuser, ino, 9000, Buffer.from('z'), true)
    assert.ok((await readAll(fs(c), ino)).subarray(0, 9000).every((byte) => byte === 0))
  })

  test('truncate: bytes beyond an odd end do not come back when a write leaps over them', async (c) => {
    const ino = await file(c, 'f', 'x'.repeat(8192))
    await fs(c).commitFile(ino)
    await fs(c).setattr(superuser, ino, { size: 100 })
    await fs(c).write(superuser, ino, 50_000, Buffer.from('end'), true)
    const content = await readAll(fs(c), ino)
    assert.ok(content.subarray(100, 50_000).every((byte) => byte === 0))
  })

  test('sizes: sparse to 16 TiB, not beyond', async (c) => {
    const ino = await file(c, 'f')
    const end = 16 * 2 ** 40
    await fs(c).write(superuser, ino, end - 1, Buffer.from('!'), true)
    assert.is((await attributes(c, ino)).size, end)
    assert.is((await fs(c).getattr(ino)).allocated, 4096)
    assert.is(await codeOf(() => fs(c).write(superuser, ino, end, Buffer.from('!'), false)), 'EFBIG')
    assert.is(await codeOf(() => fs(c).setattr(superuser, ino, { size: end + 1 })), 'EFBIG')
    await fs(c).setattr(superuser, ino, { size: 0 })
    assert.is((await fs(c).getattr(ino)).allocated, 0)
    const d = await mkdir(c, 'd')
    assert.is(await codeOf(() => fs(c).setattr(superuser, d, { size: 0 })), 'EISDIR')
    assert.is(await codeOf(() => fs(c).read(superuser, d, 0, 1)), 'EISDIR')
    assert.is(await codeOf(() => fs(c).write(superuser, d, 0, Buffer.from('x'), false)), 'EISDIR')
  })

  // ── times ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  test('times: every change shows in ctime and change; writing and naming in mtime', async (c) => {
    const ino = await file(c, 'f')
    const shots = [await attributes(c, ino)]
    await fs(c).write(superuser, ino, 0, Buffer.from('x'), false)
    shots.push(await attributes(c, ino))
    await fs(c).setattr(superuser, ino, { mode: 0o600 })
    shots.push(await attributes(c, ino))
    await fs(c).setattr(superuser, ino, { mtime: { s: 1234, ns: 5678 }, atime: { s: 1, ns: 2 } })
    shots.push(await attributes(c, ino))
    for (let i = 1; i < shots.length; i++) {
      const [a, b] = [shots[i - 1], shots[i]] as const
      assert.ok(b!.change > a!.change)
      const [seconds, nanoseconds] = [b!.ctime[0]! - a!.ctime[0]!, b!.ctime[1]! - a!.ctime[1]!]
      assert.ok(seconds > 0 || (seconds === 0 && nanoseconds > 0), 'also within one tick of the clock')
    }
    assert.equal(shots[1]!.mtime, shots[2]!.mtime, 'chmod leaves mtime')
    assert.equal(shots[3]!.mtime, [1234, 5678])
    const dirBefore = await attributes(c, c.dir)
    await file(c, 'g')
    const dirAfter = await attributes(c, c.dir)
    assert.ok(dirAfter.change > dirBefore.change)
    assert.equal(dirAfter.mtime, dirAfter.ctime)
  })

  test('setattr: a guard that is not the ctime changes nothing', async (c) => {
    const ino = await file(c, 'f')
    const { ctime } = await attributes(c, ino)
    const guard = { s: ctime[0]!, ns: ctime[1]! }
    assert.is(await codeOf(() => fs(c).setattr(superuser, ino, { mode: 0 }, { s: 1, ns: 1 })), 'EAGAIN')
    assert.is((await attributes(c, ino)).mode, 0o644)
    await fs(c).setattr(superuser, ino, { mode: 0o600 }, guard)
    assert.is(await codeOf(() => fs(c).setattr(superuser, ino, { mode: 0 }, guard)), 'EAGAIN', 'it holds once')
    assert.is((await attributes(c, ino)).mode, 0o600)
  })

  // ── permission ─────────────────────────────────────────────────────────────────────────────────────────────────────

  test('permission: exactly one class of bits counts', async (c) => {
    const ino = await file(c, 'f', 'x', alice, 0o070)
    assert.is((await fs(c).access(alice, ino, 7)).granted, 0, 'the owner has the owner bits only')
    assert.is((await fs(c).access({ uid: 5, gid: 1000, gids: [] }, ino, 7)).granted, 7)
    assert.is((await fs(c).access(bob, ino, 7)).granted, 0)
    assert.is((await fs(c).access(superuser, ino, 7)).granted, 7)
    assert.is(await codeOf(() => fs(c).read(bob, ino, 0, 1)), 'EACCES')
    assert.is(await codeOf(() => fs(c).write(bob, ino, 0, Buffer.from('x'), false)), 'EACCES')
    assert.is(
      await codeOf(() => fs(c).read(alice, ino, 0, 1)),
      'none',
      'the owner reads whatever the mode (RFC 1813 4.4)',
    )
  })

  test('permission: names need write and search on their directory', async (c) => {
    const d = await mkdir(c, 'd', alice, { mode: 0o755 })
    await file(c, 'f', '', alice, 0o644, d)
    assert.is(await codeOf(() => fs(c).create(bob, d, 'x', {}, 'guarded')), 'EACCES')
    assert.is(await codeOf(() => fs(c).remove(bob, d, 'f')), 'EACCES')
    assert.is(await codeOf(() => fs(c).rename(bob, d, 'f', c.dir, 'f')), 'EACCES')
    await fs(c).setattr(alice, d, { mode: 0o644 })
    assert.is(await codeOf(() => fs(c).lookup(bob, d, 'f')), 'EACCES')
    assert.is(await codeOf(() => fs(c).readdir(bob, d, 0, 10)), 'none')
    await fs(c).setattr(alice, d, { mode: 0o711 })
    assert.is(await codeOf(() => fs(c).lookup(bob, d, 'f')), 'none')
    assert.is(await codeOf(() => fs(c).readdir(bob, d, 0, 10)), 'EACCES')
  })

  test('permission: in a sticky directory only owners take names away', async (c) => {
    const d = await mkdir(c, 'd', superuser, { mode: 0o1777 })
    await file(c, 'f', '', alice, 0o666, d)
    assert.is(await codeOf(() => fs(c).remove(bob, d, 'f')), 'EPERM')
    assert.is(await codeOf(() => fs(c).rename(bob, d, 'f', d, 'g')), 'EPERM')
    await file(c, 'mine', '', bob, 0o666, d)
    assert.is(await codeOf(() => fs(c).rename(bob, d, 'mine', d, 'f')), 'EPERM')
    await fs(c).remove(alice, d, 'f')
  })

  test('permission: a set-group-id directory hands its group down', async (c) => {
    const d = await mkdir(c, 'd', superuser, { mode: 0o2777, gid: 2000 })
    const f = await file(c, 'f', '', bob, 0o644, d)
    const sub = await mkdir(c, 'sub', bob, { mode: 0o755 }, d)
    assert.is((await attributes(c, f)).gid, 2000)
    const made = await attributes(c, sub)
    assert.equal([made.gid, made.mode], [2000, 0o2755])
  })

  test('permission: chmod, chown and times belong to the owner, owners to the superuser', async (c) => {
    const ino = await file(c, 'f', 'x', alice, 0o666)
    const fails = async (caller: Caller, changes: CreateAttributes, code: string) =>
      assert.is(await codeOf(() => fs(c).setattr(caller, ino, changes)), code, JSON.stringify(changes))
    await fails(bob, { mode: 0o777 }, 'EPERM')
    await fails(bob, { atime: { s: 1, ns: 0 } }, 'EPERM')
    await fails(bob, { mtime: 'now' }, 'none')
    await fails(alice, { uid: 1001 }, 'EPERM')
    await fails(alice, { gid: 2000 }, 'none')
    await fails(alice, { gid: 3000 }, 'EPERM')
    await fails(bob, { gid: 1001 }, 'EPERM')
    await fails(superuser, { uid: 1001, gid: 1001 }, 'none')
  })

  test('permission: set-id bits go with a write or a new owner; a stranger to the group cannot set set-group-id', async (c) => {
    const ino = await file(c, 'f', 'x', alice, 0o666)
    await fs(c).setattr(alice, ino, { mode: 0o6777 })
    assert.is((await attributes(c, ino)).mode, 0o6777)
    await fs(c).write(bob, ino, 0, Buffer.from('y'), true)
    assert.is((await attributes(c, ino)).mode, 0o777)
    await fs(c).setattr(alice, ino, { mode: 0o6777 })
    await fs(c).setattr(superuser, ino, { gid: 3000 })
    assert.is((await attributes(c, ino)).mode, 0o777)
    await fs(c).setattr(alice, ino, { mode: 0o2777 })
    assert.is((await attributes(c, ino)).mode, 0o777)
    await fs(c).setattr(superuser, ino, { mode: 0o6777 })
    await fs(c).setattr(superuser, ino, { size: 0 })
    assert.is((await attributes(c, ino)).mode, 0o6777, 'the superuser may keep them')
    await fs(c).setattr(superuser, ino, { size: 1, dropSetId: true })
    assert.is((await attributes(c, ino)).mode, 0o777, 'unless he acts for somebody who may not')
  })

  // ── listing ────────────────────────────────────────────────────────────────────────────────────────────────────────

  test('readdir: every entry once, in steps of any size, while names come and go', async (c) => {
    for (let i = 0; i < 30; i++) await file(c, `f${i}`)
    const seen: string[] = []
    let cookie = 0
    for (let step = 1; ; step++) {
      const { entries, eof } = await fs(c).readdir(superuser, c.dir, cookie, step)
      for (const entry of entries) {
        assert.ok(entry.cookie > cookie, 'cookies grow')
        cookie = entry.cookie
        seen.push(entry.name)
      }
      if (eof) break
      if (step === 2) {
        await fs(c).remove(superuser, c.dir, 'f0')
        await fs(c).remove(superuser, c.dir, 'f29')
        await file(c, 'late')
      }
    }
    const expected = ['.', '..', ...Array.from({ length: 29 }, (_, i) => `f${i}`), 'late']
    assert.equal(seen, expected)
    assert.is(await codeOf(() => fs(c).readdir(superuser, c.dir, 1_000_000, 10)), 'EBADCOOKIE')
  })

  test('readdirplus: attributes are those of now', async (c) => {
    for (let i = 0; i < 10; i++) await fs(c).write(superuser, await file(c, `f${i}`), 0, Buffer.alloc(i), false)
    const { entries, eof } = await fs(c).readdirplus(superuser, c.dir, 0, 100)
    assert.ok(eof)
    for (const { name, inode } of entries.slice(2)) assert.is(inode?.size, Number(name.slice(1)))
    assert.is(entries[1]?.inode?.ino, 1)
  })

  return test
}
