/** A filesystem grows while it is in use: its new space is added once, whoever finds it, and new data goes where there is room. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isFsError } from '../../../src/base/errors.ts'
import { MiB } from '../../../src/base/units.ts'
import { spread } from '../../../src/metadata/alloc/space.ts'
import { blocksKnown, type MatrixFs } from '../../../src/metadata/index.ts'
import type { Lun } from '../../../src/san/index.ts'
import { labelledPart } from '../../../src/san/index.ts'
import { type LocalMatrix, makeLocalMatrix } from '../../helpers/local-matrix.ts'
import { MemoryLun } from '../../helpers/memory-lun.ts'
import { superuser } from '../../suites/posix-fs.ts'

const test = suite('metadata: growth')

const ROOT = 1
const part = (lun: Lun, size: number): Lun => labelledPart({ label: { size }, lun })
const setUp = () =>
  makeLocalMatrix({
    ...{ nodes: 3, lunBytes: 64 * MiB },
    plan: { journalBytes: MiB, checkpointBytes: 2 * MiB, groupBlocks: 512 },
  })

/** Fills the filesystem through `fs`; gives how many MiB went in. */
async function fill(fs: MatrixFs, name: string): Promise<number> {
  const { inode } = await fs.create(superuser, ROOT, name, { mode: 0o644 }, 'guarded')
  for (let written = 0; ; written++) {
    try {
      await fs.write(superuser, inode.ino, written * MiB, Buffer.alloc(MiB, name), true)
    } catch (error) {
      if (isFsError(error, 'ENOSPC')) return written
      throw error
    }
  }
}

async function verify(m: LocalMatrix): Promise<void> {
  assert.equal(await m.check(), [])
  for (const { volume } of m.nodes) {
    const ends = new Map(m.nodes.map((node) => [node.slot, node.volume.endOf(node.slot)]))
    await volume.applyTo(ends)
    for (let lun = 0; lun < volume.layout.lunCount; lun++)
      assert.is(blocksKnown(volume.image, lun), volume.layout.dataBlocksOf(lun))
  }
  assert.is(new Set(m.nodes.map(({ volume }) => volume.hash())).size, 1)
}

test('a full filesystem gets another LUN: all nodes add its space, once, and use it', async () => {
  const m = await setUp()
  const [one, two, three] = m.nodes.map(({ fs }) => fs)
  assert.ok(one && two && three)
  await fill(one, 'first')
  const before = (await one.statfs()).totalBytes
  const added = new MemoryLun(96 * MiB)
  for (const { fs } of m.nodes) fs.useLuns([...m.luns, added])
  assert.equal(await m.check(), [], 'a LUN whose space nobody has added yet is no damage')
  const bytes = await Promise.all([one.addSpace([0, 1]), two.addSpace([0, 1]), three.addSpace([0, 1])])
  assert.is(
    bytes.reduce((sum, each) => sum + each, 0),
    96 * MiB - 4 * MiB - 4096,
  )
  assert.is((await two.statfs()).totalBytes - before, 96 * MiB - 4 * MiB - 4096)
  assert.is(await two.addSpace([0, 1]), 0)
  const written = await fill(two, 'second')
  assert.ok(written > 80, `${written} MiB were written to what was full`)
  assert.ok(added.writes > 80)
  await verify(m)
  await m.close()
})

test('a LUN that has become larger gives what it has more, its last group included', async () => {
  const m = await setUp()
  const fs = m.nodes.map((node) => node.fs)
  const added = new MemoryLun(128 * MiB)
  // no size is a whole number of groups
  for (const size of [66 * MiB, 67 * MiB, 127 * MiB + 40_960]) {
    for (const each of fs) each.useLuns([...m.luns, part(added, size)])
    assert.equal(
      (await Promise.all(fs.map((each) => each.addSpace([0, 1])))).filter((bytes) => bytes > 0).length > 0,
      true,
    )
    await fs[1]?.create(superuser, ROOT, `f${size}`, { mode: 0o644 }, 'guarded')
    await verify(m)
  }
  assert.ok((await fill(fs[0] as MatrixFs, 'full')) > 100)
  await verify(m)
  await m.close()
})

test('a LUN that is not to be added yet is left alone', async () => {
  const m = await setUp()
  const [one, two] = m.nodes.map(({ fs }) => fs)
  for (const { fs } of m.nodes) fs.useLuns([...m.luns, new MemoryLun(64 * MiB)])
  assert.is(await one?.addSpace([0]), 0)
  for (const { fs } of m.nodes) fs.useLuns(m.luns)
  assert.is(await two?.addSpace([0]), 0)
  await verify(m)
  await m.close()
})

test('a filesystem made before there were marks counts its rows instead', async () => {
  const m = await setUp()
  const volume = m.nodes[0]?.volume
  assert.ok(volume)
  const { dataBlocks } = volume.layout
  const old = { setting: () => undefined, spaceIn: volume.image.spaceIn.bind(volume.image) }
  await fill(m.nodes[0]?.fs as MatrixFs, 'full')
  assert.is(blocksKnown(old, 0), dataBlocks)
  assert.is(blocksKnown(old, 1), 0)
  await m.close()
})

test('new data goes to each LUN by its share of the free space, or to all in turn', () => {
  const count = (free: number[], policy: 'free' | 'stripe') => {
    const times = free.map(() => 0)
    for (let turn = 0; turn < 1000; turn++) {
      const lun = spread(turn, free, policy)
      times[lun] = (times[lun] as number) + 1
    }
    return times
  }
  const [a = 0, b = 0, c = 0] = count([100, 300, 600], 'free')
  assert.ok(Math.abs(a - 100) < 10 && Math.abs(b - 300) < 10 && Math.abs(c - 600) < 10, `${[a, b, c]}`)
  assert.equal(count([0, 5, 0], 'free'), [0, 1000, 0])
  assert.equal(count([1, 0, 99], 'stripe'), [500, 0, 500])
  assert.is(spread(3, [0, 0], 'free'), 0)
  assert.is(spread(3, [0, 0], 'stripe'), 0)
})

test.run()
