/** Content: RD reading, WR writing, CM commit, SP space. Every call goes to a node drawn at random. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MiB } from '../../../src/base/units.ts'
import * as c from '../../../src/gateway-nfs/v3/constants.ts'
import { unset } from '../../helpers/nfs-client.ts'
import { makeNfsMatrix } from '../../helpers/nfs-matrix.ts'

const world = await makeNfsMatrix({ nodes: 3 })
const { any, root, clients } = world

const pattern = (length: number, seed: number) =>
  Buffer.from(Array.from({ length }, (_, i) => (i * 31 + seed * 17 + (i >> 8)) & 0xff))

test('RD1 reading: parts, the end, beyond it, and what is no file', async () => {
  const file = await any().create(root, 'RD1')
  const content = pattern(10_000, 1)
  await any().write(file, 0, content)
  const read = (offset: number, count: number) => any().ok('READ', { object: file, offset, count })
  for (const [offset, count] of [
    [0, 10_000],
    [1, 1],
    [4095, 2],
    [9_999, 1],
    [3, 9_000],
  ] as const) {
    const { data, count: got, eof } = await read(offset, count)
    assert.equal(data, content.subarray(offset, offset + count))
    assert.is(got, count)
    assert.is(eof, offset + count === content.length)
  }
  assert.equal((await read(9_990, 100)).data, content.subarray(9_990))
  for (const offset of [10_000, 20_000, 2 ** 50]) {
    const { data, eof } = await read(offset, 10)
    assert.is(data.length, 0)
    assert.ok(eof)
  }
  assert.is((await read(0, 0)).data.length, 0)
  assert.is((await read(0, 2 ** 32 - 1)).data.length, 10_000)
  assert.is(await any().status('READ', { object: root, offset: 0, count: 1 }), c.NFS3ERR_ISDIR)
})

test('RD2 offsets that no file has: reading is INVAL, writing FBIG', async () => {
  const file = await any().create(root, 'RD2')
  const { encodeWith } = await import('../../helpers/nfs-client.ts')
  const { procedures } = await import('../../../src/gateway-nfs/v3/tables.ts')
  const status = async (procedure: number, args: Buffer) => {
    args.fill(0xff, 28, 36) // the offset: 2^64 - 1
    const reply = await any().rpc(c.NFS_PROGRAM, 3, procedure, args)
    return reply.kind === 'success' ? reply.from.uint32() : reply
  }
  assert.is(await status(6, encodeWith(procedures.READ.args, { object: file, offset: 0, count: 1 })), c.NFS3ERR_INVAL)
  const write = { object: file, offset: 0, count: 1, stable: 2, data: Buffer.from('x') }
  assert.is(await status(7, encodeWith(procedures.WRITE.args, write)), c.NFS3ERR_FBIG)
  assert.is(await any().status('WRITE', { ...write, offset: 2 ** 44 }), c.NFS3ERR_FBIG, 'beyond 16 TiB')
})

test('RD3 the owner reads and writes an open file whatever its mode; others need permission', async () => {
  const dir = await any().mkdir(root, 'RD3', 0o777)
  const owner = await world.as({ uid: 11, gid: 11 })
  const other = await world.as({ uid: 12, gid: 12 })
  const file = await owner.create(dir, 'f', 0o000)
  await owner.write(file, 0, Buffer.from('mine'))
  assert.equal(await owner.read(file), Buffer.from('mine'))
  assert.is(await other.status('READ', { object: file, offset: 0, count: 1 }), c.NFS3ERR_ACCES)
  const write = { object: file, offset: 0, count: 1, stable: 2, data: Buffer.from('x') }
  assert.is(await other.status('WRITE', write), c.NFS3ERR_ACCES)
  const program = await owner.create(dir, 'program', 0o711)
  await owner.write(program, 0, Buffer.from('#!'))
  assert.equal(await other.read(program), Buffer.from('#!'), 'who may execute may read (RFC 1813 4.4)')
})

test("WR1 stable and unstable writes say what they did, with the server's verifier", async () => {
  const file = await any().create(root, 'WR1')
  const client = clients[1]!
  const unstable = await client.write(file, 0, Buffer.from('abc'), c.UNSTABLE)
  assert.is(unstable.committed, c.UNSTABLE)
  assert.is((await client.write(file, 3, Buffer.from('def'), c.DATA_SYNC)).committed, c.FILE_SYNC)
  const stable = await client.write(file, 6, Buffer.from('ghi'), c.FILE_SYNC)
  assert.is(stable.committed, c.FILE_SYNC)
  assert.equal(stable.verifier, unstable.verifier)
  assert.equal((await client.ok('COMMIT', { object: file, offset: 0, count: 0 })).verifier, unstable.verifier)
  assert.is(stable.object.before?.size, 6)
  assert.is(stable.object.after?.size, 9)
  assert.not.equal(
    (await clients[0]!.write(file, 0, Buffer.from('A'))).verifier,
    unstable.verifier,
    'each node has its own',
  )
  assert.equal(await any().read(file), Buffer.from('Abcdefghi'))
})

test('WR2 a count that is not the length of the data is refused, and nothing is written', async () => {
  const file = await any().create(root, 'WR2')
  const write = { object: file, offset: 0, count: 2, stable: 2, data: Buffer.from('abc') }
  assert.is(await any().status('WRITE', write), c.NFS3ERR_INVAL)
  assert.equal(await any().read(file), Buffer.alloc(0))
  assert.is((await any().write(file, 0, Buffer.alloc(0))).count, 0)
})

test('WR3 holes are zeroes and take no space', async () => {
  const file = await any().create(root, 'WR3')
  await any().write(file, 10 * MiB + 5, Buffer.from('end'))
  const { attributes } = await any().ok('GETATTR', { object: file })
  assert.is(attributes.size, 10 * MiB + 8)
  assert.ok(attributes.used <= 64 * 1024, `${attributes.used}`)
  assert.ok((await any().read(file, 5 * MiB, 1000)).equals(Buffer.alloc(1000)))
  assert.equal(await any().read(file, 10 * MiB), Buffer.from('\0\0\0\0\0end'))
})

test('WR4 large writes, many under way on a connection and each at a node that has no lock yet, arrive unmixed', async () => {
  for (let round = 0; round < 3; round++) {
    const client = clients[round % clients.length]!
    const files = await Promise.all([0, 1, 2, 3].map((i) => any().create(root, `WR4-${round}-${i}`)))
    const contents = files.map((_, i) => pattern(MiB, round * 10 + i))
    const stable = round % 2 ? c.FILE_SYNC : c.UNSTABLE
    await Promise.all(files.map((file, i) => client.write(file, 0, contents[i]!, stable)))
    for (const [i, file] of files.entries()) {
      assert.ok((await any().read(file)).equals(contents[i]!), `round ${round}, file ${i}`)
    }
  }
})

test('CM1 what was committed at one node is read at another; so is what was not', async () => {
  const file = await any().create(root, 'CM1')
  for (let i = 0; i < 20; i++) {
    const writer = clients[i % 3]!
    await writer.write(file, i * 1000, pattern(1000, i), c.UNSTABLE)
    if (i % 2) await writer.ok('COMMIT', { object: file, offset: 0, count: 0 })
    assert.equal(await clients[(i + 1) % 3]!.read(file, i * 1000, 1000), pattern(1000, i))
  }
})

test('SP1 FSSTAT, FSINFO and PATHCONF tell the truth', async () => {
  const client = clients[0]!
  const before = await client.ok('FSSTAT', { object: root })
  assert.ok(before.totalBytes > 100 * MiB && before.totalBytes <= 256 * MiB)
  const file = await client.create(root, 'SP1')
  for (let i = 0; i < 8; i++) await client.write(file, i * MiB, Buffer.alloc(MiB, 1))
  const after = await client.ok('FSSTAT', { object: file })
  const took = before.freeBytes - after.freeBytes
  assert.ok(took >= 8 * MiB && took < 9 * MiB, `${took}`)
  assert.is(after.availableBytes, after.freeBytes)
  assert.is(before.freeFiles - after.freeFiles, 1)
  const info = await client.ok('FSINFO', { object: root })
  assert.equal([info.readMax, info.writeMax, info.fileMax, info.timeDelta], [MiB, MiB, 2 ** 44, { s: 0, ns: 1 }])
  assert.is(info.properties, c.FSF3_LINK | c.FSF3_SYMLINK | c.FSF3_HOMOGENEOUS | c.FSF3_CANSETTIME)
  const limits = await client.ok('PATHCONF', { object: root })
  assert.equal([limits.linkMax, limits.nameMax], [65_000, 255])
  assert.equal(
    [limits.noTruncation, limits.chownRestricted, limits.caseInsensitive, limits.casePreserving],
    [true, true, false, true],
  )
})

test('SP2 a full filesystem says NOSPC, keeps what it has, and takes more after a removal', async () => {
  const free = async () => (await any().ok('FSSTAT', { object: root })).freeBytes
  const names: string[] = []
  let status = 0
  while (status === 0) {
    const name = `SP2-${names.length}`
    names.push(name)
    const object = await any().create(root, name)
    for (let i = 0; i < 16 && status === 0; i++) {
      const write = { object, offset: i * MiB, count: MiB, stable: c.FILE_SYNC, data: Buffer.alloc(MiB, names.length) }
      status = await any().status('WRITE', write)
    }
    assert.ok(names.length < 40, 'it never gets full')
  }
  assert.is(status, c.NFS3ERR_NOSPC)
  assert.ok((await free()) < 2 * MiB)
  assert.ok((await any().read(await any().lookup(root, 'SP2-0'), 0, MiB)).equals(Buffer.alloc(MiB, 1)))
  for (const name of names) await any().ok('REMOVE', { dir: root, name })
  const again = await any().create(root, 'SP2-again')
  await any().write(again, 0, Buffer.alloc(MiB, 9))
  assert.ok((await free()) > 100 * MiB)
  await any().status('SETATTR', { object: again, attributes: { ...unset, size: 0 }, guardCtime: undefined })
})

test('the filesystem is whole after all of this', async () => {
  assert.equal(await world.matrix.check(), [])
})

test.after(() => world.close())
test.run()
