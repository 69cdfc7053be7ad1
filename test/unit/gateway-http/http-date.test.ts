import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { formatHttpDate, formatIsoDate, parseHttpDate } from '../../../src/gateway-http/http-date.ts'
import { parseUnixTime } from '../../../src/gateway-http/upload-time.ts'

const test = suite('gateway-http/http-date.ts')

test('RFC 9110 5.6.7: all three forms', () => {
  for (const text of ['Sun, 06 Nov 1994 08:49:37 GMT', 'Sunday, 06-Nov-94 08:49:37 GMT', 'Sun Nov  6 08:49:37 1994']) {
    assert.is(parseHttpDate(text), 784_111_777, text)
  }
  assert.is(formatHttpDate(784_111_777), 'Sun, 06 Nov 1994 08:49:37 GMT')
  assert.is(formatHttpDate(0), 'Thu, 01 Jan 1970 00:00:00 GMT')
  assert.is(formatIsoDate(784_111_777), '1994-11-06T08:49:37Z')
})

test('what is no date is none', () => {
  for (const text of [
    '',
    'now',
    'Sun, 31 Feb 1994 08:49:37 GMT',
    'Sun, 06 Nov 1994 24:00:00 GMT',
    'Sun, 06 Nov 1994 08:49:37 CET',
  ]) {
    assert.is(parseHttpDate(text), undefined, text)
  }
})

test('times beyond what HTTP can say are shown as the nearest it can', () => {
  assert.is(formatHttpDate(2 ** 52), 'Fri, 31 Dec 9999 23:59:59 GMT')
  assert.is(formatHttpDate(-(2 ** 52)), 'Mon, 01 Jan 0001 00:00:00 GMT')
})

test('upload times have up to nine decimals', () => {
  assert.equal(parseUnixTime('1234.5'), { s: 1234, ns: 500_000_000 })
  assert.equal(parseUnixTime(' 1234 '), { s: 1234, ns: 0 })
  assert.equal(parseUnixTime('1.1234567891'), { s: 1, ns: 123_456_789 })
  for (const text of ['', '-1', '1e3', 'x', '1.', '999999999999']) assert.is(parseUnixTime(text), undefined, text)
})

test.run()
