/**
 * Objects and their names: every call goes to a node drawn at random, so each case also says that the nodes agree. Codes are stable:
 * ATT attributes, ACC access, LKP lookup, CRT create, MKD directories, LNK links, NOD nodes, REM remove, RNM rename.
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as c from '../../../src/gateway-nfs/v3/constants.ts'
import type { Attributes } from '../../../src/gateway-nfs/v3/tables.ts'
import { unset } from '../../helpers/nfs-client.ts'
import { makeNfsMatrix } from '../../helpers/nfs-matrix.ts'

const world = await makeNfsMatrix({ nodes: 3 })
const { any, root } = world

/** A directory of its own for each case. */
async function own(code: string, mode = 0o777): Promise<Buffer> {
  return any().mkdir(root, code, mode)
}
const attributesOf = async (object: Buffer): Promise<Attributes> => (await any().ok('GETATTR', { object })).attributes
const nanoseconds = ({ s, ns }: { s: number; ns: number }) => s * 1e9 + ns
const set = (object: Buffer, attributes: object, guardCtime?: { s: number; ns: number }) =>
  any().call('SETATTR', { object, attributes: { ...unset, ...attributes }, guardCtime })

test('ATT1 attributes of a new file', async () => {
  const dir = await own('ATT1')
  const user = await world.as({ uid: 11, gid: 12 })
  const file = await user.create(dir, 'f', 0o640)
  const got = await attributesOf(file)
  assert.equal([got.type, got.mode, got.nlink, got.uid, got.gid, got.size, got.used], [1, 0o640, 1, 11, 12, 0, 0])
  assert.is(got.fsid, 0x12345678)
  assert.equal(got.mtime, got.ctime)
})

test('ATT2 SETATTR changes what it is told and nothing else, and ctime', async () => {
  const file = await any().create(await own('ATT2'), 'f')
  const before = await attributesOf(file)
  const result = await set(file, { mode: 0o4711, uid: 5, gid: 6, mtime: { kind: 2, value: { s: 1234, ns: 567 } } })
  assert.is(result.status, 0)
  const after = await attributesOf(file)
  assert.equal([after.mode, after.uid, after.gid], [0o4711, 5, 6])
  assert.equal(after.mtime, { s: 1234, ns: 567 })
  assert.equal(after.atime, before.atime)
  assert.ok(nanoseconds(after.ctime) > nanoseconds(before.ctime))
  assert.equal(result.status === 0 && 'ok' in result && result.ok?.object.before?.ctime, before.ctime)
  assert.equal('ok' in result && result.ok?.object.after, after)
})

test('ATT3 a guard with another ctime is NOT_SYNC, and nothing changes', async () => {
  const file = await any().create(await own('ATT3'), 'f', 0o600)
  const { ctime } = await attributesOf(file)
  const refused = await set(file, { mode: 0o777 }, { s: ctime.s, ns: ctime.ns ^ 1 })
  assert.is(refused.status, c.NFS3ERR_NOT_SYNC)
  assert.is('failed' in refused && refused.failed.object.after?.mode, 0o600)
  assert.is((await set(file, { mode: 0o777 }, ctime)).status, 0)
})

test('ATT4 who may set what', async () => {
  const dir = await own('ATT4')
  const [owner, other] = [await world.as({ uid: 21, gid: 22, gids: [23] }), await world.as({ uid: 31, gid: 32 })]
  const file = await owner.create(dir, 'f', 0o666)
  const as = async (user: typeof owner, attributes: object) =>
    (await user.call('SETATTR', { object: file, attributes: { ...unset, ...attributes }, guardCtime: undefined }))
      .status
  assert.is(await as(other, { mode: 0o777 }), c.NFS3ERR_PERM)
  assert.is(await as(other, { uid: 31 }), c.NFS3ERR_PERM)
  assert.is(await as(owner, { uid: 31 }), c.NFS3ERR_PERM, 'giving away is for root')
  assert.is(await as(owner, { gid: 23 }), 0, 'to a group of the owner')
  assert.is(await as(owner, { gid: 32 }), c.NFS3ERR_PERM)
  assert.is(await as(other, { mtime: { kind: 1, value: undefined } }), 0, 'who may write may touch')
  assert.is(await as(other, { mtime: { kind: 2, value: { s: 1, ns: 1 } } }), c.NFS3ERR_PERM)
  assert.is(await as(other, { size: 9 }), 0)
})

