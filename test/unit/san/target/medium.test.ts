/** The write cache that forgets, the reservations that do not, and the ranges that commands take. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../../src/base/errors.ts'
import { Prng } from '../../../../src/base/prng.ts'
import type { RandomAccessFile } from '../../../../src/platform/files.ts'
import { FileMedium } from '../../../../src/san/target/medium.ts'
import { RangeLocks } from '../../../../src/san/target/range-locks.ts'
import { noReservations, type ReservationState } from '../../../../src/san/target/reservation-state.ts'
import { FileReservationStore, STORE_BYTES } from '../../../../src/san/target/reservation-store.ts'
import { VolatileMedium } from '../../../../src/san/target/volatile-medium.ts'

const test = suite('san: medium of the target')
const BLOCK = 512

class MemoryFile implements RandomAccessFile {
  readonly bytes: Buffer
  writes = 0
  flushes = 0
  /** Awaited before each write. */
  gate: Promise<void> = Promise.resolve()

  constructor(size: number) {
    this.bytes = Buffer.alloc(size)
  }
  get size(): number {
    return this.bytes.length
  }
  async measure(): Promise<number> {
    return this.size
  }
  async read(offset: number, buffer: Buffer): Promise<void> {
    this.bytes.copy(buffer, 0, offset)
  }
  async write(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    this.writes++
    await this.gate
    Buffer.concat(buffers).copy(this.bytes, offset)
  }
  async flush(): Promise<void> {
    this.flushes++
  }
  async close(): Promise<void> {}
}

const filled = (blocks: number, value: number): Buffer => Buffer.alloc(blocks * BLOCK, value)
const setUp = () => {
  const file = new MemoryFile(64 * BLOCK)
  return { file, medium: new VolatileMedium(file, { blockSize: BLOCK, sync: true }) }
}
async function valueAt(medium: VolatileMedium, block: number): Promise<number> {
  const buffer = Buffer.alloc(BLOCK)
  await medium.read(block, buffer)
  assert.ok(
    buffer.every((byte) => byte === buffer[0]),
    `block ${block} is torn`,
  )
  return buffer[0]!
}

test('what was neither flushed nor written with FUA is read back, and lost with the power', async () => {
  const { medium, file } = setUp()
  await medium.write(0, [filled(4, 1)], true)
  await medium.write(2, [filled(4, 2)], false)
  assert.equal(await Promise.all([1, 2, 5, 6].map((block) => valueAt(medium, block))), [1, 2, 2, 0])
  assert.is(file.bytes[2 * BLOCK], 1, 'it is in the cache only')
  await medium.losePower(() => false)
  assert.equal(await Promise.all([1, 2, 3, 4, 5].map((block) => valueAt(medium, block))), [1, 1, 1, 0, 0])
})

test('a flush makes all that was written durable, FUA its own blocks alone', async () => {
  const { medium } = setUp()
  await medium.write(0, [filled(1, 1)], false)
  await medium.write(1, [filled(1, 2)], true)
  await medium.losePower(() => false)
  assert.equal(await Promise.all([0, 1].map((block) => valueAt(medium, block))), [0, 2])
  await medium.write(0, [filled(1, 3)], false)
  await medium.unmap(1, 1)
  await medium.flush()
  assert.is(medium.cachedBlocks, 0)
  await medium.losePower(() => false)
  assert.equal(await Promise.all([0, 1].map((block) => valueAt(medium, block))), [3, 0])
})

test('any of the blocks of a cache may survive, in whatever order they were written', async () => {
  const { medium } = setUp()
  for (let block = 0; block < 8; block++) await medium.write(block, [filled(1, 1 + block)], false)
  await medium.losePower((block) => block % 3 === 1)
  const found = await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map((block) => valueAt(medium, block)))
  assert.equal(found, [0, 2, 0, 0, 5, 0, 0, 8])
})

test('a block that is written anew while it goes to the file stays in the cache', async () => {
  const { medium, file } = setUp()
  let open = (): void => {}
  file.gate = new Promise((resolve) => (open = resolve))
  await medium.write(0, [filled(1, 1)], false)
  const flush = medium.flush()
  await medium.write(0, [filled(1, 2)], false)
  const second = medium.write(0, [filled(1, 3)], true)
  open()
  await Promise.all([flush, second])
  assert.is(file.bytes[0], 3)
  assert.is(await valueAt(medium, 0), 3)
})

