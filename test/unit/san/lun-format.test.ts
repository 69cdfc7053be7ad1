// docs/formats/lun.md is true: its tables come from the code, its areas add up.
import { readFileSync, writeFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Layout, sealHeader } from '../../../src/base/layout.ts'
import { MAX_SLOTS, SECTOR_SIZE } from '../../../src/base/limits.ts'
import { GiB, KiB, MiB } from '../../../src/base/units.ts'
import {
  DATABASE_A_OFFSET,
  DATABASE_B_OFFSET,
  DATABASE_COPY_BYTES,
  decodeFenceRequest,
  decodeLease,
  encodeFenceRequest,
  encodeLease,
  FENCE_OFFSET,
  FS_AREA_OFFSET,
  fenceHeadLayout,
  fenceVictimLayout,
  fsAreaEnd,
  LABEL_A_OFFSET,
  LEASE_OFFSET,
  type LeaseSector,
  labelBOffset,
  labelLayout,
  leaseLayout,
  MIN_LUN_SIZE,
  PROBE_OFFSET,
  probeLayout,
  SAN_LOCK_OFFSET,
  sanLockLayout,
} from '../../../src/san/index.ts'

const test = suite('san: LUN format')

const page = new URL('../../../docs/formats/lun.md', import.meta.url)
const layouts: Record<string, Pick<Layout<never>, 'describe'>> = {
  sealHeader,
  labelLayout,
  leaseLayout,
  fenceHeadLayout,
  fenceVictimLayout,
  sanLockLayout,
  probeLayout,
}

function tableOf(layout: Pick<Layout<never>, 'describe'>): string {
  const rows = layout
    .describe()
    .map((row) => `| ${row.offset} | ${row.size} | ${row.name} | ${row.type} | ${row.meaning} |`)
  return ['| offset | size | name | type | meaning |', '|---|---|---|---|---|', ...rows].join('\n')
}

test('the tables of the page are those of the code', () => {
  const text = readFileSync(page, 'utf8')
  const named: string[] = []
  const made = text.replace(/<!-- table: (\w+) -->\n(\n?\|.*)*/g, (_, name: string) => {
    named.push(name)
    return `<!-- table: ${name} -->\n\n${tableOf(layouts[name])}`
  })
  assert.equal(named, Object.keys(layouts))
  if (process.env['UPDATE_FORMAT_DOCS']) writeFileSync(page, made)
  else assert.is(text, made)
})

test('the areas follow one another without overlap', () => {
  const areas = [
    [LABEL_A_OFFSET, SECTOR_SIZE],
    [LEASE_OFFSET, MAX_SLOTS * SECTOR_SIZE],
    [FENCE_OFFSET, MAX_SLOTS * SECTOR_SIZE],
    [SAN_LOCK_OFFSET, MAX_SLOTS * SECTOR_SIZE],
    [PROBE_OFFSET, MAX_SLOTS * SECTOR_SIZE],
    [DATABASE_A_OFFSET, DATABASE_COPY_BYTES],
    [DATABASE_B_OFFSET, DATABASE_COPY_BYTES],
    [FS_AREA_OFFSET, fsAreaEnd(MIN_LUN_SIZE) - FS_AREA_OFFSET],
    [labelBOffset(MIN_LUN_SIZE), SECTOR_SIZE],
  ]
  let end = SECTOR_SIZE // the boot sector
  for (const [offset, size] of areas) {
    assert.ok(offset >= end && offset % SECTOR_SIZE === 0 && size > 0)
    end = offset + size
  }
  assert.is(end, MIN_LUN_SIZE)
  assert.equal(
    [LEASE_OFFSET, FENCE_OFFSET, SAN_LOCK_OFFSET, PROBE_OFFSET].map((offset) => offset / KiB),
    [1024, 1280, 1536, 1792],
  )
  assert.equal(
    [DATABASE_A_OFFSET, DATABASE_B_OFFSET, FS_AREA_OFFSET].map((offset) => offset / MiB),
    [2, 2.5, 4],
  )
  assert.is(fsAreaEnd(8 * GiB + 4095), 8 * GiB - SECTOR_SIZE)
})

const lease: LeaseSector = {
  slot: 5,
  incarnation: 2 ** 33,
  state: 'active',
  counter: 77,
  nodeName: 'n5',
  ioTimeoutMs: 2000,
  process: { bootId: '6e1d0a5c-0000-4000-8000-000000000001/4026531836', pid: 4711, startTime: 123456 },
  address: { host: '10.0.0.5', port: 20101 },
  hostName: 'server5',
  nonce: '00112233-4455-4677-8899-aabbccddeeff',
}

test('a lease sector: golden bytes, within 512, and back', () => {
  const sector = encodeLease(lease)
  assert.is(sector.length, SECTOR_SIZE)
  assert.ok(sector.subarray(512).every((byte) => byte === 0))
  assert.is(sector.toString('hex', 0, 16), '4d7866734c656173' + '01000000' + '90010000')
  assert.is(
    sector.toString('hex', 24, 88),
    '0503854e' +
      'd0070000' +
      '0000000002000000' +
      '4d00000000000000' +
      '40e2010000000000' +
      '67120000' +
      '00000000' +
      '00112233445546778899aabbccddeeff' +
      '6e35000000000000',
  )
  assert.equal(decodeLease(5, sector), lease)
  assert.throws(() => decodeLease(6, sector), /slot 6 holds an impossible record/)
  assert.is(decodeLease(5, Buffer.alloc(SECTOR_SIZE)), undefined)
})

test('a fence request sector holds as many victims as there are slots, and back', () => {
  const victims = Array.from({ length: MAX_SLOTS }, (_, slot) => ({ slot, incarnation: slot + 2 ** 40 }))
  const sector = encodeFenceRequest({ slot: 63, incarnation: 9, victims })
  assert.is(sector.length, SECTOR_SIZE)
  assert.equal(decodeFenceRequest(63, sector), { slot: 63, incarnation: 9, victims })
  assert.throws(() => decodeFenceRequest(0, sector), /impossible record/)
  sector[700] ^= 1
  assert.throws(() => decodeFenceRequest(63, sector), /checksum mismatch/)
})

test.run()
