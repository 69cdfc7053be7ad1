/** The parts of the file page that no server is needed for: escaping, names, patterns, pictures, headers. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { contentTypeOf } from '../../../src/gateway-http/content-types.ts'
import { attachment } from '../../../src/gateway-http/disposition.ts'
import { sorted } from '../../../src/gateway-http/page/entries.ts'
import { escapeHtml, Html, html } from '../../../src/gateway-http/page/html.ts'
import { iconOf, previewOf } from '../../../src/gateway-http/page/kinds.ts'
import { row } from '../../../src/gateway-http/page/rows.ts'
import { searchPattern } from '../../../src/gateway-http/page/search-pattern.ts'
import { shownName } from '../../../src/gateway-http/page/shown-name.ts'
import { pageProtection, protectionOf } from '../../../src/gateway-http/protection.ts'

const test = suite('file page, parts')
const bytesOf = (text: string) => Buffer.from(text).toString('latin1')
const anyBytes = fc.uint8Array({ minLength: 1, maxLength: 40 }).map((array) => Buffer.from(array).toString('latin1'))

test('values in markup are escaped, markup is not, and there is nothing between', () => {
  const name = `<script>alert("1" & '2')</script>`
  assert.is(
    html`<a title="${name}">${name}</a>`.text,
    '<a title="&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;">&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;</a>',
  )
  assert.is(html`${html`<b>${1}</b>`}${[html`<i>`, html`</i>`]}${undefined}${false}${''}`.text, '<b>1</b><i></i>')
  assert.is(html`${new Html('<hr>')}`.text, '<hr>')
  assert.is(escapeHtml('a\0b\ud800c🌊'), 'a\ufffdb\ufffdc🌊')
  fc.assert(
    fc.property(fc.string(), (text) => assert.not.match(escapeHtml(text), /[<>"'\0]|&(?!amp;|lt;|gt;|quot;|#39;)/)),
  )
})

test('a row holds any name, and its address is that name byte for byte', () => {
  fc.assert(
    fc.property(anyBytes, (raw) => {
      const name = raw.replace(/[/\0]/g, '_')
      const text = row({ path: [name], isDir: false, size: 1, modifiedS: 0 }, true).text
      const tags = [...text.matchAll(/<[^>]*>/g)].map(([tag]) => tag.replace(/="[^"]*"/g, '=""'))
      const known =
        /^<\/?(?:tr|td|th|a|bdi|svg|use|input|time)(?: (?:data-kind|data-size|data-preview|class|type|name|value|aria-label|aria-hidden|scope|href|datetime|download)(?:="")?)*\/?>$/
      for (const tag of tags) assert.match(tag, known)
      const href = /href="\.\/([^"]*)"><bdi>/.exec(text)?.[1] as string
      assert.is(Buffer.from(unescapeBytes(href), 'latin1').toString('latin1'), name)
    }),
  )
})

const unescapeBytes = (text: string) =>
  text.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))

test('what would be invisible or turn a name around is shown by a stand-in', () => {
  assert.is(shownName('plain.txt'), 'plain.txt')
  assert.is(shownName(bytesOf('a\u202egpj.exe')), 'a\ufffdgpj.exe')
  assert.is(shownName('tab\there\nline\x7f\x1b'), 'tab␉here␊line␡␛')
  assert.is(shownName(bytesOf('שלום 🌊')), 'שלום 🌊')
  assert.is(shownName('\xff\xfe.txt'), '\ufffd\ufffd.txt')
  fc.assert(
    fc.property(anyBytes, (name) =>
      assert.not.match(shownName(name), /[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/),
    ),
  )
})

test('a search without stars looks anywhere, with stars at the whole name, whatever the case', () => {
  const matches = (pattern: string, ...names: string[]) => names.filter((name) => searchPattern(pattern)?.(name))
  assert.equal(matches('Art', 'art', 'pARTy', 'par'), ['art', 'pARTy'])
  assert.equal(matches('*.md', 'a.md', 'a.md.bak', '.md'), ['a.md', '.md'])
  assert.equal(matches('a*b*c', 'abc', 'aXbXc', 'acb', 'a-b-cd', 'abcabc'), ['abc', 'aXbXc', 'abcabc'])
  assert.equal(matches('a*a', 'a', 'aa', 'aba'), ['aa', 'aba'])
  assert.equal(matches('*', 'a', ''), ['a', ''])
  assert.equal(matches('grö', 'GRO\u0308SSE'), ['GRO\u0308SSE'])
  assert.equal(matches('.*', 'x', '.profile'), ['.profile'])
  assert.is(searchPattern('  '), undefined)
  // Agrees with a regular expression that may take its time.
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*'), minLength: 1, maxLength: 8 })
  const text = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 10 })
  fc.assert(
    fc.property(letters, text, (pattern, name) => {
      const expected = new RegExp(pattern.includes('*') ? `^${pattern.replaceAll('*', '.*')}$` : pattern).test(name)
      assert.is(searchPattern(pattern)?.(name), expected, `${pattern} ${name}`)
    }),
    { numRuns: 2000 },
  )
  // What a regular expression would try for ever.
  assert.is(searchPattern(`${'a*'.repeat(120)}b`)?.('a'.repeat(255)), false)
})

test('pictures and previews go by the name', () => {
  assert.is(iconOf('a.tar.gz'), 'archive')
  assert.is(iconOf('Makefile'), 'text')
  assert.is(iconOf('b.svg'), 'image')
  assert.is(iconOf('x.ts'), 'code')
  assert.is(iconOf('unknown'), 'file')
  assert.is(previewOf('a.PNG'), 'image')
  assert.is(previewOf('a.html'), 'text')
  assert.is(previewOf('README'), 'text')
  assert.is(previewOf('a.mp4'), 'video')
  assert.is(previewOf('a.tiff'), undefined)
  assert.is(previewOf('a.pdf'), undefined)
  assert.is(previewOf('constructor'), undefined)
})

test('directories come first, numbers in names count as numbers', () => {
  const entry = (name: string, isDir: boolean, size: number) => ({ path: [name], isDir, size, modifiedS: size })
  const entries = [entry('b10', false, 1), entry('b9', false, 3), entry('z', true, 0), entry('a', true, 0)]
  const order = (column: 'name' | 'size', direction: 'asc' | 'desc') =>
    sorted(entries, { column, order: direction }).map(({ path }) => path[0])
  assert.equal(order('name', 'asc'), ['a', 'z', 'b9', 'b10'])
  assert.equal(order('name', 'desc'), ['z', 'a', 'b10', 'b9'])
  assert.equal(order('size', 'desc'), ['z', 'a', 'b9', 'b10'])
})

test('an attachment is named in both ways of RFC 6266', () => {
  assert.is(attachment('plain name.zip'), 'attachment; filename="plain name.zip"')
  assert.is(
    attachment('größe "1".zip'),
    `attachment; filename="gr__e _1_.zip"; filename*=UTF-8''gr%C3%B6%C3%9Fe%20%221%22.zip`,
  )
  assert.is(
    attachment("it's (1)*\r\n.zip"),
    `attachment; filename="it's (1)*__.zip"; filename*=UTF-8''it%27s%20%281%29%2A%0D%0A.zip`,
  )
})

test('what can be a document of a user has no origin, and the page runs nothing but its own', () => {
  for (const type of ['text/html; charset=utf-8', 'image/svg+xml', 'application/xml', 'application/octet-stream']) {
    assert.equal(protectionOf(type), { 'X-Content-Type-Options': 'nosniff', 'Content-Security-Policy': 'sandbox' })
  }
  assert.equal(protectionOf(contentTypeOf('a.pdf')), { 'X-Content-Type-Options': 'nosniff' })
  const policy = pageProtection('abc')['Content-Security-Policy'] as string
  assert.match(policy, /default-src 'none'; script-src 'nonce-abc'; style-src 'nonce-abc'/)
  assert.not.match(policy, /unsafe|\*|https?:|data:/)
  assert.match(policy, /frame-ancestors 'none'/)
})

test.run()
