/**
 * Reading and writing through several nodes against a model: what was answered at one node is what every other reads next
 * (R17, R19, R64–R76), and what locks and LUNs are spared (R71, R76).
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MatrixError } from '../../../src/base/errors.ts'
import { Prng } from '../../../src/base/prng.ts'
import type { MatrixFs } from '../../../src/metadata/index.ts'
import { type LocalMatrix, makeLocalMatrix } from '../../helpers/local-matrix.ts'
import { SimWorld } from '../../sim/world.ts'
import { codeOf, readAll, superuser } from '../../suites/posix-fs.ts'

async function newFile(fs: MatrixFs, name: string): Promise<number> {
  return (await fs.create(superuser, 1, name, { mode: 0o644 }, 'guarded')).inode.ino
}

/** LUN I/Os so far, all kinds. */
function ios(matrix: LocalMatrix): number {
  return matrix.luns.reduce((sum, lun) => sum + lun.reads + lun.writes + lun.flushes, 0)
}

test('small files stored anew at random nodes are read whole at every other, and their space comes back', async () => {
  for (const seed of [1, 2]) {
    const matrix = await makeLocalMatrix({ nodes: 3, dataCacheBytes: 1024 * 1024, seed })
    const prng = new Prng(seed)
    const fs = () => prng.pick(matrix.nodes).fs
    const models = new Map<string, Buffer>()
    for (let round = 0; round < 300; round++) {
      const name = `f${prng.below(5)}`
      const content = prng.bytes(prng.below(prng.pick([10, 5000, 65_536])))
      if (prng.chance(0.6)) {
        await fs().store(superuser, 1, name, content, { mode: 0o644 })
        models.set(name, content)
      } else if (models.has(name)) {
        const at = fs()
        const { inode } = await at.lookup(superuser, 1, name)
        if (prng.chance(0.3)) {
          await at.write(superuser, inode.ino, 'end', content, false)
          models.set(name, Buffer.concat([models.get(name) as Buffer, content]))
        } else {
          assert.ok(
            (await readAll(at, inode.ino)).equals(models.get(name) as Buffer),
            `seed ${seed} round ${round}: ${name}`,
          )
        }
      }
    }
    for (const { fs: each } of matrix.nodes) {
      await each.sync()
      assert.is(each.stats().reservedBlocks, 0, 'nothing is promised any more')
    }
    assert.equal(await matrix.check(), [])
    await matrix.close()
  }
})

test('random writes, truncations and reads at random nodes agree with a model (R19, R64, R69)', async () => {
  for (const seed of [1, 2, 3, 4]) {
    // a tiny cache, so that eviction and loading are part of it
    const matrix = await makeLocalMatrix({ nodes: 3, dataCacheBytes: 1024 * 1024, seed })
    const prng = new Prng(seed)
    const fs = () => prng.pick(matrix.nodes).fs
    const models = new Map<number, Buffer>()
    for (let i = 0; i < 3; i++) models.set(await newFile(fs(), `f${i}`), Buffer.alloc(0))
    for (let round = 0; round < 400; round++) {
      const ino = prng.pick([...models.keys()])
      const model = models.get(ino) as Buffer
      const dice = prng.below(10)
      if (dice < 5) {
        const offset = prng.below(prng.pick([10, 5000, 70_000, 900_000]))
        const data = prng.bytes(1 + prng.below(prng.pick([10, 5000, 200_000])))
        await fs().write(superuser, ino, offset, data, prng.chance(0.4))
        const grown = Buffer.alloc(Math.max(model.length, offset + data.length))
        model.copy(grown)
        data.copy(grown, offset)
        models.set(ino, grown)
      } else if (dice < 6) {
        const size = prng.below(prng.pick([10, 9000, 300_000]))
        await fs().setattr(superuser, ino, { size })
        const cut = Buffer.alloc(size)
        model.copy(cut)
        models.set(ino, cut)
      } else if (dice < 7) {
        await fs().commitFile(ino)
      } else {
        const offset = prng.below(model.length + 100)
        const length = prng.below(300_000)
        const { pieces, inode } = await fs().read(superuser, ino, offset, length)
        const got = Buffer.concat(pieces)
        assert.is(inode.size, model.length, `seed ${seed} round ${round}: size`)
        assert.ok(got.equals(model.subarray(offset, offset + length)), `seed ${seed} round ${round}: content`)
      }
    }
    for (const [ino, model] of models) assert.ok((await readAll(fs(), ino)).equals(model), `seed ${seed}: at the end`)
    assert.equal(await matrix.check(), [])
    await matrix.close()
  }
})

