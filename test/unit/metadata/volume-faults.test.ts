/**
 * Fault sweep: the nth I/O of a scenario fails, n = 1, 2, 3 … until it passes untouched. Whatever fails, the caller is told, nothing
 * acknowledged is lost, and a node that mounts afterwards finds whole transactions only. And: damage of every kind on the disk.
 */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError, MatrixError } from '../../../src/base/errors.ts'
import { MiB } from '../../../src/base/units.ts'
import { formatFilesystem, type Mutation, Volume, type VolumeOptions } from '../../../src/metadata/index.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { realThreads } from '../../../src/platform/real/threads.ts'
import type { Threads } from '../../../src/platform/threads.ts'
import type { Lun } from '../../../src/san/index.ts'
import { handClock, inode, MemoryLun, smallRecord } from './fixture.ts'

function open(lun: Lun, slot: number, changes: Partial<VolumeOptions> = {}): Promise<Volume> {
  return Volume.open({
    ...{ luns: [lun], record: smallRecord, slot, incarnation: 1, newImageFile: () => ':memory:' },
    ...{ clock: handClock(), log: silentLog, onFatal() {}, requestCheckpoint() {} },
    ...changes,
  })
}

const pair = (i: number): Mutation[] => [
  { op: 'putInode', inode: inode(64 + i) },
  { op: 'putDirent', dir: 1, name: `f${i}`, cookie: 3 + i, ino: 64 + i, type: 1 },
]

/** The device fails its nth I/O. */
function failing(lun: MemoryLun, nth: number): Lun & { fired: boolean } {
  let count = 0
  const out = {
    ...{ identity: lun.identity, size: lun.size, fired: false, close: async () => {} },
    read: (offset: number, buffer: Buffer) => io(() => lun.read(offset, buffer)),
    write: (...args: Parameters<Lun['write']>) => io(() => lun.write(...args)),
    flush: () => io(() => lun.flush()),
  }
  const io = async (run: () => Promise<void>) => {
    if (++count === nth) {
      out.fired = true
      throw new MatrixError('lun-io', `I/O ${nth} fails`)
    }
    await run()
  }
  return out
}

test('every single I/O may fail: nothing acknowledged is lost, nothing is half there', async () => {
  let passed = false
  let nth = 1
  for (; nth < 200 && !passed; nth++) {
    const disk = new MemoryLun()
    await formatFilesystem([disk], smallRecord, { now: 0 })
    const lun = failing(disk, nth)
    const acknowledged: number[] = []
    let error: unknown
    try {
      const a = await open(lun, 0)
      a.startWriting(await a.findEnd(0, 1))
      for (let i = 0; i < 30; i++) {
        a.commit(pair(i))
        await a.flush()
        acknowledged.push(i)
        if (i % 7 === 6) await a.checkpoint()
      }
      await a.close({ clean: true })
    } catch (e) {
      error = e
    }
    passed = !lun.fired
    if (passed && error) throw error
    if (lun.fired) assert.ok(isMatrixError(error, 'lun-io', 'withdrawn'), `I/O ${nth}: ${error}`)
    const b = await open(disk, 1)
    await b.findEnd(0, 1)
    for (const i of acknowledged) assert.ok(b.image.dirent(1, `f${i}`), `I/O ${nth}: entry ${i} was acknowledged`)
    for (let i = 0; i < 30; i++)
      assert.is(
        !!b.image.inode(64 + i),
        !!b.image.dirent(1, `f${i}`),
        `I/O ${nth}: transaction ${i} is whole or absent`,
      )
    b.withdraw()
  }
  assert.ok(passed && nth > 30, 'the sweep reached its end')
})

test('one flipped byte anywhere in the journal: the exact image of the frames before it, or damage is reported', async () => {
  const disk = new MemoryLun()
  await formatFilesystem([disk], smallRecord, { now: 0 })
  const a = await open(disk, 0)
  a.startWriting(0)
  for (let i = 0; i < 6; i++) {
    a.commit(pair(i))
    await a.flush()
  }
  const end = a.endOf(0)
  const start = a.layout.journalStart(0)
  for (let at = 0; at < end; at += 37) {
    disk.bytes[start + at] ^= 0x40
    const b = await open(disk, 1)
    let found: number | undefined
    let error: unknown
    await b.findEnd(0, 1).then(
      (lsn) => (found = lsn),
      (e) => (error = e),
    )
    // padding of a frame is not part of it; the last frame may be a torn one
    if (error) assert.ok(isMatrixError(error, 'journal-damaged'), String(error))
    else assert.ok(found === end || (found === end - 512 && at >= end - 512), `byte ${at}: ${found}`)
    b.withdraw()
    disk.bytes[start + at] ^= 0x40
  }
})

