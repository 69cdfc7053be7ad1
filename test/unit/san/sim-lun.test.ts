// The simulated LUN keeps to its own fault model; what it cannot show, no test on it can find.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { MiB } from '../../../src/base/units.ts'
import { nthFault, SimDisk, type SimDiskOptions, SimLun } from '../../sim/lun.ts'
import { SimHost, SimWorld } from '../../sim/world.ts'

const test = suite('sim: LUN')

function setUp(seed = 1, options: SimDiskOptions = {}) {
  const world = new SimWorld(seed)
  const disk = new SimDisk(world, 64 * MiB, options)
  const [a, b] = ['a', 'b'].map((name) => new SimHost(world, name))
  return { world, disk, a, b, lunA: new SimLun(disk, a), lunB: new SimLun(disk, b) }
}

const data = { purpose: 'data' } as const
const filled = (bytes: number, value: number) => [Buffer.alloc(bytes, value)]
/** The distinct values of the sectors, and whether each sector is all of one value. */
function sectors(bytes: Buffer): number[] {
  const values: number[] = []
  for (let at = 0; at < bytes.length; at += 512) {
    assert.ok(
      bytes.subarray(at, at + 512).every((byte) => byte === bytes[at]),
      'never less than a sector',
    )
    values.push(bytes[at])
  }
  return values
}

test('R47 what one host wrote, every other reads; both are counted at the LUN', async () => {
  const { world, disk, lunA, lunB } = setUp()
  await world.settle(lunA.write(100 * 512, [...filled(512, 1), ...filled(70_000 - (70_000 % 512), 2)], data))
  const read = Buffer.alloc(1024)
  await world.settle(lunB.read(100 * 512, read))
  assert.equal(sectors(read), [1, 2])
  assert.equal(disk.counts.get('a'), { reads: 0, writes: 1, flushes: 0, reservations: 0 })
  assert.equal(disk.counts.get('b'), { reads: 1, writes: 0, flushes: 0, reservations: 0 })
})

test('power loss: flushed and durable writes stay, also over older ones; of the others anything may stay, torn', async () => {
  const outcomes = new Set<string>()
  for (let seed = 1; seed <= 200; seed++) {
    const { world, disk, lunA } = setUp(seed)
    await world.settle(lunA.write(0, filled(2048, 1), data))
    await world.settle(lunA.flush())
    await world.settle(lunA.write(0, filled(2048, 2), data))
    await world.settle(lunA.write(4096, filled(512, 8), data))
    await world.settle(lunA.write(4096, filled(512, 9), { purpose: 'journal', durable: true }))
    disk.powerLoss()
    assert.is(disk.peek(4096, 1)[0], 9)
    const left = sectors(disk.peek(0, 2048))
    assert.ok(left.every((value) => value === 1 || value === 2))
    outcomes.add(new Set(left).size === 2 ? 'torn' : left[0] === 1 ? 'lost' : 'kept')
  }
  assert.equal([...outcomes].sort(), ['kept', 'lost', 'torn'])
})