test('what a slow read of the LUN brings is older than what was written, cleaned and evicted meanwhile, and is not kept', async () => {
  const matrix = await makeLocalMatrix({ nodes: 1, dataCacheBytes: 1024 * 1024 })
  const { fs } = matrix.nodes[0]!
  const [ino, other] = [await newFile(fs, 'f'), await newFile(fs, 'other')]
  const [old, fresh] = [Buffer.alloc(65_536, 1), Buffer.alloc(65_536, 2)]
  const evict = async () => {
    for (let i = 0; i < 48; i++) await fs.read(superuser, other, i * 65_536, 65_536)
  }
  for (let i = 0; i < 48; i++) await fs.write(superuser, other, i * 65_536, Buffer.alloc(65_536, 9), true)
  await fs.write(superuser, ino, 0, old, true)
  await evict()
  // reads of old content take long from now on
  const waiting: (() => void)[] = []
  for (const lun of matrix.luns) {
    const read = lun.read.bind(lun)
    lun.read = async (offset, buffer) => {
      await read(offset, buffer)
      if (buffer.length === old.length && buffer.equals(old)) await new Promise<void>((arrive) => waiting.push(arrive))
    }
  }
  const reading = fs.read(superuser, ino, 0, old.length)
  while (waiting.length === 0) await new Promise((resolve) => setImmediate(resolve))
  await fs.write(superuser, ino, 0, fresh, true)
  await evict()
  for (const arrive of waiting) arrive()
  await reading
  assert.ok((await readAll(fs, ino)).equals(fresh), 'the old content is back')
  await matrix.close()
})

test('a write answered at one node is read at every other by the next request (R17, R74)', async () => {
  const matrix = await makeLocalMatrix({ nodes: 3 })
  const prng = new Prng(7)
  const ino = await newFile(matrix.nodes[0]!.fs, 'f')
  for (let round = 0; round < 300; round++) {
    const text = Buffer.from(`round ${round} `.padEnd(20))
    await prng.pick(matrix.nodes).fs.write(superuser, ino, 0, text, prng.chance(0.5))
    const { pieces } = await prng.pick(matrix.nodes).fs.read(superuser, ino, 0, 20)
    assert.is(Buffer.concat(pieces).toString(), text.toString())
  }
  await matrix.close()
})

test('a file that many overwrite and commit at all nodes at once goes from node to node clean, and none halts', async () => {
  for (const seed of [1, 2, 3]) {
    const world = new SimWorld(seed)
    const history = async () => {
      const matrix = await makeLocalMatrix({ nodes: 3, clock: world, seed })
      const ino = await newFile(matrix.nodes[0]!.fs, 'f')
      await matrix.nodes[0]!.fs.write(superuser, ino, 0, Buffer.alloc(16_384), true)
      const client = async (fs: MatrixFs, prng: Prng) => {
        for (let round = 0; round < 60; round++) {
          const dice = prng.float()
          if (dice < 0.6) await fs.write(superuser, ino, 4096 * prng.below(4), prng.bytes(64), prng.chance(0.7))
          else if (dice < 0.8) await fs.commitFile(ino)
          else await fs.read(superuser, ino, 0, 16_384)
        }
      }
      await Promise.all(matrix.nodes.flatMap(({ fs }) => [1, 2, 3, 4].map(() => client(fs, world.prng.fork()))))
      assert.equal(await matrix.check(), [])
      await matrix.close()
    }
    await world.settle(history())
  }
})

test('a repeated unstable write of a node that has the lock makes no message and no LUN I/O (R76)', async () => {
  const matrix = await makeLocalMatrix({ nodes: 2 })
  const { fs } = matrix.nodes[0]!
  const ino = await newFile(fs, 'f')
  await fs.write(superuser, ino, 0, Buffer.alloc(100_000, 'a'), false)
  const before = [matrix.messages(), matrix.luns[0]!.writes, matrix.luns[0]!.flushes]
  for (let i = 0; i < 20; i++) {
    const answer = fs.write(superuser, ino, i * 100, Buffer.alloc(100, 'b'), false)
    assert.not.instance(answer, Promise, 'it is answered at once')
  }
  assert.equal([matrix.messages(), matrix.luns[0]!.writes, matrix.luns[0]!.flushes], before)
  await matrix.close()
})

