/** Several portals of one LUN (iscsi/paths.ts, iscsi/session.ts), against a real target (tgt) behind cables that can be cut. */
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { timingsFrom } from '../../../../src/base/timings.ts'
import { realHost } from '../../../../src/platform/real/host.ts'
import { type Lun, openLun } from '../../../../src/san/index.ts'
import { Cable } from '../../../helpers/cable.ts'
import { noTgt, Tgt } from '../../../helpers/tgt.ts'

const missing = noTgt()
if (missing) process.stderr.write(`skipped: ${missing}\n`)
const check = missing ? test.skip : test
const target = new Tgt({ luns: 1 })
const timings = timingsFrom(1500)
const data = { purpose: 'data' } as const

test.before(async () => {
  if (!missing) await target.start()
})
test.after(() => target.dispose())

async function twoPaths(): Promise<{ readonly lun: Lun; readonly cables: readonly [Cable, Cable] }> {
  const cables = [new Cable(), new Cable()] as const
  for (const cable of cables) await cable.plug(target.port)
  const portals = cables.map(({ port }) => `127.0.0.1:${port}`).join()
  const lun = await openLun(`iscsi://${portals}/${Tgt.iqn}/1`, realHost, { timings })
  return { lun, cables }
}

const states = (lun: Lun) => lun.paths?.map(({ state }) => state).join()

async function until(what: () => boolean): Promise<void> {
  for (const limit = performance.now() + 30_000; !what(); ) {
    assert.ok(performance.now() < limit, 'it comes to pass')
    await sleep(20)
  }
}

/** Writers that each overwrite a place of their own again and again; no write may fail, and the last one has to be there. */
function load(lun: Lun, writers: number) {
  let isOver = false
  let worst = 0
  let count = 0
  const loop = async (writer: number): Promise<void> => {
    const block = Buffer.alloc(4096)
    const seen = Buffer.alloc(4096)
    for (let round = 1; !isOver; round++) {
      block.fill(`${writer}/${round} `)
      const began = performance.now()
      await lun.write(writer * 4096, [block], data)
      worst = Math.max(worst, performance.now() - began)
      await lun.read(writer * 4096, seen)
      assert.ok(block.equals(seen), `writer ${writer} reads back round ${round}`)
      count++
    }
  }
  const all = Promise.all(Array.from({ length: writers }, (_, writer) => loop(writer)))
  return {
    count: () => count,
    async end(): Promise<number> {
      isOver = true
      await all
      return worst
    },
  }
}

for (const how of ['cut', 'hang'] as const)
  check(
    `the path in use is ${how === 'cut' ? 'cut' : 'silent'} under load: another takes over without an error, and goes back`,
    async () => {
      const { lun, cables } = await twoPaths()
      assert.is(states(lun), 'active,untried')
      const running = load(lun, 8)
      await until(() => running.count() > 100)
      if (how === 'cut') cables[0].cut()
      else cables[0].hang('for good')
      await until(() => states(lun) === 'failed,active')
      const then = running.count()
      await until(() => running.count() > then + 100)
      cables[0].mend()
      await until(() => states(lun) === 'active,ready')
      const now = running.count()
      await until(() => running.count() > now + 100)
      // the other one fails, which is not in use: nobody notices but whoever looks
      cables[1].cut()
      await until(() => states(lun) === 'active,failed')
      assert.match(String(lun.paths?.[1]?.reason), /127\.0\.0\.1/)
      await running.end()
      await lun.close()
      for (const cable of cables) cable.close()
    },
  )

check('all paths are cut: I/O fails at its deadline, and goes on by the first that comes back', async () => {
  const { lun, cables } = await twoPaths()
  await lun.write(0, [Buffer.alloc(512, 1)], data)
  for (const cable of cables) cable.cut()
  const error = await lun.write(0, [Buffer.alloc(512, 2)], data).catch((caught: Error) => caught.message)
  assert.match(String(error), /no connection: no path leads to it: 127\.0\.0\.1:\d+: .*; 127\.0\.0\.1:\d+: /)
  cables[1].mend()
  await until(() => states(lun) === 'failed,active')
  await lun.write(0, [Buffer.alloc(512, 3)], data)
  await lun.close()
  for (const cable of cables) cable.close()
})

check('a path that cannot be reached at the start is no reason not to start', async () => {
  const cable = new Cable()
  await cable.plug(target.port)
  cable.cut()
  const lun = await openLun(`iscsi://127.0.0.1:${cable.port},127.0.0.1:${target.port}/${Tgt.iqn}/1`, realHost, {
    timings,
  })
  assert.is(states(lun), 'failed,active')
  cable.mend()
  await until(() => states(lun) === 'active,ready')
  await lun.close()
  cable.close()
})

test.run()
