import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MiB } from '../../../src/base/units.ts'
import { silentLog } from '../../../src/platform/log.ts'
import {
  DiskProbe,
  formatLun,
  LABEL_A_OFFSET,
  type Label,
  labelBOffset,
  type ProbedLun,
  PseudoStorageDriver,
  probeOffset,
} from '../../../src/san/index.ts'
import { type FaultHook, SimDisk, type SimIo, SimLun } from '../../sim/lun.ts'
import { LeaseWorld, timings } from './lease-world.ts'

const test = suite('san: disk probe')

const SLOT = 2
const OWN = probeOffset(SLOT)

/** A node that probes two LUNs, lun1 with its lease and lun2. */
async function scene(seed: number) {
  const w = new LeaseWorld(seed)
  const second = new SimDisk(w.world, 64 * MiB, { ioLifeMs: timings.ioLifeMs, name: 'lun2' })
  const node = await w.start(SLOT)
  const disks = [w.disk, second]
  const { clock } = node.host
  const gates = disks.map(
    (disk) =>
      new PseudoStorageDriver(new SimLun(disk, node.host), { clock, lease: node.lease, guardMs: timings.guardMs }),
  )
  const options = { matrixUuid: w.world.prng.uuid(), matrixName: 'm', partitions: 0 } as const
  const labels: Label[] = []
  for (const [i, disk] of disks.entries()) {
    const lunUuid = w.world.prng.uuid()
    // lun1 has the lease already
    const lun = new SimLun(i === 0 ? new SimDisk(w.world, 64 * MiB) : disk, node.host)
    labels.push(await w.world.settle(formatLun(lun, { ...options, lunUuid, lunName: `lun${i + 1}` })))
    if (i === 0)
      for (const at of [LABEL_A_OFFSET, labelBOffset(64 * MiB)]) {
        const sector = Buffer.alloc(4096)
        await w.world.settle(lun.read(at, sector))
        disk.poke(at, sector)
      }
  }
  const said: string[] = []
  const foreign: string[] = []
  const luns: ProbedLun[] = labels.map((label, i) => ({ label, lun: gates[i] as PseudoStorageDriver }))
  const probe = new DiskProbe({
    ...{ clock, timings, log: silentLog, life: node.lease.life },
    luns: () => luns,
    onTransition: (name, { from, to }) => said.push(`${name} ${from} ${to}`),
    onForeign: (reason) => foreign.push(reason),
  })
  probe.start()
  const run = (rounds: number) => w.world.run(w.world.now + rounds * timings.probeMs)
  const during = async (disk: SimDisk, hook: FaultHook, rounds: number) => {
    disk.faults.add(hook)
    await run(rounds)
    disk.faults.delete(hook)
  }
  const issued: SimIo[] = []
  second.onIssued = (io) => issued.push(io)
  await run(0.5) // rounds begin in the middle of what is waited for
  return { ...w, w, node, second, gates, luns, labels, probe, said, foreign, run, during, issued }
}

test('R25 every LUN is read and written in every round, at this slot’s own place; all are up', async () => {
  const { probe, run, issued, said } = await scene(1)
  await run(5)
  assert.equal(probe.states(), { lun1: { state: 'up' }, lun2: { state: 'up' } })
  assert.equal(said, [])
  const rounds = issued.map(({ op, offset }) => `${op} ${offset}`)
  const whole = [`read ${LABEL_A_OFFSET}`, `read ${OWN}`, `write ${OWN}`]
  assert.equal(rounds, [whole[0], whole[2], ...whole, ...whole, ...whole, ...whole])
})

for (const [what, hook] of [
  ['gone', () => 'error'],
  ['read-only', ({ op }) => (op === 'write' ? 'error' : undefined)],
] as [string, FaultHook][]) {
  test(`R25 a LUN that is ${what} is failing with the second probe, and up again with the third good one`, async () => {
    const { second, probe, run, during, said } = await scene(2)
    await run(2)
    await during(second, hook, 1)
    assert.equal(said, [], 'one failure is no state')
    await run(5)
    assert.equal(said, [])
    await during(second, hook, 5)
    assert.equal(said, ['lun2 up failing'])
    assert.match(probe.states()['lun2']?.reason ?? '', /injected fault/)
    assert.equal(probe.states()['lun1'], { state: 'up' })
    await run(2)
    assert.is(said.length, 1)
    await run(1)
    assert.equal(said, ['lun2 up failing', 'lun2 failing up'])
  })
}

