import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { InvariantError } from '../../../src/base/assert.ts'
import { isFsError, isMatrixError } from '../../../src/base/errors.ts'
import { MiB } from '../../../src/base/units.ts'
import type { Vector } from '../../../src/base/vector.ts'
import { formatFilesystem, type Mutation, Volume } from '../../../src/metadata/index.ts'
import { silentLog } from '../../../src/platform/log.ts'
import type { FilesystemRecord, Seal } from '../../../src/san/index.ts'
import { handClock, inode, MemoryLun, smallRecord } from './fixture.ts'

const incarnations = (slot: number) => slot + 10

async function formatted(record: FilesystemRecord = smallRecord): Promise<MemoryLun> {
  const lun = new MemoryLun()
  await formatFilesystem([lun], record, { now: 1_700_000_000_123 })
  return lun
}

type Mounted = Volume & { asked: number; fatal: Error | undefined }

async function mount(
  lun: MemoryLun,
  slot: number,
  seals: readonly Seal[] = [],
  incarnation = incarnations(slot),
  journalBytes = smallRecord.journalBytes,
) {
  const state = { asked: 0, fatal: undefined as Error | undefined }
  const volume = await Volume.open({
    luns: [lun],
    record: { ...smallRecord, seals, journalBytes },
    slot,
    incarnation,
    newImageFile: () => ':memory:',
    clock: handClock(),
    log: silentLog,
    incarnations,
    onFatal: (error) => (state.fatal = error),
    requestCheckpoint: () => state.asked++,
  })
  return Object.defineProperties(volume, {
    asked: { get: () => state.asked },
    fatal: { get: () => state.fatal },
  }) as Mounted
}

const create = (ino: number, name: string, cookie: number): Mutation[] => [
  { op: 'putInode', inode: inode(ino) },
  { op: 'putDirent', dir: 1, name, cookie, ino, type: 1 },
]

test('a new filesystem has a root directory and all its space free', async () => {
  const volume = await mount(await formatted(), 0)
  assert.is(volume.image.inode(1)?.nlink, 2)
  assert.equal(volume.image.totals(), {
    inodes: 1,
    freeBlocks: volume.layout.dataBlocks,
    freedBlocks: 0,
    rangeWeight: 0,
  })
})

test('R17: what one node commits, another applies from the LUN, and both images are equal', async () => {
  const lun = await formatted()
  const [a, b] = [await mount(lun, 0), await mount(lun, 1)]
  a.startWriting(0)
  b.startWriting(0)
  a.commit(create(64, 'from-a', 3))
  assert.is(a.image.dirent(1, 'from-a')?.ino, 64, 'own reads see it at once')
  assert.is(a.durableVector().get(0), 0, 'not durable yet')
  await a.flush()
  assert.not(b.hasApplied(a.durableVector()))
  await b.applyTo(a.durableVector())
  b.commit(create(65, 'from-b', 4))
  await b.flush()
  await a.applyTo(b.durableVector())
  assert.is(a.image.dirent(1, 'from-b')?.ino, 65)
  assert.is(a.hash(), b.hash())
})

test('a frame waits for what its writer had applied', async () => {
  const lun = await formatted()
  const [a, b, c] = [await mount(lun, 0), await mount(lun, 1), await mount(lun, 2)]
  a.startWriting(0)
  b.startWriting(0)
  a.commit(create(64, 'x', 3))
  await a.flush()
  await b.applyTo(a.durableVector())
  b.commit([{ op: 'removeDirent', dir: 1, name: 'x' }])
  await b.flush()
  await c.readTo(1, b.endOf(1))
  assert.is(c.image.inode(64)?.ino, 64, 'a’s frame came along')
  assert.is(c.image.dirent(1, 'x'), undefined)
})