test('nothing that was made durable is lost, and what is read is the last write, over random operations', async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const prng = new Prng(seed)
    const { medium } = setUp()
    /** Of each block: the values that a power loss may leave, the last one first. */
    const may = Array.from({ length: 64 }, () => [0])
    for (let step = 1; step <= 120; step++) {
      const block = prng.below(60)
      const count = 1 + prng.below(4)
      const blocks = Array.from({ length: count }, (_, i) => block + i)
      switch (prng.below(6)) {
        case 0:
          await medium.write(block, [filled(count, step)], true)
          for (const each of blocks) may[each] = [step]
          break
        case 1:
          await medium.flush()
          for (const [i, values] of may.entries()) may[i] = [values[0]!]
          break
        case 2:
          await medium.losePower(() => prng.below(2) === 0)
          for (const [i, values] of may.entries()) {
            const found = await valueAt(medium, i)
            assert.ok(values.includes(found), `seed ${seed}: block ${i} is ${found}, not one of ${values}`)
            may[i] = [found]
          }
          break
        default:
          await medium.write(block, [filled(count, step)], false)
          for (const each of blocks) may[each]!.unshift(step)
      }
      assert.is(await valueAt(medium, block), may[block]![0], `seed ${seed}, step ${step}`)
    }
  }
})

test('unmapped blocks of a file are zeroes, and zeroes are not written over zeroes', async () => {
  const file = new MemoryFile(64 * BLOCK)
  const medium = new FileMedium(file, { blockSize: BLOCK, sync: true })
  await medium.unmap(0, 64)
  assert.is(file.writes, 0)
  await medium.write(3, [filled(1, 7)], false)
  await medium.unmap(2, 4)
  assert.is(file.bytes[3 * BLOCK], 0)
})

test('reservations outlast a new start, from either copy; a torn copy leaves the one before, garbage is refused', async () => {
  const file = new MemoryFile(STORE_BYTES)
  const { store, state } = await FileReservationStore.open(file, 'x')
  assert.equal(state, noReservations)
  const make = (generation: number): ReservationState => ({
    generation,
    registrations: new Map([
      ['1 iqn.x:a,i,0x1', { initiatorPort: 'iqn.x:a,i,0x1', targetPort: 1, key: 0xfedcba9876543210n }],
    ]),
    reservation: { type: 7, holder: undefined },
    aptpl: true,
  })
  for (const generation of [1, 2, 3]) {
    await store.save(make(generation))
    assert.equal((await FileReservationStore.open(file, 'x')).state, make(generation))
  }
  // the third save went to the second copy
  file.bytes.fill(0xff, STORE_BYTES / 2 + 100, STORE_BYTES / 2 + 200)
  const found = await FileReservationStore.open(file, 'x')
  assert.is(found.state.generation, 2)
  await found.store.save(make(4))
  assert.is((await FileReservationStore.open(file, 'x')).state.generation, 4)
  file.bytes.fill(0x20)
  await FileReservationStore.open(file, 'x').then(
    () => assert.unreachable(),
    (error) => assert.ok(isMatrixError(error, 'lun-damaged')),
  )
})

test('ranges: readers share, writers wait for whoever came before, and nobody overtakes who waits', async () => {
  const locks = new RangeLocks()
  const order: string[] = []
  const take = (name: string, from: number, to: number, exclusive: boolean) => {
    const taken = locks.acquire(from, to, exclusive)
    if (typeof taken === 'function') order.push(name)
    else void taken.then(() => order.push(name))
    return taken
  }
  const first = take('r1', 0, 10, false)
  take('r2', 5, 15, false)
  const writer = take('w', 8, 9, true)
  const late = take('r3', 8, 9, false)
  take('elsewhere', 20, 30, true)
  assert.equal(order, ['r1', 'r2', 'elsewhere'])
  ;(first as () => void)()
  await Promise.resolve()
  assert.equal(order, ['r1', 'r2', 'elsewhere'], 'r2 still reads there')
  const all = take('all', 0, Number.POSITIVE_INFINITY, true)
  assert.ok(all instanceof Promise && writer instanceof Promise && late instanceof Promise)
})

test.run()
