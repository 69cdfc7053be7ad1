/**
 * MUT: valid calls with a few bytes changed, thousands of them: each is answered, or the connection closes; the nodes go on and
 * the filesystem stays whole. A failing run prints its seed.
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Prng } from '../../../src/base/prng.ts'
import { NFS_PROGRAM } from '../../../src/gateway-nfs/v3/constants.ts'
import { type ProcedureName, procedures } from '../../../src/gateway-nfs/v3/tables.ts'
import type { Xdr } from '../../../src/gateway-nfs/xdr/types.ts'
import { encodeCall, encodeWith, marked, type NfsClient, type RpcReply, unset } from '../../helpers/nfs-client.ts'
import { makeNfsMatrix } from '../../helpers/nfs-matrix.ts'

const CALLS = 3000
const SEED = Number(process.env['MATRIXFS_SEED'] ?? 11)

const world = await makeNfsMatrix({ nodes: 2 })
const { root, served } = world
const prng = new Prng(SEED)

/** One good call of every procedure. */
async function goodCalls(): Promise<[ProcedureName, Buffer][]> {
  const dir = await world.any().mkdir(root, 'MUT', 0o777)
  const file = await world.any().create(dir, 'file')
  const names = { dir, name: 'file' }
  const none = Buffer.alloc(8)
  const args: { [N in ProcedureName]?: unknown } = {
    GETATTR: { object: file },
    SETATTR: { object: file, attributes: { ...unset, mode: 0o600, size: 4 }, guardCtime: { s: 1, ns: 2 } },
    LOOKUP: names,
    ACCESS: { object: file, access: 63 },
    READLINK: { object: file },
    READ: { object: file, offset: 0, count: 100 },
    WRITE: { object: file, offset: 3, count: 5, stable: 0, data: Buffer.from('hello') },
    CREATE: { ...names, how: { kind: 0, value: { ...unset, mode: 0o644 } } },
    MKDIR: { dir, name: 'sub', attributes: unset },
    SYMLINK: { dir, name: 'link', attributes: unset, target: 'file' },
    MKNOD: { dir, name: 'fifo', what: { kind: 7, value: { attributes: unset } } },
    REMOVE: names,
    RMDIR: { dir, name: 'sub' },
    RENAME: { fromDir: dir, fromName: 'file', toDir: dir, toName: 'renamed' },
    LINK: { object: file, dir, name: 'linked' },
    READDIR: { dir, cookie: 0, verifier: none, count: 1000 },
    READDIRPLUS: { dir, cookie: 0, verifier: none, nameBytes: 1000, replyBytes: 4000 },
    FSSTAT: { object: root },
    FSINFO: { object: root },
    PATHCONF: { object: root },
    COMMIT: { object: file, offset: 0, count: 0 },
  }
  return Object.entries(args).map(([name, value]) => {
    const procedure = name as ProcedureName
    return [procedure, encodeWith(procedures[procedure].args as Xdr<unknown>, value)]
  })
}

/** Some words replaced: by anything, by a small number, by a very large one. */
function mutate(args: Buffer): Buffer {
  const copy = Buffer.from(args)
  for (let count = prng.between(0, 3); count > 0; count--) {
    const at = prng.below(Math.max(1, copy.length >> 2)) * 4
    if (at + 4 > copy.length) break
    copy.writeUInt32BE(
      prng.pick([prng.uint32(), prng.below(16), 0xffffffff, 0x80000000, 1 << prng.below(31)]) >>> 0,
      at,
    )
  }
  return prng.chance(0.1) ? copy.subarray(0, prng.below(copy.length + 1) & ~3) : copy
}

test(`MUT1 ${CALLS} calls with changed bytes, seed ${SEED}`, async () => {
  const good = await goodCalls()
  const clients: NfsClient[] = await Promise.all(served.map((each) => each.connect()))
  let [sent, answered] = [0, 0]
  for (let done = 0; done < CALLS; ) {
    const index = prng.below(served.length)
    let client = clients[index]!
    if (client.socket.destroyed) client = clients[index] = await served[index]!.connect()
    const batch: Promise<RpcReply | undefined>[] = []
    const records: Buffer[] = []
    for (let i = prng.between(1, 20); i > 0; i--, done++) {
      const [procedure, args] = prng.pick(good)
      const xid = client.nextXid()
      const { number } = procedures[procedure]
      const user = { uid: prng.below(3), gid: prng.below(3) }
      const record = encodeCall({ xid, program: NFS_PROGRAM, version: 3, procedure: number, user, args: mutate(args) })
      sent++
      records.push(marked(record))
      batch.push(client.reply(xid).catch(() => undefined))
    }
    client.socket.write(Buffer.concat(records))
    const late = new Promise<never>((_, reject) => {
      setTimeout(reject, 10_000, new Error(`call ${done} of seed ${SEED} was not answered`)).unref()
    })
    for (const reply of await Promise.race([Promise.all(batch), late])) if (reply) answered++
  }
  assert.is(answered, sent, 'arguments alone never close a connection')
  for (const client of world.clients) await client.ok('GETATTR', { object: root })
  for (const each of served) {
    assert.equal(
      each.lines.filter((line) => line.level === 'error'),
      [],
    )
  }
})

test('the filesystem is whole after all of this', async () => {
  assert.equal(await world.matrix.check(), [])
})

test.after(() => world.close())
test.run()
