/**
 * MAC: what the client of macOS asks, in its order: ports by the port mapper, FSSTAT, PATHCONF and ACCESS all the time, files that are made
 * exclusively and get their attributes afterwards, AppleDouble names beside every file, locks as messages by NLM version 4.
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MOUNT_PROGRAM } from '../../../src/gateway-nfs/mount/tables.ts'
import * as n from '../../../src/gateway-nfs/nlm/tables.ts'
import { NSM_PROGRAM } from '../../../src/gateway-nfs/nsm/tables.ts'
import * as c from '../../../src/gateway-nfs/v3/constants.ts'
import { NfsClient, unset } from '../../helpers/nfs-client.ts'
import { makeFoundNode } from '../../helpers/nfs-found.ts'
import { NlmHost } from '../../helpers/nlm-host.ts'

const node = await makeFoundNode()
const port = await node.portByTcp(c.NFS_PROGRAM, 3, 'tcp')
const client = await NfsClient.connect(port)
let root: Buffer = Buffer.alloc(0)

test('MAC1 it looks for NFS, MOUNT, NLM and NSM, and mounts', async () => {
  for (const [program, version] of [
    [MOUNT_PROGRAM, 3],
    [n.NLM_PROGRAM, 4],
    [NSM_PROGRAM, 1],
  ] as const)
    assert.is(await node.portByTcp(program, version, 'tcp'), port)
  assert.is(await node.portByTcp(c.NFS_PROGRAM, 4, 'tcp'), port, 'it tries version 4 first: it is told where NFS is')
  const reply = await client.rpc(c.NFS_PROGRAM, 4, 0)
  assert.is(
    reply.kind === 'accepted' && reply.rest.toString('hex'),
    '0000000300000003',
    'and that there is only version 3',
  )
  root = await client.mount('/home')
})

test('MAC2 df and Finder: FSINFO, FSSTAT and PATHCONF of any object, ACCESS with all bits', async () => {
  const dir = await client.mkdir(root, 'Documents')
  const file = await client.create(dir, 'a')
  for (const object of [root, dir, file]) {
    const facts = await client.ok('FSINFO', { object })
    assert.ok(facts.object, 'with attributes')
    const space = await client.ok('FSSTAT', { object })
    assert.ok(space.totalBytes >= space.availableBytes && space.availableBytes > 0)
    const limits = await client.ok('PATHCONF', { object })
    assert.equal([limits.nameMax, limits.noTruncation, limits.caseInsensitive], [255, true, false])
    const { access, object: after } = await client.ok('ACCESS', { object, access: 0x3f })
    assert.ok(after)
    assert.is(access & ~0x3f, 0)
  }
})

test('MAC3 a file is made exclusively, gets its attributes, is written and committed', async () => {
  const verifier = Buffer.from('a-verify')
  const how = { kind: 2, value: verifier } as const
  const first = await client.ok('CREATE', { dir: root, name: 'Notes.pages', how })
  const again = await client.ok('CREATE', { dir: root, name: 'Notes.pages', how })
  assert.equal(again.object, first.object, 'the same request again')
  const other = { kind: 2, value: Buffer.from('another!') } as const
  assert.is(await client.status('CREATE', { dir: root, name: 'Notes.pages', how: other }), c.NFS3ERR_EXIST)
  const object = first.object as Buffer
  const attributes = {
    ...unset,
    mode: 0o644,
    atime: { kind: 1, value: undefined },
    mtime: { kind: 1, value: undefined },
  } as const
  await client.ok('SETATTR', { object, attributes, guardCtime: undefined })
  const data = Buffer.alloc(65_536, 'm')
  const verifiers = await Promise.all([0, 1, 2, 3].map((block) => client.write(object, block * data.length, data, 0)))
  const commit = await client.ok('COMMIT', { object, offset: 0, count: 0 })
  assert.ok(verifiers.every((each) => each.verifier.equals(commit.verifier)))
  assert.is((await client.ok('GETATTR', { object })).attributes.size, 4 * data.length)
})

test('MAC4 AppleDouble names, decomposed names, and a name that is open when it is removed', async () => {
  for (const name of ['._Notes.pages', '.DS_Store', '.hidden', '.metadata_never_index_unless_rootfs'])
    assert.is(await client.status('LOOKUP', { dir: root, name }), c.NFS3ERR_NOENT)
  const bytes = (text: string) => Buffer.from(text).toString('latin1')
  await client.create(root, bytes('u\u0308ber'))
  assert.is(await client.status('LOOKUP', { dir: root, name: bytes('\u00fcber') }), c.NFS3ERR_NOENT, 'names are bytes')
  assert.ok((await client.list(root)).includes(bytes('u\u0308ber')))
  await client.ok('RENAME', { fromDir: root, fromName: 'Notes.pages', toDir: root, toName: '.nfs.20051025.0001' })
  assert.is((await client.read(await client.lookup(root, '.nfs.20051025.0001'))).length, 4 * 65_536)
  await client.ok('REMOVE', { dir: root, name: '.nfs.20051025.0001' })
})

test('MAC5 locks by messages: each is answered by a call to the port that its port mapper names', async () => {
  const hosts = await Promise.all(
    [1, 2].map((number) =>
      NlmHost.start({
        address: `127.9.4.${number}`,
        name: `mac${number}.local`,
        portmapPort: node.clientPortmapPort,
        port,
      }),
    ),
  )
  const [one, two] = hosts as [NlmHost, NlmHost]
  const file = await client.create(root, 'Library.sqlite')
  const status = async (host: NlmHost, name: string) => ((await host.next(name)).args as n.NlmResult).status
  await one.call('LOCK_MSG', one.lockArgs({ file, offset: 1_073_741_824, length: 1 }))
  assert.is(await status(one, 'LOCK_RES'), n.NLM4_GRANTED)
  await two.call('LOCK_MSG', two.lockArgs({ file, offset: 1_073_741_824, length: 510, block: true }))
  assert.is(await status(two, 'LOCK_RES'), n.NLM4_BLOCKED)
  await one.call('UNLOCK_MSG', { cookie: one.cookie(), lock: one.lockOf({ file, offset: 1_073_741_824, length: 1 }) })
  assert.is(await status(one, 'UNLOCK_RES'), n.NLM4_GRANTED)
  const { args } = await two.next('GRANTED_MSG')
  assert.is((args as n.NlmTestArgs).lock.offset, 1_073_741_824n)
  await one.call('TEST_MSG', { cookie: one.cookie(), exclusive: false, lock: one.lockOf({ file }) })
  const tested = (await one.next('TEST_RES')).args as n.NlmTestResult
  assert.is(tested.reply.kind, n.NLM4_DENIED)
  await two.nsm('NOTIFY', { name: 'mac2.local', state: 3 })
  await one.call('LOCK_MSG', one.lockArgs({ file }))
  assert.is(await status(one, 'LOCK_RES'), n.NLM4_GRANTED, 'the other has restarted')
  for (const host of hosts) await host.close()
})

test('MAC6 it goes: UMNT', async () => {
  await client.mountCall('UMNT', '/home')
  assert.equal(await client.mountCall('DUMP'), [])
})

test.after(async () => {
  await client.close()
  await node.close()
})
test.run()