test('ATT5 sizes: truncating and extending; beyond all limits is FBIG', async () => {
  const file = await any().create(await own('ATT5'), 'f')
  await any().write(file, 0, Buffer.alloc(10_000, 'x'))
  assert.is((await set(file, { size: 3 })).status, 0)
  assert.is((await set(file, { size: 6 })).status, 0)
  assert.equal(await any().read(file), Buffer.from('xxx\0\0\0'))
  assert.is((await set(file, { size: 2 ** 40 })).status, 0)
  assert.is((await attributesOf(file)).size, 2 ** 40)
  assert.is((await set(file, { size: 2 ** 45 })).status, c.NFS3ERR_FBIG)
  assert.is((await attributesOf(file)).size, 2 ** 40)
})

test('ATT6 a time with more nanoseconds than a second has is INVAL, wherever times are set', async () => {
  const file = await any().create(root, 'ATT6')
  for (const ns of [1_000_000_000, 0xffffffff]) {
    const time = { kind: 2, value: { s: 1, ns } } as const
    for (const attributes of [
      { ...unset, atime: time },
      { ...unset, mtime: time },
      { ...unset, size: 0, mtime: time },
    ]) {
      assert.is(await any().status('SETATTR', { object: file, attributes, guardCtime: undefined }), c.NFS3ERR_INVAL)
      const made = { dir: root, name: 'ATT6-new', attributes }
      assert.is(await any().status('MKDIR', made), c.NFS3ERR_INVAL)
      assert.is(await any().status('SYMLINK', { ...made, target: 'x' }), c.NFS3ERR_INVAL)
      const how = { kind: 1, value: attributes } as const
      assert.is(await any().status('CREATE', { dir: root, name: 'ATT6-new', how }), c.NFS3ERR_INVAL)
    }
  }
  const last = { kind: 2, value: { s: 1, ns: 999_999_999 } } as const
  await any().ok('SETATTR', { object: file, attributes: { ...unset, mtime: last }, guardCtime: undefined })
})

test('ACC1 access bits of files and directories, by owner, group and others', async () => {
  const dir = await own('ACC1')
  const owner = await world.as({ uid: 41, gid: 42 })
  const member = await world.as({ uid: 51, gid: 1, gids: [42] })
  const other = await world.as({ uid: 61, gid: 62 })
  const file = await owner.create(dir, 'f', 0o754)
  const sub = await owner.mkdir(dir, 'd', 0o751)
  const bits = async (user: typeof owner, object: Buffer) => (await user.ok('ACCESS', { object, access: 0x3f })).access
  const {
    ACCESS3_READ: R,
    ACCESS3_LOOKUP: L,
    ACCESS3_MODIFY: M,
    ACCESS3_EXTEND: E,
    ACCESS3_DELETE: D,
    ACCESS3_EXECUTE: X,
  } = c
  assert.equal([await bits(owner, file), await bits(member, file), await bits(other, file)], [R | M | E | X, R | X, R])
  assert.equal([await bits(owner, sub), await bits(member, sub), await bits(other, sub)], [R | L | M | E | D, R | L, L])
  assert.is((await other.ok('ACCESS', { object: sub, access: R })).access, 0, 'only what was asked')
  assert.is(await bits(any(), file), R | M | E | X, 'root')
})

