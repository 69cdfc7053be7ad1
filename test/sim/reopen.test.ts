// time limit: 120 s
/**
 * Whole matrices with the product's own timings and fencing by lease alone: what goes on between the death of a node and its fence, 14 s
 * later, and what waits.
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT_INO } from '../../src/base/ids.ts'
import { KiB } from '../../src/base/units.ts'
import { durable, ROOT } from './calls.ts'
import { Coverage } from './coverage.ts'
import { SimMatrix, type SimNode } from './matrix.ts'
import { SimWorld } from './world.ts'

/** From a death (its connections are reset) until locks that have nothing to do with it go from node to node again, ms. */
const SERVICE_MS = 2000

async function started(seed: number, coverage: Coverage) {
  const world = new SimWorld(seed)
  const matrix = new SimMatrix(world, {
    nodes: 3,
    fencing: ['lease'],
    journalBytes: 256 * KiB,
    ioTimeoutMs: 2000,
    coverage,
  })
  await world.settle(matrix.format())
  await world.settle(Promise.all(matrix.nodes.map((node) => matrix.boot(node))))
  return { world, matrix }
}

function fsOf(node: SimNode) {
  assert.ok(node.mount, `${node.name} serves`)
  return node.mount.fs
}

for (const [victim, who] of [
  [2, 'a member'],
  [0, 'the administrator'],
] as const) {
  test(`${who} dies: locks that it did not hold go from node to node within 2 s; those it held, after its fence`, async () => {
    const coverage = new Coverage()
    const { world, matrix } = await started(victim + 1, coverage)
    const [first, second] = matrix.nodes.filter(({ slot }) => slot !== victim) as [SimNode, SimNode]
    const dead = matrix.nodes[victim] as SimNode
    const create = async (node: SimNode, name: string) => {
      const { ino } = (
        await world.settle(Promise.resolve(fsOf(node).create(ROOT, ROOT_INO, name, { mode: 0o644 }, 'guarded')))
      ).inode
      await world.settle(durable(fsOf(node)))
      return ino
    }
    const held = await create(dead, 'held')
    const free = await create(first, 'free')
    matrix.crash(dead)
    const diedAt = world.now
    const change = async (node: SimNode, ino: number, mode: number) => {
      await fsOf(node).setattr(ROOT, ino, { mode })
      await durable(fsOf(node))
    }
    const waits = change(first, held, 0o600)
    let over = false
    waits.then(() => (over = true))
    for (let mode = 0o600; mode < 0o610; mode++) await world.settle(change(mode % 2 ? first : second, free, mode))
    assert.is(matrix.writes.fences, 0)
    assert.not(over)
    assert.ok(world.now - diedAt < SERVICE_MS, `served after ${world.now - diedAt} ms`)
    assert.ok((coverage.counts['lock granted before the fence'] ?? 0) >= 6)
    await world.settle(waits, 60_000)
    assert.ok(matrix.writes.fences >= 1)
    assert.ok(world.now - diedAt > matrix.timings.leaseMs)
    for (const node of [first, second])
      assert.is((await world.settle(Promise.resolve(fsOf(node).getattr(held)))).mode, 0o600)
    assert.equal(await world.settle(matrix.compareImages()), [])
    for (const node of matrix.nodes) node.host?.crash()
  })
}

test.run()
