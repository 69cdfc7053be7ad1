/** What a browser is sent, whatever filesystem is beneath it: pages, searches, archives, assets. Every request goes to the next node. */
import { spawnSync } from 'node:child_process'
import { gunzipSync } from 'node:zlib'
import type { Test } from 'uvu'
import * as assert from 'uvu/assert'
import { FIFO } from '../../src/metadata/index.ts'
import { type Answer, asker } from '../helpers/http-client.ts'
import type { HttpFixture } from './http-export.ts'

const root = { uid: 0, gid: 0, gids: [] }
const browser = { headers: { Accept: 'text/html,application/xhtml+xml,*/*;q=0.8' } }

const unpack = `
import io, json, sys, zipfile
with zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read())) as archive:
    assert archive.testzip() is None
    print(json.dumps({i.filename: [i.external_attr >> 28, None if i.is_dir() else archive.read(i).decode('latin1')] for i in archive.infolist()}))
`
const FILE = 8
const DIRECTORY = 4
const LINK = 10

/** Names and contents of an archive, by Python's zipfile; numbers are types as in st_mode. */
function unzip(bytes: Buffer): Record<string, [number, string | null]> {
  const { status, stdout, stderr } = spawnSync('python3', ['-c', unpack], {
    input: bytes,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  })
  assert.is(status, 0, stderr)
  return JSON.parse(stdout)
}