test('LKP1 names found and not found, "." and "..", and the attributes that come along', async () => {
  const dir = await own('LKP1')
  const file = await any().create(dir, 'f')
  const found = await any().ok('LOOKUP', { dir, name: 'f' })
  assert.equal(found.object, file)
  assert.equal(found.attributes, await attributesOf(file))
  assert.equal(found.dir, await attributesOf(dir))
  assert.equal(await any().lookup(dir, '.'), dir)
  assert.equal(await any().lookup(dir, '..'), root)
  assert.equal(await any().lookup(root, '..'), root)
  const absent = await any().call('LOOKUP', { dir, name: 'absent' })
  assert.is(absent.status, c.NFS3ERR_NOENT)
  assert.equal('failed' in absent && absent.failed.dir, await attributesOf(dir))
  assert.is(await any().status('LOOKUP', { dir: file, name: 'x' }), c.NFS3ERR_NOTDIR)
  assert.is(await any().status('LOOKUP', { dir, name: 'n'.repeat(256) }), c.NFS3ERR_NAMETOOLONG)
})

test('LKP2 a directory without search permission', async () => {
  const dir = await any().mkdir(root, 'LKP2', 0o700)
  await any().create(dir, 'f')
  const other = await world.as({ uid: 71, gid: 72 })
  assert.is(await other.status('LOOKUP', { dir, name: 'f' }), c.NFS3ERR_ACCES)
})

test('CRT1 unchecked, guarded and exclusive', async () => {
  const dir = await own('CRT1')
  const create = (name: string, kind: 0 | 1, attributes = {}) =>
    any().call('CREATE', { dir, name, how: { kind, value: { ...unset, ...attributes } } })
  const exclusive = (name: string, verifier: string) =>
    any().call('CREATE', { dir, name, how: { kind: 2, value: Buffer.from(verifier) } })
  assert.is((await create('g', 1)).status, 0)
  const again = await create('g', 1)
  assert.is(again.status, c.NFS3ERR_EXIST)
  assert.equal('failed' in again && again.failed.dir.after, await attributesOf(dir))
  const file = await any().lookup(dir, 'g')
  await any().write(file, 0, Buffer.from('content'))
  assert.is((await create('g', 0)).status, 0)
  assert.equal(await any().read(file), Buffer.from('content'), 'unchecked keeps the file')
  assert.is((await create('g', 0, { size: 0 })).status, 0)
  assert.equal(await any().read(file), Buffer.alloc(0), 'unless told to empty it')
  const first = await exclusive('x', 'verify-1')
  assert.is(first.status, 0)
  const repeat = await exclusive('x', 'verify-1')
  assert.equal('ok' in repeat && repeat.ok?.object, 'ok' in first && first.ok?.object, 'a repeat finds its own file')
  assert.is((await exclusive('x', 'verify-2')).status, c.NFS3ERR_EXIST)
  await any().mkdir(dir, 'd')
  assert.is((await create('d', 1)).status, c.NFS3ERR_EXIST)
})

test("CRT2 a directory's times and change data tell of a new entry", async () => {
  const dir = await own('CRT2')
  const before = await attributesOf(dir)
  const made = await any().ok('CREATE', { dir, name: 'f', how: { kind: 0, value: unset } })
  assert.equal(made.dir.before, { size: before.size, mtime: before.mtime, ctime: before.ctime })
  assert.equal(made.dir.after, await attributesOf(dir))
  assert.ok(nanoseconds(made.dir.after!.mtime) > nanoseconds(before.mtime))
})

