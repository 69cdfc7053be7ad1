/**
 * What every export promises over HTTP, whatever filesystem is beneath it: run against the filesystem in memory (unit) and
 * against real matrices, where each request goes to another node (conformance).
 */
import { createHash } from 'node:crypto'
import { gunzipSync } from 'node:zlib'
import type { Test } from 'uvu'
import * as assert from 'uvu/assert'
import type { MatrixFs } from '../../src/metadata/index.ts'
import { FIFO } from '../../src/metadata/index.ts'
import { type Answer, abandonedPut, asker, type RequestOptions, raw, request } from '../helpers/http-client.ts'

export type HttpFixture = {
  /** One URL per node, each ending in a slash; the export is `home`, and `frozen` is the same, read-only, and caches may keep its files for a minute. */
  readonly urls: readonly string[]
  /** The filesystem of the first node, for what HTTP cannot make. */
  readonly fs: MatrixFs
}

const root = { uid: 0, gid: 0, gids: [] }
const depth = (value: string) => ({ headers: { Depth: value } })
const bytesOf = (length: number, seed = 1) =>
  Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) * seed) & 255))

export function httpExportSuite(test: Test, fixture: () => HttpFixture): void {
  const { nextUrl, ask, expect } = asker(() => fixture().urls)
  const put = (path: string, body: RequestOptions['body'], headers: Record<string, string> = {}) =>
    ask('PUT', path, { body, headers })
  const propfind = async (path: string, level: string, body = ''): Promise<string> =>
    (await expect(207, 'PROPFIND', path, { ...depth(level), body })).text
  const hrefs = (text: string) => [...text.matchAll(/<D:href>([^<]*)<\/D:href>/g)].map((match) => match[1] as string)
  const inoOf = async (name: string) => (await fixture().fs.lookup(root, 1, name)).inode.ino

  /** Each test has a directory of its own. */
  const withDir = (name: string, run: (dir: string) => Promise<void>) =>
    test(name, async () => {
      const dir = `/home/t${name.split(' ')[0]}`
      await expect(201, 'MKCOL', dir)
      await run(dir)
      await expect(204, 'DELETE', dir)
      await expect(404, 'GET', `${dir}/`)
    })

  withDir('GET1 a file is read whole, with its type, length, tag and date', async (dir) => {
    const stored = await put(`${dir}/a.txt`, 'hello')
    assert.is(stored.status, 201)
    const got = await expect(200, 'GET', `${dir}/a.txt`)
    assert.is(got.text, 'hello')
    assert.is(got.headers['content-type'], 'text/plain; charset=utf-8')
    assert.is(got.headers['content-length'], '5')
    assert.is(got.headers.etag, stored.headers.etag)
    assert.match(got.headers['last-modified'] as string, /GMT$/)
    const head = await expect(200, 'HEAD', `${dir}/a.txt`)
    assert.is(head.headers.etag, got.headers.etag)
    assert.is(head.headers['content-length'], '5')
    await expect(404, 'GET', `${dir}/a.txt/`)
    await expect(404, 'GET', `${dir}/a.txt/b`)
    await expect(404, 'GET', `${dir}/b`)
    const empty = await put(`${dir}/empty`, '')
    assert.is(empty.status, 201)
    assert.is((await expect(200, 'GET', `${dir}/empty`)).body.length, 0)
  })

  withDir('GET2 ranges, one and many', async (dir) => {
    const content = bytesOf(3_000_000)
    assert.is((await put(`${dir}/big`, content)).status, 201)
    const range = (value: string) => ask('GET', `${dir}/big`, { headers: { Range: value } })
    for (const [first, last] of [
      [0, 0],
      [1, 1_048_576],
      [1_048_575, 2_999_999],
      [2_999_999, 2_999_999],
    ] as const) {
      const got = await range(`bytes=${first}-${last}`)
      assert.is(got.status, 206)
      assert.is(got.headers['content-range'], `bytes ${first}-${last}/3000000`)
      assert.ok(got.body.equals(content.subarray(first, last + 1)))
    }
    const many = await range('bytes=0-9,1048570-1200000,-3')
    assert.is(many.status, 206)
    const boundary = /boundary=(\S+)/.exec(many.headers['content-type'] as string)?.[1] as string
    const parts = many.body.toString('latin1').split(`\r\n--${boundary}`)
    assert.is(parts.length, 5)
    assert.is(parts[4], '--\r\n')
    const contents = parts.slice(1, 4).map((part) => Buffer.from(part.slice(part.indexOf('\r\n\r\n') + 4), 'latin1'))
    assert.ok(contents[0]?.equals(content.subarray(0, 10)))
    assert.ok(contents[1]?.equals(content.subarray(1_048_570, 1_200_001)))
    assert.ok(contents[2]?.equals(content.subarray(-3)))
    const beyond = await range('bytes=3000000-')
    assert.is(beyond.status, 416)
    assert.is(beyond.headers['content-range'], 'bytes */3000000')
    const stale = await ask('GET', `${dir}/big`, { headers: { Range: 'bytes=0-0', 'If-Range': '"other"' } })
    assert.is(stale.status, 200)
    const head = await ask('HEAD', `${dir}/big`, { headers: { Range: 'bytes=0-0' } })
    assert.is(head.status, 200)
  })

  withDir('GET3 the tag changes with the content, at every node, and conditions go by it', async (dir) => {
    const first = (await put(`${dir}/a`, 'one')).headers.etag as string
    assert.is((await ask('GET', `${dir}/a`, { headers: { 'If-None-Match': first } })).status, 304)
    const second = (await put(`${dir}/a`, 'two')).headers.etag as string
    assert.is.not(first, second)
    assert.is((await ask('GET', `${dir}/a`, { headers: { 'If-None-Match': first } })).text, 'two')
    assert.is((await ask('GET', `${dir}/a`, { headers: { 'If-Match': first } })).status, 412)
    assert.is((await put(`${dir}/a`, 'three', { 'If-Match': first })).status, 412)
    assert.is((await put(`${dir}/a`, 'three', { If: `([${first}])` })).status, 412)
    assert.is((await put(`${dir}/a`, 'three', { If: '(<urn:uuid:x>)' })).status, 412)
    assert.is((await put(`${dir}/a`, 'three', { If: `([${second}] Not <DAV:no-lock>)` })).status, 204)
    assert.is((await put(`${dir}/a`, 'x', { 'If-None-Match': '*' })).status, 412)
    assert.is((await put(`${dir}/new`, 'x', { 'If-None-Match': '*' })).status, 201)
    assert.is((await put(`${dir}/newer`, 'x', { 'If-Match': '*' })).status, 412)
    assert.is((await ask('DELETE', `${dir}/a`, { headers: { 'If-Match': first } })).status, 412)
    assert.is((await expect(200, 'GET', `${dir}/a`)).text, 'three')
    assert.is((await ask('PUT', `${dir}/a`, { body: 'x', headers: { If: '(' } })).status, 400)
  })

  withDir('GET4 a directory is a page with every name escaped', async (dir) => {
    await put(`${dir}/%3Cscript%3E%26%22.txt`, 'x')
    await put(`${dir}/javascript:alert(1)`, 'x')
    await expect(201, 'MKCOL', `${dir}/sub`)
    const redirect = await expect(301, 'GET', dir)
    assert.is(redirect.headers.location, `${dir}/`)
    const page = (await expect(200, 'GET', `${dir}/?sort=size&order=desc`)).text
    assert.ok(page.includes('href="./%3Cscript%3E%26%22.txt"'))
    assert.ok(page.includes('&lt;script&gt;&amp;&quot;.txt'))
    assert.ok(page.includes('href="./javascript%3Aalert%281%29"'))
    assert.ok(page.includes('href="./sub/"'))
    assert.not.ok(page.includes('<script>'))
    assert.ok((await expect(200, 'GET', '/')).text.includes('href="./home/"'))
    assert.is((await expect(200, 'HEAD', `${dir}/`)).body.length, 0)
  })

  withDir('PUT1 makes and replaces; wrong places are refused', async (dir) => {
    assert.is((await put(`${dir}/a`, 'one')).status, 201)
    assert.is((await put(`${dir}/a`, 'two')).status, 204)
    assert.is((await put(`${dir}/none/a`, 'x')).status, 409)
    assert.is((await put(`${dir}/a/b`, 'x')).status, 409)
    assert.is((await put(`${dir}/b/`, 'x')).status, 409)
    assert.is((await put(dir, 'x')).status, 405)
    assert.is((await put('/home/', 'x')).status, 405)
    assert.is((await put('/', 'x')).status, 403)
    assert.is((await put('/elsewhere/a', 'x')).status, 404)
    assert.is((await put('/frozen/a', 'x')).status, 403)
    assert.is((await put(`${dir}/a`, 'x', { 'Content-Encoding': 'gzip' })).status, 415)
    assert.is((await put(`${dir}/.~put-0123456789abcdef01234567`, 'x')).status, 403)
    assert.is((await put(`${dir}/${'n'.repeat(256)}`, 'x')).status, 414)
    assert.is((await expect(200, 'GET', `${dir}/a`)).text, 'two')
    assert.equal(hrefs(await propfind(`${dir}/`, '1')), [`${dir}/`, `${dir}/a`])
  })

  withDir('PUT2 any size, with and without a length', async (dir) => {
    for (const length of [1, 4096, 65_536, 65_537, 1_048_576, 1_048_577, 5_000_000]) {
      const content = bytesOf(length, length)
      assert.is((await put(`${dir}/f`, content)).status, length === 1 ? 201 : 204)
      assert.ok((await expect(200, 'GET', `${dir}/f`)).body.equals(content), `${length} bytes`)
      const pieces = [content.subarray(0, length >> 1), content.subarray(length >> 1)].filter(
        (piece) => piece.length > 0,
      )
      assert.is((await put(`${dir}/g`, pieces)).status, length === 1 ? 201 : 204)
      assert.ok((await expect(200, 'GET', `${dir}/g`)).body.equals(content), `${length} bytes, chunked`)
    }
  })

  withDir('PUT3 an upload that breaks off leaves the old content and no trace', async (dir) => {
    await put(`${dir}/a`, 'old')
    for (const sent of [0, 10, 200_000, 1_500_000]) {
      await abandonedPut(nextUrl(), `${dir}/a`, bytesOf(sent), 2_000_000)
      await abandonedPut(nextUrl(), `${dir}/b`, bytesOf(sent), 2_000_000)
    }
    assert.is((await expect(200, 'GET', `${dir}/a`)).text, 'old')
    await expect(404, 'GET', `${dir}/b`)
    const { fs } = fixture()
    const ino = await inoOf(dir.slice('/home/'.length))
    for (let tries = 0; tries < 100; tries++) {
      const { entries } = await fs.readdir(root, ino, 0, 100)
      if (entries.length === 3) return
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    assert.unreachable('a temporary is left')
  })

  withDir('PUT4 a replaced file keeps its mode; X-OC-Mtime sets the time', async (dir) => {
    const { fs } = fixture()
    await put(`${dir}/a`, 'one')
    const parent = await inoOf(dir.slice('/home/'.length))
    const { inode } = await fs.lookup(root, parent, 'a')
    await fs.setattr(root, inode.ino, { mode: 0o4751, uid: 12, gid: 34 })
    const answer = await put(`${dir}/a`, 'two', { 'X-OC-Mtime': '981173106.5' })
    assert.is(answer.status, 204)
    assert.is(answer.headers['x-oc-mtime'], 'accepted')
    const { inode: now } = await fs.lookup(root, parent, 'a')
    assert.equal(
      [now.mode, now.uid, now.gid, now.mtimeS, now.mtimeNs, now.nlink],
      [0o751, 12, 34, 981_173_106, 500_000_000, 1],
    )
    assert.is((await expect(200, 'HEAD', `${dir}/a`)).headers['last-modified'], 'Sat, 03 Feb 2001 04:05:06 GMT')
    assert.is((await put(`${dir}/a`, 'x', { 'X-OC-Mtime': 'soon' })).status, 400)
  })

  withDir('PUT5 of many clients that make one name with If-None-Match exactly one wins', async (dir) => {
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, i) => put(`${dir}/one`, `from ${i}`, { 'If-None-Match': '*' })),
    )
    const winners = answers.flatMap(({ status }, i) => (status === 201 ? [i] : []))
    assert.is(winners.length, 1, answers.map(({ status }) => status).join(' '))
    assert.ok(answers.every(({ status }) => status === 201 || status === 412))
    assert.is((await expect(200, 'GET', `${dir}/one`)).text, `from ${winners[0]}`)
  })

  withDir('DEL1 files, trees, and what is refused', async (dir) => {
    await put(`${dir}/a`, 'x')
    await expect(404, 'DELETE', `${dir}/a/`)
    await expect(204, 'DELETE', `${dir}/a`)
    await expect(404, 'DELETE', `${dir}/a`)
    for (const sub of ['s', 's/t', 's/t/u']) {
      await expect(201, 'MKCOL', `${dir}/${sub}`)
      for (let i = 0; i < 10; i++) await put(`${dir}/${sub}/f${i}`, 'x')
    }
    await expect(400, 'DELETE', `${dir}/s`, depth('0'))
    await expect(204, 'DELETE', `${dir}/s`)
    assert.equal(hrefs(await propfind(dir, 'infinity')), [`${dir}/`])
    await expect(403, 'DELETE', '/home/')
    await expect(403, 'DELETE', '/')
    await expect(403, 'DELETE', '/frozen/x')
  })

  withDir('PFD1 depths, live properties, what is missing', async (dir) => {
    await put(`${dir}/a.json`, '{}')
    await expect(201, 'MKCOL', `${dir}/sub`)
    await put(`${dir}/sub/b`, 'x')
    assert.equal(hrefs(await propfind(`${dir}/`, '0')), [`${dir}/`])
    assert.equal(hrefs(await propfind(dir, '1')).sort(), [`${dir}/`, `${dir}/a.json`, `${dir}/sub/`])
    assert.equal(hrefs(await propfind(dir, 'infinity')).sort(), [
      `${dir}/`,
      `${dir}/a.json`,
      `${dir}/sub/`,
      `${dir}/sub/b`,
    ])
    const file = await propfind(`${dir}/a.json`, '0')
    assert.match(file, '<D:resourcetype/>')
    assert.match(file, '<D:getcontentlength>2</D:getcontentlength>')
    assert.match(file, '<D:getcontenttype>application/json</D:getcontenttype>')
    assert.match(file, '<D:displayname>a.json</D:displayname>')
    assert.ok(file.includes(`<D:getetag>${(await expect(200, 'HEAD', `${dir}/a.json`)).headers.etag}</D:getetag>`))
    const asked = await propfind(
      dir,
      '0',
      '<propfind xmlns="DAV:"><prop><resourcetype/><quota-available-bytes/><getetag/><x xmlns="u:n"/></prop></propfind>',
    )
    assert.match(asked, '<D:resourcetype><D:collection/></D:resourcetype>')
    assert.match(asked, /<D:quota-available-bytes>\d+</)
    assert.match(asked, /<x:x xmlns:x="u:n"\/><D:getetag\/><\/D:prop><D:status>HTTP\/1.1 404/)
    assert.match(await propfind(dir, '0', '<propfind xmlns="DAV:"><propname/></propfind>'), '<D:getlastmodified/>')
    assert.equal(hrefs(await propfind('/', '1')), ['/', '/home/', '/frozen/'])
    await expect(404, 'PROPFIND', `${dir}/none`, depth('0'))
    await expect(400, 'PROPFIND', dir, depth('2'))
    await expect(400, 'PROPFIND', dir, { body: '<oops' })
    await expect(400, 'PROPFIND', dir, {
      body: '<!DOCTYPE a [<!ENTITY x "y">]><propfind xmlns="DAV:"><allprop/></propfind>',
    })
    await expect(413, 'PROPFIND', dir, { body: ' '.repeat(300_000) })
  })

  withDir('PFD2 a directory larger than a batch is listed whole', async (dir) => {
    const count = 1100
    const { fs } = fixture()
    const ino = await inoOf(dir.slice('/home/'.length))
    for (let i = 0; i < count; i++) await fs.create(root, ino, `f${i}`, { mode: 0o644 }, 'guarded')
    assert.is(new Set(hrefs(await propfind(dir, '1'))).size, count + 1)
    assert.match((await expect(200, 'GET', `${dir}/`)).text, `${count.toLocaleString('en')} files, `)
  })

  withDir('PPT1 applies times and the executable bit, and pretends nothing', async (dir) => {
    await put(`${dir}/a`, 'x')
    const patch = async (inner: string) =>
      (await expect(207, 'PROPPATCH', `${dir}/a`, { body: `<propertyupdate xmlns="DAV:">${inner}</propertyupdate>` }))
        .text
    const modified = async () => (await expect(200, 'HEAD', `${dir}/a`)).headers['last-modified']
    const windows = (date: string) =>
      `<set><prop><Win32LastModifiedTime xmlns="urn:schemas-microsoft-com:">${date}</Win32LastModifiedTime></prop></set>`
    assert.match(await patch(windows('Sun, 06 Nov 1994 08:49:37 GMT')), '200 OK')
    assert.is(await modified(), 'Sun, 06 Nov 1994 08:49:37 GMT')
    assert.match(await patch('<set><prop><lastmodified>981173106</lastmodified></prop></set>'), '200 OK')
    assert.is(await modified(), 'Sat, 03 Feb 2001 04:05:06 GMT')
    const mixed = await patch(
      `${windows('Sun, 06 Nov 1994 08:49:37 GMT')}<set><prop><mine xmlns="u:">1</mine><getetag>1</getetag></prop></set>`,
    )
    assert.match(mixed, '424 Failed Dependency')
    assert.match(mixed, '403 Forbidden')
    assert.not.match(await propfind(`${dir}/a`, '0'), 'mine')
    assert.is(await modified(), 'Sat, 03 Feb 2001 04:05:06 GMT')
    assert.match(await patch(windows('someday')), '409 Conflict')
    assert.match(await patch('<set><prop><getetag>1</getetag></prop></set>'), 'cannot-modify-protected-property')
    assert.match(await patch('<remove><prop><mine xmlns="u:"/></prop></remove>'), '200 OK')
    const executable = (value: string) =>
      `<set><prop><executable xmlns="http://apache.org/dav/props/">${value}</executable></prop></set>`
    assert.match(await patch(executable('T')), '200 OK')
    const asked = '<propfind xmlns="DAV:"><prop><executable xmlns="http://apache.org/dav/props/"/></prop></propfind>'
    assert.match(await propfind(`${dir}/a`, '0', asked), '>T</x:executable>')
    await expect(400, 'PROPPATCH', `${dir}/a`, { body: '<propertyupdate xmlns="DAV:"/>' })
    await expect(404, 'PROPPATCH', `${dir}/b`, {
      body: '<propertyupdate xmlns="DAV:"><set><prop><a/></prop></set></propertyupdate>',
    })
  })

  const to = (destination: string, more: Record<string, string> = {}) => ({
    headers: { Destination: destination, ...more },
  })

  withDir('PPT2 dead properties are kept as they were given, through PUT, COPY and MOVE', async (dir) => {
    await put(`${dir}/a`, 'x')
    const patch = async (path: string, inner: string) =>
      (await expect(207, 'PROPPATCH', path, { body: `<propertyupdate xmlns="DAV:">${inner}</propertyupdate>` })).text
    const own =
      '<z:note xmlns:z="urn:z" xml:lang="de"><z:b a="1 &lt; 2">T\u00fcr &amp; <plain xmlns="">x</plain>\ud83d\ude00</z:b> end</z:note>'
    assert.match(
      await patch(`${dir}/a`, `<set><prop>${own}<__proto__ xmlns="urn:z">p</__proto__></prop></set>`),
      '200 OK',
    )
    // where it is shown there is no default namespace to undo
    const kept = own.replace(' xmlns=""', '')
    const shows = async (path: string) => {
      const text = await propfind(path, '0')
      assert.ok(text.includes(kept), text)
      assert.match(text, '<__proto__ xmlns="urn:z">p</__proto__>')
      const named = '<propfind xmlns="DAV:"><prop><note xmlns="urn:z"/><none xmlns="urn:z"/></prop></propfind>'
      const asked = await propfind(path, '0', named)
      assert.ok(asked.includes(kept), asked)
      assert.match(asked, /404 Not Found/)
      assert.match(
        await propfind(path, '0', '<propfind xmlns="DAV:"><propname/></propfind>'),
        '<x:note xmlns:x="urn:z"/>',
      )
    }
    const tag = (await expect(200, 'HEAD', `${dir}/a`)).headers.etag as string
    await patch(`${dir}/a`, '<set><prop><other xmlns="urn:z"/></prop></set>')
    assert.is((await expect(200, 'HEAD', `${dir}/a`)).headers.etag, tag, 'the content is the same')
    await shows(`${dir}/a`)
    await expect(204, 'PUT', `${dir}/a`, { body: 'new' })
    await shows(`${dir}/a`)
    await expect(201, 'COPY', `${dir}/a`, to(`${dir}/b`))
    await shows(`${dir}/b`)
    await expect(201, 'MOVE', `${dir}/b`, to(`${dir}/c`))
    await shows(`${dir}/c`)
    await expect(201, 'MKCOL', `${dir}/d`)
    await patch(`${dir}/d/`, `<set><prop>${own}<__proto__ xmlns="urn:z">p</__proto__></prop></set>`)
    await expect(201, 'MOVE', `${dir}/c`, to(`${dir}/d/c`))
    await expect(201, 'COPY', `${dir}/d/`, to(`${dir}/e/`))
    await shows(`${dir}/e/`)
    await shows(`${dir}/e/c`)
    // replaced by a copy without any
    await expect(201, 'PUT', `${dir}/plain`, { body: 'x' })
    await expect(204, 'COPY', `${dir}/plain`, to(`${dir}/a`))
    assert.not.match(await propfind(`${dir}/a`, '0'), 'urn:z')
    await patch(`${dir}/e/c`, '<remove><prop><note xmlns="urn:z"/></prop></remove>')
    const listed = await propfind(`${dir}/e/`, '1')
    assert.is(listed.split(kept).length, 2)
    assert.is(listed.split('__proto__ xmlns').length, 3)
  })

  withDir('PPT3 dead properties are bounded', async (dir) => {
    await put(`${dir}/a`, 'x')
    const set = (properties: string) => ({
      body: `<propertyupdate xmlns="DAV:"><set><prop>${properties}</prop></set></propertyupdate>`,
    })
    const long = (
      await expect(207, 'PROPPATCH', `${dir}/a`, set(`<a xmlns="u:">${'x'.repeat(17_000)}</a><b xmlns="u:"/>`))
    ).text
    assert.match(long, '507 Insufficient Storage')
    assert.match(long, '424 Failed Dependency')
    assert.match((await expect(207, 'PROPPATCH', `${dir}/a`, set(`<${'n'.repeat(1100)} xmlns="u:"/>`))).text, '507')
    await expect(400, 'PROPPATCH', `${dir}/a`, set('<a xmlns="u:">&#xD800;</a>'))
    await expect(400, 'PROPPATCH', `${dir}/a`, set('<a xmlns="u:">&#0;</a>'))
    assert.not.match(await propfind(`${dir}/a`, '0'), 'u:')
  })

  withDir('RES1 a resumable upload (tus) goes on at any node, and takes its name when it is whole', async (dir) => {
    const content = bytesOf(2_500_000)
    const tus = (more: Record<string, string> = {}) => ({ 'Tus-Resumable': '1.0.0', ...more })
    const filename = (name: string) => `filename ${Buffer.from(name).toString('base64')},type dGV4dA==`
    const create = (length: number, name: string, more: Record<string, string> = {}) => ({
      headers: tus({ 'Upload-Length': String(length), 'Upload-Metadata': filename(name), ...more }),
    })
    const options = await expect(200, 'OPTIONS', `${dir}/`)
    assert.is(options.headers['tus-version'], '1.0.0')
    assert.match(options.headers['tus-extension'] as string, 'creation')
    const time = { 'X-OC-Mtime': '1000000000' }
    const made = await expect(201, 'POST', `${dir}/`, create(content.length, 'gr\u00fcn.bin', time))
    const upload = made.headers.location as string
    assert.match(upload, /\?upload=[0-9a-f]{24}$/)
    const patch = (status: number, offset: number, body: Buffer, more: Record<string, string> = {}) =>
      expect(status, 'PATCH', upload, {
        headers: tus({ 'Upload-Offset': String(offset), 'Content-Type': 'application/offset+octet-stream', ...more }),
        body,
      })
    const first = await patch(204, 0, content.subarray(0, 1_000_000))
    assert.is(first.headers['upload-offset'], '1000000')
    const head = await expect(200, 'HEAD', upload, { headers: tus() })
    assert.equal([head.headers['upload-offset'], head.headers['upload-length']], ['1000000', '2500000'])
    assert.is(head.headers['cache-control'], 'no-store')
    await patch(409, 0, content.subarray(0, 10))
    await patch(413, 1_000_000, content)
    await patch(415, 1_000_000, content.subarray(0, 1), { 'Content-Type': 'text/plain' })
    await patch(412, 1_000_000, content.subarray(0, 1), { 'Tus-Resumable': '0.2.2' })
    const file = `${dir}/gr%C3%BCn.bin`
    await expect(404, 'GET', file)
    assert.equal(hrefs(await propfind(dir, '1')), [`${dir}/`])
    await patch(204, 1_000_000, content.subarray(1_000_000))
    const whole = await expect(200, 'GET', file)
    assert.ok(whole.body.equals(content))
    assert.is(whole.headers['last-modified'], 'Sun, 09 Sep 2001 01:46:40 GMT')
    await expect(404, 'HEAD', upload, { headers: tus() })
    assert.not.match(await propfind(file, '0'), 'urn:matrixfs')
    // over a file that is there, and not over it
    await expect(412, 'POST', `${dir}/`, create(5, 'gr\u00fcn.bin', { 'If-None-Match': '*' }))
    const second = (await expect(201, 'POST', `${dir}/`, create(0, 'gr\u00fcn.bin'))).headers.location as string
    assert.is((await expect(200, 'GET', file)).body.length, 0)
    await expect(404, 'HEAD', second, { headers: tus() })
    const third = (await expect(201, 'POST', `${dir}/`, create(5, 'x'))).headers.location as string
    await expect(204, 'DELETE', third, { headers: tus() })
    await expect(404, 'DELETE', third, { headers: tus() })
    for (const name of ['', '.', '..', 'a/b', 'a\0b', '.~put-0123456789abcdef01234567', 'x'.repeat(256)])
      assert.ok([400, 414].includes((await ask('POST', `${dir}/`, create(5, name))).status), name)
    await expect(400, 'POST', `${dir}/`, { headers: tus({ 'Upload-Metadata': filename('x') }) })
    await expect(405, 'POST', `${dir}/`, { headers: { 'Upload-Length': '5' } })
    await expect(405, 'PATCH', `${dir}/x`, { headers: tus({ 'Content-Type': 'application/offset+octet-stream' }) })
    await expect(403, 'POST', '/frozen/', create(5, 'x'))
  })

  withDir('RES2 PUT of parts', async (dir) => {
    const part = (range: string, body: string) =>
      ask('PUT', `${dir}/f`, { headers: { 'Content-Range': `bytes ${range}` }, body })
    assert.is((await part('5-9/10', 'world')).status, 416)
    assert.is((await part('0-4/10', 'hello')).status, 201)
    assert.is((await expect(200, 'HEAD', `${dir}/f`)).headers['content-length'], '5')
    const beyond = await part('6-9/10', 'orld')
    assert.is(beyond.status, 416)
    assert.is(beyond.headers['content-range'], 'bytes */5')
    assert.is((await part('5-9/10', 'world')).status, 204)
    assert.is((await expect(200, 'GET', `${dir}/f`)).text, 'helloworld')
    assert.is((await part('0-2/*', 'HEL')).status, 204)
    assert.is((await expect(200, 'GET', `${dir}/f`)).text, 'HELloworld')
    assert.is((await part('0-3/4', 'fine')).status, 204, 'the last part makes the file as long as the whole')
    assert.is((await expect(200, 'GET', `${dir}/f`)).text, 'fine')
    for (const range of ['3-1/5', '0-9/5', '0-3', '*/5', 'x']) assert.is((await part(range, 'fine')).status, 400, range)
    assert.is((await part('0-9/10', 'short')).status, 400)
    await expect(412, 'PUT', `${dir}/f`, { headers: { 'Content-Range': 'bytes 0-0/4', 'If-Match': '"x"' }, body: 'x' })
  })

  withDir('DIG1 checksums, of what is read and of what arrives', async (dir) => {
    const sha = (text: string) => `sha-256=:${createHash('sha256').update(text).digest('base64')}:`
    const stored = (digest: string, name = 'Repr-Digest') => put(`${dir}/f`, 'content', { [name]: digest })
    assert.is((await stored(sha('other'))).status, 400)
    assert.is((await stored(sha('other'), 'Content-Digest')).status, 400)
    assert.is((await stored('sha-256=:eA==:')).status, 400)
    await expect(404, 'GET', `${dir}/f`)
    assert.is((await stored(`sha-512=:eA==:, ${sha('content')}`)).status, 201)
    const want = (value: string, method = 'GET') =>
      expect(200, method, `${dir}/f`, { headers: { 'Want-Repr-Digest': value } })
    for (const method of ['GET', 'HEAD', 'HEAD'])
      assert.is((await want('sha-512=3, sha-256=10', method)).headers['repr-digest'], sha('content'))
    assert.is((await want('sha-256=0')).headers['repr-digest'], undefined)
    assert.is((await want('md5=5')).headers['repr-digest'], undefined)
    await put(`${dir}/f`, 'changed')
    assert.is((await want('sha-256')).headers['repr-digest'], sha('changed'))
    const part = await expect(206, 'GET', `${dir}/f`, {
      headers: { 'Want-Repr-Digest': 'sha-256', Range: 'bytes=0-1' },
    })
    assert.is(part.headers['repr-digest'], sha('changed'), 'of the whole')
  })

  withDir('CMP1 listings are compressed for who wants it', async (dir) => {
    for (let i = 0; i < 40; i++) await put(`${dir}/f${i}`, 'x'.repeat(5000))
    for (const level of ['1', 'infinity']) {
      const plain = await expect(207, 'PROPFIND', `${dir}/`, depth(level))
      assert.is(plain.headers['content-encoding'], undefined)
      assert.match(plain.headers['vary'] as string, /accept-encoding/i)
      for (const accepted of ['gzip, deflate', 'br;q=1, *;q=0.1']) {
        const answer = await expect(207, 'PROPFIND', `${dir}/`, {
          headers: { Depth: level, 'Accept-Encoding': accepted },
        })
        assert.is(answer.headers['content-encoding'], 'gzip')
        assert.ok(answer.body.length < plain.body.length / 5)
        assert.equal(hrefs(gunzipSync(answer.body).toString()).sort(), hrefs(plain.text).sort())
      }
      const no = await expect(207, 'PROPFIND', `${dir}/`, {
        headers: { Depth: level, 'Accept-Encoding': 'gzip;q=0, br' },
      })
      assert.is(no.headers['content-encoding'], undefined)
    }
  })

  withDir('CMP2 texts are sent compressed to who takes it, as a representation of their own', async (dir) => {
    const f = `${dir}/a.svg`
    const text = '<svg xmlns="http://www.w3.org/2000/svg"/>\n'.repeat(100_000)
    const tag = (await put(f, text)).headers.etag as string
    const packedTag = `${tag.slice(0, -1)}-gzip"`
    const takes = (headers: Record<string, string> = {}) => ({ headers: { 'Accept-Encoding': 'gzip', ...headers } })
    const get = (status: number, headers?: Record<string, string>) => expect(status, 'GET', f, takes(headers))
    const packed = await get(200)
    assert.is(packed.headers['content-encoding'], 'gzip')
    assert.is(packed.headers.etag, packedTag)
    assert.is(packed.headers['content-type'], 'image/svg+xml')
    assert.is(packed.headers['accept-ranges'], undefined)
    assert.match(packed.headers['vary'] as string, 'Accept-Encoding')
    assert.ok(packed.body.length < text.length / 10)
    assert.is(gunzipSync(packed.body).toString(), text)
    // as it is: for who says so, for who asks for something of the file itself, and to who asks for its head
    const isPlain = ({ headers }: Answer) => {
      assert.is(headers['content-encoding'], undefined)
      assert.is(headers.etag, tag)
      assert.match(headers['vary'] as string, 'Accept-Encoding')
    }
    for (const accepted of ['identity', 'gzip;q=0, *', 'br']) isPlain(await get(200, { 'Accept-Encoding': accepted }))
    isPlain(await get(200, { 'Want-Repr-Digest': 'sha-256' }))
    isPlain(await get(200, { Range: 'bytes=0-9', 'If-Range': packedTag }))
    const part = await get(206, { Range: 'bytes=0-9', 'If-Range': tag })
    isPlain(part)
    assert.is(part.text, text.slice(0, 10))
    const head = await expect(200, 'HEAD', f, takes())
    isPlain(head)
    assert.is(head.headers['content-length'], String(text.length))
    // a cache has just what it would get, or gets it
    assert.is((await get(304, { 'If-None-Match': packedTag })).headers.etag, packedTag)
    await get(200, { 'If-None-Match': tag })
    await get(304, { 'If-None-Match': tag, 'Accept-Encoding': 'identity' })
    await get(200, { 'If-None-Match': packedTag, 'Accept-Encoding': 'identity' })
    // who changes it may say which content he has seen by either tag
    isPlain(await get(200, { 'If-Match': packedTag }))
    await expect(412, 'PUT', f, { headers: { 'If-None-Match': packedTag }, body: 'x' })
    await expect(412, 'PUT', f, { headers: { If: '(["other-gzip"])' }, body: 'x' })
    await expect(204, 'PUT', f, { headers: { If: `([${packedTag}])` }, body: text })
    await expect(412, 'PUT', f, { headers: { 'If-Match': packedTag }, body: 'x' })
    const fresh = (await get(200)).headers.etag as string
    assert.is.not(fresh, packedTag)
    await expect(204, 'PUT', f, { headers: { 'If-Match': fresh }, body: 'small' })
    // too small, too large, or nothing to gain
    for (const [name, length] of Object.entries({ 'a.svg': 2000, 'b.txt': 9_000_000, 'c.png': 5000, d: 5000 })) {
      await put(`${dir}/${name}`, Buffer.alloc(length, 'x'))
      const { headers, body } = await expect(200, 'GET', `${dir}/${name}`, takes())
      assert.is(headers['content-encoding'], undefined, name)
      assert.is(body.length, length)
    }
  })

  withDir('CCH1 an export says for how long its files may be kept', async (dir) => {
    await put(`${dir}/a.txt`, 'x')
    const frozen = `/frozen/${dir.slice('/home/'.length)}/a.txt`
    for (const method of ['GET', 'HEAD']) {
      assert.is((await expect(200, method, `${dir}/a.txt`)).headers['cache-control'], 'no-cache')
      const { headers } = await expect(200, method, frozen)
      assert.is(headers['cache-control'], 'public, max-age=60')
      const again = await expect(304, method, frozen, { headers: { 'If-None-Match': headers.etag as string } })
      assert.is(again.headers['cache-control'], 'public, max-age=60')
    }
    assert.is((await expect(404, 'GET', `${frozen}.none`)).headers['cache-control'], undefined)
  })

  withDir('MKC1 MKCOL and what it refuses', async (dir) => {
    await expect(201, 'MKCOL', `${dir}/a/`)
    await expect(405, 'MKCOL', `${dir}/a`)
    await expect(409, 'MKCOL', `${dir}/b/c`)
    await expect(415, 'MKCOL', `${dir}/d`, { body: '<x/>' })
    await expect(405, 'MKCOL', '/home')
    await expect(403, 'MKCOL', '/')
    await expect(404, 'MKCOL', '/elsewhere')
    await expect(404, 'GET', `${dir}/d/`)
  })

  withDir('CPY1 files and trees, over what is there, and what is refused', async (dir) => {
    await put(`${dir}/a`, bytesOf(2_500_000))
    await expect(201, 'COPY', `${dir}/a`, to(`http://elsewhere.example:99${dir}/b`))
    assert.ok((await expect(200, 'GET', `${dir}/b`)).body.equals(bytesOf(2_500_000)))
    await put(`${dir}/c`, 'c')
    await expect(412, 'COPY', `${dir}/c`, to(`${dir}/b`, { Overwrite: 'F' }))
    await expect(204, 'COPY', `${dir}/c`, to(`${dir}/b`))
    assert.is((await expect(200, 'GET', `${dir}/b`)).text, 'c')
    for (const sub of ['tree', 'tree/x', 'tree/y', 'other']) await expect(201, 'MKCOL', `${dir}/${sub}`)
    await put(`${dir}/tree/x/f`, 'f')
    await put(`${dir}/other/gone`, 'x')
    await expect(201, 'COPY', `${dir}/tree/`, to(`${dir}/tree2/`))
    await expect(204, 'COPY', `${dir}/tree/`, to(`${dir}/other`))
    for (const copy of ['tree2', 'other']) {
      assert.equal(
        hrefs(await propfind(`${dir}/${copy}`, 'infinity')).sort(),
        ['', 'x/', 'x/f', 'y/'].map((path) => `${dir}/${copy}/${path}`),
      )
    }
    await expect(201, 'COPY', `${dir}/tree/`, to(`${dir}/flat`, { Depth: '0' }))
    assert.equal(hrefs(await propfind(`${dir}/flat`, 'infinity')), [`${dir}/flat/`])
    await expect(204, 'COPY', `${dir}/tree`, to(`${dir}/c`))
    assert.is((await expect(200, 'GET', `${dir}/c/x/f`)).text, 'f')
    const refused: [number, string, string, Record<string, string>][] = [
      [403, 'tree', `${dir}/tree`, {}],
      [403, 'tree', `${dir}/tree/x/inner`, {}],
      [403, 'tree/x', `${dir}/tree`, {}],
      [409, 'b', `${dir}/none/b`, {}],
      [404, 'none', `${dir}/b`, {}],
      [400, 'tree', `${dir}/tree3`, { Depth: '1' }],
      [400, 'b', `${dir}/b2`, { Overwrite: 'X' }],
      [400, 'b', `${dir}/%2e%2e/b2`, {}],
      [502, 'b', '/frozen/b', {}],
      [502, 'b', '/elsewhere/b', {}],
      [403, 'b', '/home/', {}],
      [412, 'b', `${dir}/b2`, { 'If-Match': '"x"' }],
    ]
    for (const [status, source, destination, headers] of refused) {
      await expect(status, 'COPY', `${dir}/${source}`, to(destination, headers))
    }
    await expect(400, 'COPY', `${dir}/b`)
    assert.is((await expect(200, 'GET', `${dir}/tree/x/f`)).text, 'f')
  })

  withDir('MOV1 files and trees, over what is there, and what is refused', async (dir) => {
    await put(`${dir}/a`, 'a')
    await put(`${dir}/b`, 'b')
    await expect(412, 'MOVE', `${dir}/a`, to(`${dir}/b`, { Overwrite: 'F' }))
    await expect(204, 'MOVE', `${dir}/a`, to(`${dir}/b`))
    await expect(404, 'GET', `${dir}/a`)
    assert.is((await expect(200, 'GET', `${dir}/b`)).text, 'a')
    for (const sub of ['tree', 'tree/x', 'full']) await expect(201, 'MKCOL', `${dir}/${sub}`)
    await put(`${dir}/tree/x/f`, 'f')
    await put(`${dir}/full/gone`, 'x')
    await expect(204, 'MOVE', `${dir}/tree`, to(`${dir}/full`))
    assert.equal(
      hrefs(await propfind(`${dir}/full`, 'infinity')).sort(),
      ['', 'x/', 'x/f'].map((path) => `${dir}/full/${path}`),
    )
    await expect(204, 'MOVE', `${dir}/full/`, to(`${dir}/b`))
    await put(`${dir}/c`, 'c')
    await expect(204, 'MOVE', `${dir}/c`, to(`${dir}/b`))
    assert.is((await expect(200, 'GET', `${dir}/b`)).text, 'c')
    await expect(201, 'MKCOL', `${dir}/d`)
    await expect(403, 'MOVE', `${dir}/d`, to(`${dir}/d/e`))
    await expect(403, 'MOVE', `${dir}/b`, to(`${dir}/b`))
    await expect(403, 'MOVE', `${dir}/b`, to(dir))
    await expect(409, 'MOVE', `${dir}/b`, to(`${dir}/none/b`))
    await expect(400, 'MOVE', `${dir}/d`, to(`${dir}/e`, { Depth: '0' }))
    await expect(502, 'MOVE', `${dir}/b`, to('/frozen/b'))
    await expect(403, 'MOVE', '/home/', to(`${dir}/home`))
    assert.equal(hrefs(await propfind(dir, '1')).sort(), [`${dir}/`, `${dir}/b`, `${dir}/d/`])
  })

  withDir('LNK1 links inside are followed, links out are not, other files are not served', async (dir) => {
    const { fs } = fixture()
    const ino = await inoOf(dir.slice('/home/'.length))
    await expect(201, 'MKCOL', `${dir}/sub`)
    await put(`${dir}/sub/file`, 'content')
    const links: Record<string, string> = {
      in: 'sub/file',
      up: `../${dir.slice('/home/'.length)}/./sub//file`,
      dir: 'sub',
      out: '../../etc/passwd',
      absolute: '/etc/passwd',
      dangling: 'nowhere',
      loop: 'loop',
    }
    for (const [name, target] of Object.entries(links)) await fs.symlink(root, ino, name, target, {})
    await fs.mknod(root, ino, 'pipe', FIFO, { mode: 0o644 }, 0, 0)
    assert.is((await expect(200, 'GET', `${dir}/in`)).text, 'content')
    assert.is((await expect(200, 'GET', `${dir}/up`)).text, 'content')
    assert.is((await expect(200, 'GET', `${dir}/dir/file`)).text, 'content')
    await expect(403, 'GET', `${dir}/out`)
    await expect(403, 'GET', `${dir}/absolute`)
    await expect(404, 'GET', `${dir}/dangling`)
    await expect(404, 'GET', `${dir}/loop`)
    await expect(403, 'GET', `${dir}/pipe`)
    const listed = ['', 'dir/', 'in', 'sub/', 'up'].map((name) => `${dir}/${name}`)
    assert.equal(hrefs(await propfind(dir, '1')).sort(), listed)
    assert.equal(hrefs(await propfind(dir, 'infinity')).sort(), [...listed, `${dir}/sub/file`].sort())
    assert.is((await put(`${dir}/in`, 'changed')).status, 204)
    assert.is((await expect(200, 'GET', `${dir}/sub/file`)).text, 'changed')
    assert.is((await put(`${dir}/dangling`, 'made')).status, 201)
    assert.is((await expect(200, 'GET', `${dir}/nowhere`)).text, 'made')
    await expect(204, 'DELETE', `${dir}/in`)
    assert.is((await expect(200, 'GET', `${dir}/sub/file`)).text, 'changed')
    await expect(403, 'MOVE', `${dir}/sub`, to(`${dir}/dir/inner`))
  })

  withDir('NAM1 names that are no UTF-8 are listed, read, copied and removed', async (dir) => {
    const { fs } = fixture()
    const ino = await inoOf(dir.slice('/home/'.length))
    await fs.create(root, ino, 'a\xff\xfeb', { mode: 0o644 }, 'guarded')
    const path = `${dir}/a%FF%FEb`
    const listing = await propfind(dir, '1')
    assert.equal(hrefs(listing), [`${dir}/`, path])
    assert.match(listing, '<D:displayname>a\ufffd\ufffdb</D:displayname>')
    assert.is((await put(path, 'x')).status, 204)
    assert.is((await expect(200, 'GET', path)).text, 'x')
    await expect(201, 'COPY', path, to(`${dir}/%ff`))
    assert.is((await expect(200, 'GET', `${dir}/%FF`)).text, 'x')
    await expect(204, 'DELETE', path)
  })

  test('BAD1 whatever comes in, a status goes out and the gateway goes on', async () => {
    const status = async (text: string) => /^HTTP\/1\.1 (\d+)/.exec(await raw(nextUrl(), text))?.[1]
    assert.is(await status('garbage\r\n\r\n'), '400')
    assert.is(await status('\x00\x01\x02\x03\xff'), '400')
    assert.is(await status('GET /home/a%00b HTTP/1.1\r\nHost: x\r\n\r\n'), '400')
    assert.is(await status('GET home HTTP/1.1\r\nHost: x\r\n\r\n'), '400')
    assert.is(await status('GET /home/../etc HTTP/1.1\r\nHost: x\r\n\r\n'), '400')
    assert.is(await status(`GET /${'a'.repeat(13_000)} HTTP/1.1\r\nHost: x\r\n\r\n`), '414')
    assert.is(await status(`GET /home/ HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`), '431')
    assert.is(await status('PUT /home/x HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n'), '400')
    assert.is(await status('PUT /home/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'), '400')
    assert.is(await status('LOCK /home/ HTTP/1.1\r\nHost: x\r\n\r\n'), '400')
    assert.is(await status('LOCK / HTTP/1.1\r\nHost: x\r\n\r\n'), '403')
    assert.is(await status('POST /home/ HTTP/1.1\r\nHost: x\r\n\r\n'), '405')
    assert.is(await status('OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n'), '200')
    assert.is(await status('GET / HTTP/1.1\r\nHost'), undefined)
    const options = await expect(200, 'OPTIONS', '/home/')
    assert.is(options.headers.dav, '1, 2, 3, <http://apache.org/dav/propset/fs/1>')
    assert.match(options.headers.allow as string, 'PROPFIND')
    await expect(404, 'GET', '/home/x')
  })

  test('BAD2 a refused upload gets its status, whether the client waits for 100 Continue or just sends', async () => {
    const waits = await raw(
      nextUrl(),
      'PUT /home/none/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n',
    )
    assert.match(waits, /^HTTP\/1\.1 409/)
    assert.match(waits, /Connection: close/i)
    const eager = await request(nextUrl(), 'PUT', '/home/none/a', { body: bytesOf(3_000_000) })
    assert.is(eager.status, 409)
    const invited = await raw(
      nextUrl(),
      'PUT /home/bad2 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi',
    )
    assert.match(invited, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 201/)
    await expect(204, 'DELETE', '/home/bad2')
  })
}
