import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type ConditionHeaders, evaluate, ifRangeHolds } from '../../../src/gateway-http/conditions.ts'
import { HttpFailure } from '../../../src/gateway-http/failure.ts'
import { parseIf } from '../../../src/gateway-http/if-header.ts'

const test = suite('gateway-http/conditions.ts')
const current = { etag: '"a-1"', modifiedS: 784_111_777 }
const at = 'Sun, 06 Nov 1994 08:49:37 GMT'
const earlier = 'Sun, 06 Nov 1994 08:49:36 GMT'
const later = 'Sun, 06 Nov 1994 08:49:38 GMT'

function outcome(headers: ConditionHeaders, exists: boolean, reading: boolean): 'proceed' | 'not-modified' | number {
  try {
    return evaluate(headers, exists ? current : undefined, reading)
  } catch (error) {
    if (error instanceof HttpFailure) return error.status
    throw error
  }
}

test('RFC 9110 13: each condition, on a resource that is there', () => {
  const cases: [ConditionHeaders, unknown, unknown][] = [
    // headers, result when reading, result when changing
    [{}, 'proceed', 'proceed'],
    [{ 'if-match': '"a-1"' }, 'proceed', 'proceed'],
    [{ 'if-match': '"b", "a-1"' }, 'proceed', 'proceed'],
    [{ 'if-match': '*' }, 'proceed', 'proceed'],
    [{ 'if-match': '"a-1-gzip"' }, 'proceed', 'proceed'],
    [{ 'if-none-match': '"a-1-gzip"' }, 'proceed', 412],
    [{ 'if-match': '"b"' }, 412, 412],
    [{ 'if-match': 'W/"a-1"' }, 412, 412],
    [{ 'if-match': 'a-1' }, 412, 412],
    [{ 'if-none-match': '"a-1"' }, 'not-modified', 412],
    [{ 'if-none-match': 'W/"a-1"' }, 'not-modified', 412],
    [{ 'if-none-match': '*' }, 'not-modified', 412],
    [{ 'if-none-match': '"b"' }, 'proceed', 'proceed'],
    [{ 'if-modified-since': at }, 'not-modified', 'proceed'],
    [{ 'if-modified-since': later }, 'not-modified', 'proceed'],
    [{ 'if-modified-since': earlier }, 'proceed', 'proceed'],
    [{ 'if-modified-since': 'yesterday' }, 'proceed', 'proceed'],
    [{ 'if-unmodified-since': at }, 'proceed', 'proceed'],
    [{ 'if-unmodified-since': earlier }, 412, 412],
    [{ 'if-unmodified-since': 'rubbish' }, 'proceed', 'proceed'],
  ]
  for (const [headers, reading, changing] of cases) {
    assert.is(outcome(headers, true, true), reading, JSON.stringify(headers))
    assert.is(outcome(headers, true, false), changing, JSON.stringify(headers))
  }
})

test('13.2.2: a tag goes before a date', () => {
  assert.is(outcome({ 'if-match': '"a-1"', 'if-unmodified-since': earlier }, true, true), 'proceed')
  assert.is(outcome({ 'if-none-match': '"b"', 'if-modified-since': later }, true, true), 'proceed')
  assert.is(outcome({ 'if-match': '"b"', 'if-none-match': '"a-1"' }, true, true), 412)
})

test('on a resource that is not there', () => {
  assert.is(outcome({ 'if-match': '*' }, false, false), 412)
  assert.is(outcome({ 'if-none-match': '*' }, false, false), 'proceed')
  assert.is(outcome({ 'if-unmodified-since': later }, false, false), 412)
})

test('13.1.5: If-Range takes a strong tag or an old enough equal date', () => {
  const now = current.modifiedS + 3600
  assert.is(ifRangeHolds(undefined, current, now), true)
  assert.is(ifRangeHolds('"a-1"', current, now), true)
  assert.is(ifRangeHolds('"b"', current, now), false)
  assert.is(ifRangeHolds('W/"a-1"', current, now), false)
  assert.is(ifRangeHolds(at, current, now), true)
  assert.is(ifRangeHolds(later, current, now), false)
  assert.is(ifRangeHolds(at, current, current.modifiedS), false)
})

test('RFC 4918 10.4: the If header', () => {
  assert.equal(parseIf('(<urn:t> ["a-1"]) (Not <DAV:no-lock>)'), [
    {
      resource: undefined,
      conditions: [
        { not: false, kind: 'token', value: 'urn:t' },
        { not: false, kind: 'etag', value: '"a-1"' },
      ],
    },
    { resource: undefined, conditions: [{ not: true, kind: 'token', value: 'DAV:no-lock' }] },
  ])
  assert.equal(
    parseIf('<http://h/a> (["x"]) <http://h/b>(<urn:t>)').map(({ resource }) => resource),
    ['http://h/a', 'http://h/b'],
  )
  const broken = [
    '',
    '()',
    '(',
    '(<a>',
    '(<a>) <b> (<c>)',
    'Not',
    '(Not)',
    '(Not Not <a>)',
    '(["a])',
    '(a)',
    '<a>',
    '((<a>))',
  ]
  for (const text of broken) {
    assert.throws(
      () => parseIf(text),
      (error: unknown) => error instanceof HttpFailure && error.status === 400,
      text,
    )
  }
})

test.run()
