/** Three membership partitions: whichever one fails, hangs, forgets or comes back, leases and database go on; without two nothing does. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { Prng } from '../../../src/base/prng.ts'
import { GiB, MiB } from '../../../src/base/units.ts'
import { silentLog } from '../../../src/platform/log.ts'
import {
  DATABASE_A_OFFSET,
  DiskLease,
  type LeaseEnd,
  LeaseWatch,
  leaseOffset,
  MembershipStore,
  Partitions,
} from '../../../src/san/index.ts'
import { encodeLease } from '../../../src/san/lease-sector.ts'
import { SimDisk, SimLun } from '../../sim/lun.ts'
import { SimHost } from '../../sim/world.ts'
import { LeaseWorld, timings } from './lease-world.ts'

const test = suite('san: partitions')

/** An I/O that is answered long after everybody has given it up. */
const hang = { slowMs: 6 * timings.leaseMs, beyondLife: true }

class ThreePartitions extends LeaseWorld {
  readonly disks: readonly SimDisk[] = [
    this.disk,
    ...[1, 2].map(() => new SimDisk(this.world, 64 * MiB, { ioLifeMs: timings.ioLifeMs })),
  ]

  partitions(host: SimHost): Partitions {
    const luns = this.disks.map((disk) => new SimLun(disk, host))
    return new Partitions(luns, { clock: host.clock, timings })
  }

  claim(slot: number) {
    const { host, options } = this.node(slot)
    const ends: LeaseEnd[] = []
    const partitions = this.partitions(host)
    const claimed = DiskLease.claim({ ...options, partitions, onEnd: (end) => ends.push(end) })
    return { host, partitions, ends, claimed }
  }

  /** From now on this partition answers nobody, until the returned function is called. */
  cut(index: number, how: 'error' | 'hang'): () => void {
    let on = true
    const fault = how === 'error' ? how : hang
    this.disks[index]?.faults.add(() => (on ? fault : undefined))
    return () => {
      on = false
    }
  }
}

for (const how of ['error', 'hang'] as const) {
  test(`a lease is claimed, kept and observed without any one partition (${how})`, async () => {
    for (const lost of [0, 1, 2]) {
      const w = new ThreePartitions(20 + lost)
      const observer = new SimHost(w.world, 'observer')
      const watch = new LeaseWatch({
        partitions: w.partitions(observer),
        clock: observer.clock,
        timings,
        log: silentLog,
      })
      watch.start()
      let heal = w.cut(lost, how)
      const { claimed, ends, host } = w.claim(0)
      const lease = await w.world.settle(claimed)
      await w.world.settle(pause(w, 3 * timings.observedDeadMs))
      heal()
      await w.world.settle(pause(w, 2 * timings.leaseMs))
      heal = w.cut((lost + 1) % 3, how)
      await w.world.settle(pause(w, 3 * timings.observedDeadMs))
      assert.equal(ends, [])
      assert.ok(lease.goodUntil() > host.clock.now())
      assert.not(watch.certainlyDead(lease.life))
      host.crash()
      await w.world.settle(pause(w, timings.observedDeadMs + 4 * timings.renewMs))
      assert.ok(watch.certainlyDead(lease.life), 'a death is seen on two partitions')
      heal()
    }
  })
}

test('without two partitions the lease ends in time, and nothing can be claimed', async () => {
  const w = new ThreePartitions(30)
  const { claimed, ends, host } = w.claim(0)
  const lease = await w.world.settle(claimed)
  w.cut(0, 'hang')
  w.cut(2, 'error')
  const last = lease.goodUntil()
  await w.world.settle(pause(w, last - host.clock.now() + 1))
  assert.is(ends[0]?.kind, 'lost')
  const other = await w.world.settle(w.claim(1).claimed.catch((error) => error))
  assert.ok(isMatrixError(other, 'lun-io', 'timeout'), String(other))
})

test('what two partitions hold counts, whatever an old copy on the third says', async () => {
  const w = new ThreePartitions(40)
  const first = w.claim(0)
  const lease = await w.world.settle(first.claimed)
  const old = w.disks[1]?.peek(leaseOffset(0), 4096) as Buffer
  first.host.crash()
  await w.world.settle(pause(w, timings.observedDeadMs))
  const second = await w.world.settle(w.claim(0).claimed)
  assert.is(second.life.incarnation, lease.life.incarnation + 1)
  w.disks[1]?.poke(leaseOffset(0), old)
  const observer = new SimHost(w.world, 'observer')
  const watch = new LeaseWatch({ partitions: w.partitions(observer), clock: observer.clock, timings, log: silentLog })
  for (let i = 0; i < 10; i++) {
    const [sector] = await w.world.settle(watch.scan())
    assert.is(sector?.incarnation, second.life.incarnation)
  }
})

