/** COMPARE AND WRITE: by the `iscsi:` driver at the target of this project, and by the initiator alone at istgt. What several add is never lost. */
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { timingsFrom } from '../../../../src/base/timings.ts'
import { realHost } from '../../../../src/platform/real/host.ts'
import { openLun } from '../../../../src/san/index.ts'
import { compareAndWriteBlocks } from '../../../../src/san/scsi/command.ts'
import { Cable } from '../../../helpers/cable.ts'
import { Istgt, noIstgt } from '../../../helpers/istgt.ts'
import { failure, readBack } from '../../../helpers/lun-answers.ts'
import { OwnTarget } from '../../../helpers/own-target.ts'
import { RawInitiator } from '../../../helpers/raw-initiator.ts'

/** One sector that is compared and written. */
type Sector = {
  read(): Promise<Buffer>
  /** What is there does not matter. */
  write(content: Buffer): Promise<void>
  replace(expected: Buffer, wanted: Buffer): Promise<'written' | 'differs'>
  close(): Promise<void>
}

const BLOCK = 100

async function byDriver(url: string): Promise<Sector> {
  // generous: the machine may be busy with other tests
  const lun = await openLun(url, realHost, { timings: timingsFrom(8000) })
  assert.ok(lun.maxCompareBytes! >= 512, `${lun.maxCompareBytes}`)
  return {
    read: () => readBack(lun, BLOCK * 512, 512),
    write: (content) => lun.write(BLOCK * 512, [content], { purpose: 'data' }),
    replace: (expected, wanted) => lun.compareAndWrite!(BLOCK * 512, expected, wanted),
    close: () => lun.close(),
  }
}

let isid = 1

async function byInitiator(url: string): Promise<Sector> {
  const raw = await (await RawInitiator.open(url, { isid: isid++ })).settle()
  return {
    read: () => raw.read(BLOCK),
    write: async (content) => assert.is(await raw.write(BLOCK, content), '00'),
    replace: async (expected, wanted) => {
      const { cdb, write } = compareAndWriteBlocks(BLOCK, 1, { expected, wanted }, { fua: false })
      const outcome = await raw.outcome(cdb, { write: Buffer.concat(write!) })
      if (outcome === '00') return 'written'
      assert.is(outcome, '02 e 1d00')
      return 'differs'
    },
    close: async () => raw.end(),
  }
}

/** A counter that all add to, and beside it what each has added: its mark, by which it knows whether it was written. */
const record = {
  total: (sector: Buffer) => sector.readUInt32BE(0),
  of: (sector: Buffer, who: number) => sector.readUInt32BE(4 + 4 * who),
  plusOne: (sector: Buffer, who: number): Buffer => {
    const next = Buffer.from(sector)
    next.writeUInt32BE(record.total(sector) + 1, 0)
    next.writeUInt32BE(record.of(sector, who) + 1, 4 + 4 * who)
    return next
  },
}

/** Adds one, `rounds` times, each time until it is known to have been written. How often somebody else was faster. */
async function add(sector: Sector, who: number, rounds: number): Promise<number> {
  let lost = 0
  for (let done = 0; done < rounds; done++) {
    for (;;) {
      const before = await sector.read()
      if (record.of(before, who) > done) break // it had been written all the same
      assert.is(record.of(before, who), done, `what ${who} had added is gone`)
      const outcome = await sector.replace(before, record.plusOne(before, who)).catch((error) => {
        assert.match(error.message, /COMPARE AND WRITE/)
        return 'unknown' as const
      })
      if (outcome === 'written') break
      lost++
    }
  }
  return lost
}

async function basics(sector: Sector): Promise<void> {
  const [one, two, three] = [1, 2, 3].map((value) => Buffer.alloc(512, value)) as [Buffer, Buffer, Buffer]
  await sector.write(one)
  assert.is(await sector.replace(two, three), 'differs')
  assert.ok((await sector.read()).equals(one))
  assert.is(await sector.replace(one, two), 'written')
  assert.ok((await sector.read()).equals(two))
  await sector.close()
}

async function together(sectors: readonly Sector[], rounds: number): Promise<void> {
  const [first] = sectors as [Sector]
  await first.write(Buffer.alloc(512))
  const lost = await Promise.all(sectors.map((sector, who) => add(sector, who, rounds)))
  const found = await first.read()
  assert.is(record.total(found), sectors.length * rounds)
  for (const who of sectors.keys()) assert.is(record.of(found, who), rounds)
  assert.ok(Math.max(...lost) > 0, 'nobody met anybody')
  for (const sector of sectors) await sector.close()
}

const test = suite('san: COMPARE AND WRITE at our target')
const own = new OwnTarget()
const INITIATORS = 6

test.before(() => own.start())
test.after(() => own.dispose())

test('writes where the content is what was expected, and only there', async () => basics(await byDriver(own.url(1))))

test('says what cannot be', async () => {
  const lun = await openLun(own.url(1), realHost)
  const sector = Buffer.alloc(512)
  assert.match(
    await failure(lun.compareAndWrite!(lun.size, sector, sector)),
    /lun-io: .*compare and write .*exceeds its/,
  )
  own.target.addFault({ operation: 'write', sense: { key: 3, asc: 0x0c, ascq: 0 }, count: 1 })
  assert.match(await failure(lun.compareAndWrite!(0, sector, Buffer.alloc(512, 1))), /lun-io: .*the write failed/)
  await lun.close()
})

test('an error after it was written all the same is none', async () => {
  const sector = await byDriver(own.url(1))
  await sector.write(Buffer.alloc(512))
  own.target.addFault({ operation: 'write', sense: { key: 3, asc: 0x0c, ascq: 0 }, count: 1, after: true })
  assert.is(await sector.replace(Buffer.alloc(512), Buffer.alloc(512, 7)), 'written')
  await sector.close()
})

test(`of ${INITIATORS} that add at a time, nothing is lost`, async () => {
  await together(await Promise.all(Array.from({ length: INITIATORS }, () => byDriver(own.url(1)))), 40)
})

test('nor where the connection of one is cut again and again', async () => {
  const port = Number(/:(\d+)\//.exec(own.url(1))![1])
  const cable = new Cable()
  await cable.plug(port)
  const sectors = [await byDriver(own.url(1).replace(`:${port}/`, `:${cable.port}/`)), await byDriver(own.url(1))]
  let isOver = false
  const cutting = (async () => {
    while (!isOver) {
      await sleep(60)
      cable.cut()
      await sleep(20)
      cable.mend()
    }
  })()
  try {
    await together(sectors, 150)
  } finally {
    isOver = true
    await cutting
    cable.close()
  }
})

test.run()

const atIstgt = suite('san: COMPARE AND WRITE at istgt')
const missing = noIstgt()
if (missing) process.stderr.write(`skipped: ${missing}\n`)
const check = missing ? atIstgt.skip : atIstgt
const istgt = new Istgt()

atIstgt.before(async () => {
  if (!missing) await istgt.start()
})
atIstgt.after(() => istgt.dispose())

check('writes where the content is what was expected, and only there', async () => basics(await byInitiator(istgt.url)))

check(`of ${INITIATORS} that add at a time, nothing is lost`, async () => {
  await together(await Promise.all(Array.from({ length: INITIATORS }, () => byInitiator(istgt.url))), 100)
})

atIstgt.run()