test('whoever applies a long journal lets other work have its turn, heartbeats among it', async () => {
  const lun = await formatted({ ...smallRecord, journalBytes: MiB })
  const [a, b] = [await mount(lun, 0, [], 10, MiB), await mount(lun, 1, [], 11, MiB)]
  a.startWriting(0)
  const frames = 640
  for (let i = 0; i < frames; i++) {
    a.commit(create(64 + i, `f${i}`, 3 + i))
    await a.flush()
  }
  let turns = 0
  let done = false
  const other = () => {
    turns++
    if (!done) setImmediate(other)
  }
  setImmediate(other)
  await b.applyTo(a.durableVector())
  done = true
  assert.is(b.image.dirent(1, `f${frames - 1}`)?.ino, 64 + frames - 1)
  assert.ok(turns >= frames / 64, `${turns} turns while ${frames} frames were applied`)
})

test('concurrent waiters share one frame and one durable write', async () => {
  const lun = await formatted()
  const a = await mount(lun, 0)
  a.startWriting(0)
  lun.writes.length = 0
  const waits = []
  for (let i = 0; i < 20; i++) {
    a.commit(create(64 + i, `f${i}`, 3 + i))
    waits.push(a.flush())
  }
  await Promise.all(waits)
  assert.equal(
    lun.writes.map(({ purpose, durable }) => [purpose, durable]),
    [['journal', true]],
  )
  let within = false
  a.afterDurable(() => (within = true))
  assert.ok(within, 'nothing is pending: at once')
})

test('a vector that is handed out names no frame that is still under way', async () => {
  const lun = await formatted()
  const a = await mount(lun, 0)
  a.startWriting(0)
  let open = () => {}
  lun.gate = new Promise((resolve) => (open = resolve))
  a.commit(create(64, 'x', 3))
  const flushed = a.flush()
  await new Promise((resolve) => setImmediate(resolve))
  assert.ok((a.image.vector.get(0) ?? 0) > 0, 'the frame is on its way')
  assert.is(a.durableVector().get(0) ?? 0, 0)
  open()
  await flushed
  assert.is(a.durableVector().get(0), a.image.vector.get(0))
})

test('an invalid own transaction is a bug: the volume withdraws, and nothing of it reaches the LUN', async () => {
  for (const ino of [999, -1]) {
    const lun = await formatted()
    const a = await mount(lun, 0)
    a.startWriting(0)
    a.commit(create(64, 'x', 3))
    await a.flush()
    assert.throws(
      () => a.commit([...create(65, 'y', 4), { op: 'removeInode', ino }]),
      (e: unknown) => e instanceof InvariantError,
    )
    assert.throws(() => a.image, /does not fit/)
    const b = await mount(lun, 1)
    await b.findEnd(0, incarnations(0))
    assert.ok(b.image.dirent(1, 'x'))
    assert.is(b.image.dirent(1, 'y'), undefined)
    b.withdraw()
  }
})

test('the tail applies only what another frame follows, and what is hinted durable', async () => {
  const lun = await formatted()
  const [a, b] = [await mount(lun, 0), await mount(lun, 1)]
  a.startWriting(0)
  a.commit(create(64, 'one', 3))
  await a.flush()
  const first = a.endOf(0)
  a.commit(create(65, 'two', 4))
  await a.flush()
  await b.tail()
  assert.is(b.endOf(0), first)
  await b.tail(a.durableVector())
  assert.is(b.hash(), a.hash())
})

test('the ring goes round many times, checkpoints free it, and a lapped reader catches up', async () => {
  const lun = await formatted()
  const [a, b] = [await mount(lun, 0), await mount(lun, 1)]
  a.startWriting(0)
  b.startWriting(0)
  b.commit(create(5000, 'b', 900_000))
  await b.flush()
  let asked = 0
  for (let i = 0; i < 1000; i++) {
    a.commit(create(64 + i, `file-${i}`, 3 + i))
    await a.flush()
    if (a.asked > asked) {
      asked = a.asked
      await a.checkpoint()
      asked = a.asked
    }
  }
  await a.flush()
  assert.ok(a.endOf(0) > 6 * smallRecord.journalBytes, 'several laps')
  const waiting = b.applyTo(a.durableVector())
  b.commit(create(6000, 'b-while-reloading', 900_001))
  await waiting
  assert.ok(b.stats().reloads > 0, 'it was lapped')
  await b.flush()
  await a.applyTo(b.durableVector())
  assert.is(a.hash(), b.hash())
  assert.is(b.image.totals().inodes, 1003)
})

