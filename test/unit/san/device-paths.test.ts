/** Several devices that lead to one LUN: failing over, going back, and that no write lands after a newer one of the same block. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MatrixError } from '../../../src/base/errors.ts'
import { Prng } from '../../../src/base/prng.ts'
import { timingsFrom } from '../../../src/base/timings.ts'
import { type BlockDevice, type Clock, type DeviceWrite, silentLog, sleep } from '../../../src/platform/index.ts'
import { realHost } from '../../../src/platform/real/host.ts'
import { BlockLun, openLun } from '../../../src/san/index.ts'
import { makeLoopDevice } from '../../helpers/loop-device.ts'
import { failure } from '../../helpers/lun-answers.ts'
import { SimHost, SimWorld } from '../../sim/world.ts'

const test = suite('san: several devices of one LUN')

const timings = timingsFrom(400)
const SIZE = 1 << 20
const data = { purpose: 'data' } as const
const block = (value: number) => Buffer.alloc(512, value)

type Way = 'well' | 'fails' | 'ghost' | 'silent'

/** A way to `medium`: well, or it fails at once; or it fails, and what was written lands later ('ghost'); or it answers nothing for so long, and fails then. */
class FlakyDevice implements BlockDevice {
  readonly identity: string
  readonly size = SIZE
  readonly sectorSize = 512
  readonly #medium: Buffer
  readonly #clock: Clock
  way: Way = 'well'
  delayMs = 1
  silentMs = 10 * timings.ioTimeoutMs
  writes = 0
  reads = 0

  constructor(medium: Buffer, clock: Clock, identity = 'naa.6001405') {
    this.#medium = medium
    this.#clock = clock
    this.identity = identity
  }

  async #pass(): Promise<void> {
    const { way } = this
    await sleep(this.#clock, way === 'silent' ? this.silentMs : this.delayMs)
    if (way !== 'well') throw new MatrixError('lun-io', 'the path is dead')
  }

  async read(offset: number, buffer: Buffer): Promise<void> {
    this.reads++
    const { way } = this
    await this.#pass().catch((error) => {
      if (way === 'silent') buffer.fill(0xee) // what comes late is nobody's any more
      throw error
    })
    this.#medium.copy(buffer, 0, offset)
  }

  async write(offset: number, buffers: readonly Uint8Array[], _options: DeviceWrite): Promise<void> {
    this.writes++
    const bytes = Buffer.concat(buffers)
    // the longest that a command lives
    if (this.way === 'ghost') this.#clock.after(timings.ioLifeMs - 1, () => bytes.copy(this.#medium, offset))
    await this.#pass()
    bytes.copy(this.#medium, offset)
  }

  flush(): Promise<void> {
    return this.#pass()
  }

  async close(): Promise<void> {}
}

async function setUp(seed = 1, identities = ['naa.6001405', 'naa.6001405']) {
  const world = new SimWorld(seed)
  const { clock } = new SimHost(world, 'a')
  const medium = Buffer.alloc(SIZE)
  const devices = identities.map((identity) => new FlakyDevice(medium, clock, identity)) as [FlakyDevice, FlakyDevice]
  const open = (place = '/dev/sda,/dev/sdb', missing: readonly string[] = []) =>
    BlockLun.open(
      place,
      {
        openDevice: async (path) => {
          if (missing.includes(path)) throw new MatrixError('not-found', `${path}: there is no such device`)
          return devices[path === '/dev/sdb' ? 1 : 0]
        },
      },
      { timings, clock, log: silentLog },
    )
  return { world, clock, medium, devices, open }
}

const states = (lun: BlockLun) => lun.paths?.map(({ name, state }) => `${name.slice(-3)} ${state}`)

test('they are one LUN by what they say they are; one that cannot be opened now is told', async () => {
  const { open } = await setUp()
  const lun = await open()
  assert.equal(states(lun), ['sda active', 'sdb ready'])
  assert.is(lun.reservations, undefined)
  await lun.close()
  assert.match(
    await failure((await setUp(1, ['naa.1', 'naa.2'])).open()),
    /config: \/dev\/sdb is not a path to the LUN .*naa.2, not naa.1/,
  )
  assert.match(await failure((await setUp(1, ['', ''])).open()), /config: .*do not say what they are/)
  assert.match(await failure(open('/dev/sda,/dev/sda')), /config: .*named twice/)
  assert.match(await failure(open('/dev/sda,/dev/sdb', ['/dev/sda', '/dev/sdb'])), /not-found/)
  const half = await open('/dev/sda,/dev/sdb', ['/dev/sda'])
  assert.equal(states(half), ['sda failed', 'sdb active'])
  await half.close()
})

test('a path that fails is left without an error, and gone back to once it has been well for a while', async () => {
  const { world, devices, open } = await setUp()
  const lun = await open()
  await world.settle(lun.write(0, [block(1)], data))
  devices[0].way = 'fails'
  const found = Buffer.alloc(512)
  await world.settle(lun.read(0, found))
  assert.ok(found.equals(block(1)))
  await world.settle(lun.flush())
  assert.equal(states(lun), ['sda failed', 'sdb active'])
  await world.run(world.now + 5 * timings.ioTimeoutMs)
  assert.equal(states(lun), ['sda failed', 'sdb active'])
  devices[0].way = 'well'
  await world.run(world.now + 7 * timings.ioTimeoutMs)
  assert.equal(states(lun), ['sda active', 'sdb ready'])
  const before = devices[0].writes
  await world.settle(lun.write(0, [block(2)], data))
  assert.is(devices[0].writes, before + 1)
  await lun.close()
})

