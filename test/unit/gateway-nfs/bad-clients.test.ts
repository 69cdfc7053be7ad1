/** Clients that vanish, flood, hoard connections or make handles up: each harms nobody but itself. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Prng } from '../../../src/base/prng.ts'
import { makeExport } from '../../../src/export/index.ts'
import * as c from '../../../src/gateway-nfs/v3/constants.ts'
import { procedures } from '../../../src/gateway-nfs/v3/tables.ts'
import { MemoryFs } from '../../helpers/memory-fs.ts'
import { encodeCall, encodeWith, marked, NfsClient, unset } from '../../helpers/nfs-client.ts'
import { type Served, serve } from '../../helpers/nfs-served.ts'
import { RpcDatagrams } from '../../helpers/rpc-datagrams.ts'

const turn = (ms = 20) => new Promise((resolve) => setTimeout(resolve, ms))

/** Resolves once it is so; rejects when it never is. */
async function until(isSo: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    if (isSo()) return
    await turn()
  }
  throw new Error('it never was so')
}

/** Another client works all the time while `bad` goes on; gives how often it was served. */
async function meanwhile(served: Served, bad: () => Promise<void>): Promise<number> {
  const good = await NfsClient.connect(served.port, { localAddress: '127.0.0.77' })
  good.user = { uid: 0, gid: 0 }
  const root = await good.mount('/home')
  let rounds = 0
  let over = false
  const work = (async () => {
    while (!over || rounds < 3) {
      await good.create(root, `good-${rounds}`)
      assert.is((await good.list(root)).filter((name) => name.startsWith('good-')).length, rounds + 1)
      await good.ok('REMOVE', { dir: root, name: `good-${rounds}` })
      await good.create(root, `good-${rounds}`)
      rounds++
      await turn(5)
    }
  })()
  try {
    await bad()
  } finally {
    over = true
    await work
    await good.close()
  }
  return rounds
}

function bad(name: string, run: (served: Served) => Promise<void>, options: Parameters<typeof serve>[1] = {}): void {
  test(name, async () => {
    const memory = new MemoryFs({ asynchronous: true })
    const served = await serve(memory.fs, options)
    try {
      assert.ok((await meanwhile(served, () => run(served))) >= 3)
    } finally {
      await served.close()
    }
  })
}

bad('a thousand connections that say nothing, or half of something', async (served) => {
  const clients = await Promise.all(Array.from({ length: 1000 }, () => NfsClient.connect(served.port)))
  const half = marked(encodeCall({ xid: 1, program: c.NFS_PROGRAM, version: 3, procedure: 0 })).subarray(0, 20)
  for (const [index, client] of clients.entries()) if (index % 2) client.socket.write(half)
  await until(() => served.server.stats().connections === 1001)
  for (const client of clients) client.socket.resetAndDestroy()
  await until(() => served.server.stats().connections === 1)
})

bad(
  'an address with more connections than it may have loses the last, not those of others',
  async (served) => {
    const clients = await Promise.all(Array.from({ length: 6 }, () => NfsClient.connect(served.port)))
    await Promise.all(clients.slice(4).map((client) => client.closed))
    assert.is((await clients[0]!.rpc(c.NFS_PROGRAM, 3, 0)).kind, 'success')
    assert.ok(served.lines.some(({ message }) => /too many of this address/.test(message)))
    await clients[0]!.close()
    await turn()
    const next = await NfsClient.connect(served.port)
    assert.is((await next.rpc(c.NFS_PROGRAM, 3, 0)).kind, 'success', 'there is room again')
    for (const client of [...clients, next]) await client.close()
  },
  { limits: { connectionsPerAddress: 4 } },
)

bad('a flood of requests whose answers nobody reads is held back', async (served) => {
  const client = await served.connect()
  const root = await client.mount('/home')
  const file = await client.create(root, 'large')
  await client.write(file, 0, Buffer.alloc(1024 * 1024, 'x'))
  client.socket.pause()
  const args = encodeWith(procedures.READ.args, { object: file, offset: 0, count: 1024 * 1024 })
  const call = marked(
    encodeCall({ xid: 1, program: c.NFS_PROGRAM, version: 3, procedure: 6, user: { uid: 0, gid: 0 }, args }),
  )
  const flood = Buffer.concat(Array.from({ length: 500 }, () => call))
  for (let i = 0; i < 20; i++) client.socket.write(flood)
  await turn(500)
  assert.ok(served.server.stats().inFlight <= 256)
  const { arrayBuffers } = process.memoryUsage()
  assert.ok(arrayBuffers < 256 * 1024 * 1024, `${arrayBuffers} bytes in buffers`)
  client.socket.resetAndDestroy()
})

bad('a flood of datagrams, wrong ones among them', async (served) => {
  const datagrams = await RpcDatagrams.open(served.port)
  const prng = new Prng(3)
  for (let i = 0; i < 5000; i++) {
    const record = encodeCall({ xid: i, program: 100_005, version: 3, procedure: i % 7 })
    datagrams.send(i % 2 ? record : prng.bytes(prng.below(200)))
    if (i % 500 === 0) await turn(2)
  }
  await turn(200)
  assert.ok(await datagrams.call({ program: 100_005, version: 3, procedure: 0 }), 'it is answered after all')
  datagrams.close()
})

bad('clients that vanish in the middle of changes', async (served) => {
  for (let i = 0; i < 50; i++) {
    const client = await served.connect()
    const root = await client.mount('/home')
    for (const name of ['a', 'b', 'c'])
      client.call('MKDIR', { dir: root, name: `${name}${i}`, attributes: unset }).catch(() => {})
    if (i % 2) await turn(1)
    client.socket.resetAndDestroy()
  }
  await turn(100)
  assert.ok(served.server.stats().inFlight <= 1, 'nothing is left but the work of the other')
})

bad('handles that are stale, foreign, of another export, or made up', async (served) => {
  served.exports = [
    ...served.exports,
    makeExport({ path: '/theirs', fs: new MemoryFs().fs, clients: ['10.0.0.0/8'], squash: 'no_root_squash' }),
  ]
  const client = await served.connect()
  const root = await client.mount('/home')
  const prng = new Prng(5)
  for (let i = 0; i < 300; i++) {
    const object = Buffer.from(root)
    // its version, filesystem and export: another inode's number is as good as any, and is asked for its permissions
    for (let changes = prng.between(1, 4); changes > 0; changes--) object[prng.below(12)] = prng.below(256)
    if (object.equals(root)) continue
    for (const status of [
      await client.status('GETATTR', { object }),
      await client.status('REMOVE', { dir: object, name: 'good-0' }),
      await client.status('SETATTR', { object, attributes: { ...unset, mode: 0 }, guardCtime: undefined }),
    ])
      assert.ok([c.NFS3ERR_STALE, c.NFS3ERR_BADHANDLE, c.NFS3ERR_ACCES].includes(status), `status ${status}`)
  }
})

test.run()
