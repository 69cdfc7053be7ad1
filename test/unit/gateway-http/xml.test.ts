import fc from 'fast-check'
import { SaxesParser } from 'saxes'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { HttpFailure } from '../../../src/gateway-http/failure.ts'
import { MAX_XML_BYTES, MAX_XML_DEPTH, MAX_XML_NODES } from '../../../src/gateway-http/limits.ts'
import { element, escapeXml } from '../../../src/gateway-http/xml/names.ts'
import { parsePropfind } from '../../../src/gateway-http/xml/propfind-body.ts'
import { parseProppatch } from '../../../src/gateway-http/xml/proppatch-body.ts'
import { readXml } from '../../../src/gateway-http/xml/reader.ts'
import { writeElement } from '../../../src/gateway-http/xml/writer.ts'

const test = suite('gateway-http/xml')

function statusOf(run: () => unknown): number {
  try {
    run()
  } catch (error) {
    if (error instanceof HttpFailure) return error.status
    throw error
  }
  return 200
}
const bytes = (text: string) => Buffer.from(text)

test('refuses document types, entities, what is malformed and what is too much', () => {
  const cases: [string, number][] = [
    ['', 400],
    ['not xml', 400],
    ['<a>', 400],
    ['<a></b>', 400],
    ['<a/><b/>', 400],
    ['<p:a/>', 400],
    ['<a xmlns:p=""/>', 400],
    ['<!DOCTYPE a><a/>', 400],
    ['<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>', 400],
    ['<a>&e;</a>', 400],
    ['<a>&amp;&lt;&#65;</a>', 200],
    [`${'<a>'.repeat(MAX_XML_DEPTH)}${'</a>'.repeat(MAX_XML_DEPTH)}`, 200],
    [`${'<a>'.repeat(MAX_XML_DEPTH + 1)}${'</a>'.repeat(MAX_XML_DEPTH + 1)}`, 400],
    [`<r>${'<a/>'.repeat(MAX_XML_NODES)}</r>`, 413],
    [`<a>${'x'.repeat(MAX_XML_BYTES)}</a>`, 413],
  ]
  for (const [text, status] of cases)
    assert.is(
      statusOf(() => readXml(bytes(text))),
      status,
      text.slice(0, 60),
    )
  assert.is(
    statusOf(() => readXml(Buffer.from([0x3c, 0x61, 0xff, 0x3e]))),
    400,
  )
})

test('reads UTF-8 and UTF-16', () => {
  const text = '<?xml version="1.0"?><a xmlns="u:n">grün</a>'
  const little = Buffer.from(`\ufeff${text}`, 'utf16le')
  const big = Buffer.from(little).swap16()
  for (const body of [bytes(text), bytes(`\ufeff${text}`), little, big]) {
    const { namespace, name, children, text, content } = readXml(body)
    assert.equal(
      { namespace, name, children, text, content },
      { namespace: 'u:n', name: 'a', children: [], text: 'grün', content: ['grün'] },
    )
  }
})

test('whatever comes, the reader answers or refuses', () => {
  fc.assert(
    fc.property(
      fc.string({
        unit: fc.constantFrom('<', '>', '/', 'a', '&', ';', '"', '=', ' ', '!', '[', ']', '-', '?', 'xmlns:b="c"'),
      }),
      (text) => {
        assert.ok([200, 400, 413].includes(statusOf(() => readXml(bytes(text)))))
      },
    ),
    { numRuns: 500 },
  )
})

