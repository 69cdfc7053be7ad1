/** What has to have happened before what: on the LUN, between the nodes that share its space, and between renames. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MiB } from '../../../src/base/units.ts'
import { EX, GROUP_LOCK, resourceId } from '../../../src/locking/index.ts'
import type { MatrixFs } from '../../../src/metadata/index.ts'
import { makeLocalMatrix } from '../../helpers/local-matrix.ts'
import { SimWorld } from '../../sim/world.ts'
import { codeOf, superuser } from '../../suites/posix-fs.ts'

async function newFile(fs: MatrixFs, name: string): Promise<number> {
  return (await fs.create(superuser, 1, name, { mode: 0o644 }, 'guarded')).inode.ino
}

async function mkdir(fs: MatrixFs, dir: number, name: string): Promise<number> {
  return (await fs.mkdir(superuser, dir, name, { mode: 0o755 })).inode.ino
}

test('an extent is journaled only after its data is on stable storage', async () => {
  const matrix = await makeLocalMatrix({ nodes: 1 })
  const { fs } = matrix.nodes[0]!
  const lun = matrix.luns[0]!
  const ino = await newFile(fs, 'f')
  let written = 0
  let unflushed = 0
  let early = 0
  lun.onIo = ({ op, purpose }) => {
    if (op === 'flush') unflushed = 0
    else if (purpose === 'data') written = ++unflushed
    else if (purpose === 'journal') early += unflushed
  }
  for (let i = 0; i < 10; i++) await fs.write(superuser, ino, i * 100_000, Buffer.alloc(100_000, 'x'), true)
  lun.onIo = undefined
  assert.ok(written > 0)
  assert.is(early, 0, 'data that no flush followed when a frame was written')
  await matrix.close()
})

test('a file that takes the place of another brings its content: it is on stable storage before the rename is journaled', async () => {
  const matrix = await makeLocalMatrix({ nodes: 1 })
  const { fs, volume } = matrix.nodes[0]!
  const lun = matrix.luns[0]!
  await newFile(fs, 'document')
  const fresh = await newFile(fs, 'new')
  await fs.sync()
  for (const over of [true, false]) {
    const order: string[] = []
    lun.onIo = ({ op, purpose }) => void order.push(purpose ?? op)
    await fs.write(superuser, fresh, 0, Buffer.alloc(5000, 'x'), false)
    if (over) await fs.rename(superuser, 1, 'new', 1, 'document')
    else await fs.rename(superuser, 1, 'document', 1, 'elsewhere')
    await volume.flush()
    lun.onIo = undefined
    const [data, journal] = [order.indexOf('data'), order.indexOf('journal')]
    assert.ok(journal >= 0, order.join())
    if (over) assert.ok(data >= 0 && order.indexOf('flush', data) < journal && data < journal, order.join())
    else assert.is(data, -1, 'a name that was free is no reason to wait')
  }
  await matrix.close()
})

test('freed blocks are written to only after the transaction that freed them is on the LUN', async () => {
  const plan = { journalBytes: MiB, checkpointBytes: 2 * MiB, groupBlocks: 512 }
  const matrix = await makeLocalMatrix({ nodes: 1, lunBytes: 64 * MiB, plan })
  const { fs } = matrix.nodes[0]!
  const lun = matrix.luns[0]!
  const full = await newFile(fs, 'full')
  const piece = Buffer.alloc(MiB, 'x')
  for (let at = 0; (await codeOf(() => fs.write(superuser, full, at, piece, false))) === 'none'; at += MiB);
  for (
    let at = 100 * MiB;
    (await codeOf(() => fs.write(superuser, full, at, piece.subarray(0, 4096), false))) === 'none';
  )
    at += 4096
  await fs.commitFile(full)
  const ino = await newFile(fs, 'f')
  await fs.sync()
  const order: string[] = []
  lun.onIo = ({ op, purpose }) => {
    if (op === 'write' && (purpose === 'data' || purpose === 'journal')) order.push(purpose)
  }
  await fs.remove(superuser, 1, 'full')
  await fs.write(superuser, ino, 0, Buffer.alloc(4096, 'y'), true)
  lun.onIo = undefined
  assert.ok(order.includes('data'))
  assert.is(order[0], 'journal', `written in this order: ${order}`)
  assert.equal(await matrix.check(), [])
  await matrix.close()
})

test('an allocation group goes to another node only when nothing taken from it is being written', async () => {
  const world = new SimWorld(1)
  const matrix = await world.settle(makeLocalMatrix({ nodes: 2, clock: world }))
  const [one, other] = matrix.nodes as [(typeof matrix.nodes)[0], (typeof matrix.nodes)[0]]
  const ino = await world.settle(newFile(one.fs, 'f'))
  for (const disk of matrix.disks) disk.faults.add(({ purpose }) => (purpose === 'data' ? { slowMs: 300 } : undefined))
  const written = Promise.resolve(one.fs.write(superuser, ino, 0, Buffer.alloc(400_000, 'x'), true))
  await world.run(world.now + 50)
  const held = one.volume.layout.groups().filter((group) => one.locks.cache.peek(resourceId(GROUP_LOCK, group)))
  assert.ok(held.length > 0, 'it has taken space')
  const mapped = () => [...other.volume.image.extents(ino)]
  assert.equal(mapped(), [])
  for (const group of held) {
    const hold = await world.settle(Promise.resolve(other.locks.cache.acquire(resourceId(GROUP_LOCK, group), EX)))
    hold.release()
  }
  assert.ok(mapped().length > 0, 'who has the group knows what is used of it')
  await world.settle(written)
  assert.equal(await world.settle(matrix.check()), [])
  await world.settle(matrix.close())
})

test('two directories that move below each other at the same time: one of them has to stay', async () => {
  const matrix = await makeLocalMatrix({ nodes: 2 })
  const one: MatrixFs = matrix.nodes[0]!.fs
  const other: MatrixFs = matrix.nodes[1]!.fs
  for (let round = 0; round < 10; round++) {
    // p/a/d and q/b/c: no lock that one of the renames needs is needed by the other, but that of all such renames
    const p = await mkdir(one, 1, `p${round}`)
    const a = await mkdir(one, p, 'a')
    const d = await mkdir(one, a, 'd')
    const q = await mkdir(other, 1, `q${round}`)
    const b = await mkdir(other, q, 'b')
    const c = await mkdir(other, b, 'c')
    const codes = await Promise.all([
      codeOf(() => one.rename(superuser, p, 'a', c, 'a')),
      codeOf(() => other.rename(superuser, q, 'b', d, 'b')),
    ])
    assert.equal([...codes].sort(), ['EINVAL', 'none'], `round ${round}`)
  }
  assert.equal(await matrix.check(), [])
  await matrix.close()
})

test('a file that is open at one node stays when another removes its name, until it is closed', async () => {
  const matrix = await makeLocalMatrix({ nodes: 2 })
  const [holder, remover] = matrix.nodes as [(typeof matrix.nodes)[0], (typeof matrix.nodes)[0]]
  const ino = await newFile(holder.fs, 'f')
  await holder.fs.write(superuser, ino, 0, Buffer.from('still here'), true)
  await holder.fs.open(ino)
  await remover.fs.remove(superuser, 1, 'f')
  assert.equal(remover.volume.image.orphans(remover.slot), [ino])
  assert.is((await holder.fs.getattr(ino)).nlink, 0)
  holder.fs.close(ino)
  await matrix.close()
})

test.run()
