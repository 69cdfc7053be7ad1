/** COH: an answered change is seen at every other node by the very next request. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Prng } from '../../../src/base/prng.ts'
import * as c from '../../../src/gateway-nfs/v3/constants.ts'
import type { NfsClient } from '../../helpers/nfs-client.ts'
import { unset } from '../../helpers/nfs-client.ts'
import { makeNfsMatrix } from '../../helpers/nfs-matrix.ts'

const ROUNDS = 600
const world = await makeNfsMatrix({ nodes: 3 })
const { clients, root } = world
const prng = new Prng(7)

/** Two different nodes. */
function pair(): [NfsClient, NfsClient] {
  const first = prng.below(3)
  return [clients[first]!, clients[(first + prng.between(1, 2)) % 3]!]
}

test(`COH1 ${ROUNDS} random changes, each read at another node by the next request (R64, R69, R74)`, async () => {
  const dir = await clients[0]!.mkdir(root, 'COH1')
  const files = new Map<string, { handle: Buffer; content: Buffer; mode: number }>()
  for (let round = 0; round < ROUNDS; round++) {
    const [at, other] = pair()
    const name = `f${prng.below(12)}`
    const file = files.get(name)
    const action = prng.below(5)
    if (!file) {
      files.set(name, { handle: await at.create(dir, name, 0o600), content: Buffer.alloc(0), mode: 0o600 })
      assert.equal(await other.lookup(dir, name), files.get(name)!.handle, `round ${round}`)
    } else if (action === 0) {
      await at.ok('REMOVE', { dir, name })
      assert.is(await other.status('LOOKUP', { dir, name }), c.NFS3ERR_NOENT, `round ${round}`)
      assert.is(await other.status('GETATTR', { object: file.handle }), c.NFS3ERR_STALE)
      files.delete(name)
    } else if (action === 1) {
      file.mode = prng.below(0o1000)
      await at.ok('SETATTR', { object: file.handle, attributes: { ...unset, mode: file.mode }, guardCtime: undefined })
      assert.is((await other.ok('GETATTR', { object: file.handle })).attributes.mode, file.mode, `round ${round}`)
    } else if (action === 2) {
      const to = `f${prng.below(12)}`
      await at.ok('RENAME', { fromDir: dir, fromName: name, toDir: dir, toName: to })
      assert.equal(await other.lookup(dir, to), file.handle, `round ${round}`)
      files.delete(name)
      files.set(to, file)
    } else {
      const offset = prng.below(20_000)
      const data = prng.bytes(prng.between(1, 9000))
      await at.write(file.handle, offset, data, prng.below(3))
      const size = Math.max(file.content.length, offset + data.length)
      file.content = Buffer.concat([file.content, Buffer.alloc(size - file.content.length)])
      data.copy(file.content, offset)
      assert.ok((await other.read(file.handle)).equals(file.content), `round ${round}`)
    }
  }
  for (const client of clients) {
    assert.equal((await client.list(dir)).sort(), ['.', '..', ...files.keys()].sort())
    for (const file of files.values()) assert.ok((await client.read(file.handle)).equals(file.content))
  }
})

test('COH2 many clients of all nodes create in one directory at once: nothing is lost, nothing doubled', async () => {
  const dir = await clients[0]!.mkdir(root, 'COH2')
  const wins = await Promise.all(
    Array.from({ length: 60 }, async (_, i) => {
      const how = { kind: 1, value: unset } as const
      const made = await clients[i % 3]!.status('CREATE', { dir, name: `n${i % 20}`, how })
      assert.ok(made === 0 || made === c.NFS3ERR_EXIST)
      return made === 0 ? 1 : 0
    }),
  )
  assert.is(
    wins.reduce<number>((sum, each) => sum + each, 0),
    20,
  )
  for (const client of clients) assert.is((await client.list(dir)).length, 22)
})

test('the filesystem is whole after all of this', async () => {
  assert.equal(await world.matrix.check(), [])
})

test.after(() => world.close())
test.run()