test('a read of what the cache holds reads no LUN and is answered at once (R10, R71)', async () => {
  const matrix = await makeLocalMatrix({ nodes: 2 })
  const ino = await newFile(matrix.nodes[0]!.fs, 'f')
  await matrix.nodes[0]!.fs.write(superuser, ino, 0, Buffer.alloc(300_000, 'a'), true)
  const { fs } = matrix.nodes[1]!
  await readAll(fs, ino)
  const before = ios(matrix)
  for (let i = 0; i < 10; i++) {
    assert.not.instance(fs.read(superuser, ino, i * 1000, 100_000), Promise)
    assert.not.instance(fs.getattr(ino), Promise)
  }
  assert.is(ios(matrix), before)
  await matrix.close()
})

test('cleaning writes dirty data and keeps the lock (R75)', async () => {
  const matrix = await makeLocalMatrix({ nodes: 2 })
  const { fs } = matrix.nodes[0]!
  const ino = await newFile(fs, 'f')
  await fs.write(superuser, ino, 0, Buffer.alloc(100_000, 'a'), false)
  assert.is(fs.stats().dirtyInodes, 1)
  await fs.sync()
  assert.is(fs.stats().dirtyBytes, 0)
  const messages = matrix.messages()
  assert.not.instance(fs.write(superuser, ino, 0, Buffer.from('b'), false), Promise)
  assert.is(matrix.messages(), messages)
  await matrix.close()
})

test('a failed read of the LUN is an error for its reader and for nobody else (R68)', async () => {
  const matrix = await makeLocalMatrix({ nodes: 2 })
  const ino = await newFile(matrix.nodes[0]!.fs, 'f')
  await matrix.nodes[0]!.fs.write(superuser, ino, 0, Buffer.alloc(100_000, 'a'), true)
  const { fs } = matrix.nodes[1]!
  await fs.getattr(ino)
  const lun = matrix.luns[0]!
  lun.onIo = ({ op }) => {
    if (op === 'read') throw new MatrixError('lun-io', 'a test wants this read to fail')
  }
  assert.is(await codeOf(() => fs.read(superuser, ino, 0, 10)), 'EIO')
  lun.onIo = undefined
  assert.is((await readAll(fs, ino)).length, 100_000)
  await matrix.close()
})

test('a failed write to the LUN loses nothing: the data stays dirty and goes with the next try', async () => {
  const matrix = await makeLocalMatrix({ nodes: 1 })
  const { fs } = matrix.nodes[0]!
  const ino = await newFile(fs, 'f')
  const data = new Prng(3).bytes(500_000)
  await fs.write(superuser, ino, 0, data, false)
  const lun = matrix.luns[0]!
  for (let nth = 1; ; nth++) {
    let seen = 0
    lun.onIo = ({ purpose, op }) => {
      if ((purpose === 'data' || op === 'flush') && ++seen === nth)
        throw new MatrixError('lun-io', 'a test wants this to fail')
    }
    const code = await codeOf(() => fs.commitFile(ino))
    if (code === 'none') {
      assert.ok(seen < nth && nth > 2, 'some I/Os have failed before')
      break
    }
    assert.is(code, 'EIO')
    assert.ok((await readAll(fs, ino)).equals(data))
  }
  lun.onIo = undefined
  assert.is(fs.stats().reservedBlocks, 0)
  assert.ok((await readAll(fs, ino)).equals(data))
  assert.equal(await matrix.check(), [])
  await matrix.close()
})

test('an overwrite whose flush failed is not stable: a later commit flushes again before it says so', async () => {
  const matrix = await makeLocalMatrix({ nodes: 2 })
  const [{ fs }] = matrix.nodes as [(typeof matrix.nodes)[number]]
  const ino = await newFile(fs, 'f')
  await fs.write(superuser, ino, 0, Buffer.alloc(8192, 'a'), true)
  const [lun] = matrix.luns as [(typeof matrix.luns)[number]]
  let flushes = 0
  lun.onIo = ({ op }) => {
    if (op !== 'flush') return
    flushes++
    throw new MatrixError('lun-io', 'the cache of the device is gone')
  }
  assert.is(await codeOf(() => fs.write(superuser, ino, 0, Buffer.alloc(4096, 'b'), true)), 'EIO')
  assert.is(await codeOf(() => fs.commitFile(ino)), 'EIO')
  assert.ok(flushes >= 2)
  lun.onIo = undefined
  const before = lun.flushes
  await fs.commitFile(ino)
  assert.ok(lun.flushes > before, 'flushed before it was called stable')
  await fs.commitFile(ino)
  const other = matrix.nodes[1]?.fs as MatrixFs
  assert.is((await readAll(other, ino)).toString('latin1', 4000, 4100), 'b'.repeat(96) + 'a'.repeat(4))
  await matrix.close()
})

test.run()