test('power loss: what was under way fails and never lands', async () => {
  const { world, disk, lunA } = setUp(1, { latencyMs: [10, 10], splitChance: 0 })
  const pending = [lunA.write(0, filled(512, 5), { purpose: 'journal', durable: true }), lunA.flush()]
  world.at(5, () => disk.powerLoss())
  const results = await world.settle(Promise.allSettled(pending))
  assert.equal(
    results.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  await world.run(10_000)
  assert.is(disk.peek(0, 1)[0], 0)
})

test('a crashed host: its write under way lands, lands late, is torn or lost, but not after the life of an I/O', async () => {
  const outcomes = new Set<string>()
  for (let seed = 1; seed <= 300; seed++) {
    const { world, disk, lunA, a } = setUp(seed, { latencyMs: [10, 10], ioLifeMs: 500 })
    let landedAt = 0
    disk.onLanded = () => (landedAt = world.now)
    let answered = false
    lunA.write(0, filled(2048, 3), data).finally(() => (answered = true))
    world.at(5, () => a.crash())
    await world.run(10_000)
    assert.not(answered, 'nobody is answered')
    assert.ok(landedAt <= 500)
    const whole = sectors(disk.peek(0, 2048)).every((value) => value === 3)
    outcomes.add(landedAt === 0 ? 'never' : !whole ? 'torn' : landedAt > 10 ? 'late' : 'now')
  }
  assert.equal([...outcomes].sort(), ['late', 'never', 'now', 'torn'])
})

test('a paused host: its write lands, and it hears of it when it goes on', async () => {
  const { world, disk, lunA, a } = setUp()
  let answeredAt = 0
  lunA.write(0, filled(512, 4), data).then(() => (answeredAt = world.now))
  a.pause()
  await world.run(1000)
  assert.is(disk.peek(0, 1)[0], 4)
  assert.is(answeredAt, 0)
  a.resume()
  await world.run(2000)
  assert.is(answeredAt, 1000)
})

test('a reader may see some sectors of a write under way, and all of them once it is answered', async () => {
  let mixed = 0
  for (let seed = 1; seed <= 100; seed++) {
    const { world, lunA, lunB } = setUp(seed, { splitChance: 1 })
    const write = lunA.write(0, filled(4096, 6), data)
    const read = Buffer.alloc(4096)
    await world.settle(lunB.read(0, read))
    if (new Set(sectors(read)).size > 1) mixed++
    await world.settle(write)
    await world.settle(lunB.read(0, read))
    assert.equal([...new Set(sectors(read))], [6])
  }
  assert.ok(mixed > 10)
})

test('injected faults: the nth matching I/O fails or is slow; a failed write is whole, partial or absent', async () => {
  const outcomes = new Set<number>()
  for (let seed = 1; seed <= 50; seed++) {
    const { world, disk, lunA } = setUp(seed)
    const fault = nthFault(2, { op: 'write', purpose: 'journal' })
    disk.faults.add(fault)
    await world.settle(lunA.write(0, filled(512, 1), data))
    await world.settle(lunA.write(0, filled(512, 1), { purpose: 'journal' }))
    assert.not(fault.fired)
    const error = await world.settle(lunA.write(8192, filled(2048, 1), { purpose: 'journal' }).catch((error) => error))
    assert.ok(isMatrixError(error, 'lun-io') && fault.fired)
    outcomes.add(sectors(disk.peek(8192, 2048)).filter((value) => value === 1).length)
    await world.settle(lunA.write(8192, filled(2048, 1), { purpose: 'journal' }))
  }
  assert.ok(outcomes.has(0) && outcomes.has(4) && outcomes.size > 2)

  const { world, disk, lunA } = setUp(1, { ioLifeMs: 400 })
  disk.faults.add(nthFault(1, { op: 'read' }, { slowMs: 1000 }))
  await world.settle(lunA.read(0, Buffer.alloc(1)))
  assert.is(world.now, 400)
  disk.faults.add(nthFault(1, { op: 'read' }, { slowMs: 1000, beyondLife: true }))
  await world.settle(lunA.read(0, Buffer.alloc(1)))
  assert.ok(world.now > 1400)
})

test('ranges, sector multiples and a closed LUN are checked; a repeated seed gives the same trace', async () => {
  const { world, lunA } = setUp()
  const refused = (promise: Promise<void>): Promise<unknown> => world.settle(promise.catch((error) => error))
  for (const bad of [
    () => lunA.read(64 * MiB - 1, Buffer.alloc(2)),
    () => lunA.write(1, filled(512, 1), data),
    () => lunA.write(0, filled(511, 1), data),
    () => lunA.write(64 * MiB, filled(512, 1), data),
  ]) {
    assert.ok(isMatrixError(await refused(bad()), 'lun-io'))
  }
  await lunA.close()
  assert.match(((await refused(lunA.flush())) as unknown as Error).message, /closed/)

  const hashes = await Promise.all(
    [5, 5, 6].map(async (seed) => {
      const { world, disk, lunA } = setUp(seed)
      for (let i = 0; i < 20; i++) lunA.write(i * 4096, filled(1024, i), data)
      await world.run(100)
      disk.powerLoss()
      return world.hash
    }),
  )
  assert.is(hashes[0], hashes[1])
  assert.is.not(hashes[0], hashes[2])
})

test.run()
