import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { MiB } from '../../../src/base/units.ts'
import { alwaysGoodLease, type IoTrace, PseudoStorageDriver } from '../../../src/san/index.ts'
import { nthFault, SimDisk, SimLun } from '../../sim/lun.ts'
import { SimHost, SimWorld } from '../../sim/world.ts'

const test = suite('san: pseudo storage driver')

function setUp({ latencyMs = [1, 1] as [number, number], goodUntil = Number.POSITIVE_INFINITY } = {}) {
  const world = new SimWorld(1)
  const disk = new SimDisk(world, 64 * MiB, { latencyMs, splitChance: 0 })
  const host = new SimHost(world, 'a')
  const lease = { until: goodUntil, goodUntil: () => lease.until }
  const traces: IoTrace[] = []
  const psd = new PseudoStorageDriver(new SimLun(disk, host), {
    clock: host.clock,
    lease,
    guardMs: 100,
    trace: (io) => traces.push(io),
  })
  return { world, disk, host, lease, psd, traces }
}

const bytes = (value: number) => [Buffer.alloc(512, value)]
const outcome = (promise: Promise<unknown>) =>
  promise.then(
    () => 'done',
    (error) => (isMatrixError(error) ? error.code : error),
  )

test('R41 it is transparent while it may be: reads, writes, flushes, size; counted and timed by purpose', async () => {
  const { world, disk, psd, traces } = setUp()
  await world.settle(psd.write(4096, [...bytes(1), ...bytes(2)], { purpose: 'data' }))
  await world.settle(psd.write(0, bytes(3), { purpose: 'journal', durable: true }))
  await world.settle(psd.flush())
  const read = Buffer.alloc(1024)
  await world.settle(psd.read(4096, read))
  assert.is(read[0], 1)
  assert.is(read[1023], 2)
  disk.faults.add(nthFault(1, { op: 'read' }))
  assert.is(await world.settle(outcome(psd.read(0, read))), 'lun-io')
  assert.equal(Object.fromEntries(psd.counters), {
    data: { ops: 1, bytes: 1024, errors: 0, ms: 1 },
    journal: { ops: 1, bytes: 512, errors: 0, ms: 1 },
    flush: { ops: 1, bytes: 0, errors: 0, ms: 1 },
    read: { ops: 2, bytes: 1024, errors: 1, ms: 2 },
  })
  assert.is(traces.length, 5)
  assert.is(psd.size, 64 * MiB)
})

test('R42 once fenced nothing passes, and what is pending rejects at once', async () => {
  const { world, disk, psd } = setUp({ latencyMs: [50, 50] })
  const pending = [psd.write(0, bytes(9), { purpose: 'data' }), psd.read(0, Buffer.alloc(512)), psd.flush()].map(
    outcome,
  )
  psd.fence('asked to die')
  psd.fence('again')
  assert.equal(await world.settle(Promise.all(pending)), ['fenced', 'fenced', 'fenced'])
  assert.is(world.now, 0, 'nobody waits for the device')
  const issued = { ...disk.counts.get('a') }
  assert.is(await outcome(psd.write(0, bytes(1), { purpose: 'data' })), 'fenced')
  assert.is(await outcome(psd.read(0, Buffer.alloc(512))), 'fenced')
  assert.is(await outcome(psd.flush()), 'fenced')
  assert.equal(disk.counts.get('a'), issued, 'nothing reached the device')
  assert.is(psd.closedBy, 'asked to die')
  await world.settle(psd.drained())
  assert.is(world.now, 50, 'drained: the device is done with the buffers')
})

test('a write needs more than the guard; a read needs the lease', async () => {
  const { world, psd, lease } = setUp()
  lease.until = 100
  assert.is(await outcome(psd.write(0, bytes(1), { purpose: 'data' })), 'fenced')
  assert.is(await world.settle(outcome(psd.read(0, Buffer.alloc(512)))), 'done')
  lease.until = world.now + 102
  assert.is(await world.settle(outcome(psd.write(0, bytes(1), { purpose: 'data' }))), 'done')
  lease.until = Number.NEGATIVE_INFINITY
  assert.is(await outcome(psd.read(0, Buffer.alloc(512))), 'fenced')
  assert.is(await outcome(psd.flush()), 'fenced')
  lease.until = Number.NaN
  assert.is(await outcome(psd.write(0, bytes(1), { purpose: 'data' })), 'fenced', 'an impossible deadline is no lease')
})

test('what completes after the end of the lease does not count, unless it was renewed meanwhile', async () => {
  const { world, psd, lease } = setUp({ latencyMs: [150, 150], goodUntil: 120 })
  const late = [psd.write(0, bytes(1), { purpose: 'journal' }), psd.flush(), psd.read(0, Buffer.alloc(512))].map(
    outcome,
  )
  assert.equal(await world.settle(Promise.all(late)), ['fenced', 'fenced', 'fenced'])
  lease.until = world.now + 120
  const renewed = psd.write(0, bytes(1), { purpose: 'journal' })
  world.at(110, () => (lease.until += 1000))
  assert.is(await world.settle(outcome(renewed)), 'done')
})

test('closing waits for what is under way, and is final', async () => {
  const { world, psd } = setUp({ latencyMs: [50, 50] })
  outcome(psd.write(0, bytes(1), { purpose: 'data' }))
  await world.settle(psd.close())
  assert.is(world.now, 50)
  assert.is(await outcome(psd.read(0, Buffer.alloc(512))), 'fenced')
  assert.is(alwaysGoodLease.goodUntil(), Number.POSITIVE_INFINITY)
})

test.run()