test('a full journal refuses growth, leaves room for removing, and recovers by checkpoints', async () => {
  const lun = await formatted()
  const a = await mount(lun, 0)
  a.startWriting(0)
  let made = 0
  let refused: unknown
  for (; made < 10_000 && !refused; made++) {
    try {
      a.commit(create(64 + made, `file-${made}`, 3 + made))
    } catch (error) {
      refused = error
      break
    }
    if (made % 2 === 0) await a.flush()
  }
  assert.ok(isFsError(refused, 'ENOSPC'))
  assert.ok(a.asked > 0)
  assert.is(a.image.inode(64 + made), undefined, 'nothing half-made')
  a.commit([
    { op: 'removeDirent', dir: 1, name: 'file-0' },
    { op: 'removeInode', ino: 64 },
  ])
  await a.flush()
  await a.checkpoint()
  await a.checkpoint()
  a.commit(create(64 + made, `file-${made}`, 3 + made))
  await a.flush()
  const b = await mount(lun, 1)
  await b.applyTo(a.durableVector())
  assert.is(a.hash(), b.hash())
})

test('a dead node’s journal is read to its end; a torn last frame does not count; its slot goes on from the seal', async () => {
  const lun = await formatted()
  const [a, b] = [await mount(lun, 0), await mount(lun, 1)]
  a.startWriting(0)
  a.commit(create(64, 'whole', 3))
  await a.flush()
  const whole = a.endOf(0)
  a.commit(create(65, 'torn', 4))
  await a.flush()
  a.withdraw()
  lun.bytes[a.layout.journalStart(0) + whole + 60] ^= 1
  const end = await b.findEnd(0, incarnations(0))
  assert.is(end, whole)
  const seals = [{ slot: 0, incarnation: incarnations(0), lsn: end }]
  b.setSeals(seals)
  assert.is(await b.findEnd(0, incarnations(0)), whole, 'sealed: the same answer')
  // the torn frame turns out whole after all: a ghost
  lun.bytes[a.layout.journalStart(0) + whole + 60] ^= 1
  await b.tail()
  assert.is(b.endOf(0), whole)
  const again = await mount(lun, 0, seals, 20)
  b.setIncarnation(0, 20)
  await again.tail()
  assert.is(again.endOf(0), whole, 'what is sealed is durable')
  again.startWriting(whole)
  again.commit(create(65, 'new life', 4))
  await again.flush()
  await b.applyTo(again.durableVector())
  assert.is(b.image.dirent(1, 'torn'), undefined)
  assert.is(b.hash(), again.hash())
})

test('what is found of a dead node’s journal is on stable storage before anything here depends on it', async () => {
  const lun = await formatted()
  const [a, b] = [await mount(lun, 0), await mount(lun, 1)]
  a.startWriting(0)
  b.startWriting(0)
  for (let i = 0; i < 3; i++) {
    a.commit(create(64 + i, `f${i}`, 3 + i))
    await a.flush()
  }
  a.withdraw()
  const appliedAtFlush: number[] = []
  lun.flush = async () => {
    appliedAtFlush.push(b.endOf(0))
    b.commit(create(128, 'meanwhile', 9))
  }
  const end = await b.findEnd(0, incarnations(0))
  assert.equal(appliedAtFlush, [0])
  assert.is(b.endOf(0), end)
  assert.ok(b.image.dirent(1, 'f2') && b.image.dirent(1, 'meanwhile'))
})

/** Two nodes; the journal of the first has three frames, each durable. */
async function threeFrames() {
  const lun = await formatted()
  const [a, b] = [await mount(lun, 0), await mount(lun, 1)]
  a.startWriting(0)
  for (let i = 0; i < 3; i++) {
    a.commit(create(64 + i, `f${i}`, 3 + i))
    await a.flush()
  }
  return { lun, a, b }
}

