import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT_INO } from '../../src/base/ids.ts'
import { KiB } from '../../src/base/units.ts'
import { durable, ROOT } from './calls.ts'
import { SimMatrix, type SimNode } from './matrix.ts'
import { SimWorld } from './world.ts'

test('a journal that is damaged before anybody has read it: the filesystem is marked in error, and the nodes live on without it', async () => {
  const world = new SimWorld(1)
  const matrix = new SimMatrix(world, { nodes: 3, fencing: ['kill'], journalBytes: 256 * KiB })
  await world.settle(matrix.format())
  const all = () => world.settle(Promise.all(matrix.nodes.map((node) => matrix.boot(node))))
  await all()
  const { fs } = (matrix.nodes[0] as SimNode).mount!
  for (let i = 0; i < 20; i++) {
    await world.settle(Promise.resolve(fs.create(ROOT, ROOT_INO, `f${i}`, { mode: 0o644 }, 'guarded')))
    await world.settle(durable(fs))
  }
  for (const node of matrix.nodes) matrix.crash(node)
  const [disk] = matrix.disks
  const at = matrix.layout.journalStart(0) + 512
  const sector = disk!.peek(at, 512)
  sector[40] = (sector[40] as number) ^ 1
  disk!.poke(at, sector)

  await all()
  assert.match((await world.settle(matrix.readError())) ?? 'sound', 'journal of slot 0 is damaged')
  const lives = matrix.nodes.map(({ host }) => host)
  await world.run(world.now + 20_000)
  assert.equal(
    matrix.nodes.map(({ host, core, mount }) => [host?.alive, core?.cluster.phase, mount]),
    lives.map(() => [true, 'member', undefined]),
  )
  assert.ok(matrix.nodes.every(({ host }, i) => host === lives[i]))
  for (const { host } of matrix.nodes) host?.crash()
})

test.run()
