/**
 * WIN: what Windows' Client for NFS asks, in its order: the port mapper by UDP, unprivileged ports, the anonymous user -2, MOUNT's lists for the
 * network neighbourhood, whole directories by READDIRPLUS, share reservations at every open, NLM always.
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MOUNT_PROGRAM } from '../../../src/gateway-nfs/mount/tables.ts'
import * as n from '../../../src/gateway-nfs/nlm/tables.ts'
import * as c from '../../../src/gateway-nfs/v3/constants.ts'
import { NfsClient, unset } from '../../helpers/nfs-client.ts'
import { makeFoundNode } from '../../helpers/nfs-found.ts'
import { NlmHost } from '../../helpers/nlm-host.ts'

const node = await makeFoundNode({ squash: 'root_squash' })
const ANONYMOUS = 0xfffffffe
const nfsPort = await node.portByUdp(c.NFS_PROGRAM, 3, 'tcp')
const client = await NfsClient.connect(nfsPort)
client.user = { uid: ANONYMOUS, gid: ANONYMOUS }
let root: Buffer = Buffer.alloc(0)

test('WIN1 it finds MOUNT and NFS by UDP, and mounts from an unprivileged port', async () => {
  const mountPort = await node.portByUdp(MOUNT_PROGRAM, 3, 'udp')
  assert.ok(mountPort > 0)
  assert.is(await node.portByUdp(MOUNT_PROGRAM, 3, 'tcp'), mountPort)
  await node.mountByUdp(mountPort, 'NULL')
  assert.equal(await node.mountByUdp(mountPort, 'EXPORT'), [{ path: '/home', groups: ['127.0.0.0/8'] }])
  const mounted = (await node.mountByUdp(mountPort, 'MNT', '/home')) as { ok: { object: Buffer; flavors: number[] } }
  root = mounted.ok.object
  assert.ok(mounted.ok.flavors.includes(1))
  const list = (await node.mountByUdp(mountPort, 'DUMP')) as { path: string }[]
  assert.ok(list.some(({ path }) => path === '/home'))
  assert.ok((client.socket.localPort as number) >= 1024)
  // the administrator of the server lets everybody in
  const admin = await node.served.connect({ uid: 0, gid: 0 })
  node.served.exports = [{ ...node.served.exports[0]!, squash: 'no_root_squash' }]
  await admin.ok('SETATTR', { object: root, attributes: { ...unset, mode: 0o777 }, guardCtime: undefined })
})

test('WIN2 the drive is looked at: facts of the filesystem, attributes, access', async () => {
  const facts = await client.ok('FSINFO', { object: root })
  assert.ok(facts.readMax >= 32_768 && facts.writeMax >= 32_768)
  const limits = await client.ok('PATHCONF', { object: root })
  assert.equal([limits.caseInsensitive, limits.casePreserving], [false, true], 'case stays as it is on POSIX systems')
  await client.ok('FSSTAT', { object: root })
  const { access } = await client.ok('ACCESS', { object: root, access: 0x3f })
  assert.is(access & 0x1f, 0x1f)
})

test('WIN3 names that Explorer asks for, in the case that it thinks of', async () => {
  for (const name of ['desktop.ini', 'Desktop.ini', 'AUTORUN.INF', 'folder.jpg'])
    assert.is(await client.status('LOOKUP', { dir: root, name }), c.NFS3ERR_NOENT)
  await client.create(root, 'Report.TXT', 0o755)
  assert.is(await client.status('LOOKUP', { dir: root, name: 'REPORT.TXT' }), c.NFS3ERR_NOENT)
  assert.is(await client.status('LOOKUP', { dir: root, name: 'Report.TXT' }), 0)
})

for (const [nameBytes, replyBytes] of [
  [8192, 8192],
  [512, 4096],
  [32_768, 32_768],
  [0xffffffff, 65_536],
  [0, 8192],
] as const) {
  test(`WIN4 a directory by READDIRPLUS of ${nameBytes} and ${replyBytes} bytes: every name once`, async () => {
    const dir = await client.mkdir(root, `plus-${nameBytes}-${replyBytes}`)
    const wanted = Array.from({ length: 130 }, (_, index) => `A long file name with blanks (${index}).docx`)
    for (const name of wanted) await client.create(dir, name)
    const found: string[] = []
    let cookie = 0
    let verifier: Buffer = Buffer.alloc(8)
    for (let eof = false; !eof; ) {
      const page = await client.ok('READDIRPLUS', { dir, cookie, verifier, nameBytes, replyBytes })
      assert.ok(page.eof || page.entries.length > 0)
      for (const { name, attributes, object } of page.entries) {
        assert.ok(attributes && object, 'with attributes and handle')
        found.push(name)
      }
      cookie = page.entries.at(-1)?.cookie ?? cookie
      verifier = page.verifier
      eof = page.eof
    }
    assert.equal(found.filter((name) => name !== '.' && name !== '..').sort(), wanted.sort())
  })
}

test('WIN5 a document is saved: made beside, written, its times set, put in the place of the old one', async () => {
  const host = await NlmHost.start({
    ...{ address: '127.9.3.1', name: 'WIN-7Q2', portmapPort: node.clientPortmapPort, port: nfsPort },
    user: { uid: ANONYMOUS, gid: ANONYMOUS },
  })
  const old = await client.lookup(root, 'Report.TXT')
  const [read, write] = [n.SHARE_READ, n.SHARE_WRITE]
  assert.is(await host.share(old, read | write, write), n.NLM4_GRANTED, 'opened: others may not write')
  const made = await client.ok('CREATE', {
    dir: root,
    name: '~WRD0001.tmp',
    how: { kind: 1, value: { ...unset, mode: 0o755 } },
  })
  const beside = made.object as Buffer
  const data = Buffer.alloc(32_768, 'w')
  for (let offset = 0; offset < 4 * data.length; offset += data.length) await client.write(beside, offset, data, 2)
  const stamp = { kind: 2, value: { s: 1_700_000_000, ns: 100 } } as const
  await client.ok('SETATTR', {
    object: beside,
    attributes: { ...unset, atime: stamp, mtime: stamp },
    guardCtime: undefined,
  })
  await client.ok('RENAME', { fromDir: root, fromName: '~WRD0001.tmp', toDir: root, toName: 'Report.TXT' })
  assert.is(await host.share(old, read | write, write, 'UNSHARE'), n.NLM4_GRANTED)
  const { attributes } = await client.ok('GETATTR', { object: await client.lookup(root, 'Report.TXT') })
  assert.equal([attributes.size, attributes.mtime], [131_072, { s: 1_700_000_000, ns: 100 }])
  await host.close()
})

test('WIN6 locks: LockFileEx at offsets beyond four gigabytes, refused and freed', async () => {
  assert.ok((await node.portByUdp(n.NLM_PROGRAM, 4, 'udp')) > 0)
  assert.is(await node.portByUdp(n.NLM_PROGRAM, 4, 'tcp'), nfsPort)
  const hosts = await Promise.all(
    [2, 3].map((number) =>
      NlmHost.start({
        ...{ address: `127.9.3.${number}`, name: `WIN-${number}`, portmapPort: node.clientPortmapPort, port: nfsPort },
        ...{ transport: 'udp', user: { uid: ANONYMOUS, gid: ANONYMOUS } },
      }),
    ),
  )
  const [one, two] = hosts as [NlmHost, NlmHost]
  const file = await client.create(root, 'database.mdb')
  const wish = { file, offset: 0xffff_ffff_0000n, length: 0x1_0000n }
  assert.is(await one.lock(wish), n.NLM4_GRANTED)
  assert.is(await two.lock(wish), n.NLM4_DENIED)
  assert.is(await one.unlock(wish), n.NLM4_GRANTED)
  assert.is(await two.lock(wish), n.NLM4_GRANTED)
  for (const host of hosts) {
    await host.call('FREE_ALL', { name: host.options.name, state: 0 })
    await host.close()
  }
})

test('WIN7 it goes: UMNT by UDP', async () => {
  await node.mountByUdp(await node.portByUdp(MOUNT_PROGRAM, 3, 'udp'), 'UMNT', '/home')
  assert.equal(await node.mountByUdp(nfsPort, 'DUMP'), [])
})

test.after(async () => {
  await client.close()
  await node.close()
})
test.run()
