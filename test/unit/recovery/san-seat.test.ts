/** The administrator's seat (R91–R94): SAN locks and generation go together, and the locks outlast every write that may still land. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { Prng } from '../../../src/base/prng.ts'
import { timingsFrom } from '../../../src/base/timings.ts'
import { GiB, MiB } from '../../../src/base/units.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { SanSeat } from '../../../src/recovery/index.ts'
import { MembershipStore, Partitions, SanLock } from '../../../src/san/index.ts'
import { SimDisk, type SimIo, SimLun } from '../../sim/lun.ts'
import { SimHost, SimWorld } from '../../sim/world.ts'

const test = suite('recovery: SAN seat')
const timings = timingsFrom(400)
const prng = new Prng(9)
const database = {
  matrixUuid: prng.uuid(),
  matrixName: 'm',
  luns: [{ uuid: prng.uuid(), name: 'lun1', size: GiB }],
  filesystems: [],
}

function setUp(seed: number, count: 1 | 3) {
  const world = new SimWorld(seed)
  const disks = Array.from({ length: count }, () => new SimDisk(world, 64 * MiB, { ioLifeMs: timings.ioLifeMs }))
  const node = (slot: number) => {
    const host = new SimHost(world, `n${slot}`)
    const luns = disks.map((disk) => new SimLun(disk, host))
    const partitions = new Partitions(luns, { clock: host.clock, timings })
    const store = new MembershipStore(partitions, silentLog)
    const lock = new SanLock({ partitions, life: { slot, incarnation: 1 }, log: silentLog })
    return { store, seat: new SanSeat({ lock, store, fencing: { isPowerless: async () => false } }) }
  }
  return { world, disks, node }
}

const failed = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error) => error,
  )
const isDatabaseWrite = (io: SimIo) => io.op === 'write' && io.purpose === 'membership'

test('a seat raises the generation in its term; another node gets it once it was left', async () => {
  const { world, node } = setUp(1, 1)
  const [a, b] = [node(0), node(1)]
  await world.settle(a.store.create(database))
  assert.equal(await world.settle(a.seat.take()), { term: 1, generation: 2 })
  const refused = await world.settle(failed(b.seat.take()))
  assert.ok(isMatrixError(refused, 'in-use'))
  assert.match(refused.message, /slot 0 owns the SAN locks \(term 1\) and is alive/)
  assert.ok(
    isMatrixError(await world.settle(failed(b.seat.writeDatabase(await world.settle(b.store.read())))), 'view-changed'),
  )
  await world.settle(a.seat.leave({ term: 1, generation: 2 }))
  assert.equal(await world.settle(b.seat.take()), { term: 2, generation: 3 })
})

test('a write that failed may have landed: the SAN locks stay, and the same node tries again', async () => {
  const { world, disks, node } = setUp(2, 1)
  const [a, b] = [node(0), node(1)]
  await world.settle(a.store.create(database))
  let failing = true
  disks[0]?.faults.add((io) => (failing && isDatabaseWrite(io) ? 'error' : undefined))
  assert.ok(isMatrixError(await world.settle(failed(a.seat.take())), 'lun-io'))
  failing = false
  assert.ok(isMatrixError(await world.settle(failed(b.seat.take())), 'in-use'))
  const seat = await world.settle(a.seat.take())
  assert.is(seat.term, 1)
})

test('the SAN locks are given back only after the last write has landed everywhere', async () => {
  const { world, disks, node } = setUp(3, 3)
  const [a, b] = [node(0), node(1)]
  await world.settle(a.store.create(database))
  await world.settle(new Promise<void>((resolve) => world.at(timings.ioTimeoutMs, resolve)))
  let slow = true
  disks[2]?.faults.add((io) => (slow && isDatabaseWrite(io) ? { slowMs: 300 } : undefined))
  const seat = await world.settle(a.seat.take())
  slow = false
  const left = a.seat.leave(seat).then(() => world.now)
  let landed = 0
  for (const disk of disks) {
    disk.onLanded = ({ purpose }) => {
      if (purpose === 'membership') landed = world.now
    }
  }
  const leftAt = await world.settle(left)
  assert.ok(landed > 0 && landed <= leftAt, `landed ${landed}, given back ${leftAt}`)
  assert.is((await world.settle(b.seat.take())).term, 2)
})

test.run()
