/**
 * Many workers at several nodes do whatever they like to one small tree at the same time. Nothing may fail but with a code
 * that POSIX gives for such a race, the filesystem must be whole afterwards, and all images equal, row for row.
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFsError } from '../../../src/base/errors.ts'
import type { Ino } from '../../../src/base/ids.ts'
import { Prng } from '../../../src/base/prng.ts'
import { maximum } from '../../../src/base/vector.ts'
import { DIR, type MatrixFs } from '../../../src/metadata/index.ts'
import { makeLocalMatrix } from '../../helpers/local-matrix.ts'
import { superuser } from '../../suites/posix-fs.ts'

const WORKERS = 12
const STEPS = 120
const NAMES = ['a', 'b', 'c', 'd', 'e']

/** What two workers may do to each other. */
const races = ['ENOENT', 'EEXIST', 'ENOTDIR', 'EISDIR', 'ENOTEMPTY', 'ESTALE', 'EINVAL', 'EPERM'] as const

async function anyDirectory(fs: MatrixFs, prng: Prng): Promise<Ino> {
  let dir: Ino = 1
  while (prng.chance(0.6)) {
    const { entries } = await fs.readdir(superuser, dir, 2, 100)
    const below = entries.filter((entry) => entry.type === DIR)
    if (below.length === 0) return dir
    dir = prng.pick(below).ino
  }
  return dir
}

async function step(fs: MatrixFs, prng: Prng): Promise<void> {
  const dir = await anyDirectory(fs, prng)
  const name = prng.pick(NAMES)
  const dice = prng.below(12)
  if (dice < 2) return void (await fs.mkdir(superuser, dir, name, { mode: 0o755 }))
  if (dice < 4) {
    const { inode } = await fs.create(
      superuser,
      dir,
      name,
      { mode: 0o644, size: prng.pick([undefined, 0, 5000]) },
      'unchecked',
    )
    return void (await fs.write(
      superuser,
      inode.ino,
      prng.below(50_000),
      prng.bytes(prng.below(30_000)),
      prng.chance(0.3),
    ))
  }
  if (dice < 6) return void (await fs.rename(superuser, dir, name, await anyDirectory(fs, prng), prng.pick(NAMES)))
  if (dice < 7) return void (await fs.remove(superuser, dir, name))
  if (dice < 8) return void (await fs.rmdir(superuser, dir, name))
  if (dice < 9) return void (await fs.readdirplus(superuser, dir, 0, 100))
  const { inode } = await fs.lookup(superuser, dir, name)
  if (dice < 10) return void (await fs.link(superuser, inode.ino, await anyDirectory(fs, prng), prng.pick(NAMES)))
  if (inode.type === DIR) return
  if (dice < 11) return void (await fs.setattr(superuser, inode.ino, { size: prng.below(60_000) }))
  await fs.open(inode.ino)
  try {
    await fs.remove(superuser, dir, name)
    await fs.read(superuser, inode.ino, 0, 100_000)
  } finally {
    fs.close(inode.ino)
  }
}

// the later seeds with so little cache and journal that eviction, checkpoints and waiting for room happen all the time
for (const seed of [1, 2, 3, 5, 11, 14]) {
  const tight = seed > 3 ? { dataCacheBytes: 400_000, plan: { journalBytes: 256 * 1024 } } : {}
  test(`seed ${seed}: ${WORKERS} workers on three nodes leave a whole filesystem and equal images`, async () => {
    const matrix = await makeLocalMatrix({ nodes: 3, seed, ...tight, timings: { minHoldMs: 1 } })
    const prng = new Prng(seed)
    const done: Record<string, number> = {}
    const worker = async (random: Prng) => {
      for (let i = 0; i < STEPS; i++) {
        let outcome = 'done'
        try {
          await step(random.pick(matrix.nodes).fs, random)
        } catch (error) {
          if (!isFsError(error, ...races)) throw error
          outcome = error.code
        }
        done[outcome] = (done[outcome] ?? 0) + 1
      }
    }
    await Promise.all(Array.from({ length: WORKERS }, () => worker(prng.fork())))
    assert.ok((done.done ?? 0) > (WORKERS * STEPS) / 4, `enough succeeded: ${JSON.stringify(done)}`)
    const orphans = () => matrix.nodes.reduce((sum, { volume, slot }) => sum + volume.image.orphans(slot).length, 0)
    for (let tries = 0; orphans() > 0; tries++) {
      assert.ok(tries < 100, 'the reapers take what nobody has open any more')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    assert.equal(await matrix.check(), [])

    for (const { fs } of matrix.nodes) await fs.stop()
    const end = maximum(...matrix.nodes.map(({ slot, volume }) => new Map([[slot, volume.endOf(slot)]])))
    for (const { volume } of matrix.nodes) await volume.applyTo(end)
    const hashes = new Set(matrix.nodes.map(({ volume }) => volume.hash()))
    assert.is(hashes.size, 1, 'two images at one vector are equal')
    await matrix.close()
  })
}

test.run()
