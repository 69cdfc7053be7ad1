/** Persistent reservations by way of the initiator, at a real target (tgt). */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../../src/base/errors.ts'
import { timingsFrom } from '../../../../src/base/timings.ts'
import { realHost } from '../../../../src/platform/real/host.ts'
import { type Lun, openLun } from '../../../../src/san/index.ts'
import { ALL_REGISTRANTS, type Reservations } from '../../../../src/san/reservations.ts'
import { noTgt, Tgt } from '../../../helpers/tgt.ts'

const missing = noTgt()
if (missing) process.stderr.write(`skipped: ${missing}\n`)
const check = missing ? test.skip : test
const target = new Tgt({ luns: 1 })
const [mine, theirs] = [0x4d78_0000_0000_0001n, 0x4d78_0100_0000_0007n]

test.before(async () => {
  if (!missing) await target.start()
})
test.after(() => target.dispose())

async function way(): Promise<Lun & { readonly reservations: Reservations }> {
  return (await openLun(target.url(1), realHost, { timings: timingsFrom(8000) })) as Awaited<ReturnType<typeof way>>
}
const write = (lun: Lun) => lun.write(0, [Buffer.alloc(512, 1)], { purpose: 'data' })

async function isRefused(work: Promise<unknown>): Promise<void> {
  const error = await work.then(
    () => undefined,
    (caught: unknown) => caught,
  )
  assert.ok(isMatrixError(error, 'lun-reserved'), String(error))
}

check('whoever is registered writes, and nobody else; whose key is preempted does not any more', async () => {
  const [a, b, b2, stranger] = [await way(), await way(), await way(), await way()]
  assert.equal(await a.reservations.readKeys(), [])
  assert.is(await a.reservations.readReservation(), undefined)
  await a.reservations.register(mine)
  await a.reservations.reserve(mine)
  await a.reservations.reserve(mine)
  assert.is((await b.reservations.readReservation())?.type, ALL_REGISTRANTS)
  await write(a)
  await isRefused(write(b))
  for (const each of [b, b2]) await each.reservations.register(theirs)
  assert.equal([...(await a.reservations.readKeys())].sort(), [mine, theirs, theirs].sort())
  for (const each of [b, b2]) await write(each)
  await isRefused(write(stranger))
  await stranger.read(0, Buffer.alloc(512))

  const how = await a.reservations.preempt(mine, theirs)
  assert.ok(how === 'aborted' || how === 'preempted')
  for (const each of [b, b2]) await isRefused(write(each))
  assert.equal(await b.reservations.readKeys(), [mine])
  await isRefused(a.reservations.preempt(mine, theirs))
  await isRefused(b.reservations.preempt(theirs, mine))
  await write(a)

  await a.reservations.unregister(mine)
  assert.equal(await a.reservations.readKeys(), [])
  assert.is(await a.reservations.readReservation(), undefined)
  await write(stranger)
  for (const each of [a, b, b2, stranger]) await each.close()
})

test.run()
