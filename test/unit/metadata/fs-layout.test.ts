import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { blockAddress } from '../../../src/base/ids.ts'
import { BLOCK_SIZE } from '../../../src/base/limits.ts'
import { GiB, MiB } from '../../../src/base/units.ts'
import { dataStart, FsLayout, type PlanOptions, planFilesystem } from '../../../src/metadata/index.ts'
import { FS_AREA_OFFSET, fsAreaEnd } from '../../../src/san/index.ts'
import { smallRecord } from './fixture.ts'

const layoutOf = (sizes: number[], options?: PlanOptions) =>
  new FsLayout({ ...smallRecord, luns: sizes.map(String), ...planFilesystem(sizes, options) }, sizes)

test('the plan for two LUNs of 8 GiB', () => {
  assert.equal(planFilesystem([8 * GiB, 8 * GiB]), {
    slots: 8,
    journalBytes: 32 * MiB,
    checkpointBytes: 64 * MiB,
    groupBlocks: 16_384,
  })
})

test('areas follow one another without gaps in use or overlaps', () => {
  const { slots, journalBytes, checkpointBytes } = planFilesystem([GiB])
  const layout = layoutOf([GiB])
  const areas: [start: number, bytes: number][] = []
  for (let slot = 0; slot < slots; slot++) {
    areas.push([layout.journalStart(slot), journalBytes])
    for (const half of [0, 1])
      areas.push([layout.manifestStart(slot, half), 4096], [layout.checkpointStart(slot, half), checkpointBytes])
  }
  areas.sort((a, b) => a[0] - b[0])
  assert.is(areas[0]?.[0], FS_AREA_OFFSET)
  areas.forEach(([start], i) => {
    if (i > 0) assert.ok(start >= (areas[i - 1] as [number, number])[0] + (areas[i - 1] as [number, number])[1])
  })
  const [last, bytes] = areas.at(-1) as [number, number]
  assert.is(dataStart(layout.record, 0), last + bytes)
})

test('every data block is in exactly one group, whatever the sizes', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 64 * MiB, max: 300 * MiB }), { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 16, max: 5000 }),
      (sizes, groupBlocks) => {
        const layout = layoutOf(sizes, { groupBlocks, slots: 2 })
        let blocks = 0
        let previous = -1
        for (const group of layout.groups()) {
          const { from, to } = layout.groupRange(group)
          assert.ok(from > previous && to > from && to - from <= groupBlocks)
          assert.is(layout.groupOf(from), group)
          assert.is(layout.groupOf(to - 1), group)
          assert.ok(layout.isDataRange(from, to - from))
          previous = to - 1
          blocks += to - from
        }
        assert.is(blocks, layout.dataBlocks)
        sizes.forEach((size, lun) => {
          const end = Math.floor(fsAreaEnd(size) / BLOCK_SIZE)
          assert.ok(layout.byteOffset(blockAddress(lun, end - 1)) + BLOCK_SIZE <= size - 4096)
          assert.throws(() => layout.groupOf(blockAddress(lun, end)))
          assert.throws(() => layout.groupOf(blockAddress(lun, dataStart(layout.record, lun) / BLOCK_SIZE - 1)))
        })
      },
    ),
    { seed: 1, numRuns: 100 },
  )
})

const refused: [sizes: number[], options: PlanOptions, code: 'config' | 'lun-too-small'][] = [
  [[], {}, 'config'],
  [[10 * MiB], {}, 'lun-too-small'],
  [[64 * MiB], { slots: 64 }, 'lun-too-small'],
  [[GiB, MiB], {}, 'lun-too-small'],
  [[GiB], { slots: 0 }, 'config'],
  [[GiB], { slots: 65 }, 'config'],
  [[GiB], { journalBytes: MiB + 1 }, 'config'],
  [[GiB], { journalBytes: 4096 }, 'config'],
  [[GiB], { checkpointBytes: 1000 }, 'config'],
  [[GiB], { groupBlocks: 1.5 }, 'config'],
  [[1024 * GiB], { groupBlocks: 16 }, 'config'],
]
for (const [sizes, options, code] of refused)
  test(`refuses ${JSON.stringify({ sizes, ...options })} as ${code}`, () => {
    assert.throws(
      () => planFilesystem(sizes, options),
      (error: unknown) => isMatrixError(error, code),
    )
  })

test.run()
