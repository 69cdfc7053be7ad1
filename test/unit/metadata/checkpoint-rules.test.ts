/** Of two checkpoints one may be damaged at any time, also while the next is being written: what has to stay where it is for that. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFsError, isMatrixError } from '../../../src/base/errors.ts'
import { formatFilesystem, Volume } from '../../../src/metadata/index.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { handClock, inode, MemoryLun, smallRecord } from './fixture.ts'

const INCARNATION = 1

async function mount(lun: MemoryLun, slot: number): Promise<Volume> {
  return Volume.open({
    luns: [lun],
    record: smallRecord,
    slot,
    incarnation: INCARNATION,
    newImageFile: () => ':memory:',
    clock: handClock(),
    log: silentLog,
    incarnations: () => INCARNATION,
    onFatal() {},
    requestCheckpoint() {},
  })
}

/** A volume that has published some checkpoints, and writes. */
async function written(lun: MemoryLun): Promise<Volume> {
  await formatFilesystem([lun], smallRecord, { now: 1_700_000_000_123 })
  const volume = await mount(lun, 0)
  volume.startWriting(0)
  for (let i = 0; i < 120; i++) {
    await put(volume, i)
    if (i % 40 === 39) await volume.checkpoint()
  }
  return volume
}

async function put(volume: Volume, change: number): Promise<void> {
  volume.commit([{ op: 'putInode', inode: inode(64, { change }) }])
  await volume.flush()
}

/** Flips a bit in the image of the newest checkpoint, or of the one before; slot 0 has published both. */
function damage(which: 'newest' | 'older', lun: MemoryLun, volume: Volume): void {
  const { layout } = volume
  const sequenceOf = (half: number) => lun.bytes.readUIntLE(layout.manifestStart(0, half) + 24 + 8, 6)
  const sequence = volume.stats().checkpoint - (which === 'newest' ? 0 : 1)
  const half = [0, 1].find((h) => sequenceOf(h) === sequence)
  assert.ok(half !== undefined, 'the two newest are there')
  lun.bytes[layout.checkpointStart(0, half as number) + 300]! ^= 1
}

test('journal that only the newest checkpoint holds stays: with that one damaged everything is still there', async () => {
  const lun = new MemoryLun()
  const volume = await written(lun)
  // as far round the ring as it may go
  let rounds = 0
  try {
    for (; rounds < 1000; rounds++) await put(volume, 1000 + rounds)
    assert.unreachable('the journal is never full')
  } catch (error) {
    if (!isFsError(error, 'ENOSPC')) throw error
  }
  assert.ok(rounds > 20)
  damage('newest', lun, volume)
  const other = await mount(lun, 1)
  await other.applyTo(volume.durableVector())
  assert.is(other.hash(), volume.hash())
})

for (const which of ['newest', 'older'] as const) {
  test(`a checkpoint that is not finished overwrites nothing that is needed, with the ${which} one damaged`, async () => {
    const lun = new MemoryLun()
    const volume = await written(lun)
    damage(which, lun, volume)
    // the image is written, its manifest is not
    lun.flush = async () => {
      lun.failNext = 'checkpoint'
    }
    let error: unknown
    await volume.checkpoint().catch((caught) => (error = caught))
    assert.ok(isMatrixError(error, 'lun-io'))
    const other = await mount(lun, 1)
    await other.applyTo(volume.durableVector())
    assert.is(other.hash(), volume.hash())
  })
}

test.run()