test('an invalid frame followed by a valid later one is damage, not the end', async () => {
  const { lun, a, b } = await threeFrames()
  lun.bytes[a.layout.journalStart(0) + 60] ^= 1
  let error: unknown
  await b.findEnd(0, incarnations(0)).catch((e) => (error = e))
  assert.ok(isMatrixError(error, 'journal-damaged'), String(error))
  assert.not.ok(b.fatal, 'recovery judges it: the filesystem is in error, the node is not')
  assert.is(b.image.vector.get(0) ?? 0, 0, 'nothing from there on was applied')
  error = undefined
  await b.applyTo(a.durableVector()).catch((e) => (error = e))
  assert.ok(isMatrixError(error, 'journal-damaged', 'withdrawn'), String(error))
  assert.ok(b.fatal, 'who has to have it does not go on with this filesystem')
})

test('who has a choice stays as it is when it meets damage, and goes on from a checkpoint beyond it', async () => {
  const { lun, a, b } = await threeFrames()
  lun.bytes[a.layout.journalStart(0) + 60]! ^= 1
  const end = a.durableVector()
  const error = await b.applyTo(end, 'judged').catch((caught) => caught)
  assert.ok(isMatrixError(error, 'journal-damaged'), String(error))
  await a.checkpoint('judged')
  await b.applyTo(end, 'judged')
  assert.not.ok(b.fatal)
  assert.is(b.hash(), a.hash())
})

test('a failed journal write withdraws: waiters get the error, the image is gone', async () => {
  const lun = await formatted()
  const a = await mount(lun, 0)
  a.startWriting(0)
  a.commit(create(64, 'x', 3))
  lun.failNext = 'journal'
  let error: unknown
  await a.flush().catch((e) => (error = e))
  assert.ok(isMatrixError(error, 'withdrawn'))
  assert.ok(isMatrixError(a.fatal, 'lun-io'))
  assert.throws(
    () => a.image,
    (e: unknown) => isMatrixError(e, 'withdrawn'),
  )
  assert.throws(
    () => a.commit(create(65, 'y', 4)),
    (e: unknown) => isMatrixError(e, 'withdrawn'),
  )
  const again = await mount(lun, 0, [], 20)
  assert.is(again.image.dirent(1, 'x'), undefined)
})

test('a damaged newest checkpoint loses nothing: the one before is loaded, journals reach back to it', async () => {
  const lun = await formatted()
  const a = await mount(lun, 0)
  a.startWriting(0)
  for (let i = 0; i < 300; i++) {
    a.commit(create(64 + i, `f${i}`, 3 + i))
    await a.flush()
    if (i % 40 === 39) await a.checkpoint()
  }
  const newest = a.stats().checkpoint
  const half = [0, 1].find((h) => lun.bytes.readUIntLE(a.layout.manifestStart(0, h) + 24 + 8, 6) === newest)
  assert.type(half, 'number')
  lun.bytes[a.layout.checkpointStart(0, half as number) + 300] ^= 1
  const b = await mount(lun, 1)
  await b.applyTo(a.durableVector())
  assert.is(b.hash(), a.hash())
  // publishing overwrites the damaged one, not the one that is needed
  await a.checkpoint()
  const c = await mount(lun, 2)
  const vector: Vector = a.durableVector()
  await c.applyTo(vector)
  assert.is(c.hash(), a.hash())
})

test('mount answers clearly when no checkpoint is whole', async () => {
  const lun = await formatted()
  const { layout } = await mount(lun, 0)
  lun.bytes.fill(0, layout.manifestStart(0, 0), layout.manifestStart(0, 0) + 8192)
  let error: unknown
  await mount(lun, 0).catch((e) => (error = e))
  assert.ok(isMatrixError(error, 'checkpoint-damaged'))
})

test.run()
