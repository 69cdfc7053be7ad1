/** MNT: the MOUNT protocol, and who may come in by it. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeExport } from '../../../src/export/index.ts'
import * as m from '../../../src/gateway-nfs/mount/tables.ts'
import * as c from '../../../src/gateway-nfs/v3/constants.ts'
import { unset } from '../../helpers/nfs-client.ts'
import { makeNfsMatrix } from '../../helpers/nfs-matrix.ts'

const world = await makeNfsMatrix({ nodes: 2 })
const { any, root, served } = world
const fs = world.matrix.nodes[0]!.fs

test('MNT1 an exported path gives the same handle at every node, for AUTH_SYS', async () => {
  for (const client of world.clients) {
    const result = await client.mountCall('MNT', '/home')
    assert.equal(result.ok?.object, root)
    assert.equal(result.ok?.flavors, [1, 0])
  }
})

test('MNT2 a directory below an export can be mounted; what is none cannot', async () => {
  const dir = await any().mkdir(root, 'MNT2')
  const deep = await any().mkdir(dir, 'deep', 0o700)
  await any().create(dir, 'file')
  assert.equal(await any().mount('/home/MNT2/deep'), deep)
  assert.equal(await any().mount('//home///MNT2/deep/'), deep)
  const status = async (path: string) => (await any().mountCall('MNT', path)).status
  assert.is(await status('/home/MNT2/file'), m.MNT3ERR_NOTDIR)
  assert.is(await status('/home/MNT2/absent'), m.MNT3ERR_NOENT)
  assert.is(await status('/home/MNT2/file/x'), m.MNT3ERR_NOTDIR)
  assert.is(await status('/home/..'), m.MNT3ERR_INVAL)
  assert.is(await status('/elsewhere'), m.MNT3ERR_NOENT)
  assert.is(await status(''), m.MNT3ERR_NOENT)
  assert.is(await status(`/home/${'n'.repeat(300)}`), m.MNT3ERR_NAMETOOLONG)
})

test('MNT3 EXPORT lists the exports, DUMP who mounted, UMNT and UMNTALL forget', async () => {
  const client = world.clients[0]!
  assert.equal(await client.mountCall('EXPORT'), [{ path: '/home', groups: ['127.0.0.0/8'] }])
  await client.mount('/home')
  await client.mount('/home/MNT2')
  const dump = async () => (await client.mountCall('DUMP')).map((each) => `${each.host} ${each.path}`)
  assert.equal((await dump()).slice(-2), ['127.0.0.1 /home', '127.0.0.1 /home/MNT2'])
  await client.mountCall('UMNT', '/home')
  assert.not((await dump()).includes('127.0.0.1 /home'))
  await client.mountCall('UMNTALL')
  assert.equal(await dump(), [])
  await client.mountCall('NULL')
})

/** Serves other exports at the first node during `run`. */
async function exporting(options: Partial<Parameters<typeof makeExport>[0]>, run: () => Promise<void>): Promise<void> {
  const before = served[0]!.exports
  served[0]!.exports = [
    makeExport({ path: '/home', fs, clients: ['127.0.0.0/8'], squash: 'no_root_squash', ...options }),
  ]
  try {
    await run()
  } finally {
    served[0]!.exports = before
  }
}

test('MNT4 a client that is not named may neither mount nor use a handle', async () => {
  const client = world.clients[0]!
  await exporting({ clients: ['10.0.0.0/8', 'fd00::/8'] }, async () => {
    assert.is((await client.mountCall('MNT', '/home')).status, m.MNT3ERR_ACCES)
    assert.is(await client.status('GETATTR', { object: root }), c.NFS3ERR_ACCES)
  })
  assert.is(await client.status('GETATTR', { object: root }), 0)
})

test('MNT5 a read-only export refuses every change with ROFS, and serves reads', async () => {
  const client = world.clients[0]!
  const file = await client.create(root, 'MNT5')
  await client.write(file, 0, Buffer.from('text'))
  await exporting({ access: 'ro' }, async () => {
    const changed = await client.call('REMOVE', { dir: root, name: 'MNT5' })
    assert.is(changed.status, c.NFS3ERR_ROFS)
    assert.is('failed' in changed && changed.failed.dir.after?.fileid, 1, 'attributes come with the refusal')
    const write = { object: file, offset: 0, count: 1, stable: 2, data: Buffer.from('x') }
    assert.is(await client.status('WRITE', write), c.NFS3ERR_ROFS)
    assert.equal(await client.read(file), Buffer.from('text'))
    const { access } = await client.ok('ACCESS', { object: file, access: 0x3f })
    assert.is(access & (c.ACCESS3_MODIFY | c.ACCESS3_EXTEND | c.ACCESS3_DELETE), 0)
  })
})

test('MNT6 root is squashed where the export says so', async () => {
  const client = world.clients[0]!
  await exporting({ squash: 'root_squash', anonUid: 4242, anonGid: 4343 }, async () => {
    assert.is(
      await client.status('MKDIR', {
        dir: root,
        name: 'MNT6',
        attributes: unset,
      }),
      c.NFS3ERR_ACCES,
    )
  })
  const open = await client.mkdir(root, 'MNT6', 0o777)
  await exporting({ squash: 'root_squash', anonUid: 4242, anonGid: 4343 }, async () => {
    const { attributes } = await client.ok('GETATTR', { object: await client.create(open, 'of-nobody') })
    assert.equal([attributes.uid, attributes.gid], [4242, 4343])
  })
})

test('MNT7 handles: garbage is BADHANDLE, another filesystem or a removed file is STALE', async () => {
  const status = (object: Buffer) => any().status('GETATTR', { object })
  assert.is(await status(Buffer.alloc(0)), c.NFS3ERR_BADHANDLE)
  assert.is(await status(Buffer.alloc(64, 7)), c.NFS3ERR_BADHANDLE)
  assert.is(await status(Buffer.alloc(24)), c.NFS3ERR_BADHANDLE)
  const changed = (at: number) => {
    const copy = Buffer.from(root)
    copy[at]! ^= 0x10
    return copy
  }
  assert.is(await status(changed(4)), c.NFS3ERR_STALE, 'fsid')
  assert.is(await status(changed(8)), c.NFS3ERR_STALE, 'export')
  assert.is(await status(changed(14)), c.NFS3ERR_STALE, 'inode')
  assert.is(await status(changed(20)), c.NFS3ERR_STALE, 'generation')
  const gone = await any().create(root, 'MNT7')
  await any().ok('REMOVE', { dir: root, name: 'MNT7' })
  for (const client of world.clients) assert.is(await client.status('GETATTR', { object: gone }), c.NFS3ERR_STALE)
})

test.after(() => world.close())
test.run()