test('RFC 4918 9.1: the bodies of PROPFIND', () => {
  assert.equal(parsePropfind(Buffer.alloc(0)), { kind: 'allprop', include: [] })
  assert.equal(parsePropfind(bytes('<propfind xmlns="DAV:"><propname/></propfind>')), { kind: 'propname' })
  assert.equal(
    parsePropfind(bytes('<D:propfind xmlns:D="DAV:"><D:prop><D:getetag/><x xmlns="u:"/><y/></D:prop></D:propfind>')),
    {
      kind: 'prop',
      names: [
        { namespace: 'DAV:', name: 'getetag' },
        { namespace: 'u:', name: 'x' },
        { namespace: '', name: 'y' },
      ],
    },
  )
  assert.equal(
    parsePropfind(
      bytes('<propfind xmlns="DAV:"><allprop/><include><quota-used-bytes/></include><ext xmlns="u:"/></propfind>'),
    ),
    { kind: 'allprop', include: [{ namespace: 'DAV:', name: 'quota-used-bytes' }] },
  )
  for (const text of [
    '<propfind/>',
    '<propfind xmlns="DAV:"/>',
    '<propfind xmlns="DAV:"><prop/><allprop/></propfind>',
    '<other xmlns="DAV:"><prop/></other>',
  ]) {
    assert.is(
      statusOf(() => parsePropfind(bytes(text))),
      400,
      text,
    )
  }
})

test('what is kept of XML means the same wherever it stands', () => {
  const cases: [string, string][] = [
    ['<a/>', '<a/>'],
    ['<a xmlns="u:"><b xmlns=""/></a>', '<a xmlns="u:"><b xmlns=""/></a>'],
    ['<D:a xmlns:D="u:1"><D:b xmlns:D="u:2"/><D:c/></D:a>', '<D:a xmlns:D="u:1"><D:b xmlns:D="u:2"/><D:c/></D:a>'],
    ['<a xmlns:p="u:p" p:x="1" x="&quot;&#10;"/>', '<a xmlns:p="u:p" p:x="1" x="&quot;&#10;"/>'],
    ['<a xml:lang="de">x</a>', '<a xml:lang="de">x</a>'],
    ['<a>]]&gt;<![CDATA[<&]]><!-- no --><?no pi?></a>', '<a>]]&gt;&lt;&amp;</a>'],
  ]
  for (const [given, kept] of cases) {
    assert.is(writeElement(readXml(bytes(given))), kept)
    assert.is(writeElement(readXml(bytes(kept))), kept, 'and again')
  }
  const inner = readXml(bytes('<r xml:lang="en" xmlns:p="u:p"><p:a><p:b/></p:a></r>')).children[0]
  assert.is(inner && writeElement(inner), '<p:a xmlns:p="u:p" xml:lang="en"><p:b/></p:a>')
})

test('RFC 4918 9.2: the bodies of PROPPATCH, in their order', () => {
  const body = `<propertyupdate xmlns="DAV:"><remove><prop><a xmlns="u:"/></prop></remove>
    <set><prop><b xmlns="u:">v &amp; <![CDATA[w]]></b></prop></set></propertyupdate>`
  assert.equal(parseProppatch(bytes(body)), [
    { action: 'remove', namespace: 'u:', name: 'a', text: '', xml: '' },
    { action: 'set', namespace: 'u:', name: 'b', text: 'v & w', xml: '<b xmlns="u:">v &amp; w</b>' },
  ])
  assert.is(
    statusOf(() => parseProppatch(bytes('<propertyupdate xmlns="DAV:"/>'))),
    400,
  )
  assert.is(
    statusOf(() => parseProppatch(Buffer.alloc(0))),
    400,
  )
})

test('any text becomes well-formed XML, unchanged but for what XML cannot hold', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      let read = ''
      const parser = new SaxesParser({ xmlns: true })
      parser.on('error', (error) => {
        throw error
      })
      parser.on('text', (part) => void (read += part))
      parser.write(`<a>${element('u:&"', 'b', escapeXml(text))}</a>`).close()
      // XML itself makes line ends out of carriage returns.
      const expected = text.replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|\p{Surrogate}/gu, '\ufffd')
      assert.is(read, expected.replace(/\r\n?/g, '\n'))
    }),
    { numRuns: 500 },
  )
})

test.run()
