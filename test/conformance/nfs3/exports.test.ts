/** EXP: exports of a part of a filesystem, clients by name and port, groups looked up by the server, and exports that change while they are used. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Export, type ExportOptions, HostNames, makeExport, UserGroups } from '../../../src/export/index.ts'
import * as m from '../../../src/gateway-nfs/mount/tables.ts'
import * as c from '../../../src/gateway-nfs/v3/constants.ts'
import { type HostNameService, type ProgramEnd, silentLog, sleep } from '../../../src/platform/index.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { makeLocalMatrix } from '../../helpers/local-matrix.ts'
import { type NfsClient, unset } from '../../helpers/nfs-client.ts'
import { serve } from '../../helpers/nfs-served.ts'

const matrix = await makeLocalMatrix({ nodes: 2 })
const [fs, otherFs] = matrix.nodes.map((node) => node.fs) as [
  (typeof matrix.nodes)[0]['fs'],
  (typeof matrix.nodes)[0]['fs'],
]
const secret = 'a secret of all nodes'

const names: { forward: Record<string, string[]>; reverse: Record<string, string[]> } = { forward: {}, reverse: {} }
const service: HostNameService = {
  addressesOf: async (name) => names.forward[name] ?? [],
  namesOf: async (address) => names.reverse[address] ?? [],
}
const hosts = new HostNames({ service, clock: realClock, log: silentLog })
const groupsOf = new Map<string, string>()
const programs = {
  async run({ args }: { args: readonly string[] }): Promise<ProgramEnd> {
    await sleep(realClock, 20)
    const line = groupsOf.get(args[1] as string)
    return line === undefined
      ? { how: 'exited', code: 1, output: ['id: no such user'] }
      : { how: 'exited', code: 0, output: [line] }
  },
}
const groups = new UserGroups({ programs, clock: realClock, log: silentLog })

const served = await serve(fs, { hosts })
const other = await serve(otherFs)
const exported = (options: Partial<ExportOptions>): Export =>
  makeExport({ path: '/home', fs, clients: ['*'], squash: 'no_root_squash', secret, ...options })
const home = exported({})
const part = exported({ path: '/home/part', directory: '/a/part' })
const everything = [home, part]
served.exports = everything
other.exports = everything.map((each) => ({ ...each, fs: otherFs }))

const client = await served.connect()
const root = await client.mount('/home')
const a = await client.mkdir(root, 'a', 0o777)
const partOutside = await client.mkdir(a, 'part', 0o777)
await client.create(root, 'secret')
const inside = await client.mkdir(partOutside, 'inside', 0o777)
const file = await client.create(inside, 'file')

const fails = (work: Promise<unknown>): Promise<number> =>
  work.then(
    () => 0,
    (error) => (error as { status: number }).status,
  )

test('EXP1 an export of a directory begins there, and there is no way up from it', async () => {
  const top = await client.mount('/home/part')
  assert.is(top.length, 32, 'sealed')
  assert.equal((await client.list(top)).sort(), ['.', '..', 'inside'])
  assert.equal(await client.lookup(top, '..'), top)
  const below = await client.lookup(top, 'inside')
  assert.equal(await client.lookup(below, '..'), top)
  assert.equal(await client.mount('/home/part/inside'), below)
  assert.is(await fails(client.mount('/home/part/../..')), m.MNT3ERR_INVAL)
  const page = { dir: top, cookie: 0, verifier: Buffer.alloc(8), nameBytes: 4096, replyBytes: 8192 }
  const { entries } = await client.ok('READDIRPLUS', page)
  const [self, up] = ['.', '..'].map((name) => entries.find((each) => each.name === name))
  assert.is(up?.fileid, self?.fileid, 'nothing is told of what is above')
  assert.is(up?.object, undefined)
  assert.ok(entries.find(({ name }) => name === 'inside')?.object)
  // what is made, renamed and removed there works as anywhere
  const made = await client.create(below, 'new')
  await client.write(made, 0, Buffer.from('content'))
  await client.ok('RENAME', { fromDir: below, fromName: 'new', toDir: top, toName: 'moved' })
  assert.equal(await client.read(made), Buffer.from('content'))
  await client.ok('REMOVE', { dir: top, name: 'moved' })
})

test('EXP2 handles that were not given out there are stale: of the whole export, of another one, made up', async () => {
  const top = await client.mount('/home/part')
  const forge = (handle: Buffer) => {
    const forged = Buffer.from(top)
    handle.copy(forged, 4, 4, 8) // fsid
    handle.copy(forged, 12, 12, 24) // inode and generation
    return forged
  }
  for (const target of [root, a, file, partOutside]) {
    if (target !== partOutside)
      assert.is(
        await client.status('GETATTR', { object: forge(target) }),
        c.NFS3ERR_STALE,
        'the seal is of another object',
      )
    const unsealed = forge(target).subarray(0, 24)
    unsealed[0] = 1
    assert.is(await client.status('GETATTR', { object: Buffer.from(unsealed) }), c.NFS3ERR_STALE, 'without a seal')
  }
  const sealedForHome = Buffer.from(top)
  root.copy(sealedForHome, 8, 8, 12) // the whole export's id
  assert.is(await client.status('GETATTR', { object: sealedForHome }), c.NFS3ERR_STALE)
  const mixed = { fromDir: top, fromName: 'inside', toDir: root, toName: 'out' }
  assert.is(await client.status('RENAME', mixed), c.NFS3ERR_XDEV)
})

test('EXP3 its handles are the same at another node', async () => {
  const top = await client.mount('/home/part')
  const elsewhere = await other.connect()
  assert.equal(await elsewhere.lookup(top, '..'), top)
  assert.equal(
    await elsewhere.lookup(await elsewhere.lookup(top, 'inside'), 'file'),
    await client.lookup(await client.lookup(top, 'inside'), 'file'),
  )
})

test('EXP4 a directory that is moved out loses its way up; what is held of it stays good', async () => {
  const top = await client.mount('/home/part')
  await client.mkdir(top, 'mover')
  const mover = await client.lookup(top, 'mover')
  await client.ok('RENAME', { fromDir: partOutside, fromName: 'mover', toDir: root, toName: 'mover' })
  assert.is(await client.status('LOOKUP', { dir: mover, name: '..' }), c.NFS3ERR_STALE)
  assert.is(await client.status('GETATTR', { object: mover }), 0)
})

test('EXP5 a directory that is not there is told so until it is', async () => {
  served.exports = [...everything, exported({ path: '/later', directory: '/later' })]
  assert.is(await fails(client.mount('/later')), m.MNT3ERR_NOENT)
  await client.mkdir(root, 'later')
  assert.is((await client.mount('/later')).length, 32)
  await client.create(root, 'plain')
  served.exports = [...everything, exported({ path: '/plain', directory: '/plain' })]
  assert.is(await fails(client.mount('/plain')), m.MNT3ERR_NOTDIR)
  served.exports = everything
})

test('EXP6 exports change while they are used: at once, for everything that is held', async () => {
  const top = await client.mount('/home/part')
  served.exports = [part]
  assert.is(await client.status('GETATTR', { object: root }), c.NFS3ERR_STALE)
  assert.is(await fails(client.mount('/home')), m.MNT3ERR_NOENT)
  assert.is(await client.status('GETATTR', { object: top }), 0)
  const listed = (await client.mountCall('EXPORT')) as readonly { path: string }[]
  assert.equal(
    listed.map(({ path }) => path),
    ['/home/part'],
  )
  const dumped = (await client.mountCall('DUMP')) as readonly { path: string }[]
  assert.ok(dumped.length > 0 && dumped.every(({ path }) => path.startsWith('/home/part')))
  served.exports = [exported({ access: 'ro' }), part]
  assert.is(await client.status('GETATTR', { object: root }), 0)
  assert.is(await client.status('MKDIR', { dir: root, name: 'x', attributes: unset }), c.NFS3ERR_ROFS)
  served.exports = [exported({ clients: ['10.0.0.0/8'] }), part]
  assert.is(await client.status('GETATTR', { object: root }), c.NFS3ERR_ACCES)
  assert.is(await fails(client.mount('/home')), m.MNT3ERR_ACCES)
  served.exports = everything
})

test('EXP7 clients by name: looked up before the first request is read, and again when exports change', async () => {
  names.forward['me.example.org'] = ['127.0.0.1']
  names.reverse['127.0.0.1'] = ['me.example.org', 'liar.other.org']
  for (const [clients, expected] of [
    [['me.example.org'], 0],
    [['*.example.org'], 0],
    [['*.other.org'], m.MNT3ERR_ACCES],
    [['you.example.org'], m.MNT3ERR_ACCES],
  ] as const) {
    served.exports = [exported({ clients })]
    const fresh = await served.connect()
    assert.is(await fails(fresh.mount('/home')), expected, clients[0])
    await fresh.close()
  }
  const more = [exported({ clients: ['me2.example.org'] })]
  names.forward['me2.example.org'] = ['127.0.0.1']
  await served.server.learnNames(more)
  served.exports = more
  assert.is(await fails(client.mount('/home')), 0, 'a connection that was there before')
  served.exports = everything
})

test('EXP8 privileged ports', async () => {
  served.exports = [exported({ privilegedPorts: true })]
  assert.is(await client.status('GETATTR', { object: root }), c.NFS3ERR_ACCES)
  assert.is(await fails(client.mount('/home')), m.MNT3ERR_ACCES)
  if (process.getuid?.() === 0) {
    const trusted = await served.connect(undefined, { localAddress: '127.0.0.1', localPort: 600 + (process.pid % 400) })
    assert.is(await fails(trusted.mount('/home')), 0)
  }
  served.exports = everything
})

test('EXP9 groups that the server knows: more than 16, and not those that the client says', async () => {
  const withGroups = await serve(fs, { groups })
  const admin = await withGroups.connect()
  const top = await admin.mount('/home')
  const many = Array.from({ length: 40 }, (_, i) => 5000 + i)
  groupsOf.set('700', many.join(' '))
  const dir = await admin.mkdir(top, 'groups')
  const attributes = { ...unset, mode: 0o070, gid: 5039, uid: 1 }
  await admin.ok('SETATTR', { object: dir, attributes, guardCtime: undefined })
  const asked: NfsClient = await withGroups.connect({ uid: 700, gid: 100, gids: [] })
  // several at once, of a user whose groups are not known yet
  const answers = await Promise.all(
    Array.from({ length: 5 }, (_, i) => asked.status('CREATE', { dir, name: `f${i}`, how: { kind: 1, value: unset } })),
  )
  assert.equal(answers, [0, 0, 0, 0, 0])
  const garbage = await (await withGroups.connect({ uid: 701, gid: 1, gids: [] })).rpc(
    100003,
    3,
    1,
    Buffer.from('ffffffff', 'hex'),
  )
  assert.equal([garbage.kind, (garbage as { status: number }).status], ['accepted', 4])
  const liar = await withGroups.connect({ uid: 702, gid: 100, gids: [5039] })
  assert.is(await liar.status('CREATE', { dir, name: 'x', how: { kind: 1, value: unset } }), c.NFS3ERR_ACCES)
  await withGroups.close()
})

test.after(async () => {
  await served.close()
  await other.close()
  await matrix.close()
})
test.run()
