/** A LUN of a filesystem is drained while the filesystem is in use: nothing new gets there, what is there is moved, and then it is given up. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isFsError, isMatrixError } from '../../../src/base/errors.ts'
import type { Ino } from '../../../src/base/ids.ts'
import { Prng } from '../../../src/base/prng.ts'
import { KiB, MiB } from '../../../src/base/units.ts'
import { ExtentMap } from '../../../src/metadata/cache/extent-map.ts'
import { lunRange } from '../../../src/metadata/fs-layout.ts'
import { blocksKnown, type Mutation } from '../../../src/metadata/index.ts'
import { type LocalMatrix, type LocalNode, makeLocalMatrix } from '../../helpers/local-matrix.ts'
import { readAll, superuser } from '../../suites/posix-fs.ts'

const test = suite('metadata: drain')

const ROOT = 1
const BLOCK = 4096
/** Of one step, ms. */
const STEP_MS = 20

const setUp = () =>
  makeLocalMatrix({
    ...{ nodes: 3, luns: 2, lunBytes: 64 * MiB, dataCacheBytes: 8 * MiB },
    plan: { journalBytes: 2 * MiB, checkpointBytes: MiB, groupBlocks: 512 },
  })

const node = (m: LocalMatrix, slot: number) => m.nodes[slot] as LocalNode
const close = (m: LocalMatrix) => {
  for (const { fs } of m.nodes) fs.useLuns(m.luns, [1])
}
const catchUp = async (m: LocalMatrix) => {
  for (const { fs } of m.nodes) await fs.sync()
  const ends = new Map(m.nodes.map(({ slot, volume }) => [slot, volume.endOf(slot)]))
  for (const { volume } of m.nodes) await volume.applyTo(ends)
}
const filesOn = async (m: LocalMatrix, lun: number): Promise<Ino[]> => {
  await catchUp(m)
  return node(m, 0).volume.image.inodesOn(lunRange(lun), 0, 1000)
}

