/** RPC by UDP: who is answered, how much, and that a change asked twice is done once. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { DATAGRAM_TRANSFER_MAX } from '../../../src/gateway-nfs/limits.ts'
import { MOUNT_PROGRAM, MOUNT_V3, mountProcedures } from '../../../src/gateway-nfs/mount/tables.ts'
import * as c from '../../../src/gateway-nfs/v3/constants.ts'
import { type ArgsOf, type ProcedureName, procedures, type ResultOf } from '../../../src/gateway-nfs/v3/tables.ts'
import type { Xdr } from '../../../src/gateway-nfs/xdr/types.ts'
import { MemoryFs } from '../../helpers/memory-fs.ts'
import { encodeCall, unset } from '../../helpers/nfs-client.ts'
import { type Served, serve } from '../../helpers/nfs-served.ts'
import { RpcDatagrams } from '../../helpers/rpc-datagrams.ts'

const SHORT_MS = 150

function over(
  name: string,
  options: Omit<NonNullable<Parameters<typeof serve>[1]>, 'fs'> & { fs?: MemoryFs },
  run: (served: Served, datagrams: RpcDatagrams) => Promise<void>,
): void {
  test(name, async () => {
    const { fs: memory = new MemoryFs(), ...rest } = options
    const served = await serve(memory.fs, rest)
    const datagrams = await RpcDatagrams.open(served.port)
    try {
      await run(served, datagrams)
    } finally {
      datagrams.close()
      await served.close()
    }
  })
}

const mount = async (datagrams: RpcDatagrams) => {
  const result = await datagrams.ask(MOUNT_PROGRAM, MOUNT_V3, mountProcedures.MNT, '/home')
  return (result as { ok: { object: Buffer } }).ok.object
}

function nfs<N extends ProcedureName>(datagrams: RpcDatagrams, name: N, args: ArgsOf<N>, xid?: number) {
  type Table = { number: number; args: Xdr<ArgsOf<N>>; result: Xdr<ResultOf<N>> }
  return datagrams.ask(c.NFS_PROGRAM, c.NFS_V3, procedures[name] as unknown as Table, args, xid)
}

over('MOUNT is served, NFS only where it is asked for', {}, async (served, datagrams) => {
  assert.equal(await mount(datagrams), await (await served.connect()).mount('/home'))
  const call = { program: c.NFS_PROGRAM, version: c.NFS_V3, procedure: 0 }
  const reply = await datagrams.call(call)
  assert.equal(reply, { kind: 'accepted', status: 1, rest: Buffer.alloc(0) }, 'PROG_UNAVAIL')
  const mismatch = await datagrams.call({ program: MOUNT_PROGRAM, version: 1, procedure: 0 })
  assert.equal(mismatch?.kind === 'accepted' && mismatch.rest.toString('hex'), '0000000300000003')
})

over('an address that no export admits hears nothing', { clients: ['127.1.0.0/16'] }, async (served, datagrams) => {
  const call = { program: MOUNT_PROGRAM, version: MOUNT_V3, procedure: 0 }
  assert.is(await datagrams.call(call, SHORT_MS), undefined)
  const admitted = await RpcDatagrams.open(served.port, { localAddress: '127.1.2.3' })
  assert.is((await admitted.call(call))?.kind, 'success')
  admitted.close()
  assert.is(served.server.stats().datagrams.refused, 1)
})

over('what is no call is never answered; what is half a call is, when it can be', {}, async (_, datagrams) => {
  const call = encodeCall({ xid: 7, program: MOUNT_PROGRAM, version: MOUNT_V3, procedure: 1 })
  const reply = Buffer.from(call)
  reply.writeUInt32BE(1, 4)
  for (const datagram of [Buffer.alloc(0), Buffer.from('hello'), reply, call.subarray(0, 20), Buffer.alloc(2000, 0xff)])
    datagrams.send(datagram)
  await new Promise((resolve) => setTimeout(resolve, SHORT_MS))
  assert.is(datagrams.received, 0)
  const garbage = await datagrams.call({ program: MOUNT_PROGRAM, version: MOUNT_V3, procedure: 1 })
  assert.is(garbage?.kind === 'accepted' && garbage.status, 4, 'MNT without a path: GARBAGE_ARGS')
})

over(
  'NFS by UDP: short transfers, and a change that is asked twice is done once',
  { udp: true },
  async (_, datagrams) => {
    const root = await mount(datagrams)
    const made = await nfs(datagrams, 'CREATE', {
      dir: root,
      name: 'f',
      how: { kind: 0, value: { ...unset, mode: 0o644 } },
    })
    const object = (made as { ok: { object: Buffer } }).ok.object
    const data = Buffer.alloc(DATAGRAM_TRANSFER_MAX, 'x')
    for (const offset of [0, data.length])
      await nfs(datagrams, 'WRITE', { object, offset, count: data.length, stable: 2, data })
    const info = await nfs(datagrams, 'FSINFO', { object: root })
    assert.equal('ok' in info && info.ok && [info.ok.readMax, info.ok.writeMax], [data.length, data.length])
    const read = await nfs(datagrams, 'READ', { object, offset: 0, count: 1024 * 1024 })
    assert.ok('ok' in read && read.ok?.data.equals(data))
    const remove = () => nfs(datagrams, 'REMOVE', { dir: root, name: 'f' }, 99)
    assert.equal([(await remove()).status, (await remove()).status], [0, 0])
    assert.is((await nfs(datagrams, 'REMOVE', { dir: root, name: 'f' })).status, c.NFS3ERR_NOENT)
  },
)

over('a listing fits into a datagram', { udp: true }, async (served, datagrams) => {
  const client = await served.connect()
  const root = await client.mount('/home')
  for (let i = 0; i < 600; i++) await client.create(root, `${i}`.padStart(100, 'n'))
  const args = { dir: root, cookie: 0, verifier: Buffer.alloc(8), nameBytes: 1 << 20, replyBytes: 1 << 20 }
  const plus = await nfs(datagrams, 'READDIRPLUS', args)
  assert.ok('ok' in plus && plus.ok && plus.ok.entries.length > 50 && !plus.ok.eof)
  const plain = await nfs(datagrams, 'READDIR', { dir: root, cookie: 0, verifier: Buffer.alloc(8), count: 1 << 20 })
  assert.ok('ok' in plain && plain.ok && plain.ok.entries.length > 100 && !plain.ok.eof)
})

over(
  'what does not fit into a datagram is a system error',
  { clients: ['127.0.0.0/8', ...many()] },
  async (_, datagrams) => {
    const reply = await datagrams.call({
      program: MOUNT_PROGRAM,
      version: MOUNT_V3,
      procedure: mountProcedures.EXPORT.number,
    })
    assert.equal(reply, { kind: 'accepted', status: 5, rest: Buffer.alloc(0) })
  },
)

function many(): string[] {
  return Array.from({ length: 3000 }, (_, index) => `10.${index >> 8}.${index & 255}.0/24`)
}

over(
  'verbs that answer later are answered too',
  { fs: new MemoryFs({ asynchronous: true }), udp: true },
  async (served, datagrams) => {
    const root = await mount(datagrams)
    const made = { dir: root, name: 'd', attributes: unset }
    const [first, second] = await Promise.all([nfs(datagrams, 'MKDIR', made), nfs(datagrams, 'MKDIR', made)])
    assert.equal([first.status, second.status].sort(), [0, c.NFS3ERR_EXIST])
    assert.is(served.server.stats().inFlight, 0)
  },
)

test.run()
