/** A device puts a dead node's frames where they do not belong (journal/strays.ts). */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MatrixError } from '../../../src/base/errors.ts'
import { formatFilesystem, Volume } from '../../../src/metadata/index.ts'
import { silentLog } from '../../../src/platform/log.ts'
import type { Seal, WriteOptions } from '../../../src/san/index.ts'
import { handClock, inode, MemoryLun, smallRecord } from './fixture.ts'

const RING = smallRecord.journalBytes

/** Puts the next write of a journal at `landsAt` when told to. */
class MisdirectingLun extends MemoryLun {
  landsAt: number | undefined
  lost = false

  override async write(offset: number, buffers: readonly Uint8Array[], options: WriteOptions): Promise<void> {
    const at = options.purpose === 'journal' ? (this.landsAt ?? offset) : offset
    if (this.landsAt !== undefined && options.purpose === 'journal') this.landsAt = undefined
    if (!this.lost || options.purpose !== 'journal') await super.write(at, buffers, options)
  }
}

function mount(lun: MemoryLun, slot: number, seals: readonly Seal[] = []): Promise<Volume> {
  return Volume.open({
    ...{ luns: [lun], record: { ...smallRecord, seals }, slot, incarnation: slot + 10, newImageFile: () => ':memory:' },
    ...{ clock: handClock(), log: silentLog, incarnations: (of: number) => of + 10 },
    ...{ onFatal() {}, requestCheckpoint() {} },
  })
}

/** A node writes `count` files, each in a frame of its own; the one before the last `after` lands at byte `position` of the ring of `slot`. */
async function writtenAndLost(slot: number, position: number, count = 3, after = 0) {
  const lun = new MisdirectingLun()
  await formatFilesystem([lun], smallRecord, { now: 0 })
  const [a, b] = [await mount(lun, 0), await mount(lun, 1)]
  a.startWriting(0)
  for (let i = 0; i < count; i++) {
    if (i === count - 1 - after) lun.landsAt = a.layout.journalStart(slot) + position
    a.commit([
      { op: 'putInode', inode: inode(64 + i) },
      { op: 'putDirent', dir: 1, name: `f${i}`, cookie: 3 + i, ino: 64 + i, type: 1 },
    ])
    await a.flush()
  }
  const [end, hash] = [a.endOf(0), a.hash()]
  a.withdraw()
  return { lun, b, end, hash }
}

const rejection = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error) => error as MatrixError,
  )

for (const [where, slot, position] of [
  ['elsewhere', 0, RING / 2],
  ['at the end of its ring, into the next one', 0, RING - 512],
  ['in the ring of another', 1, 1024],
] as const)
  test(`the last frame of a dead node lies ${where}: it is brought home`, async () => {
    const { lun, b, end, hash } = await writtenAndLost(slot, position)
    assert.is(await b.findEnd(0, 10), end)
    assert.ok(b.image.dirent(1, 'f2'), 'what was acknowledged is there')
    assert.is(b.hash(), hash)
    const next = await mount(lun, 2)
    assert.is(await next.findEnd(0, 10), end, 'the next one finds it in its place')
    assert.is(next.hash(), b.hash())
  })

test('it is brought home although frames follow it, and although two are missing', async () => {
  const { lun, b, end } = await writtenAndLost(0, RING / 2, 4, 1)
  assert.is(await b.findEnd(0, 10), end)
  assert.ok(b.image.dirent(1, 'f2') && b.image.dirent(1, 'f3'))
  const home = b.layout.journalStart(0)
  // both of the last two, moved by hand
  const frame = end / 4
  for (const i of [2, 3]) {
    lun.bytes.copy(lun.bytes, home + RING / 2 + i * 4096, home + i * frame, home + (i + 1) * frame)
    lun.bytes.fill(0, home + i * frame, home + (i + 1) * frame)
  }
  const c = await mount(lun, 2)
  assert.is(await c.findEnd(0, 10), end)
  assert.is(c.hash(), b.hash())
})

test('a frame that strayed, with one missing before it that is nowhere: damage, not the end', async () => {
  const { lun, b, end } = await writtenAndLost(0, RING / 2)
  const home = b.layout.journalStart(0)
  lun.bytes.fill(0, home + end / 3, home + (2 * end) / 3)
  const error = await rejection(b.findEnd(0, 10))
  assert.is(error?.code, 'journal-damaged')
  assert.match(String(error?.message), `at LSN ${end / 3}`)
})

test('a frame of a life that has been ended, or beyond its seal, stays where it is', async () => {
  const { lun, end } = await writtenAndLost(0, RING / 2)
  const last = (2 * end) / 3
  const c = await mount(lun, 2, [{ slot: 0, incarnation: 10, lsn: last }])
  const writes = lun.writes.length
  assert.is(await c.findEnd(0, 10), last)
  assert.is(await c.findEnd(0, 11), last, 'the next life wrote nothing')
  assert.is(lun.writes.length, writes)
  assert.not.ok(c.image.dirent(1, 'f2'))
})

test('who only looks reports it, and writes nothing', async () => {
  const { lun, b } = await writtenAndLost(1, 1024)
  const writes = lun.writes.length
  const error = await rejection(b.findEnd(0, 10, 'report'))
  assert.is(error?.code, 'journal-damaged')
  assert.match(String(error?.message), /lies at byte \d+ of memory, where it does not belong; recovery brings it home/)
  assert.is(lun.writes.length, writes)
})

test('a device that loses it again does not keep recovery going for ever', async () => {
  const { lun, b } = await writtenAndLost(1, 1024)
  lun.lost = true
  const error = await rejection(b.findEnd(0, 10))
  assert.is(error?.code, 'journal-damaged')
  assert.match(String(error?.message), 'it was brought home, and is not there')
})

test('a crash while it is brought home leaves it torn there: the next one begins again', async () => {
  const { lun, b, end, hash } = await writtenAndLost(1, 1024)
  lun.failNext = 'journal'
  assert.ok((await rejection(b.findEnd(0, 10))) instanceof MatrixError)
  const home = b.layout.journalStart(0) + (2 * end) / 3
  lun.bytes.copy(lun.bytes, home, b.layout.journalStart(1) + 1024, b.layout.journalStart(1) + 1024 + 40)
  const c = await mount(lun, 2)
  assert.is(await c.findEnd(0, 10), end)
  assert.is(c.hash(), hash)
})

test('a frame of the slot with a higher LSN that lies in the way is no later lap', async () => {
  // the third frame lands on the first
  const { b, end } = await writtenAndLost(0, 0)
  const error = await rejection(b.findEnd(0, 10))
  assert.is(error?.code, 'journal-damaged')
  assert.match(String(error?.message), `at LSN 0: no valid frame is there, but a later one that counts is at LSN`)
  assert.ok(end > 0)
})

test.run()