test('R25 a LUN that takes longer than an I/O time-out is slow; one that hangs is so before it answers, and is not asked again', async () => {
  const { second, run, during, said, issued } = await scene(3)
  await run(2)
  await during(second, ({ op }) => (op === 'read' ? { slowMs: timings.ioTimeoutMs } : undefined), 1)
  await run(1)
  assert.equal(said, ['lun2 up slow'])
  await run(5)
  assert.equal(said, ['lun2 up slow', 'lun2 slow up'])
  issued.length = 0
  await during(second, () => ({ slowMs: 8 * timings.probeMs, beyondLife: true }), 4)
  assert.equal(said.slice(2), ['lun2 up slow'])
  assert.is(issued.length, 1, 'one probe is under way, however long')
})

test('R25 a device that shows the label of another LUN is left at once, and nothing is written to it', async () => {
  const { second, labels, probe, run, said, foreign, issued, node, world } = await scene(4)
  await run(2)
  const other = new SimLun(second, node.host)
  await world.settle(
    formatLun(
      other,
      { ...labels[1]!, matrixName: 'theirs', lunUuid: world.prng.uuid(), lunName: 'x' },
      { force: true },
    ),
  )
  const theirs = second.peek(OWN, 4096)
  issued.length = 0
  await run(3)
  assert.equal(said, ['lun2 up foreign'])
  assert.is(foreign.length, 1)
  assert.match(
    foreign[0] ?? '',
    /was LUN "lun2" when it was opened, and bears the label of LUN "x" of matrix "theirs" now/,
  )
  assert.is(probe.states()['lun2']?.state, 'foreign')
  assert.equal(
    issued.filter(({ op }) => op === 'write'),
    [],
  )
  assert.equal(second.peek(OWN, 4096), theirs)
  assert.is(issued.length, 1, 'and it is not looked at again')
})

test('a device without any label is not this LUN either; one copy of the label is enough', async () => {
  const { second, run, said, foreign } = await scene(5)
  await run(2)
  second.poke(LABEL_A_OFFSET, Buffer.alloc(4096))
  await run(4)
  assert.equal(said, [])
  second.poke(labelBOffset(second.size), Buffer.alloc(4096))
  await run(1)
  assert.equal(said, ['lun2 up foreign'])
  assert.match(foreign[0] ?? '', /bears no matrixfs label/)
})

test('a LUN that loses what it has answered as durable is failing', async () => {
  const { second, run, said, probe } = await scene(6)
  await run(2)
  const old = second.peek(OWN, 4096)
  const keep = () => second.poke(OWN, old)
  second.onLanded = ({ offset }) => offset === OWN && keep()
  await run(5)
  assert.equal(said, ['lun2 up failing'])
  assert.match(
    probe.states()['lun2']?.reason ?? '',
    /lost a write that it had answered as durable: number \d+ was written/,
  )
})

test('a write that failed and has landed all the same is not lost', async () => {
  const { second, run, said } = await scene(7)
  await run(2)
  let failed = 0
  second.faults.add(({ op }) => (op === 'write' && ++failed % 2 === 0 ? 'error' : undefined))
  await run(40)
  assert.equal(said, [])
  assert.ok(failed > 30)
})

test('a closed gate is no finding, and neither is the end of the lease', async () => {
  const { gates, node, world, run, said } = await scene(8)
  await run(2)
  gates[1]?.fence('told to')
  await run(3)
  await world.settle(node.lease.release())
  await run(3)
  assert.equal(said, [])
})

test('LUNs may come and go; one that was replaced begins as a new one', async () => {
  const { luns, run, probe, during, second, said } = await scene(9)
  await during(second, () => 'error', 3)
  assert.equal(said, ['lun2 up failing'])
  const [lun2] = luns.splice(1, 1) as [ProbedLun]
  await run(2)
  assert.equal(Object.keys(probe.states()), ['lun1'])
  luns.push(lun2)
  await run(2)
  assert.equal(probe.states()['lun2'], { state: 'up' })
})

test('after it was stopped nothing is probed or said', async () => {
  const { probe, run, said, issued, second } = await scene(10)
  await run(2)
  second.faults.add(() => 'error')
  probe.stop()
  const before = issued.length
  await run(5)
  assert.is(issued.length, before)
  assert.equal(said, [])
})

test.run()
