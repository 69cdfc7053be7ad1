/** Persistent reservations on the wire, and answers that are cut off. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../../src/base/errors.ts'
import { ALL_REGISTRANTS } from '../../../../src/san/reservations.ts'
import {
  parseCapabilities,
  parseKeys,
  parseReservation,
  readKeys,
  reserveOut,
} from '../../../../src/san/scsi/persistent-reservation.ts'

const test = suite('san: persistent reservations')
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

test('as they are sent', () => {
  const { cdb, write } = reserveOut('PREEMPT AND ABORT', {
    key: 0x1122334455667788n,
    serviceKey: 0xffeeddccbbaa9988n,
    type: ALL_REGISTRANTS,
  })
  assert.is(cdb.toString('hex'), '5f050700000000001800000000000000')
  assert.is(Buffer.concat(write ?? []).toString('hex'), '1122334455667788ffeeddccbbaa99880000000000000000')
  const register = reserveOut('REGISTER', { key: 0n, serviceKey: 5n, throughPowerLoss: true })
  assert.is(register.write?.[0]?.[20], 1)
  assert.is(readKeys().cdb.subarray(0, 10).toString('hex'), '5e000000000000200800')
  assert.throws(() => reserveOut('REGISTER', { key: -1n }), /64 bits/)
})

test('as they are answered', () => {
  assert.equal(parseKeys(hex('00000007 00000010 0000000000000001 ffffffffffffffff')), [1n, 2n ** 64n - 1n])
  assert.equal(parseKeys(hex('00000007 00000000')), [])
  assert.is(parseReservation(hex('00000007 00000000')), undefined)
  assert.equal(parseReservation(hex('00000007 00000010 0000000000000005 00000000 00 07 0000')), { key: 5n, type: 7 })
  assert.equal(parseCapabilities(hex('0008 01 80 80 01 0000')), { allRegistrants: true, throughPowerLoss: true })
  assert.equal(parseCapabilities(hex('0008 00 80 2a 00 0000')), { allRegistrants: false, throughPowerLoss: false })
  assert.is(parseCapabilities(hex('0008 00 00 00 00 0000')).allRegistrants, true, 'it says nothing: it is tried')
})

test('answers that are cut off are errors', () => {
  for (const parse of [parseKeys, parseReservation, parseCapabilities])
    for (const data of ['', '000000', '00000007 00000010 00000000']) {
      if (parse === parseCapabilities && data.length > 20) continue
      let error: unknown
      try {
        parse(hex(data))
      } catch (caught) {
        error = caught
      }
      assert.ok(isMatrixError(error, 'lun-io'), `${parse.name} of ${data}`)
    }
})

test.run()
