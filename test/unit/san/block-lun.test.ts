import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MatrixError } from '../../../src/base/errors.ts'
import { type BlockDevice, type DeviceWrite, silentLog } from '../../../src/platform/index.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { BlockLun } from '../../../src/san/index.ts'

const test = suite('san: block LUN')

/** Fails when it is told to, and notes what it is asked for. */
class FakeDevice implements BlockDevice {
  readonly identity = 'naa.6001405'
  readonly size = 1 << 20
  readonly sectorSize = 512
  readonly log: string[] = []
  failure: Error | undefined

  async read(): Promise<void> {}
  async write(offset: number, _buffers: readonly Uint8Array[], { issuedWithinMs }: DeviceWrite): Promise<void> {
    this.log.push(`write ${offset} within ${issuedWithinMs}`)
    if (this.failure) throw this.failure
  }
  async flush(): Promise<void> {
    this.log.push('flush')
    if (this.failure) throw this.failure
  }
  async close(): Promise<void> {}
}

async function setUp() {
  const device = new FakeDevice()
  return {
    device,
    lun: await BlockLun.open(
      '/dev/sdb',
      { openDevice: async () => device },
      { timings: { ioTimeoutMs: 300, ioLifeMs: 600 }, clock: realClock, log: silentLog },
    ),
  }
}

const sector = [Buffer.alloc(512)]
const journal = { purpose: 'journal', durable: true } as const
const data = { purpose: 'data' } as const
const outcome = (work: Promise<void>) =>
  work.then(
    () => 'done',
    (error) => error.message,
  )

test('it is called by path and identity; what is written is issued within an I/O time-out, what is durable flushed', async () => {
  const { device, lun } = await setUp()
  assert.is(lun.identity, '/dev/sdb (naa.6001405)')
  await lun.write(512, sector, journal)
  await lun.write(1024, sector, data)
  await lun.flush()
  assert.equal(device.log, ['write 512 within 300', 'flush', 'write 1024 within 300', 'flush'])
})

test('a write that fails says nothing of others', async () => {
  const { device, lun } = await setUp()
  await lun.write(512, sector, data)
  device.failure = new MatrixError('lun-reserved', 'conflict')
  assert.is(await outcome(lun.write(0, sector, journal)), 'conflict')
  device.failure = undefined
  assert.is(await outcome(lun.flush()), 'done')
})

test('a failed flush is final', async () => {
  const { device, lun } = await setUp()
  device.failure = new Error('EIO')
  assert.is(await outcome(lun.flush()), 'EIO')
  device.failure = undefined
  assert.is(await outcome(lun.flush()), 'EIO')
})

test.run()
