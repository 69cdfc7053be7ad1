import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../src/base/errors.ts'
import { ROOT_INO } from '../../src/base/ids.ts'
import { KiB } from '../../src/base/units.ts'
import { durable, ROOT } from './calls.ts'
import { Coverage } from './coverage.ts'
import { SimMatrix, type SimNode } from './matrix.ts'
import { SimWorld } from './world.ts'

const test = suite('sim: a node that cannot read what the others have in their images')

/** Three nodes with some files, of which all three know; the third is away. */
async function scene(seed: number) {
  const world = new SimWorld(seed)
  const coverage = new Coverage()
  const matrix = new SimMatrix(world, { nodes: 3, fencing: ['kill'], journalBytes: 256 * KiB, coverage })
  await world.settle(matrix.format())
  const [n1, n2, n3] = matrix.nodes as [SimNode, SimNode, SimNode]
  await world.settle(Promise.all(matrix.nodes.map((node) => matrix.boot(node))))
  const write = async (node: SimNode, name: string) => {
    const { fs } = node.mount!
    for (let i = 0; i < 20; i++)
      await world.settle(Promise.resolve(fs.create(ROOT, ROOT_INO, `${name}${i}`, { mode: 0o644 }, 'guarded')))
    await world.settle(durable(fs))
  }
  await write(n3, 'c')
  await world.settle(matrix.compareImages())
  await world.settle(matrix.stop(n3))
  await world.run(world.now + 2000)
  const [disk] = matrix.disks
  const spoil = (at: number) => {
    const sector = disk!.peek(at, 512)
    sector[40] = (sector[40] as number) ^ 1
    disk!.poke(at, sector)
  }
  const spoilCheckpoints = () => {
    for (const { slot } of matrix.nodes) for (const half of [0, 1]) spoil(matrix.layout.checkpointStart(slot, half))
  }
  /** The third comes back, again and again as its supervisor has it; resolves once all serve, or after `limitMs`. */
  const comesBack = async (limitMs: number) => {
    const until = world.now + limitMs
    let lives = 0
    while (world.now < until && !matrix.whole) {
      if (!n3.host?.alive) {
        lives++
        void matrix.boot(n3).catch(() => n3.host?.crash())
      }
      await world.run(world.now + 100)
    }
    return lives
  }
  const end = () => {
    for (const { host } of matrix.nodes) host?.crash()
  }
  return { world, matrix, n1, n2, n3, write, spoil, spoilCheckpoints, comesBack, coverage, end, disk: disk! }
}

test('every checkpoint is damaged: a member with an image publishes one, and the new node serves', async () => {
  const { world, matrix, spoilCheckpoints, comesBack, end } = await scene(1)
  spoilCheckpoints()
  const lives = await comesBack(20_000)
  assert.ok(matrix.whole, 'all serve')
  assert.is(lives, 1)
  assert.equal(await world.settle(matrix.compareImages()), [])
  end()
})

test('a frame that only the new node has to read is damaged: it starts from a checkpoint beyond it', async () => {
  const { world, matrix, spoil, comesBack, end } = await scene(2)
  spoil(matrix.layout.journalStart(2) + 512)
  const lives = await comesBack(20_000)
  assert.ok(matrix.whole, 'all serve')
  assert.is(lives, 1)
  assert.equal(await world.settle(matrix.compareImages()), [])
  end()
})

test('while the administrator has a checkpoint made, nobody publishes one by a lock that is cached', async () => {
  const { world, n1, end } = await scene(3)
  const mount = n1.mount!
  await world.settle(mount.checkpoint())
  const sequence = () => mount.volume.newestPublished?.sequence as number
  const before = sequence()
  await world.settle(mount.holdCheckpoints())
  const error = await world.settle(mount.checkpoint().catch((caught) => caught))
  assert.ok(isMatrixError(error, 'view-changed'), String(error))
  await world.settle(mount.publishHeld())
  assert.is(sequence(), before + 1)
  await world.settle(Promise.all([mount.resume(n1.core!.cluster.mesh.view!, new Map()), world.run(world.now + 1000)]))
  await world.settle(mount.checkpoint())
  assert.is(sequence(), before + 2)
  end()
})

test.run()