test('two claims that failed side by side, each with its record on another partition, do not keep a slot for ever', async () => {
  const w = new ThreePartitions(60)
  for (const reached of [0, 1]) {
    const { host, options } = w.node(0)
    const { ioTimeoutMs } = timings
    const record = { ...options.owner, incarnation: 1, counter: 1, state: 'claiming' as const, ioTimeoutMs }
    w.disks[reached]?.poke(leaseOffset(0), encodeLease(record))
    host.crash()
  }
  const observer = new SimHost(w.world, 'observer')
  const watch = new LeaseWatch({ partitions: w.partitions(observer), clock: observer.clock, timings, log: silentLog })
  watch.start()
  const prng = new Prng(60)
  // which partitions answer first changes all the time
  for (const disk of w.disks) disk.faults.add(() => ({ slowMs: prng.below(timings.ioTimeoutMs) }))
  await w.world.settle(pause(w, 2 * timings.observedDeadMs))
  assert.ok(watch.certainlyDead({ slot: 0, incarnation: 1 }), 'neither shows life')
  for (const disk of w.disks) disk.faults.clear()
  const { life } = await w.world.settle(w.claim(0).claimed)
  assert.is(life.incarnation, 2)
})

test('a partition that comes back with old content hides nothing while the two others answer', async () => {
  const w = new ThreePartitions(80)
  const partitions = w.partitions(new SimHost(w.world, 'writer'))
  await w.world.settle(partitions.write(MiB, Buffer.alloc(4096, 1), 'lease'))
  await w.world.settle(pause(w, timings.ioTimeoutMs))
  const old = w.disks[1]?.peek(MiB, 4096) as Buffer
  const heal = w.cut(2, 'error')
  await w.world.settle(partitions.write(MiB, Buffer.alloc(4096, 2), 'lease'))
  heal()
  w.disks[1]?.poke(MiB, old)
  w.disks[0]?.faults.add(() => ({ slowMs: timings.ioTimeoutMs / 2 }))
  for (let i = 0; i < 5; i++) {
    const copies = await w.world.settle(partitions.read(MiB, 4096))
    assert.ok(
      copies.some((copy) => copy[0] === 2),
      'the write is met',
    )
  }
})

const prng = new Prng(5)
const database = {
  matrixUuid: prng.uuid(),
  matrixName: 'm',
  luns: [{ uuid: prng.uuid(), name: 'lun1', size: GiB }],
  filesystems: [],
}

test('a database that reached one partition only is used or outranked, never both', async () => {
  const w = new ThreePartitions(50)
  const store = () => new MembershipStore(w.partitions(new SimHost(w.world, 'admin')), silentLog)
  const created = await w.world.settle(store().create(database))
  // an administrator of term 1 dies after its write has reached partition 2 alone
  const heals = [w.cut(0, 'error'), w.cut(1, 'error')]
  const disk = w.disks[2] as SimDisk
  let reads = true
  disk.faults.add((io) => (io.op === 'write' && reads ? 'error' : undefined))
  const half = store().write({ ...created, term: 1, matrixName: 'left behind' })
  assert.ok(isMatrixError(await w.world.settle(half.catch((error) => error)), 'lun-io'))
  reads = false
  for (const heal of heals) heal()
  const before = await w.world.settle(store().read())
  assert.is(before.generation, 1)
  await w.world.settle(
    new MembershipStore(only(w, 2), silentLog).write({ ...created, term: 1, matrixName: 'left behind' }),
  )
  // the next one does not meet it, and writes its own of the same generation
  const healThird = w.cut(2, 'error')
  const next = await w.world.settle(store().write({ ...before, term: 2, matrixName: 'next' }))
  healThird()
  assert.is(next.generation, 2)
  for (let i = 0; i < 10; i++) assert.is((await w.world.settle(store().read())).matrixName, 'next')
})

test('one partition with a damaged database is passed over, two are damage when nothing else is met', async () => {
  const w = new ThreePartitions(60)
  const store = new MembershipStore(w.partitions(new SimHost(w.world, 'admin')), silentLog)
  await w.world.settle(store.create(database))
  w.disks[0]?.poke(DATABASE_A_OFFSET + 50, Buffer.from('damage'))
  for (let i = 0; i < 10; i++) assert.is((await w.world.settle(store.read())).generation, 1)
})

test('a write that hangs on one partition is never followed there by another one to its place', async () => {
  const w = new ThreePartitions(70)
  const host = new SimHost(w.world, 'writer')
  const partitions = w.partitions(host)
  const slow = w.disks[1] as SimDisk
  let held = 0
  slow.faults.add((io) => (io.op === 'write' && held++ === 0 ? hang : undefined))
  for (let i = 1; i <= 5; i++) await w.world.settle(partitions.write(MiB, Buffer.alloc(4096, i), 'lease'))
  assert.is(held, 1, 'the place is passed over')
  assert.is(w.disks[0]?.peek(MiB, 1)[0], 5)
  assert.is(w.disks[2]?.peek(MiB, 1)[0], 5)
})

function only(w: ThreePartitions, index: number): Partitions {
  const host = new SimHost(w.world, 'one')
  return new Partitions([new SimLun(w.disks[index] as SimDisk, host)], { clock: host.clock, timings })
}

function pause(w: LeaseWorld, ms: number): Promise<void> {
  return new Promise((resolve) => w.world.at(ms, () => resolve()))
}

test.run()