async function drained(m: LocalMatrix): Promise<number> {
  for (let steps = 1; ; steps++) {
    // another node goes on each time
    const { isEmpty } = await node(m, steps % 3)
      .fs.drain(1, STEP_MS)
      .catch((error) => {
        if (isMatrixError(error, 'timeout')) return { isEmpty: false }
        throw error
      })
    if (isEmpty) return steps
    assert.ok(steps < 500, 'it comes to an end')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** A file of bytes that tell where they belong; some of it holes. */
class File {
  readonly content: Buffer
  readonly ino: Ino
  readonly #prng: Prng
  private constructor(ino: Ino, seed: number) {
    this.ino = ino
    this.content = Buffer.alloc(0)
    this.#prng = new Prng(seed)
  }
  static async make({ fs }: LocalNode, name: string, seed: number): Promise<File> {
    const { inode } = await fs.create(superuser, ROOT, name, { mode: 0o644 }, 'guarded')
    return new File(inode.ino, seed)
  }
  async change({ fs }: LocalNode): Promise<void> {
    const prng = this.#prng
    if (prng.chance(0.15)) {
      const size = prng.below(this.content.length + 100 * KiB)
      await fs.setattr(superuser, this.ino, { size })
      const next = Buffer.alloc(size)
      this.content.copy(next, 0, 0, Math.min(size, this.content.length))
      return this.#is(next)
    }
    const at = prng.below(this.content.length + 200 * KiB)
    const bytes = prng.bytes(prng.pick([10, 5000, 70_000, 300_000]))
    await fs.write(superuser, this.ino, at, bytes, prng.chance(0.3))
    const next = Buffer.alloc(Math.max(this.content.length, at + bytes.length))
    this.content.copy(next)
    bytes.copy(next, at)
    this.#is(next)
  }
  #is(content: Buffer): void {
    ;(this as { content: Buffer }).content = content
  }
  async verify({ fs }: LocalNode): Promise<void> {
    assert.is(Buffer.compare(await readAll(fs, this.ino), this.content), 0, `file ${this.ino}`)
  }
}

test('all that is on a LUN is moved elsewhere, whatever goes on meanwhile; then nothing of it is left', async () => {
  const m = await setUp()
  const files: File[] = []
  for (let i = 0; i < 12; i++) {
    const file = await File.make(node(m, i % 3), `f${i}`, i + 1)
    for (let k = 0; k < 20; k++) await file.change(node(m, i % 3))
    files.push(file)
  }
  assert.ok((await filesOn(m, 1)).length > 3)
  const unlinked = await node(m, 0).fs.create(superuser, ROOT, 'unlinked', { mode: 0o644 }, 'guarded')
  await node(m, 0).fs.write(superuser, unlinked.inode.ino, 0, Buffer.alloc(MiB, 'u'), true)
  await node(m, 0).fs.open(unlinked.inode.ino)
  await node(m, 1).fs.remove(superuser, ROOT, 'unlinked')
  close(m)
  let working = true
  const work = files.map(async (file, i) => {
    for (let k = 0; working; k++) {
      await file.change(node(m, (i + k) % 3))
      if (k % 3 === 0) await file.verify(node(m, (i + k + 1) % 3))
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  })
  await drained(m)
  working = false
  await Promise.all(work)
  await catchUp(m)
  for (const { volume, fs } of m.nodes) {
    assert.is(blocksKnown(volume.image, 1), 0)
    assert.is(volume.image.spaceIn(lunRange(1)), 0)
    assert.ok(await fs.isEmptied(1))
    assert.not(await fs.isEmptied(0))
  }
  const writes = m.luns[1]?.writes
  for (const { fs } of m.nodes) fs.useLuns([m.luns[0], undefined])
  for (const [i, file] of files.entries()) {
    await file.change(node(m, i % 3))
    for (const each of m.nodes) await file.verify(each)
  }
  assert.equal(await readAll(node(m, 2).fs, unlinked.inode.ino), Buffer.alloc(MiB, 'u'))
  node(m, 0).fs.close(unlinked.inode.ino)
  assert.is(m.luns[1]?.writes, writes)
  assert.equal(await m.check(), [])
  await m.close()
})

test('a LUN is empty only once that is durable: whoever has emptied it may die', async () => {
  const m = await setUp()
  close(m)
  const { fs, volume } = node(m, 0)
  while (!(await fs.drain(1, STEP_MS)).isEmpty) await new Promise((resolve) => setTimeout(resolve, 5))
  assert.ok(await fs.isEmptied(1))
  let isDurable = false
  volume.afterDurable(() => (isDurable = true))
  assert.ok(isDurable, 'at once: nothing of it is under way')
  await m.close()
})

test('nothing new gets to a LUN that is being drained, and its free space is nobody’s', async () => {
  const m = await setUp()
  for (const each of m.nodes)
    for (let k = 0; k < 20; k++) await (await File.make(each, `a${each.slot}.${k}`, k)).change(each)
  const before = await filesOn(m, 1)
  assert.ok(before.length > 0)
  const free = (await node(m, 0).fs.statfs()).freeBytes
  close(m)
  const less = (await node(m, 0).fs.statfs()).freeBytes
  assert.ok(less < free - 40 * MiB && less > 0, `${free} bytes were free, now ${less}`)
  const made: File[] = []
  for (const each of m.nodes)
    for (let k = 0; k < 20; k++) {
      const file = await File.make(each, `b${each.slot}.${k}`, k + 100)
      for (let changes = 0; changes < 4; changes++) await file.change(each)
      made.push(file)
    }
  const there = await filesOn(m, 1)
  assert.equal(
    made.filter(({ ino }) => there.includes(ino)).map(({ ino }) => ino),
    [],
  )
  assert.equal(await m.check(), [])
  await m.close()
})

test('promises made from a LUN before it was to be drained are kept, there or elsewhere', async () => {
  const m = await setUp()
  const files: File[] = []
  for (const each of m.nodes)
    for (let k = 0; k < 10; k++) {
      const { inode } = await each.fs.create(superuser, ROOT, `p${each.slot}.${k}`, { mode: 0o644 }, 'guarded')
      // unstable: space is promised, not taken
      await each.fs.write(superuser, inode.ino, 0, Buffer.alloc(200 * KiB, 'p'), false)
      files.push({ ino: inode.ino, content: Buffer.alloc(200 * KiB, 'p') } as File)
    }
  close(m)
  await drained(m)
  await catchUp(m)
  for (const { ino, content } of files) assert.equal(await readAll(node(m, 1).fs, ino), content)
  assert.equal(await filesOn(m, 1), [])
  assert.equal(await m.check(), [])
  await m.close()
})

test('draining can be stopped, also when part of the space is out of the image already: it comes back', async () => {
  const m = await setUp()
  const file = await File.make(node(m, 0), 'f', 5)
  for (let k = 0; k < 20; k++) await file.change(node(m, k % 3))
  close(m)
  await drained(m)
  assert.is(await node(m, 0).fs.addSpace([0, 1]), 0, 'not while it is being drained')
  for (const { fs } of m.nodes) fs.useLuns(m.luns)
  const bytes = await Promise.all(m.nodes.map(({ fs }) => fs.addSpace([0, 1])))
  assert.is(
    bytes.reduce((sum, each) => sum + each, 0),
    node(m, 0).volume.layout.dataBlocksOf(1) * BLOCK,
  )
  await catchUp(m)
  for (let k = 0; k < 10; k++) await file.change(node(m, k % 3))
  await file.verify(node(m, 2))
  assert.equal(await m.check(), [])
  await m.close()
})

test('a LUN whose content has no room elsewhere is not drained: the reason has figures, and what is there stays', async () => {
  const m = await setUp()
  const { fs } = node(m, 0)
  const { inode } = await fs.create(superuser, ROOT, 'full', { mode: 0o644 }, 'guarded')
  let written = 0
  for (;;) {
    const full = await Promise.resolve(fs.write(superuser, inode.ino, written, Buffer.alloc(MiB, 'f'), true)).then(
      () => false,
      (error) => isFsError(error, 'ENOSPC'),
    )
    if (full) break
    written += MiB
  }
  close(m)
  const error = await drained(m).catch((reason) => reason)
  assert.ok(isMatrixError(error, 'no-space'), String(error))
  assert.match(error.message, /MiB are left on the LUN, and the others have .* free: delete something/)
  assert.equal(await readAll(fs, inode.ino), Buffer.alloc(written, 'f'))
  await fs.setattr(superuser, inode.ino, { size: 10 * MiB })
  await drained(m)
  assert.equal(await readAll(fs, inode.ino), Buffer.alloc(10 * MiB, 'f'))
  assert.equal(await m.check(), [])
  await m.close()
})

test('blocks are cut out of the middle of extents, and the mutations say what the map says', () => {
  const extents = [
    { block: 0, count: 10, address: 100 },
    { block: 10, count: 5, address: 500 },
    { block: 20, count: 4, address: 700 },
  ]
  const rows = new Map(extents.map((each) => [each.block, each]))
  const map = ExtentMap.from(extents)
  const mutations: Mutation[] = []
  assert.equal(map.cut(7, { block: 3, count: 9 }, mutations), [
    { address: 103, count: 7 },
    { address: 500, count: 2 },
  ])
  assert.equal(map.cut(7, { block: 21, count: 2 }, mutations), [{ address: 701, count: 2 }])
  for (const each of mutations) {
    if (each.op === 'putExtent') rows.set(each.block, { block: each.block, count: each.count, address: each.address })
    else if (each.op === 'removeExtent') rows.delete(each.block)
  }
  const left = Array.from({ length: map.length }, (_, i) => map.at(i))
  assert.equal(left, [
    { block: 0, count: 3, address: 100 },
    { block: 12, count: 3, address: 502 },
    { block: 20, count: 1, address: 700 },
    { block: 23, count: 1, address: 703 },
  ])
  assert.equal(
    [...rows.values()].sort((a, b) => a.block - b.block),
    left,
  )
  assert.is(map.mapped, 8)
  assert.throws(() => map.cut(7, { block: 3, count: 1 }, mutations), /mapped/)
})

test.run()
