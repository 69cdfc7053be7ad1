import { closeSync, constants, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError, type MatrixErrorCode } from '../../../src/base/errors.ts'
import { Prng } from '../../../src/base/prng.ts'
import { KiB, MiB } from '../../../src/base/units.ts'
import type { BlockDevice } from '../../../src/platform/index.ts'
import { giveAligned, isAligned, takeAligned } from '../../../src/platform/real/aligned-memory.ts'
import { realFiles } from '../../../src/platform/real/files.ts'
import { realHost } from '../../../src/platform/real/host.ts'
import { formatLun, openLun, readLabel } from '../../../src/san/index.ts'
import { makeLoopDevice } from '../../helpers/loop-device.ts'

const test = suite('platform: block devices')

const SIZE = 80 * MiB
const devices = ([512, 4096] as const).flatMap((sectorSize) => {
  const loop = makeLoopDevice(SIZE, sectorSize)
  return loop ? [{ sectorSize, ...loop }] : []
})
test.after(() => {
  for (const device of devices) device.remove()
})

const soon = { issuedWithinMs: 10_000 }

async function refused(work: Promise<unknown>, code: MatrixErrorCode, message: RegExp): Promise<void> {
  const error = await work.then(
    () => undefined,
    (caught) => caught,
  )
  assert.ok(isMatrixError(error, code), `${code} expected: ${error}`)
  assert.match(error.message, message)
}

async function contentOf(device: BlockDevice, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length, 0xee)
  await device.read(offset, buffer)
  return buffer
}

test('aligned memory: pages, of every size, used again, and told from other memory', () => {
  const small = takeAligned(1)
  assert.is(small.length, 4 * KiB)
  assert.ok(isAligned(small))
  assert.not.ok(isAligned(small.subarray(512)))
  assert.not.ok(isAligned(Buffer.alloc(4 * KiB)))
  const large = takeAligned(MiB)
  assert.is(large.length, MiB)
  giveAligned(large)
  assert.is(takeAligned(513 * KiB), large)
  giveAligned(large)
  giveAligned(small)
  assert.throws(() => giveAligned(Buffer.alloc(4 * KiB)), /no aligned buffer/)
  assert.throws(() => takeAligned(MiB + 1), /aligned buffer of/)
})

