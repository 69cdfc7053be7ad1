import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError, type MatrixErrorCode } from '../../../src/base/errors.ts'
import { seal } from '../../../src/base/layout.ts'
import { SECTOR_SIZE } from '../../../src/base/limits.ts'
import { Prng } from '../../../src/base/prng.ts'
import { MiB } from '../../../src/base/units.ts'
import {
  FS_AREA_OFFSET,
  formatLun,
  LABEL_A_OFFSET,
  type LabelOptions,
  LEASE_OFFSET,
  labelBOffset,
  labelFormat,
  labelLayout,
  readLabel,
  repairLabel,
} from '../../../src/san/index.ts'
import { probeOffset } from '../../../src/san/lun-layout.ts'
import { encodeProbe, type ProbeRecord } from '../../../src/san/probe-sector.ts'
import { nthFault, SimDisk, SimLun } from '../../sim/lun.ts'
import { SimHost, SimWorld } from '../../sim/world.ts'

const test = suite('san: label')

const prng = new Prng(7)
const options: LabelOptions = {
  matrixUuid: prng.uuid(),
  matrixName: 'demo',
  lunUuid: prng.uuid(),
  lunName: 'lun1',
  partitions: 1 as const,
}

function setUp(size = 64 * MiB, seed = 1) {
  const world = new SimWorld(seed)
  const disk = new SimDisk(world, size)
  const host = new SimHost(world, 'a')
  return { world, disk, host, lun: new SimLun(disk, host) }
}

async function rejects(promise: Promise<unknown>, code: MatrixErrorCode, message: RegExp): Promise<void> {
  try {
    await promise
  } catch (error) {
    assert.ok(isMatrixError(error, code), `${code} expected, got ${error}`)
    assert.match((error as Error).message, message)
    return
  }
  assert.unreachable(`${code} expected`)
}

test('R37 a label is read back as it was written, both copies', async () => {
  const { world, disk, lun } = setUp()
  const written = await world.settle(formatLun(lun, options))
  assert.equal(await world.settle(readLabel(lun, options.matrixUuid)), { label: written, damaged: [] })
  assert.is(written.size, 64 * MiB)
  assert.ok(disk.peek(LABEL_A_OFFSET, SECTOR_SIZE).equals(disk.peek(labelBOffset(lun.size), SECTOR_SIZE)))
})

test('what is no label is told apart: blank, other content, too small', async () => {
  const { world, disk, lun } = setUp()
  await rejects(world.settle(readLabel(lun)), 'lun-unlabelled', /blank/)
  disk.poke(LABEL_A_OFFSET, Buffer.from('some other filesystem'))
  await rejects(world.settle(readLabel(lun)), 'lun-unlabelled', /something else/)
  const small = setUp(63 * MiB)
  await rejects(small.world.settle(readLabel(small.lun)), 'lun-too-small', /63 MiB; a LUN needs at least 64 MiB/)
  await rejects(small.world.settle(formatLun(small.lun, options, { force: true })), 'lun-too-small', /64 MiB/)
})

test('one damaged copy is survived, reported and repaired; two are damage', async () => {
  for (const copy of ['A', 'B'] as const) {
    const { world, disk, lun } = setUp()
    const label = await world.settle(formatLun(lun, options))
    const offset = copy === 'A' ? LABEL_A_OFFSET : labelBOffset(lun.size)
    disk.poke(offset + 40, Buffer.from([1, 2, 3]))
    const read = await world.settle(readLabel(lun))
    assert.equal(read, { label, damaged: [copy] })
    await world.settle(repairLabel(lun, read))
    assert.equal(await world.settle(readLabel(lun)), { label, damaged: [] })
    disk.poke(LABEL_A_OFFSET + 40, Buffer.from([1, 2, 3]))
    disk.poke(labelBOffset(lun.size) + 40, Buffer.from([1, 2, 3]))
    await rejects(world.settle(readLabel(lun)), 'lun-damaged', /checksum mismatch/)
  }
})

test('any single changed byte of both copies is noticed', async () => {
  const { world, disk, lun } = setUp()
  await world.settle(formatLun(lun, options))
  const sector = disk.peek(LABEL_A_OFFSET, SECTOR_SIZE)
  for (let at = 0; at < 24 + labelLayout.size; at++) {
    const bad = Buffer.from(sector)
    bad[at] ^= 0x40
    disk.poke(LABEL_A_OFFSET, bad)
    disk.poke(labelBOffset(lun.size), bad)
    const error = await world.settle(readLabel(lun).catch((error) => error))
    assert.ok(isMatrixError(error, 'lun-damaged', 'lun-unlabelled'), `byte ${at}: ${error}`)
  }
})

