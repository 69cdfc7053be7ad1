import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KiB } from '../../src/base/units.ts'
import { formatLun, readLabel } from '../../src/san/index.ts'
import { SimLun } from './lun.ts'
import { SimMatrix, type SimNode } from './matrix.ts'
import { SimHost, SimWorld } from './world.ts'

const test = suite('sim: the probe of every LUN')

async function scene(seed: number) {
  const world = new SimWorld(seed)
  const matrix = new SimMatrix(world, { nodes: 3, fencing: ['kill'], journalBytes: 256 * KiB })
  await world.settle(matrix.format())
  await world.settle(Promise.all(matrix.nodes.map((node) => matrix.boot(node))))
  const rounds = (count: number) => world.run(world.now + count * matrix.timings.probeMs)
  const stateAt = (node: SimNode) => node.core?.counters().lunStates['lun2']
  const end = () => {
    for (const { host } of matrix.nodes) host?.crash()
  }
  return { world, matrix, rounds, stateAt, end }
}

test('a LUN that one node has lost is known to all before anybody needs it, and so is its return', async () => {
  const { matrix, rounds, stateAt, end } = await scene(1)
  await rounds(2)
  const gone = ({ host }: { host: string }) => (host === 'n2' ? ('error' as const) : undefined)
  matrix.disks[1]!.faults.add(gone)
  await rounds(4)
  matrix.disks[1]!.faults.delete(gone)
  assert.match(JSON.stringify(stateAt(matrix.nodes[1]!)), /"state":"failing","reason":".*injected fault"/)
  assert.equal(stateAt(matrix.nodes[0]!), { state: 'up' })
  await rounds(5)
  assert.equal(stateAt(matrix.nodes[1]!), { state: 'up' })
  for (const { name, core, mount } of matrix.nodes) {
    assert.is(mount?.state, 'serving', `${name} serves: nothing has needed that LUN`)
    const news = core!.timeline.entries.filter(({ step }) => step === 'LUN lun2')
    assert.equal(
      news.map(({ node, outcome }) => `${node} ${outcome.split(':')[0]}`),
      ['n2 up → failing', 'n2 failing → up'],
    )
  }
  end()
})

test('a LUN that is another one now is left by every node, before it has written there', async () => {
  const { world, matrix, rounds, end } = await scene(2)
  await rounds(2)
  const [, disk] = matrix.disks
  const lun = new SimLun(disk!, new SimHost(world, 'operator'))
  const { label } = await world.settle(readLabel(lun))
  const theirs = { ...label, matrixName: 'theirs', lunUuid: world.prng.uuid() }
  await world.settle(formatLun(lun, theirs, { force: true }))
  let written = 0
  const { onIssued } = disk!
  disk!.onIssued = (io, by) => {
    if (io.op === 'write') written++
    onIssued?.(io, by)
  }
  await rounds(1.5)
  assert.ok(matrix.nodes.every(({ host, core }) => !host?.alive && core?.halted))
  assert.is(written, 0)
  end()
})

test.run()
