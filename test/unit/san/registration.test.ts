import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError, type MatrixErrorCode } from '../../../src/base/errors.ts'
import { ALL_REGISTRANTS, type Lun, lifeOfKey, Registration, registrationKey } from '../../../src/san/index.ts'
import { FakeReservations } from './fake-reservations.ts'

const test = suite('san: registration')

const life = { slot: 3, incarnation: 7 }
const key = registrationKey(life)
const other = registrationKey({ slot: 1, incarnation: 2 })

function lunWith(reservations: FakeReservations | undefined, identity = 'lun'): Lun {
  return { identity, ...(reservations && { reservations }) } as Lun
}

async function refused(work: Promise<unknown>, code: MatrixErrorCode, message: RegExp): Promise<void> {
  const error = await work.then(
    () => undefined,
    (caught) => caught,
  )
  assert.ok(isMatrixError(error, code), String(error))
  assert.match(error.message, message)
}

test('a key names a life, and nobody else', () => {
  for (const each of [life, { slot: 0, incarnation: 1 }, { slot: 63, incarnation: 2 ** 40 - 1 }])
    assert.equal(lifeOfKey(registrationKey(each)), each)
  assert.is(lifeOfKey(0x1234n), undefined)
  assert.throws(() => registrationKey({ slot: 0, incarnation: 2 ** 40 }), /no key for incarnation/)
})

test('the first node reserves for all registrants, the others find it so; the last one takes it along', async () => {
  const device = new FakeReservations()
  const first = new Registration(life)
  const lun = lunWith(device)
  await first.admit(lun)
  assert.equal(device.keys, [key])
  assert.is(device.reservation?.type, ALL_REGISTRANTS)
  const second = new Registration({ slot: 1, incarnation: 2 })
  await second.admit(lun)
  assert.is(device.log.filter((command) => command === 'reserve').length, 1)
  await first.leave(lun)
  assert.equal(device.keys, [other])
  await second.leaveAll()
  assert.is(device.reservation, undefined)
})

test('a LUN of strangers is left alone, and left as it was', async () => {
  const exclusive = new FakeReservations([other], 1)
  await refused(
    new Registration(life).admit(lunWith(exclusive)),
    'lun-reserved',
    /a reservation of type 1 stands there/,
  )
  assert.equal(exclusive.keys, [other])
  const registered = new FakeReservations([0xabcn])
  const why = /somebody who is no node is registered there \(key 0x0000000000000abc\); it is left alone/
  await refused(new Registration(life).admit(lunWith(registered)), 'lun-reserved', why)
  assert.equal(registered.keys, [0xabcn])
})

test('a LUN that has none', async () => {
  await refused(
    new Registration(life).admit(lunWith(undefined)),
    'config',
    /has no persistent reservations; .* take it out of fencing.agents/,
  )
})

test('a late registration, at a LUN that a preemption has passed already, is no use', async () => {
  const early = new FakeReservations()
  const late = new FakeReservations([other])
  const registration = new Registration(life)
  await registration.admit(lunWith(early, 'early'))
  early.keys = [other]
  await refused(
    registration.admit(lunWith(late, 'late')),
    'lun-reserved',
    /early: the registration of this node is gone: it was fenced/,
  )
  assert.equal(late.keys, [other])
})

test.run()