test('a LUN of another matrix, a truncated one and a newer format are refused by name', async () => {
  const { world, disk, lun } = setUp(65 * MiB)
  await world.settle(formatLun(lun, options))
  await rejects(world.settle(readLabel(lun, new Prng(8).uuid())), 'lun-foreign', /matrix "demo".*as LUN "lun1"/)

  const shorter = new SimDisk(world, 64 * MiB)
  shorter.poke(0, disk.peek(0, 8 * MiB))
  await rejects(
    world.settle(readLabel(new SimLun(shorter, new SimHost(world, 'a')))),
    'lun-damaged',
    /truncated.*68157440 bytes.*now has 67108864/,
  )

  const newer = seal({ ...labelFormat, version: 2 }, Buffer.alloc(300, 1), SECTOR_SIZE)
  disk.poke(LABEL_A_OFFSET, newer)
  disk.poke(labelBOffset(lun.size), newer)
  await rejects(world.settle(readLabel(lun)), 'format-version', /version 2.*upgrade/)
})

test('a grown device keeps its label: copy B is found where the label says', async () => {
  const { world, disk, lun } = setUp(64 * MiB)
  const label = await world.settle(formatLun(lun, options))
  const grown = new SimDisk(world, 80 * MiB)
  grown.poke(0, disk.peek(0, 64 * MiB))
  const read = await world.settle(readLabel(new SimLun(grown, new SimHost(world, 'a'))))
  assert.equal(read, { label, damaged: [] })
})

test('a grown device whose copy A is damaged: copy B is found by what a probe has noted of its size', async () => {
  const { world, disk, lun } = setUp(64 * MiB)
  const label = await world.settle(formatLun(lun, options))
  const grow = (probe: Partial<ProbeRecord> | undefined): SimLun => {
    const grown = new SimDisk(world, 80 * MiB)
    grown.poke(0, disk.peek(0, 64 * MiB))
    grown.poke(LABEL_A_OFFSET, Buffer.alloc(SECTOR_SIZE, 0x5a))
    const record = { slot: 3, incarnation: 7, counter: 9, lunUuid: label.lunUuid, labelledSize: label.size, ...probe }
    if (probe) grown.poke(probeOffset(3), encodeProbe(record))
    return new SimLun(grown, new SimHost(world, 'a'))
  }
  const found = grow({})
  assert.equal(await world.settle(readLabel(found)), { label, damaged: ['A'] })
  await world.settle(repairLabel(found, await world.settle(readLabel(found))))
  assert.equal(await world.settle(readLabel(found)), { label, damaged: [] })
  // none, of another LUN that was here before, of a size that cannot be, or where no label is
  const others = [
    undefined,
    { lunUuid: prng.uuid() },
    { labelledSize: 2 ** 50 },
    { labelledSize: 4096 },
    { labelledSize: 72 * MiB },
  ]
  for (const probe of others)
    await rejects(world.settle(readLabel(grow(probe))), 'lun-unlabelled', /something else is there/)
})

test('formatting refuses whatever is there, unless forced; the boot sector is never touched', async () => {
  const { world, disk, lun } = setUp()
  disk.poke(8 * MiB - 1, Buffer.from([1]))
  await rejects(world.settle(formatLun(lun, options)), 'lun-foreign', /something at byte 8388607/)
  disk.poke(0, Buffer.from('boot'))
  await rejects(world.settle(formatLun(lun, options)), 'lun-foreign', /something at byte 0/)
  disk.poke(LEASE_OFFSET, Buffer.from('an old lease'))
  await world.settle(formatLun(lun, options, { force: true }))
  assert.is(disk.peek(0, 4).toString(), 'boot')
  assert.ok(disk.peek(LEASE_OFFSET, FS_AREA_OFFSET - LEASE_OFFSET).every((byte) => byte === 0))
  await rejects(world.settle(formatLun(lun, options)), 'exists', /already is LUN "lun1"/)
  const other = { ...options, matrixUuid: new Prng(9).uuid() }
  await rejects(world.settle(formatLun(lun, other)), 'lun-foreign', /already is LUN "lun1"/)
  const again = await world.settle(formatLun(lun, other, { force: true }))
  assert.is(again.revision, 2)
})

test('names that do not fit are refused before anything is written', async () => {
  const { world, disk, lun } = setUp()
  for (const lunName of ['', 'ä'.repeat(33), 'a\0b']) {
    await rejects(world.settle(formatLun(lun, { ...options, lunName }, { force: true })), 'config', /is no name/)
  }
  assert.is(disk.counts.get('a'), undefined)
})

test('fault sweep: formatting with the nth I/O failing leaves no label or the new one', async () => {
  for (let nth = 1, fired = true; fired; nth++) {
    const { world, disk, lun } = setUp(64 * MiB, nth)
    const fault = nthFault(nth, {})
    disk.faults.add(fault)
    const formatted = await world.settle(formatLun(lun, options).catch((error) => error))
    fired = fault.fired
    assert.is(formatted instanceof Error, fired)
    disk.faults.clear()
    disk.powerLoss()
    const read = await world.settle(readLabel(lun).catch((error) => error))
    if (isMatrixError(read)) assert.ok(fired && ['lun-unlabelled', 'lun-damaged'].includes(read.code), String(read))
    else assert.is(read.label.lunUuid, options.lunUuid)
  }
})

test.run()
