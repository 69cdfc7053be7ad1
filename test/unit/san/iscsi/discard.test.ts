/** Space given back to the device, by UNMAP: at the target of this project and at tgt. */
import { statSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { timingsFrom } from '../../../../src/base/timings.ts'
import { realHost } from '../../../../src/platform/real/host.ts'
import { type Lun, openLun } from '../../../../src/san/index.ts'
import { writeSameBlocks } from '../../../../src/san/scsi/command.ts'
import { failure, readBack } from '../../../helpers/lun-answers.ts'
import { OwnTarget } from '../../../helpers/own-target.ts'
import { RawInitiator } from '../../../helpers/raw-initiator.ts'
import { noTgt, Tgt } from '../../../helpers/tgt.ts'

const MiB = 2 ** 20
const own = new OwnTarget({ luns: [{}, {}] })
const missing = noTgt()
const [thin, thick] = [new Tgt({ thin: true, luns: 1 }), new Tgt({ luns: 1 })]

test.before(async () => {
  await own.start()
  if (!missing) await Promise.all([thin.start(), thick.start()])
})
test.after(async () => {
  for (const lun of luns) await lun.close()
  await own.dispose()
  await thin.dispose()
  await thick.dispose()
})

const luns: Lun[] = []

async function open(url: string): Promise<Lun> {
  const lun = await openLun(url, realHost, { timings: timingsFrom(8000) })
  luns.push(lun)
  return lun
}

/** 40 MiB, more than one command takes, with their neighbours; then they read as zeroes, and the neighbours as before. */
async function discards(lun: Lun): Promise<void> {
  assert.ok(lun.discard, 'it takes no space back')
  const full = Buffer.alloc(42 * MiB, 0x5a)
  await lun.write(0, [full], { purpose: 'data' })
  await lun.discard(MiB, 40 * MiB)
  const found = await readBack(lun, 0, full.length)
  full.fill(0, MiB, 41 * MiB)
  assert.ok(found.equals(full))
  assert.match(await failure(lun.discard(lun.size - 512, 1024)), /lun-io: .*discard of 1024 bytes .*exceeds its/)
}

test('our target: what is discarded is gone, and nothing beside it', async () => {
  const lun = await open(own.url(1))
  await discards(lun)
  own.target.addFault({ operation: 'write', sense: { key: 4, asc: 0x44, ascq: 0 }, count: 1 })
  assert.match(await failure(lun.discard!(0, 512)), /lun-io: .*UNMAP of 1 blocks at 0: hardware error/)
})

test('our target: WRITE SAME(16) repeats a block, and with UNMAP gives zeroes back', async () => {
  const raw = await (await RawInitiator.open(own.url(2))).settle()
  const send = ({ cdb, write }: ReturnType<typeof writeSameBlocks>) =>
    raw.outcome(cdb, { write: Buffer.concat(write!) })
  assert.is(await send(writeSameBlocks(10, 1000, Buffer.alloc(512, 3), { unmap: false })), '00')
  assert.ok(
    (await raw.read(9, 1002)).equals(Buffer.concat([Buffer.alloc(512), Buffer.alloc(512_000, 3), Buffer.alloc(512)])),
  )
  assert.is(await send(writeSameBlocks(11, 998, Buffer.alloc(512), { unmap: true })), '00')
  const left = await raw.read(10, 1000)
  assert.ok(left.equals(Buffer.concat([Buffer.alloc(512, 3), Buffer.alloc(998 * 512), Buffer.alloc(512, 3)])))
  raw.end()
})

const check = missing ? test.skip : test
if (missing) process.stderr.write(`skipped: ${missing}\n`)

check('tgt: a thin LUN takes space back, one that is not does not offer it', async () => {
  const lun = await open(thin.url(1))
  const used = () => statSync(thin.image(1)).blocks * 512
  await discards(lun)
  assert.ok(used() < 8 * MiB, `${used()} bytes are used`)
  const other = await open(thick.url(1))
  assert.is(other.discard, undefined)
})

test.run()
