/** A node that halts says so on the disk, so that nobody has to wait until its lease has run out: but only once nothing of it is under way. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT_INO } from '../../src/base/ids.ts'
import { SECTOR_SIZE } from '../../src/base/limits.ts'
import { KiB } from '../../src/base/units.ts'
import type { MatrixFs } from '../../src/metadata/index.ts'
import { decodeLease } from '../../src/san/lease-sector.ts'
import { leaseOffset } from '../../src/san/lun-layout.ts'
import { durable, ROOT } from './calls.ts'
import { SimMatrix, type SimNode } from './matrix.ts'
import { SimWorld } from './world.ts'

/** Two nodes that serve, fencing by lease alone. */
async function twoNodes(): Promise<SimMatrix> {
  const world = new SimWorld(7)
  const matrix = new SimMatrix(world, { nodes: 2, fencing: ['lease'], journalBytes: 256 * KiB })
  await world.settle(matrix.format())
  await world.settle(Promise.all(matrix.nodes.map((node) => matrix.boot(node))))
  await world.run(world.now + 10_000, () => matrix.whole)
  assert.ok(matrix.whole)
  return matrix
}

function stateOf(matrix: SimMatrix, slot: number): string | undefined {
  return decodeLease(slot, matrix.disks[0]?.peek(leaseOffset(slot), SECTOR_SIZE) as Buffer)?.state
}

test('a node that halts gives its lease back, and is taken over without a wait for its end', async () => {
  const matrix = await twoNodes()
  const { world, timings, nodes } = matrix
  const [one, other] = nodes
  const haltedAt = world.now
  one?.core?.halt('for the test')
  await world.run(world.now + 100)
  assert.is(stateOf(matrix, 0), 'clean')
  await world.run(
    haltedAt + timings.observedDeadMs,
    () => other?.core?.cluster.mesh.view?.members.length === 1 && other?.mount?.state === 'serving',
  )
  assert.is(other?.mount?.state, 'serving')
  assert.ok(world.now - haltedAt < timings.leaseMs, `taken over after ${world.now - haltedAt} ms`)
})

test('while a write of it is under way it does not say so', async () => {
  const matrix = await twoNodes()
  const { world, timings, nodes, disks } = matrix
  const core = nodes[0]?.core
  let slow = 0
  for (const disk of disks) {
    disk.faults.add(({ host, purpose }) => {
      if (host !== 'n1' || purpose !== 'journal') return undefined
      slow++
      return { slowMs: timings.ioTimeoutMs / 2 }
    })
  }
  const first = disks[0]
  assert.ok(first && core)
  const { onLanded } = first
  const { host } = nodes[0] as SimNode
  /** Writes of its main thread under way when it said so. */
  let underWay: number | undefined
  first.onLanded = (write) => {
    onLanded?.(write)
    if (write.host === 'n1' && stateOf(matrix, 0) === 'clean') underWay ??= host?.writesUnderWay
  }
  const fs = core.mounts[0]?.fs as MatrixFs
  void (async () => {
    await fs.mkdir(ROOT, ROOT_INO, 'sub', { mode: 0o755 })
    await durable(fs)
  })().catch(() => {}) // nobody is told: the node halts while it is under way
  await world.run(world.now + timings.ioTimeoutMs, () => slow > 0)
  assert.ok(slow > 0, 'a write of the journal is under way')
  core.halt('for the test')
  await world.run(world.now + timings.ioTimeoutMs)
  assert.is(underWay, 0, 'it has given its lease back, with nothing under way')
})

test('a node whose lease ran out without a word from the thread that kept it halts all the same', async () => {
  const matrix = await twoNodes()
  const { world, timings, nodes } = matrix
  const [one, other] = nodes
  const [thread] = one?.host?.threads ?? []
  assert.ok(thread && other)
  thread.crash()
  await world.run(world.now + timings.leaseMs - timings.renewMs - 1)
  assert.not(one?.core?.halted, 'its lease is good')
  await world.run(world.now + 3 * timings.renewMs)
  assert.ok(one?.core?.halted)
  await world.run(world.now + 2 * timings.observedDeadMs, () => other.mount?.state === 'serving')
  assert.is(other.mount?.state, 'serving')
})

test.run()