test('CRT3 names: long ones, odd bytes, and those that cannot be', async () => {
  const dir = await own('CRT3')
  const every = Array.from({ length: 255 }, (_, i) => String.fromCharCode(i + 1))
    .join('')
    .replace('/', '')
  for (const name of ['x'.repeat(255), every, '\xff\xfe', ' ', '\n', '...', 'caf\xc3\xa9']) {
    const file = await any().create(dir, name)
    assert.equal(await any().lookup(dir, name), file)
  }
  const status = (name: string) => any().status('CREATE', { dir, name, how: { kind: 1, value: unset } })
  assert.is(await status('x'.repeat(256)), c.NFS3ERR_NAMETOOLONG)
  assert.is(await status('x'.repeat(5000)), c.NFS3ERR_NAMETOOLONG)
  for (const name of ['', '.', '..', 'a/b', '/', 'nul\0']) {
    assert.ok(
      [c.NFS3ERR_EXIST, c.NFS3ERR_INVAL, c.NFS3ERR_ACCES, c.NFS3ERR_NOENT].includes(await status(name)),
      JSON.stringify(name),
    )
  }
  assert.is((await any().list(dir)).length, 9)
})

test('MKD1 directories: link counts, and removal only when empty', async () => {
  const dir = await own('MKD1')
  const sub = await any().mkdir(dir, 'sub')
  assert.equal([(await attributesOf(dir)).nlink, (await attributesOf(sub)).nlink], [3, 2])
  await any().create(sub, 'f')
  const remove = (name: string) => any().status('RMDIR', { dir, name })
  assert.is(await remove('sub'), c.NFS3ERR_NOTEMPTY)
  await any().ok('REMOVE', { dir: sub, name: 'f' })
  assert.is(await remove('sub'), 0)
  assert.is(await remove('sub'), c.NFS3ERR_NOENT)
  assert.is((await attributesOf(dir)).nlink, 2)
  await any().create(dir, 'f')
  assert.is(await remove('f'), c.NFS3ERR_NOTDIR)
  assert.ok([c.NFS3ERR_INVAL, c.NFS3ERR_EXIST, c.NFS3ERR_NOTEMPTY].includes(await remove('.')))
  assert.is(await any().status('MKDIR', { dir, name: 'f', attributes: unset }), c.NFS3ERR_EXIST)
})

test('LNK1 symbolic links keep their bytes', async () => {
  const dir = await own('LNK1')
  for (const [name, target] of [
    ['a', '/abs/olute'],
    ['b', '../rel\xff'],
    ['c', 't'.repeat(4000)],
  ] as const) {
    const made = await any().ok('SYMLINK', { dir, name, attributes: { ...unset, mode: 0o777 }, target })
    assert.is(made.attributes?.type, 5)
    const link = await any().ok('READLINK', { object: made.object as Buffer })
    assert.is(link.target, target)
    assert.is(link.object?.size, target.length)
  }
  assert.is(await any().status('READLINK', { object: await any().create(dir, 'f') }), c.NFS3ERR_INVAL)
})

test('LNK2 hard links', async () => {
  const dir = await own('LNK2')
  const file = await any().create(dir, 'a')
  const linked = await any().ok('LINK', { object: file, dir, name: 'b' })
  assert.is(linked.object?.nlink, 2)
  assert.equal(await any().lookup(dir, 'b'), file)
  assert.is(await any().status('LINK', { object: file, dir, name: 'b' }), c.NFS3ERR_EXIST)
  const sub = await any().mkdir(dir, 'd')
  assert.ok(
    [c.NFS3ERR_PERM, c.NFS3ERR_ISDIR, c.NFS3ERR_INVAL].includes(
      await any().status('LINK', { object: sub, dir, name: 'x' }),
    ),
  )
  await any().ok('REMOVE', { dir, name: 'a' })
  assert.is((await attributesOf(file)).nlink, 1)
  const foreign = Buffer.from(dir)
  foreign[7]! ^= 1
  assert.is(await any().status('LINK', { object: file, dir: foreign, name: 'x' }), c.NFS3ERR_XDEV)
})