for (const { path, sectorSize, resize } of devices) {
  test(`sectors of ${sectorSize}: what is known of it`, async () => {
    const device = await realFiles.openDevice(path)
    assert.is(device.size, SIZE)
    assert.is(device.sectorSize, sectorSize)
    assert.match(device.identity, /lun\.img$/)
    await device.close()
  })

  test(`sectors of ${sectorSize}: writes and reads of any place and length`, async () => {
    const device = await realFiles.openDevice(path)
    const prng = new Prng(7)
    const model = Buffer.alloc(3 * MiB)
    await device.write(0, [model], soon)
    for (let i = 0; i < 150; i++) {
      const at = 512 * prng.below(model.length / 512)
      const length = Math.min(model.length - at, 512 * prng.pick([1, 3, 8, 9, 64, 2300]))
      const cut = prng.below(length + 1)
      const bytes = Buffer.alloc(length)
      for (let k = 0; k < length; k += 4) bytes.writeUInt32LE(prng.below(2 ** 32), k)
      await device.write(at, [bytes.subarray(0, cut), bytes.subarray(cut)], soon)
      bytes.copy(model, at)
      const from = prng.below(model.length - 1)
      const wanted = Math.min(model.length - from, 1 + prng.below(9000))
      assert.ok((await contentOf(device, from, wanted)).equals(model.subarray(from, from + wanted)), `read ${i}`)
    }
    assert.ok((await contentOf(device, 0, model.length)).equals(model))
    await device.flush()
    await device.close()
  })

  test(`sectors of ${sectorSize}: writes of one sector side by side undo nothing of each other`, async () => {
    const device = await realFiles.openDevice(path)
    const start = 8 * MiB - 512
    await Promise.all(
      Array.from({ length: 200 }, (_, i) => device.write(start + i * 512, [Buffer.alloc(512, i + 1)], soon)),
    )
    const found = await contentOf(device, start, 200 * 512)
    for (let i = 0; i < 200; i++) assert.is(found[i * 512 + 100], i + 1, `the ${i}th`)
    await device.close()
  })

  test(`sectors of ${sectorSize}: aligned memory is read into and written from as it is`, async () => {
    const device = await realFiles.openDevice(path)
    const own = takeAligned(8 * KiB).fill(0x5a)
    await device.write(16 * MiB, [own], soon)
    const other = takeAligned(8 * KiB).fill(0)
    await device.read(16 * MiB, other)
    assert.ok(other.equals(own))
    giveAligned(own)
    giveAligned(other)
    await device.close()
  })

  test(`sectors of ${sectorSize}: a write that would be issued too late is given up`, async () => {
    const device = await realFiles.openDevice(path)
    await device.write(24 * MiB, [Buffer.alloc(4 * KiB, 1)], soon)
    await refused(
      device.write(24 * MiB, [Buffer.alloc(512, 2)], { issuedWithinMs: -1 }),
      'lun-io',
      /given up: after \d+ ms/,
    )
    assert.is((await contentOf(device, 24 * MiB, 1))[0], 1)
    await device.close()
  })

  test(`sectors of ${sectorSize}: it is labelled as a LUN, and is found again`, async () => {
    const lun = await openLun(`block:${path}`, realHost)
    const options = {
      matrixUuid: '00000000-0000-4000-8000-000000000001',
      matrixName: 'm',
      lunUuid: '00000000-0000-4000-8000-000000000002',
      lunName: 'lun1',
      partitions: 1 as const,
    }
    await refused(formatLun(lun, options), 'lun-foreign', /not empty: there is something at byte/)
    await formatLun(lun, options, { force: true })
    await lun.close()
    const again = await openLun(`block:${path}`, realHost)
    assert.is((await readLabel(again)).label.lunName, 'lun1')
    assert.match(again.identity, /^\/dev\/loop\d+ \(.*lun\.img\)$/)
    await refused(again.write(SIZE, [Buffer.alloc(512)], { purpose: 'data' }), 'lun-io', /exceeds its/)
    await again.close()
  })

  test(`sectors of ${sectorSize}: while somebody has it exclusively it is refused`, async () => {
    const fd = openSync(path, constants.O_RDONLY | constants.O_EXCL)
    await refused(realFiles.openDevice(path), 'in-use', /is in use: somebody has it exclusively/)
    closeSync(fd)
    await (await realFiles.openDevice(path)).close()
  })

  test(`sectors of ${sectorSize}: several open it at the same time`, async () => {
    const opened = await Promise.all(Array.from({ length: 8 }, () => realFiles.openDevice(path)))
    for (const device of opened) await device.close()
  })

  test(`sectors of ${sectorSize}: it shrinks, and says so`, async () => {
    const device = await realFiles.openDevice(path)
    resize(64 * MiB)
    const shrunk = /the device has 67108864 bytes now and had 83886080 when it was opened: restore its size/
    await refused(device.read(SIZE - 4 * KiB, Buffer.alloc(4 * KiB)), 'lun-io', shrunk)
    await refused(device.write(SIZE - 4 * KiB, [Buffer.alloc(4 * KiB)], soon), 'lun-io', shrunk)
    await device.close()
    const lun = await openLun(`block:${path}`, realHost)
    await refused(readLabel(lun), 'lun-damaged', /truncated: LUN "lun1" was labelled with 83886080 bytes/)
    await lun.close()
    resize(SIZE)
  })
}

test('what is no block device', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'matrixfs-block-'))
  const file = join(folder, 'file')
  writeFileSync(file, 'x')
  await refused(realFiles.openDevice(join(folder, 'none')), 'not-found', /there is no such device/)
  await refused(realFiles.openDevice(folder), 'config', /is a directory; block: URLs name block devices/)
  await refused(realFiles.openDevice(file), 'config', /is a regular file; name it as file:/)
  await refused(realFiles.openDevice('/dev/null'), 'config', /is a character device/)
  await refused(openLun('block:sda', realHost), 'config', /the path of a device is absolute/)
  if (devices[0]) await refused(realFiles.open(devices[0].path), 'lun-io', /not a regular file; name it as block:/)
  rmSync(folder, { recursive: true })
})

test.run()
