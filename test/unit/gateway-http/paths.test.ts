import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { HttpFailure } from '../../../src/gateway-http/failure.ts'
import { displayName, encodeSegment, hrefOf, isWithin, parseTarget } from '../../../src/gateway-http/paths.ts'

const test = suite('gateway-http/paths.ts')

function statusOf(target: string): number {
  try {
    parseTarget(target)
  } catch (error) {
    if (error instanceof HttpFailure) return error.status
    throw error
  }
  return 200
}

test('refuses what is no path of ours', () => {
  const cases: [string, number][] = [
    ['', 400],
    ['home', 400],
    ['*', 400],
    ['/home/a%00b', 400],
    ['/home/a%2Fb', 400],
    ['/home/a%2fb', 400],
    ['/home/.', 400],
    ['/home/..', 400],
    ['/home/%2e%2E/etc', 400],
    ['/home/%', 400],
    ['/home/%4', 400],
    ['/home/%zz', 400],
    ['/home/a#b', 400],
    [`/home/${'x'.repeat(255)}`, 200],
    [`/home/${'x'.repeat(256)}`, 414],
    [`/home/${'%C3%BC'.repeat(128)}`, 414],
    [`/${'a/'.repeat(257)}`, 414],
    [`/${'a'.repeat(13_000)}`, 414],
    ['/home/...', 200],
    ['/home/.a', 200],
  ]
  for (const [target, status] of cases) assert.is(statusOf(target), status, target.slice(0, 40))
})

test('decodes to bytes, drops empty segments, keeps the query apart', () => {
  const { segments, trailingSlash, query } = parseTarget('http://127.0.0.1:1/home//a%20b/%FF%C3%BC/?x=1?2')
  assert.equal(segments, ['home', 'a b', '\xff\xc3\xbc'])
  assert.is(trailingSlash, true)
  assert.is(query, 'x=1?2')
  assert.equal(parseTarget('http://host').segments, [])
  assert.is(parseTarget('/home/a').trailingSlash, false)
})

test('any name of the filesystem survives the way to a URL and back', () => {
  const name = fc
    .uint8Array({ minLength: 1, maxLength: 255 })
    .map((bytes) => Buffer.from(bytes).toString('latin1').replace(/[\0/]/g, '_'))
    .filter((text) => text !== '.' && text !== '..')
  fc.assert(
    fc.property(fc.array(name, { minLength: 1, maxLength: 3 }), (names) => {
      const href = hrefOf(names, false)
      assert.match(href, /^[A-Za-z0-9._~%/-]*$/)
      assert.equal(parseTarget(href).segments, names)
    }),
    { numRuns: 300 },
  )
})

test('shows UTF-8 as such and invalid UTF-8 with replacement characters', () => {
  assert.is(displayName('plain'), 'plain')
  assert.is(displayName(Buffer.from('grün').toString('latin1')), 'grün')
  assert.is(displayName('a\xffb'), 'a\ufffdb')
  assert.is(encodeSegment('a\xff&<'), 'a%FF%26%3C')
})

test('knows what lies within what', () => {
  assert.is(isWithin(['a', 'b'], ['a']), true)
  assert.is(isWithin(['a'], ['a']), true)
  assert.is(isWithin(['ab'], ['a']), false)
  assert.is(isWithin([], ['a']), false)
})

test.run()
