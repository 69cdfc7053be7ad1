/** A full filesystem: nothing is half made, other nodes' free space is found, and all of it comes back after deletes. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MiB } from '../../../src/base/units.ts'
import type { MatrixFs } from '../../../src/metadata/index.ts'
import { type LocalMatrix, makeLocalMatrix } from '../../helpers/local-matrix.ts'
import { codeOf, superuser } from '../../suites/posix-fs.ts'

const small = { lunBytes: 64 * MiB, plan: { journalBytes: MiB, checkpointBytes: 2 * MiB, groupBlocks: 512 } }

async function newFile(fs: MatrixFs, name: string): Promise<number> {
  return (await fs.create(superuser, 1, name, { mode: 0o644 }, 'guarded')).inode.ino
}

/** Writes pieces until the filesystem is full; bytes accepted. */
async function fillUp(fs: MatrixFs, ino: number, piece: number): Promise<number> {
  const data = Buffer.alloc(piece, 'x')
  for (let offset = 0; ; offset += piece) {
    const code = await codeOf(() => fs.write(superuser, ino, offset, data, false))
    if (code !== 'none') {
      assert.is(code, 'ENOSPC')
      return offset
    }
  }
}

async function freeBlocks(matrix: LocalMatrix): Promise<number> {
  assert.equal(await matrix.check(), [])
  const { freeBlocks, freedBlocks } = matrix.nodes[0]!.volume.image.totals()
  return freeBlocks + freedBlocks
}

async function settle(matrix: LocalMatrix): Promise<void> {
  for (let tries = 0; ; tries++) {
    await matrix.check()
    if (matrix.nodes[0]!.volume.image.totals().freedBlocks === 0) return
    assert.ok(tries < 100, 'freed space goes back to its groups')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

for (const nodes of [1, 3]) {
  test(`${nodes} nodes: full is ENOSPC at the write, everything accepted is kept, deletes give all of it back`, async () => {
    const matrix = await makeLocalMatrix({ ...small, nodes })
    const empty = await freeBlocks(matrix)
    const { fs } = matrix.nodes[0]!
    const ino = await newFile(fs, 'big')
    const accepted = await fillUp(fs, ino, MiB)
    assert.ok(accepted > (empty - 1024) * 4096, 'groups of every node have been used up')
    // the file is exactly what was accepted, and can be made durable although nothing is free
    await fs.commitFile(ino)
    assert.is((await fs.getattr(ino)).size, accepted)
    assert.is((await fs.getattr(ino)).allocated, accepted)
    // names and small changes still work at every node, data does not
    const last = matrix.nodes[nodes - 1]!.fs
    const more = await newFile(last, 'more')
    await fillUp(last, more, 4096)
    assert.is(await codeOf(() => last.write(superuser, more, 900 * MiB, Buffer.from('x'), true)), 'ENOSPC')
    await last.rename(superuser, 1, 'more', 1, 'renamed')
    assert.is(await freeBlocks(matrix), 0)
    // overwriting needs no space
    await last.write(superuser, ino, 0, Buffer.alloc(MiB, 'y'), true)

    await last.remove(superuser, 1, 'big')
    await fs.remove(superuser, 1, 'renamed')
    await settle(matrix)
    assert.is(await freeBlocks(matrix), empty)
    // and can be used at once, by another node than the one that freed it
    const again = await newFile(last, 'again')
    assert.ok((await fillUp(last, again, MiB)) > (empty - 1024) * 4096)
    await matrix.close()
  })
}

test('space freed and wanted at once is found without waiting for the reclaimer', async () => {
  const matrix = await makeLocalMatrix({ ...small, nodes: 1 })
  const { fs } = matrix.nodes[0]!
  for (let round = 0; round < 5; round++) {
    const ino = await newFile(fs, 'f')
    await fillUp(fs, ino, MiB)
    await fs.commitFile(ino)
    await fs.remove(superuser, 1, 'f')
  }
  const ino = await newFile(fs, 'f')
  assert.is(await codeOf(() => fs.write(superuser, ino, 0, Buffer.alloc(MiB), true)), 'none')
  await matrix.close()
})

test('dirty data that is cut away or deleted gives its promised space back', async () => {
  const matrix = await makeLocalMatrix({ ...small, nodes: 1 })
  const { fs } = matrix.nodes[0]!
  const ino = await newFile(fs, 'f')
  await fs.write(superuser, ino, 0, Buffer.alloc(100 * 4096), false)
  assert.is(fs.stats().reservedBlocks, 100)
  await fs.setattr(superuser, ino, { size: 40 * 4096 + 1 })
  await fs.sync()
  assert.is(fs.stats().reservedBlocks, 0)
  assert.is((await fs.getattr(ino)).allocated, 41 * 4096)
  await fs.write(superuser, ino, 50 * 4096, Buffer.alloc(10 * 4096), false)
  await fs.remove(superuser, 1, 'f')
  assert.is(fs.stats().reservedBlocks, 0)
  assert.is(fs.stats().dirtyBytes, 0)
  await matrix.close()
})

test('a file written in small pieces gets long runs: allocation is late', async () => {
  const matrix = await makeLocalMatrix({ nodes: 1 })
  const { fs, volume } = matrix.nodes[0]!
  const files = [await newFile(fs, 'a'), await newFile(fs, 'b')]
  for (let i = 0; i < 200; i++) {
    for (const ino of files) await fs.write(superuser, ino, i * 4096, Buffer.alloc(4096, i), false)
  }
  await fs.sync()
  for (const ino of files) assert.is(volume.image.extents(ino).length, 1)
  await matrix.close()
})

test('the freed space and the orphans of a dead slot are adopted', async () => {
  const matrix = await makeLocalMatrix({ nodes: 2 })
  const [survivor, dead] = matrix.nodes as [(typeof matrix.nodes)[0], (typeof matrix.nodes)[0]]
  const ino = await newFile(dead.fs, 'f')
  await dead.fs.write(superuser, ino, 0, Buffer.alloc(40_960, 'x'), true)
  const open = await newFile(dead.fs, 'open')
  await dead.fs.open(open)
  await dead.fs.remove(superuser, 1, 'open')
  await dead.fs.remove(superuser, 1, 'f')
  await dead.volume.flush()
  // it "dies": its locks go, its journal has been read
  dead.fs.withdraw()
  dead.locks.withdraw()
  const end = dead.volume.endOf(dead.slot)
  await survivor.volume.applyTo(new Map([[dead.slot, end]]))
  survivor.locks.freeze()
  await survivor.locks.rebuild([survivor.slot], new Map([[dead.slot, end]]), 2)
  await survivor.fs.adoptSlot(dead.slot)
  assert.equal(survivor.volume.image.freed(dead.slot, 10), [])
  assert.equal(survivor.volume.image.orphans(dead.slot), [])
  for (let tries = 0; (await codeOf(() => survivor.fs.getattr(open))) !== 'ESTALE'; tries++) {
    assert.ok(tries < 100)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  await survivor.fs.stop()
  survivor.locks.withdraw()
  dead.volume.withdraw()
})

test.run()
