/**
 * What clients in the field send, request by request, in the order and with the oddities of each (R128). Where a client can be run here, it is
 * (test/e2e/webdav-clients.test.ts); these are of those that cannot. Each request goes to another node.
 */
import type { Test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Answer, type RequestOptions, request } from '../helpers/http-client.ts'
import type { HttpFixture } from './http-export.ts'

export function httpClientShapesSuite(test: Test, fixture: () => HttpFixture): void {
  let turn = 0
  /** Requests of one client: all have its headers. */
  const client =
    (always: Record<string, string>) =>
    async (status: number, method: string, path: string, options: RequestOptions = {}): Promise<Answer> => {
      const { urls } = fixture()
      const headers = { ...always, ...options.headers }
      const answer = await request(urls[turn++ % urls.length] as string, method, path, { ...options, headers })
      assert.is(answer.status, status, `${method} ${path}: ${answer.status} ${answer.text.slice(0, 500)}`)
      return answer
    }
  const tokenOf = ({ headers }: Answer) => headers['lock-token'] as string

  test('Windows Explorer: the redirector mounts, saves a file under a lock, renames and removes it', async () => {
    const windows = client({
      'User-Agent': 'Microsoft-WebDAV-MiniRedir/10.0.19045',
      translate: 'f',
      Connection: 'Keep-Alive',
    })
    const options = await windows(200, 'OPTIONS', '/')
    assert.match(options.headers.dav as string, /^1, 2/)
    assert.is(options.headers['ms-author-via'], 'DAV')
    assert.match(options.headers.allow as string, 'LOCK')
    // no body, and a length of 0
    const share = await windows(207, 'PROPFIND', '/home', { headers: { Depth: '0' }, body: '' })
    assert.match(share.text, '<D:collection/>')
    await windows(207, 'PROPFIND', '/', { headers: { Depth: '1' }, body: '' })
    await windows(404, 'PROPFIND', '/home/desktop.ini', { headers: { Depth: '0' }, body: '' })
    await windows(201, 'MKCOL', '/home/New%20folder')
    const file = '/home/New%20folder/Gr%C3%BC%C3%9Fe.docx'
    await windows(404, 'PROPFIND', file, { headers: { Depth: '0' }, body: '' })
    await windows(201, 'PUT', file, { body: '' })
    const locked = await windows(200, 'LOCK', file, {
      headers: { Timeout: 'Second-3600', 'Content-Type': 'text/xml; charset="utf-8"' },
      body: '<?xml version="1.0" encoding="utf-8" ?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner><D:href>DESKTOP-1\\ann</D:href></D:owner></D:lockinfo>',
    })
    const token = tokenOf(locked)
    const If = `(${token})`
    const win32 = (modified: string) =>
      `<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:"><D:set><D:prop><Z:Win32CreationTime>Fri, 27 Nov 2020 08:00:00 GMT</Z:Win32CreationTime><Z:Win32LastAccessTime>Sat, 28 Nov 2020 08:00:00 GMT</Z:Win32LastAccessTime><Z:Win32LastModifiedTime>${modified}</Z:Win32LastModifiedTime><Z:Win32FileAttributes>00000020</Z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>`
    const patched = await windows(207, 'PROPPATCH', file, {
      headers: { If },
      body: win32('Sun, 29 Nov 2020 08:00:00 GMT'),
    })
    assert.is(patched.text.split('200 OK').length, 5, 'all four are taken')
    await windows(200, 'HEAD', file)
    await windows(204, 'PUT', file, { headers: { If }, body: Buffer.alloc(70_000, 'w') })
    await windows(207, 'PROPPATCH', file, { headers: { If }, body: win32('Mon, 30 Nov 2020 08:00:00 GMT') })
    // a lock is refreshed without a body
    await windows(200, 'LOCK', file, { headers: { If, Timeout: 'Second-3600' } })
    await windows(204, 'UNLOCK', file, { headers: { 'Lock-Token': token } })
    const shown = await windows(207, 'PROPFIND', file, { headers: { Depth: '0' }, body: '' })
    assert.match(shown.text, '<D:getlastmodified>Mon, 30 Nov 2020 08:00:00 GMT</D:getlastmodified>')
    assert.match(shown.text, '<D:getcontentlength>70000</D:getcontentlength>')
    assert.match(shown.text, /Win32FileAttributes[^>]*>00000020</)
    assert.match(shown.text, /Win32CreationTime[^>]*>Fri, 27 Nov 2020/)
    const got = await windows(200, 'GET', file)
    assert.is(got.body.length, 70_000)
    const renamed = '/home/New%20folder/Final.docx'
    await windows(201, 'MOVE', file, { headers: { Destination: `http://server:8080${renamed}`, Overwrite: 'F' } })
    await windows(204, 'DELETE', renamed)
    await windows(204, 'DELETE', '/home/New%20folder')
  })

  test('macOS Finder: mounts writable, copies a file with its dot-underscore twin under locks, and asks for the quota', async () => {
    const finder = client({ 'User-Agent': 'WebDAVFS/3.0.0 (03008000) Darwin/21.6.0 (x86_64)', Accept: '*/*' })
    // without class 2 it mounts read-only
    assert.match((await finder(200, 'OPTIONS', '/home/')).headers.dav as string, /\b2\b/)
    const stat =
      '<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:getlastmodified/><D:getcontentlength/><D:creationdate/><D:resourcetype/></D:prop></D:propfind>'
    await finder(207, 'PROPFIND', '/home/', { headers: { Depth: '0' }, body: stat })
    const quota = await finder(207, 'PROPFIND', '/home/', {
      headers: { Depth: '0' },
      body: '<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:quota-available-bytes/><D:quota-used-bytes/><D:quota/><D:quotaused/></D:prop></D:propfind>',
    })
    assert.match(quota.text, /<D:quota-available-bytes>\d+</)
    await finder(404, 'PROPFIND', '/home/.metadata_never_index', { headers: { Depth: '0' }, body: stat })
    await finder(404, 'PROPFIND', '/home/.hidden', { headers: { Depth: '0' }, body: stat })
    for (const [name, content] of [
      ['/home/Bild.png', Buffer.alloc(123_456, 'p')],
      ['/home/._Bild.png', Buffer.from('\0\x05\x16\x07\0\x02\0\0Mac OS X        ')],
    ] as [string, Buffer][]) {
      await finder(404, 'PROPFIND', name, { headers: { Depth: '0' }, body: stat })
      await finder(201, 'PUT', name, { body: '' })
      const token = tokenOf(
        await finder(200, 'LOCK', name, {
          headers: { Depth: '0', Timeout: 'Second-600' },
          body: '<?xml version="1.0" encoding="utf-8"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner><D:href>http://www.apple.com/webdav_fs/</D:href></D:owner></D:lockinfo>',
        }),
      )
      // the content comes chunked, with its length in a header of Apple's own
      await finder(204, 'PUT', name, {
        headers: { If: `(${token})`, 'X-Expected-Entity-Length': String(content.length) },
        body: [content.subarray(0, 10), content.subarray(10)],
      })
      const after = await finder(207, 'PROPFIND', name, { headers: { Depth: '0' }, body: stat })
      assert.match(after.text, `<D:getcontentlength>${content.length}</D:getcontentlength>`)
      await finder(204, 'UNLOCK', name, { headers: { 'Lock-Token': token } })
    }
    const listing = await finder(207, 'PROPFIND', '/home/', { headers: { Depth: '1' }, body: stat })
    assert.match(listing.text, '/home/._Bild.png')
    const part = await finder(206, 'GET', '/home/Bild.png', { headers: { Range: 'bytes=0-65535' } })
    assert.is(part.body.length, 65_536)
    await finder(201, 'MOVE', '/home/._Bild.png', { headers: { Destination: 'http://h/home/._Foto.png' } })
    await finder(201, 'MOVE', '/home/Bild.png', { headers: { Destination: 'http://h/home/Foto.png' } })
    await finder(204, 'DELETE', '/home/._Foto.png')
    await finder(204, 'DELETE', '/home/Foto.png')
  })

  test('GNOME Files (gvfs): looks at what it asks for by name, replaces under an ETag', async () => {
    const gvfs = client({
      'User-Agent': 'gvfs/1.50.3',
      'Accept-Language': 'de-de, de;q=0.9, en;q=0.8',
      'Accept-Encoding': 'gzip, deflate',
    })
    await gvfs(200, 'OPTIONS', '/home/')
    const body =
      '<?xml version="1.0" encoding="utf-8" ?>\n<D:propfind xmlns:D="DAV:">\n <D:prop>\n<D:creationdate/>\n<D:displayname/>\n<D:getcontentlength/>\n<D:getcontenttype/>\n<D:getetag/>\n<D:getlastmodified/>\n<D:resourcetype/>\n </D:prop>\n</D:propfind>'
    const headers = { Depth: '1', 'Apply-To-Redirect-Ref': 'T', 'Content-Type': 'application/xml' }
    assert.match((await gvfs(207, 'PROPFIND', '/home/', { headers, body })).text, '<D:collection/>')
    const tag = (await gvfs(201, 'PUT', '/home/notes.txt', { headers: { 'If-None-Match': '*' }, body: 'one' })).headers
      .etag as string
    await gvfs(412, 'PUT', '/home/notes.txt', { headers: { 'If-None-Match': '*' }, body: 'two' })
    await gvfs(204, 'PUT', '/home/notes.txt', { headers: { 'If-Match': tag }, body: 'two' })
    await gvfs(412, 'PUT', '/home/notes.txt', { headers: { 'If-Match': tag }, body: 'three' })
    assert.is((await gvfs(200, 'GET', '/home/notes.txt')).text, 'two')
    await gvfs(201, 'MOVE', '/home/notes.txt', {
      headers: { Destination: 'dav://user@h/home/other.txt', Overwrite: 'F' },
    })
    await gvfs(204, 'DELETE', '/home/other.txt')
  })

  test('Microsoft Office: opens, locks, saves over a temporary, and gives the lock back after the rename', async () => {
    const office = client({ 'User-Agent': 'Microsoft Office Existence Discovery', 'X-Office-Major-Version': '16' })
    await office(201, 'PUT', '/home/report.xlsx', { body: 'v1' })
    await office(200, 'HEAD', '/home/report.xlsx')
    await office(200, 'OPTIONS', '/home/', { headers: { 'X-MSGETWEBURL': 't' } })
    const token = tokenOf(
      await office(200, 'LOCK', '/home/report.xlsx', {
        headers: { Timeout: 'Second-3600', 'If-None-Match': 'x' },
        body: '<?xml version="1.0"?><a:lockinfo xmlns:a="DAV:"><a:lockscope><a:exclusive/></a:lockscope><a:locktype><a:write/></a:locktype><a:owner><a:href>ann</a:href></a:owner></a:lockinfo>',
      }),
    )
    await office(423, 'PUT', '/home/report.xlsx', { body: 'somebody else' })
    await office(201, 'PUT', '/home/~%24tmp.xlsx', { body: 'v2' })
    await office(204, 'MOVE', '/home/~%24tmp.xlsx', {
      headers: {
        Destination: 'http://h/home/report.xlsx',
        Overwrite: 'T',
        If: `<http://h/home/report.xlsx> (${token})`,
      },
    })
    assert.is((await office(200, 'GET', '/home/report.xlsx')).text, 'v2')
    await office(204, 'UNLOCK', '/home/report.xlsx', { headers: { 'Lock-Token': token } })
    await office(204, 'DELETE', '/home/report.xlsx')
  })
}