export function httpPageSuite(test: Test, fixture: () => HttpFixture): void {
  const { ask, expect } = asker(() => fixture().urls)
  const put = async (path: string, body: string | Buffer) => {
    const { status } = await ask('PUT', path, { body })
    assert.ok(status < 300, `PUT ${path}: ${status}`)
  }
  const names = ({ text }: Answer) =>
    [...text.matchAll(/<th scope="row" class="name">.*?<bdi>(.*?)<\/bdi>/g)].map((match) => match[1] as string)
  const inoOf = async (path: string) => {
    let ino = 1
    for (const name of path.split('/')) ino = (await fixture().fs.lookup(root, ino, name)).inode.ino
    return ino
  }

  /** Each test has a directory of its own. */
  const withDir = (name: string, run: (dir: string) => Promise<void>) =>
    test(name, async () => {
      const dir = `/home/p${name.split(' ')[0]}`
      await expect(201, 'MKCOL', dir)
      await run(dir)
      await expect(204, 'DELETE', dir)
    })

  withDir('PAGE1 a page lists, sorts and counts; its headers allow only its own scripts', async (dir) => {
    await expect(201, 'MKCOL', `${dir}/sub`)
    await put(`${dir}/b10`, 'x'.repeat(3000))
    await put(`${dir}/b9`, 'x')
    const page = await expect(200, 'GET', `${dir}/`)
    assert.equal(names(page), ['sub', 'b9', 'b10'])
    assert.match(page.text, /1 folder · 2 files, 2\.9 KiB · /)
    assert.equal(names(await expect(200, 'GET', `${dir}/?sort=size&order=desc`)), ['sub', 'b10', 'b9'])
    assert.equal(names(await expect(200, 'GET', `${dir}/?sort=nonsense&page=99&order=`)), ['sub', 'b9', 'b10'])
    const policy = page.headers['content-security-policy'] as string
    const nonce = /script-src 'nonce-([\w-]+)'/.exec(policy)?.[1] as string
    const other = (await expect(200, 'GET', `${dir}/`)).headers['content-security-policy']
    assert.is.not(policy, other)
    for (const [, attributes] of page.text.matchAll(/<(?:script|link rel="(?:stylesheet|modulepreload)")([^>]*)>/g)) {
      assert.ok(attributes?.includes(`nonce="${nonce}"`))
    }
    assert.not.match(page.text, /<style|style="|<script>| on\w+=/)
    assert.is(page.headers['x-content-type-options'], 'nosniff')
    assert.is(page.headers['access-control-allow-origin'], undefined)
    const packed = await expect(200, 'GET', `${dir}/`, { headers: { 'Accept-Encoding': 'gzip' } })
    assert.is(packed.headers['content-encoding'], 'gzip')
    assert.equal(names({ ...packed, text: gunzipSync(packed.body).toString() }), ['sub', 'b9', 'b10'])
    assert.is((await expect(200, 'HEAD', `${dir}/`)).body.length, 0)
  })

  withDir('PAGE2 what may be changed is offered, and nothing else', async (dir) => {
    await put(`${dir}/a`, 'a')
    assert.match((await expect(200, 'GET', `${dir}/`)).text, /data-do="upload".*data-writable/s)
    const frozen = await expect(200, 'GET', `${dir.replace('home', 'frozen')}/`)
    assert.not.match(frozen.text, /data-do|data-writable/)
    assert.match(frozen.text, /Read-only/)
    // The gateway's own root: nothing can be chosen or changed.
    const exports = await expect(200, 'GET', '/')
    assert.equal(names(exports), ['home', 'frozen'])
    assert.not.match(exports.text, /data-do|data-writable|name="only"/)
  })

  withDir('PAGE3 links show as what they point to, and only when they point to something', async (dir) => {
    const { fs } = fixture()
    await put(`${dir}/file`, 'text')
    await expect(201, 'MKCOL', `${dir}/folder`)
    const ino = await inoOf(dir.slice(6))
    for (const [name, target] of [
      ['to-file', 'file'],
      ['to-folder', 'folder'],
      ['dangling', 'none'],
      ['outside', '/etc/passwd'],
      ['above', '../../../x'],
    ] as const) {
      await fs.symlink(root, ino, name, target, {})
    }
    await fs.mknod(root, ino, 'pipe', FIFO, { mode: 0o644 }, 0, 0)
    const page = await expect(200, 'GET', `${dir}/`)
    assert.equal(names(page), ['folder', 'to-folder', 'file', 'to-file'])
    assert.match(page.text, /href="\.\/to-folder\/"/)
  })

  test('PAGE4 assets are kept for ever under their digest, and are nowhere else', async () => {
    const { text } = await expect(200, 'GET', '/home/')
    const assets = [...text.matchAll(/(?:src|href)="(\/\.matrixfs\/[0-9a-f]{16}\/[\w.-]+)"/g)].map(
      (match) => match[1] as string,
    )
    for (const name of ['page.js', 'uploads.js', 'page.css', 'icon.svg']) {
      assert.ok(
        assets.some((path) => path.endsWith(`/${name}`)),
        name,
      )
    }
    for (const path of assets) {
      const asset = await expect(200, 'GET', path)
      assert.is(asset.headers['cache-control'], 'public, max-age=31536000, immutable')
      assert.is(asset.headers['x-content-type-options'], 'nosniff')
      const packed = await expect(200, 'GET', path, { headers: { 'Accept-Encoding': 'br, gzip' } })
      assert.ok(gunzipSync(packed.body).equals(asset.body))
      assert.is((await expect(200, 'HEAD', path)).body.length, 0)
      // A page of another version: served, not kept.
      const old = path.replace(/[0-9a-f]{16}/, '0'.repeat(16))
      assert.is((await expect(200, 'GET', old)).headers['cache-control'], 'no-store')
    }
    const [script = ''] = assets.filter((path) => path.endsWith('/page.js'))
    assert.match((await expect(200, 'GET', script)).headers['content-type'] as string, /^text\/javascript/)
    await expect(404, 'GET', '/.matrixfs/')
    await expect(404, 'GET', script.replace('page.js', '%2e%2e'.replaceAll('%2e', 'x')))
    await expect(404, 'GET', `${script}/more`)
    await expect(404, 'GET', script.replace('page.js', '__proto__'))
    await expect(405, 'PUT', script, { body: 'x' })
    await expect(405, 'DELETE', script)
  })

  withDir('PAGE5 a failed GET is a page for a browser and a line for everybody else', async (dir) => {
    const page = await expect(404, 'GET', `${dir}/none`, browser)
    assert.match(page.headers['content-type'] as string, /^text\/html/)
    assert.match(page.text, /Not here/)
    assert.match(page.headers['content-security-policy'] as string, /default-src 'none'/)
    assert.match((await expect(404, 'GET', `${dir}/none`)).headers['content-type'] as string, /^text\/plain/)
    assert.match(
      (await expect(404, 'DELETE', `${dir}/none`, browser)).headers['content-type'] as string,
      /^text\/plain/,
    )
    const hostile = await expect(400, 'GET', `${dir}/?search=${'%3Cscript%3E'.repeat(40)}`, browser)
    assert.not.match(hostile.text, /<script>/)
  })

  withDir('PAGE6 files cannot act on the page: sandboxed, never sniffed', async (dir) => {
    await put(`${dir}/a.html`, '<script>1</script>')
    await put(`${dir}/a.pdf`, '%PDF')
    const html = await expect(200, 'GET', `${dir}/a.html`)
    assert.is(html.headers['content-security-policy'], 'sandbox')
    assert.is(html.headers['x-content-type-options'], 'nosniff')
    const asking: Record<string, string>[] = [
      { Range: 'bytes=0-3' },
      { Range: 'bytes=0-3,5-6' },
      { 'If-None-Match': html.headers.etag as string },
    ]
    for (const headers of asking) {
      assert.is((await ask('GET', `${dir}/a.html`, { headers })).headers['content-security-policy'], 'sandbox')
    }
    const pdf = await expect(200, 'GET', `${dir}/a.pdf`)
    assert.is(pdf.headers['content-security-policy'], undefined)
    assert.is(pdf.headers['x-content-type-options'], 'nosniff')
    // Another site that asks whether it may gets no permission.
    const headers = { Origin: 'https://evil.example', 'Access-Control-Request-Method': 'DELETE' }
    const preflight = await ask('OPTIONS', `${dir}/a.html`, { headers })
    assert.is(preflight.headers['access-control-allow-origin'], undefined)
    assert.is(preflight.headers['access-control-allow-methods'], undefined)
    await expect(405, 'POST', `${dir}/a.html`, { body: 'x' })
  })

  withDir('SEARCH1 finds names below a folder, in any case, and says where', async (dir) => {
    for (const path of ['one', 'one/two', 'one/two/Needle dir'])
      await expect(201, 'MKCOL', `${dir}/${path.replaceAll(' ', '%20')}`)
    for (const path of ['needle', 'one/two/a%20NEEDLE.md', 'one/hay', 'one/n%C3%A9edle%FF'])
      await put(`${dir}/${path}`, 'x')
    const found = async (text: string, from = dir) =>
      names(await expect(200, 'GET', `${from}/?search=${encodeURIComponent(text)}`)).sort()
    assert.equal(await found('needle'), ['Needle dir', 'a NEEDLE.md', 'needle'])
    assert.equal(await found('*.MD'), ['a NEEDLE.md'])
    assert.equal(await found('NÉE'), ['n\u00e9edle\ufffd'])
    assert.equal(await found('needle', `${dir}/one/two`), ['Needle dir', 'a NEEDLE.md'])
    const page = await expect(200, 'GET', `${dir}/?search=hay`)
    assert.match(page.text, /href="\.\/one\/hay".*href="\.\/one\/"/s)
    assert.match(page.text, /1 result\. 7 names were looked at\./)
    const nothing = await expect(200, 'GET', `${dir}/?search=%3Cb%3E%22`)
    assert.match(nothing.text, /Nothing found\..*7 names/s)
    assert.match(nothing.text, /value="&lt;b&gt;&quot;"/)
    assert.not.match(nothing.text, /<b>/)
    assert.is((await expect(200, 'HEAD', `${dir}/?search=x`)).body.length, 0)
    await expect(400, 'GET', `${dir}/?search=${'x'.repeat(256)}`)
    // Nothing to look for: the folder itself.
    assert.equal(names(await expect(200, 'GET', `${dir}/?search=%20`)), ['one', 'needle'])
  })

  withDir('SEARCH2 ends at its limit and says so', async (dir) => {
    for (let i = 0; i < 520; i += 40)
      await Promise.all(Array.from({ length: 40 }, (_, j) => put(`${dir}/file-${i + j}`, '')))
    const page = await expect(200, 'GET', `${dir}/?search=file`)
    assert.is(names(page).length, 500)
    assert.match(page.text, /These are the first 500/)
    assert.match(page.text, /<\/html>/)
  })

  withDir('ZIP1 a folder comes whole, with empty folders, links within, any names', async (dir) => {
    const { fs } = fixture()
    const large = Buffer.from(Uint8Array.from({ length: 2_500_000 }, (_, i) => (i * 31 + (i >> 8)) & 255))
    for (const path of ['sub', 'sub/empty', 'sub/deep']) await expect(201, 'MKCOL', `${dir}/${path}`)
    await put(`${dir}/large.bin`, large)
    await put(`${dir}/large.txt`, 'all work and no play '.repeat(80_000))
    await put(`${dir}/none`, '')
    await put(`${dir}/sub/gr%C3%B6%C3%9Fe.txt`, 'size')
    await put(`${dir}/sub/deep/raw%FF%25.txt`, 'raw')
    // What the name above becomes is taken.
    await put(`${dir}/sub/deep/raw%25FF%2525.txt`, 'taken')
    const ino = await inoOf(dir.slice(6))
    const sub = await inoOf(`${dir.slice(6)}/sub`)
    await fs.symlink(root, sub, 'up', '../none', {})
    await fs.symlink(root, sub, 'beyond', '../../elsewhere', {})
    await fs.symlink(root, ino, 'absolute', '/etc/passwd', {})
    await fs.symlink(root, ino, 'crooked', 'sub/../../x', {})
    await fs.mknod(root, ino, 'pipe', FIFO, { mode: 0o644 }, 0, 0)
    await fs.create(root, ino, '.~put-0123456789abcdef01234567', { mode: 0o644 }, 'guarded')
    const answer = await expect(200, 'GET', `${dir}/?zip=1`)
    assert.is(answer.headers['content-type'], 'application/zip')
    assert.is(answer.headers['content-disposition'], 'attachment; filename="pZIP1.zip"')
    const { 'NOT IN THIS ARCHIVE.txt': remarks, ...got } = unzip(answer.body)
    assert.equal(got, {
      'pZIP1/': [DIRECTORY, null],
      'pZIP1/large.bin': [FILE, large.toString('latin1')],
      'pZIP1/large.txt': [FILE, 'all work and no play '.repeat(80_000)],
      'pZIP1/none': [FILE, ''],
      'pZIP1/sub/': [DIRECTORY, null],
      'pZIP1/sub/empty/': [DIRECTORY, null],
      'pZIP1/sub/deep/': [DIRECTORY, null],
      'pZIP1/sub/größe.txt': [FILE, 'size'],
      'pZIP1/sub/deep/raw%FF%25.txt': [FILE, 'taken'],
      'pZIP1/sub/deep/raw%FF%25.txt_': [FILE, 'raw'],
      'pZIP1/sub/up': [LINK, '../none'],
    })
    const text = Buffer.from(remarks?.[1] ?? '', 'latin1').toString()
    for (const name of ['sub/beyond', 'absolute', 'crooked'])
      assert.ok(text.includes(`${name}: a link that points elsewhere`), text)
    assert.is((await expect(200, 'HEAD', `${dir}/?zip`)).body.length, 0)
    // The page does not leave out what the archive has.
    await fs.remove(root, ino, '.~put-0123456789abcdef01234567')
  })

  withDir('ZIP2 only what was chosen; what is not there is said before anything is sent', async (dir) => {
    for (const path of ['sub', 'sub/deep', 'other']) await expect(201, 'MKCOL', `${dir}/${path}`)
    for (const path of ['a%26b', 'b', 'sub/c', 'sub/deep/d', 'other/e']) await put(`${dir}/${path}`, path)
    const only = (...paths: string[]) =>
      `${dir}/?zip=1${paths.map((path) => `&only=${encodeURIComponent(path)}`).join('')}`
    const got = async (...paths: string[]) => Object.keys(unzip((await expect(200, 'GET', only(...paths))).body)).sort()
    assert.equal(await got('a%26b', 'sub/deep'), ['pZIP2/', 'pZIP2/a&b', 'pZIP2/sub/deep/', 'pZIP2/sub/deep/d'])
    // What lies in something else that was chosen comes once.
    assert.equal(await got('sub/c', 'sub', 'sub', 'sub/deep/d'), [
      'pZIP2/',
      'pZIP2/sub/',
      'pZIP2/sub/c',
      'pZIP2/sub/deep/',
      'pZIP2/sub/deep/d',
    ])
    await expect(404, 'GET', only('b', 'none'))
    await expect(404, 'GET', only('b/none'))
    await expect(400, 'GET', only('..'))
    await expect(400, 'GET', only('a/../../b'))
    await expect(400, 'GET', only('/'))
    await expect(400, 'GET', only('.~put-0123456789abcdef01234567'))
    await expect(400, 'GET', only('%'))
    await expect(404, 'GET', `${dir}/none/?zip`)
  })
}