test('a damaged image file: the volume withdraws at the first page it cannot read, and the next one builds the image anew', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'image-damage-'))
  let files = 0
  const newImageFile = () => join(folder, `${++files}.sqlite`)
  try {
    const disk = new MemoryLun()
    await formatFilesystem([disk], smallRecord, { now: 0 })
    const writer = await open(disk, 0)
    writer.startWriting(0)
    for (let i = 0; i < 300; i++) writer.commit(pair(i))
    await writer.flush()
    await writer.checkpoint()
    const hash = writer.hash()
    for (const look of [
      (volume: Volume) => volume.image.dirent(1, 'f7'),
      (volume: Volume) => volume.image.direntsAfter(1, 0, 1000),
      (volume: Volume) => volume.image.storedInode(64 + 250),
      (volume: Volume) => volume.commit([{ op: 'removeDirent', dir: 1, name: 'f7' }]),
      (volume: Volume) => volume.checkpoint(),
    ]) {
      const fatal: unknown[] = []
      const volume = await open(disk, 1, { newImageFile, onFatal: (error) => fatal.push(error) })
      volume.startWriting(0)
      const { size } = statSync(volume.imageFile)
      writeFileSync(volume.imageFile, Buffer.alloc(size - 4096, 0xa5), { flag: 'r+', flush: true })
      let error: unknown
      try {
        await look(volume)
      } catch (e) {
        error = e
      }
      assert.ok(isMatrixError(error, 'image-damaged', 'withdrawn'), `${look}: ${error}`)
      assert.is(fatal.length, 1)
      assert.throws(() => volume.image)
    }
    const again = await open(disk, 1, { newImageFile })
    await again.findEnd(0, 1)
    assert.is(again.hash(), hash)
    again.withdraw()
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('with every copy damaged in turn, a checkpoint is used or refused, never believed', async () => {
  const disk = new MemoryLun()
  await formatFilesystem([disk], smallRecord, { now: 0 })
  const good = await open(disk, 0)
  const hash = good.hash()
  const { layout } = good
  for (const half of [0, 1])
    for (const start of [layout.manifestStart(0, half), layout.checkpointStart(0, half)])
      for (let at = 0; at < 400; at += 13) {
        disk.bytes[start + at] ^= 1
        assert.is((await open(disk, 1)).hash(), hash, 'the other one')
        disk.bytes[start + at] ^= 1
      }
  for (const half of [0, 1]) disk.bytes[layout.checkpointStart(0, half) + 100] ^= 1
  let error: unknown
  await open(disk, 1).catch((e) => (error = e))
  assert.ok(isMatrixError(error, 'checkpoint-damaged'))
})

test('metadata that outgrows the checkpoint area is refused before anything is overwritten', async () => {
  const disk = new MemoryLun()
  await formatFilesystem([disk], smallRecord, { now: 0 })
  const a = await open(disk, 0)
  a.startWriting(0)
  let error: unknown
  let serial = 0
  for (let i = 0; i < 300 && !error; i++) {
    // incompressible names
    for (let k = 0; k < 50; k++) {
      serial++
      const name = Array.from({ length: 200 }, (_, c) =>
        String.fromCharCode(97 + ((serial * 7919 * (c + 1) + ((serial * c) ^ (serial >> 3))) % 26)),
      ).join('')
      a.commit([{ op: 'putDirent', dir: 1, name: name + serial, cookie: 3 + serial, ino: 64, type: 1 }])
    }
    await a.flush()
    await a.checkpoint().catch((e) => (error = e))
  }
  assert.ok(isMatrixError(error, 'no-space'), String(error))
  const b = await open(disk, 1)
  await b.applyTo(a.durableVector())
  assert.is(b.hash(), a.hash())
})

test('an image in a file: lapped, it changes to the other file and back', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'volume-'))
  try {
    const disk = new MemoryLun()
    await formatFilesystem([disk], smallRecord, { now: 0 })
    const a = await open(disk, 0)
    let files = 0
    const b = await open(disk, 1, { newImageFile: () => join(folder, `${++files}.sqlite`) })
    a.startWriting(0)
    b.startWriting(0)
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 300; i++) {
        a.commit(pair(round * 300 + i))
        await a.flush()
        if (a.checkpointDue) await a.checkpoint()
      }
      const before = b.stats().reloads
      const waiting = b.applyTo(a.durableVector())
      b.commit([{ op: 'putSetting', key: `round${round}`, value: 'own change while reloading' }])
      await waiting
      assert.is(b.stats().reloads, before + 1)
      await b.flush()
      await a.applyTo(b.durableVector())
      assert.is(a.hash(), b.hash())
    }
    await b.close({ clean: true })
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a large image in a file is packed by a thread while its node goes on changing it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pack-aside-'))
  try {
    const record = { ...smallRecord, journalBytes: 16 * MiB, checkpointBytes: 4 * MiB }
    const disk = new MemoryLun(192 * MiB)
    await formatFilesystem([disk], record, { now: 0 })
    let started = 0
    const threads: Threads = {
      start(entry, data) {
        started++
        return realThreads.start(entry, data)
      },
    }
    const file = { record, threads, newImageFile: () => join(folder, 'a.sqlite') }
    const a = await open(disk, 0, file)
    a.startWriting(0)
    let files = 0
    const create = (count: number) => {
      for (let i = 0; i < count; i++) a.commit(pair(files++))
    }
    create(12_000)
    let published = false
    const checkpoint = a.checkpoint().finally(() => (published = true))
    while (!published) {
      create(20)
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    const { vector } = await checkpoint
    assert.is(started, 1)
    assert.ok(files > 12_100, `${files} files`)
    const b = await open(disk, 1, { record })
    // whole transactions, and no more than is told
    const [[inodes], [dirents]] = ['inode', 'dirent'].map(
      (table) => b.image.rows(`SELECT count(*) FROM ${table}`)[0],
    ) as number[][]
    assert.is(inodes, (dirents as number) + 1)
    assert.is(b.image.vector.get(0), vector.get(0))
    await a.flush()
    await b.applyTo(a.durableVector())
    assert.is(b.hash(), a.hash())
    await a.close({ clean: true })
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('withdrawing in the middle of anything answers everybody', async () => {
  const disk = new MemoryLun()
  await formatFilesystem([disk], smallRecord, { now: 0 })
  const a = await open(disk, 0)
  a.startWriting(0)
  a.commit(pair(0))
  const waits = [a.flush(), a.checkpoint(), a.applyTo(new Map([[1, 512]])), a.tail()]
  a.withdraw()
  for (const wait of waits) {
    let error: unknown
    await wait.catch((e) => (error = e))
    assert.ok(isMatrixError(error, 'withdrawn'), String(error))
  }
})

test.run()