test('NOD1 devices, sockets and fifos; other types are BADTYPE', async () => {
  const dir = await own('NOD1')
  for (const kind of [3, 4] as const) {
    const value = { attributes: { ...unset, mode: 0o600 }, major: 8, minor: 300 }
    const { attributes } = await any().ok('MKNOD', { dir, name: `dev${kind}`, what: { kind, value } })
    assert.equal(
      [attributes?.type, attributes?.mode, attributes?.rdevMajor, attributes?.rdevMinor],
      [kind, 0o600, 8, 300],
    )
  }
  for (const kind of [6, 7] as const) {
    const { attributes } = await any().ok('MKNOD', {
      dir,
      name: `node${kind}`,
      what: { kind, value: { attributes: unset } },
    })
    assert.is(attributes?.type, kind)
  }
  for (const kind of [1, 2, 5] as const) {
    assert.is(await any().status('MKNOD', { dir, name: 'x', what: { kind, value: undefined } }), c.NFS3ERR_BADTYPE)
  }
})

test('REM1 removing: files, not directories; the sticky bit', async () => {
  const dir = await own('REM1', 0o1777)
  const owner = await world.as({ uid: 81, gid: 1 })
  const other = await world.as({ uid: 91, gid: 1 })
  await owner.create(dir, 'f', 0o666)
  const refused = await other.status('REMOVE', { dir, name: 'f' })
  assert.ok(refused === c.NFS3ERR_PERM || refused === c.NFS3ERR_ACCES)
  await owner.ok('REMOVE', { dir, name: 'f' })
  assert.is(await any().status('REMOVE', { dir, name: 'f' }), c.NFS3ERR_NOENT)
  await any().mkdir(dir, 'd')
  assert.ok([c.NFS3ERR_ISDIR, c.NFS3ERR_PERM].includes(await any().status('REMOVE', { dir, name: 'd' })))
})

test('RNM1 renaming within and across directories, over what is there', async () => {
  const [a, b] = [await own('RNM1a'), await own('RNM1b')]
  const rename = (fromDir: Buffer, fromName: string, toDir: Buffer, toName: string) =>
    any().call('RENAME', { fromDir, fromName, toDir, toName })
  const file = await any().create(a, 'f')
  const moved = await rename(a, 'f', b, 'g')
  assert.is(moved.status, 0)
  assert.equal('ok' in moved && moved.ok?.toDir.after, await attributesOf(b))
  assert.equal(await any().lookup(b, 'g'), file)
  assert.is(await any().status('LOOKUP', { dir: a, name: 'f' }), c.NFS3ERR_NOENT)
  const over = await any().create(b, 'over')
  assert.is((await rename(b, 'g', b, 'over')).status, 0)
  assert.equal(await any().lookup(b, 'over'), file)
  assert.is(await any().status('GETATTR', { object: over }), c.NFS3ERR_STALE)
  const sub = await any().mkdir(a, 'd')
  assert.is((await rename(a, 'd', b, 'd')).status, 0)
  assert.equal(await any().lookup(sub, '..'), b)
  assert.equal([(await attributesOf(a)).nlink, (await attributesOf(b)).nlink], [2, 3])
  assert.is((await rename(root, 'RNM1b', sub, 'loop')).status, c.NFS3ERR_INVAL)
  assert.is((await rename(b, 'over', b, 'd')).status, c.NFS3ERR_ISDIR)
  assert.is((await rename(b, 'd', b, 'over')).status, c.NFS3ERR_NOTDIR)
  assert.is((await rename(b, 'absent', a, 'x')).status, c.NFS3ERR_NOENT)
  const full = await any().mkdir(b, 'full')
  await any().create(full, 'f')
  const refused = await rename(b, 'd', b, 'full')
  assert.ok(refused.status === c.NFS3ERR_NOTEMPTY || refused.status === c.NFS3ERR_EXIST)
  assert.is('failed' in refused && refused.failed.fromDir.after?.nlink, 4)
})

test('the filesystem is whole after all of this', async () => {
  assert.equal(await world.matrix.check(), [])
})

test.after(() => world.close())
test.run()
