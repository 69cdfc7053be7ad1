import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MAX_RANGES } from '../../../src/gateway-http/limits.ts'
import { parseRanges } from '../../../src/gateway-http/ranges.ts'

const test = suite('gateway-http/ranges.ts')

test('RFC 9110 14.1.2: the forms of a range of ten bytes', () => {
  const cases: [string | undefined, ReturnType<typeof parseRanges>][] = [
    [undefined, 'whole'],
    ['bytes=0-0', [{ first: 0, last: 0 }]],
    ['bytes=2-5', [{ first: 2, last: 5 }]],
    ['bytes=5-', [{ first: 5, last: 9 }]],
    ['bytes=5-100', [{ first: 5, last: 9 }]],
    ['bytes=-3', [{ first: 7, last: 9 }]],
    ['bytes=-100', [{ first: 0, last: 9 }]],
    [
      'Bytes = 0-1 , 4-5',
      [
        { first: 0, last: 1 },
        { first: 4, last: 5 },
      ],
    ],
    ['bytes=10-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=20-30,0-0', [{ first: 0, last: 0 }]],
    ['bytes=5-2', 'whole'],
    ['bytes=-', 'whole'],
    ['bytes=', 'whole'],
    ['bytes=a-b', 'whole'],
    ['bytes=0-1-2', 'whole'],
    ['lines=0-1', 'whole'],
    ['bytes=99999999999999999999-', 'whole'],
    // More than the file in all: the whole file is less work for everybody.
    ['bytes=0-,0-,0-', 'whole'],
  ]
  for (const [header, expected] of cases) assert.equal(parseRanges(header, 10), expected, String(header))
})

test('more ranges than the limit get the whole file', () => {
  const ranges = (count: number) => `bytes=${Array.from({ length: count }, (_, i) => `${i}-${i}`).join(',')}`
  assert.is((parseRanges(ranges(MAX_RANGES), 1000) as unknown[]).length, MAX_RANGES)
  assert.is(parseRanges(ranges(MAX_RANGES + 1), 1000), 'whole')
})

test('an empty file has no range', () => {
  assert.is(parseRanges('bytes=0-', 0), 'unsatisfiable')
  assert.is(parseRanges('bytes=-5', 0), 'unsatisfiable')
})

test('whatever is asked, a range lies within the file', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('0', '1', '9', '-', ',', ' ') }), fc.nat(1000), (text, size) => {
      const ranges = parseRanges(`bytes=${text}`, size)
      if (typeof ranges === 'string') return
      assert.ok(ranges.length > 0)
      for (const { first, last } of ranges) assert.ok(first >= 0 && first <= last && last < size)
    }),
    { numRuns: 500 },
  )
})

test.run()