test('a silent path: reads are answered by the other, others write by it, and what comes late disturbs nobody', async () => {
  const { world, clock, devices, open } = await setUp()
  const lun = await open()
  await world.settle(lun.write(0, [block(1)], data))
  devices[0].way = 'silent'
  const from = clock.now()
  const hung = lun.write(1024, [block(3)], data).then(
    () => 'done',
    (error) => error.message,
  )
  const found = Buffer.alloc(512)
  await world.settle(lun.read(0, found))
  await world.settle(lun.write(512, [block(2)], data))
  assert.ok(clock.now() - from < timings.ioTimeoutMs, `${clock.now() - from} ms`)
  assert.match(await world.settle(hung, 60_000), /had not been issued in time|path is dead/)
  await world.run(world.now + 20 * timings.ioTimeoutMs)
  assert.ok(found.equals(block(1)), 'a late answer is in the buffer')
  await lun.close()
})

test('a silent write that the system gives up in time goes on by the other path', async () => {
  const { world, clock, medium, devices, open } = await setUp()
  const lun = await open()
  Object.assign(devices[0], { way: 'silent', silentMs: 0.8 * timings.ioTimeoutMs })
  const from = clock.now()
  await world.settle(lun.write(0, [block(1)], data))
  assert.ok(medium.subarray(0, 512).equals(block(1)))
  assert.ok(clock.now() - from >= timings.ioLifeMs && clock.now() - from < 2.5 * timings.ioLifeMs)
  await lun.close()
})

test('a reservation conflict is no failure of a path', async () => {
  const { world, devices, open } = await setUp()
  const lun = await open()
  devices[0].write = async () => {
    throw new MatrixError('lun-reserved', 'conflict')
  }
  assert.match(await world.settle(failure(lun.write(0, [block(1)], data))), /lun-reserved/)
  assert.equal(states(lun), ['sda active', 'sdb ready'])
  assert.is(devices[1].writes, 0)
  await lun.close()
})

test('an answered write is never undone by an older one that lands late, whatever fails when (100 seeds)', async () => {
  let ghosts = 0
  for (let seed = 1; seed <= 100; seed++) {
    const { world, clock, medium, devices, open } = await setUp(seed)
    const prng = new Prng(seed)
    const lun = await open()
    let isOver = false
    const failing = (async () => {
      while (!isOver) {
        const device = prng.pick(devices)
        device.way = prng.pick(['well', 'ghost', 'ghost', 'fails'] as const)
        if (device.way === 'ghost') ghosts++
        await sleep(clock, prng.below(300))
        for (const each of devices) if (prng.chance(0.7)) each.way = 'well'
        await sleep(clock, prng.below(300))
      }
    })()
    // what a place may hold: the last that was answered, or what failed since
    const may = Array.from({ length: 4 }, () => new Set([0]))
    const work = async (place: number): Promise<void> => {
      for (let value = 1; value < 40; value++) {
        may[place]!.add(value)
        const error = await lun.write(512 * place, [block(value)], data).then(
          () => undefined,
          (caught) => caught,
        )
        if (!error) may[place] = new Set([value])
        const found = medium[512 * place] as number
        assert.ok(may[place]!.has(found), `seed ${seed}: place ${place} holds ${found}, not one of ${[...may[place]!]}`)
        await sleep(clock, prng.below(200))
      }
    }
    await world.settle(Promise.all(may.map((_, place) => work(place))), 600_000)
    isOver = true
    await world.settle(failing)
    await world.run(world.now + 2 * timings.ioLifeMs)
    for (const [place, values] of may.entries())
      assert.ok(values.has(medium[512 * place] as number), `seed ${seed}: in the end`)
    await lun.close()
  }
  assert.ok(ghosts > 500, `${ghosts}`)
})

test('overlapping writes at a time: the newer stays, although the path of the older fails and it lands late', async () => {
  const { world, medium, devices, open } = await setUp()
  const lun = await open()
  devices[0].way = 'ghost'
  const both = Promise.allSettled([lun.write(0, [block(1), block(1)], data), lun.write(512, [block(2)], data)])
  await world.settle(both, 60_000)
  await world.run(world.now + 2 * timings.ioLifeMs)
  const [, newer] = await both
  assert.is(medium[512], newer.status === 'fulfilled' ? 2 : 1)
  await lun.close()
})

test('two loop devices of one file are one LUN, written by one and read by the other', async () => {
  const one = makeLoopDevice(64 << 20, 512)
  if (!one) return
  const two = one.again()
  try {
    const lun = await openLun(`block:${one.path},${two.path}`, realHost)
    const [first, second] = await Promise.all(
      [one, two].map(({ path }) => openLun(`block:${path}`, realHost).catch((error) => error)),
    )
    assert.is(lun.paths?.length, 2)
    await lun.write(4096, [block(7)], { ...data, durable: true })
    for (const each of [first, second]) {
      if (each instanceof Error) continue // held by the LUN of both
      const found = Buffer.alloc(512)
      await each.read(4096, found)
      assert.ok(found.equals(block(7)))
      await each.close()
    }
    await lun.close()
    const other = makeLoopDevice(64 << 20, 512)!
    assert.match(
      await failure(openLun(`block:${one.path},${other.path}`, realHost)),
      /config: .*is not a path to the LUN/,
    )
    other.remove()
  } finally {
    two.remove()
    one.remove()
  }
})

test.run()
