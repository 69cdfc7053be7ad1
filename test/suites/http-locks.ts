/**
 * WebDAV locks over HTTP (RFC 4918 6, 7, 9.10, 9.11, 10.4): every request goes to another node, so that whatever one node gives all others honour
 * (R128, R129).
 */
import type { Test } from 'uvu'
import * as assert from 'uvu/assert'
import { asker, type RequestOptions, raw } from '../helpers/http-client.ts'
import type { HttpFixture } from './http-export.ts'

const root = { uid: 0, gid: 0, gids: [] }

export function lockinfo(
  scope: 'exclusive' | 'shared' = 'exclusive',
  owner = '<D:href>mailto:ann@example.org</D:href>',
): string {
  return `<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:${scope}/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner>${owner}</D:owner></D:lockinfo>`
}

export function httpLocksSuite(test: Test, fixture: () => HttpFixture): void {
  const { ask, expect } = asker(() => fixture().urls)
  const lock = async (
    path: string,
    headers: Record<string, string> = {},
    scope: 'exclusive' | 'shared' = 'exclusive',
  ) => {
    const answer = await ask('LOCK', path, { headers, body: lockinfo(scope) })
    assert.ok(answer.status === 200 || answer.status === 201, `LOCK ${path}: ${answer.status} ${answer.text}`)
    const token = /^<(urn:uuid:[0-9a-f-]{36})>$/.exec(answer.headers['lock-token'] ?? '')?.[1]
    assert.ok(token, answer.headers['lock-token'])
    return { token: token as string, answer }
  }
  const unlock = (status: number, path: string, token: string) =>
    expect(status, 'UNLOCK', path, { headers: { 'Lock-Token': `<${token}>` } })
  const submit = (token: string, more: Record<string, string> = {}) => ({ headers: { If: `(<${token}>)`, ...more } })
  const at = (path: string, token: string, more: Record<string, string> = {}) => ({
    headers: { If: `<${path}> (<${token}>)`, ...more },
  })
  const refused = async (href: string, method: string, path: string, options?: RequestOptions) => {
    const answer = await expect(423, method, path, options)
    assert.match(answer.text, `<D:lock-token-submitted><D:href>${href}</D:href></D:lock-token-submitted>`)
  }

  /** The first request of a connection to any node: the express lane takes such. */
  const refusedAtOnce = async (path: string) => {
    for (const url of fixture().urls)
      assert.match(
        await raw(url, `PUT ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nnew`),
        /^HTTP\/1\.1 423 /,
      )
  }

  const withDir = (name: string, run: (dir: string) => Promise<void>) =>
    test(name, async () => {
      const dir = `/home/t${name.split(' ')[0]}`
      await expect(201, 'MKCOL', dir)
      await run(dir)
      await expect(204, 'DELETE', dir)
    })

  withDir('LCK1 a locked file is changed with its token only', async (dir) => {
    const f = `${dir}/f`
    await expect(201, 'PUT', f, { body: 'old' })
    const { token, answer } = await lock(f, { Timeout: 'Infinite, Second-4100000000' })
    assert.is(answer.status, 200)
    assert.match(answer.text, '<D:lockscope><D:exclusive/></D:lockscope>')
    assert.match(answer.text, '<D:depth>infinity</D:depth>')
    assert.match(answer.text, '<D:owner><D:href xmlns:D="DAV:">mailto:ann@example.org</D:href></D:owner>')
    assert.match(answer.text, '<D:timeout>Second-3600</D:timeout>')
    assert.match(answer.text, `<D:locktoken><D:href>${token}</D:href></D:locktoken>`)
    assert.match(answer.text, `<D:lockroot><D:href>${f}</D:href></D:lockroot>`)
    await refused(f, 'PUT', f, { body: 'new' })
    await refusedAtOnce(f)
    await refused(f, 'DELETE', f)
    await refused(f, 'MOVE', f, { headers: { Destination: `${dir}/g` } })
    await refused(f, 'PROPPATCH', f, {
      body: '<propertyupdate xmlns="DAV:"><set><prop><a xmlns="u:"/></prop></set></propertyupdate>',
    })
    await expect(201, 'PUT', `${dir}/g`, { body: 'g' })
    await refused(f, 'COPY', `${dir}/g`, { headers: { Destination: f } })
    await refused(f, 'MOVE', `${dir}/g`, { headers: { Destination: f } })
    assert.is((await expect(200, 'GET', f)).text, 'old')
    await expect(412, 'PUT', f, { ...submit('urn:uuid:00000000-0000-0000-0000-000000000000'), body: 'new' })
    await expect(204, 'PUT', f, { ...submit(token), body: 'new' })
    const conflict = await expect(423, 'LOCK', f, { body: lockinfo('shared') })
    assert.match(conflict.text, `<D:no-conflicting-lock><D:href>${f}</D:href></D:no-conflicting-lock>`)
    // reading is free, and copying from it
    assert.is((await expect(200, 'GET', f)).text, 'new')
    await expect(201, 'COPY', f, { headers: { Destination: `${dir}/h` } })
    await expect(204, 'DELETE', `${dir}/h`)
    const shown = await expect(207, 'PROPFIND', f, {
      headers: { Depth: '0' },
      body: '<propfind xmlns="DAV:"><prop><lockdiscovery/><supportedlock/></prop></propfind>',
    })
    assert.match(shown.text, token)
    assert.match(shown.text, '<D:lockentry><D:lockscope><D:shared/></D:lockscope>')
    // the lock outlived the new content, and stays with what is copied and moved over it
    await expect(204, 'COPY', `${dir}/g`, submit2(token, f))
    await expect(204, 'MOVE', `${dir}/g`, submit2(token, f))
    await refused(f, 'PUT', f, { body: 'x' })
    await unlock(409, `${dir}/`, token)
    await unlock(204, f, token)
    await unlock(409, f, token)
    await expect(204, 'PUT', f, { body: 'x' })
  })
  const submit2 = (token: string, destination: string) => ({
    headers: { If: `<${destination}> (<${token}>)`, Destination: destination },
  })

  withDir('LCK2 a lock on a directory guards its names; of infinite depth, all below', async (dir) => {
    await expect(201, 'MKCOL', `${dir}/d`)
    await expect(201, 'MKCOL', `${dir}/d/e`)
    await expect(201, 'PUT', `${dir}/d/f`, { body: 'f' })
    const d = `${dir}/d/`
    const shallow = await lock(d, { Depth: '0' })
    await expect(204, 'PUT', `${dir}/d/f`, { body: 'content is no name' })
    await refused(d, 'PUT', `${dir}/d/new`, { body: '' })
    await refused(d, 'MKCOL', `${dir}/d/new`)
    await refused(d, 'DELETE', `${dir}/d/f`)
    await refused(d, 'MOVE', `${dir}/d/f`, { headers: { Destination: `${dir}/f` } })
    await refused(d, 'LOCK', `${dir}/d/new`, { body: lockinfo() })
    await expect(201, 'PUT', `${dir}/d/new`, { ...at(d, shallow.token), body: '' })
    // RFC 4918 10.4: a name that is not there yet is in the scope of its directory's locks
    await expect(201, 'PUT', `${dir}/d/new2`, { ...submit(shallow.token), body: '' })
    await expect(201, 'PUT', `${dir}/d/e/deeper`, { body: 'not covered' })
    await unlock(204, d, shallow.token)
    const deep = await lock(d)
    await refused(d, 'PUT', `${dir}/d/e/deeper`, { body: 'covered' })
    await refused(d, 'DELETE', `${dir}/d/e`)
    await expect(423, 'LOCK', `${dir}/d/e/deeper`, { body: lockinfo() })
    await expect(204, 'PUT', `${dir}/d/e/deeper`, { ...submit(deep.token), body: 'covered' })
    await expect(201, 'MOVE', `${dir}/d/f`, {
      headers: { If: `<${d}> (<${deep.token}>)`, Destination: `${dir}/d/e/f` },
    })
    await refused(d, 'PUT', `${dir}/d/e/f`, { body: 'moved into it' })
    // through a member
    const renewed = await expect(200, 'LOCK', `${dir}/d/e/f`, submit(deep.token, { Timeout: 'Second-120' }))
    assert.match(renewed.text, '<D:timeout>Second-120</D:timeout>')
    assert.not.ok(renewed.headers['lock-token'])
    await unlock(204, `${dir}/d/e/f`, deep.token)
    await expect(204, 'PUT', `${dir}/d/e/f`, { body: 'free' })
  })

  withDir('LCK3 a tree that holds locks stays whole', async (dir) => {
    await expect(201, 'MKCOL', `${dir}/d`)
    await expect(201, 'MKCOL', `${dir}/d/e`)
    for (const name of ['a', 'b', 'e/c']) await expect(201, 'PUT', `${dir}/d/${name}`, { body: name })
    const { token } = await lock(`${dir}/d/e/c`)
    const whole = async () => {
      for (const name of ['a', 'b', 'e/c']) await expect(200, 'GET', `${dir}/d/${name}`)
    }
    for (const [method, headers] of [
      ['DELETE', {}],
      ['MOVE', { Destination: `${dir}/x` }],
    ] as [string, Record<string, string>][]) {
      const answer = await expect(207, method, `${dir}/d`, { headers })
      assert.match(answer.text, `<D:href>${dir}/d/e/c</D:href><D:status>HTTP/1.1 423 Locked</D:status>`)
      assert.match(answer.text, 'lock-token-submitted')
      await whole()
    }
    // what would replace it
    await expect(201, 'MKCOL', `${dir}/y`)
    for (const method of ['COPY', 'MOVE']) {
      await expect(207, method, `${dir}/y/`, { headers: { Destination: `${dir}/d/` } })
      await whole()
      await expect(207, 'PROPFIND', `${dir}/y/`, { headers: { Depth: '0' } })
    }
    const deep = await expect(207, 'LOCK', `${dir}/d`, { body: lockinfo() })
    assert.match(deep.text, `<D:href>${dir}/d/e/c</D:href><D:status>HTTP/1.1 423 Locked</D:status>`)
    assert.match(deep.text, '424 Failed Dependency')
    await expect(201, 'MOVE', `${dir}/d`, at(`${dir}/d/e/c`, token, { Destination: `${dir}/x` }))
    // RFC 4918 7.6: a lock does not move
    await unlock(409, `${dir}/x/e/c`, token)
    await expect(204, 'PUT', `${dir}/x/e/c`, { body: 'free' })
  })

  withDir('LCK4 shared locks, an empty file for a name that is free, and what LOCK refuses', async (dir) => {
    await expect(201, 'PUT', `${dir}/f`, { body: '' })
    const one = await lock(`${dir}/f`, {}, 'shared')
    const two = await lock(`${dir}/f`, { Depth: '0' }, 'shared')
    await expect(423, 'LOCK', `${dir}/f`, { body: lockinfo() })
    await expect(423, 'PUT', `${dir}/f`, { body: 'x' })
    await expect(204, 'PUT', `${dir}/f`, { ...submit(two.token), body: 'x' })
    await unlock(204, `${dir}/f`, one.token)
    await unlock(204, `${dir}/f`, two.token)
    const fresh = await lock(`${dir}/new`)
    assert.is(fresh.answer.status, 201)
    assert.is((await expect(200, 'GET', `${dir}/new`)).text, '')
    await expect(423, 'PUT', `${dir}/new`, { body: 'x' })
    await refusedAtOnce(`${dir}/new`)
    await expect(204, 'PUT', `${dir}/new`, { ...submit(fresh.token), body: 'x' })
    await unlock(204, `${dir}/new`, fresh.token)
    await expect(409, 'LOCK', `${dir}/none/new`, { body: lockinfo() })
    await expect(400, 'LOCK', `${dir}/f`)
    await expect(400, 'LOCK', `${dir}/f`, { body: '<lockinfo xmlns="DAV:"/>' })
    await expect(400, 'LOCK', `${dir}/f`, { body: lockinfo().replace('exclusive', 'exclusiv') })
    await expect(422, 'LOCK', `${dir}/f`, { body: lockinfo().replace('write', 'read') })
    await expect(400, 'LOCK', `${dir}/f`, { body: lockinfo(), headers: { Depth: '1' } })
    await expect(413, 'LOCK', `${dir}/f`, { body: lockinfo('exclusive', 'x'.repeat(5000)) })
    await expect(400, 'UNLOCK', `${dir}/f`)
    await expect(400, 'UNLOCK', `${dir}/f`, { headers: { 'Lock-Token': 'x' } })
    await expect(403, 'LOCK', '/frozen/f', { body: lockinfo() })
    await expect(404, 'UNLOCK', `${dir}/none`, { headers: { 'Lock-Token': '<urn:uuid:1>' } })
    for (let i = 0; i < 16; i++) await lock(`${dir}/f`, {}, 'shared')
    await expect(507, 'LOCK', `${dir}/f`, { body: lockinfo('shared') })
    const all = await expect(207, 'PROPFIND', `${dir}/f`, { headers: { Depth: '0' } })
    const tokens = [...all.text.matchAll(/urn:uuid:[0-9a-f-]{36}/g)].map(([token]) => token)
    assert.is(tokens.length, 16)
    await expect(204, 'DELETE', `${dir}/f`, submit(tokens[7] as string))
  })

  withDir('LCK5 a lock ends at its time', async (dir) => {
    await expect(201, 'PUT', `${dir}/f`, { body: '' })
    await lock(`${dir}/f`, { Timeout: 'Second-1' })
    await expect(423, 'PUT', `${dir}/f`, { body: 'x' })
    const began = performance.now()
    // a second, and what clocks of nodes may differ by
    for (let status = 423; status !== 204; status = (await ask('PUT', `${dir}/f`, { body: 'x' })).status) {
      assert.ok(performance.now() - began < 20_000, 'the lock has no end')
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    assert.ok(performance.now() - began > 900, 'it ended too early')
  })

  withDir('LCK6 If: what is not so is 412, what is not submitted 423', async (dir) => {
    const f = `${dir}/f`
    const tag = (await expect(201, 'PUT', f, { body: '1' })).headers.etag as string
    const { token } = await lock(f)
    const put = (If: string) => ask('PUT', f, { headers: { If }, body: '2' })
    const none = '<DAV:no-lock>'
    for (const [If, status] of [
      [`(<${token}> ["${'x'}"])`, 412],
      [`(Not <${token}>)`, 412],
      [`(${none})`, 412],
      [`(Not ${none})`, 423],
      [`([${tag}])`, 423],
      [`<${dir}/other> (<${token}>)`, 412],
      [`<http://else/where> (<${token}>)`, 412],
      [`(<${token}>`, 400],
      [`(<${token}>) <${f}> (<${token}>)`, 400],
      [`(${'<u:x> '.repeat(65)})`, 400],
      // submitted by being there, even where its own list fails
      [`(<${token}> ["x"]) (Not ${none})`, 204],
    ] as [string, number][]) {
      assert.is((await put(If)).status, status, If)
    }
    const now = (await expect(200, 'HEAD', f)).headers.etag
    assert.is((await put(`<http://any.host${f}> (<${token}> [${now}])`)).status, 204)
    await expect(412, 'LOCK', f, { headers: { If: '(<urn:uuid:none>)' } })
    await expect(412, 'LOCK', `${dir}/`, { headers: { If: `<${f}> (<${token}>)` } })
    await unlock(204, f, token)
  })

  withDir('LCK7 other protocols do not ask; a file that they move takes its lock along', async (dir) => {
    const { fs } = fixture()
    await expect(201, 'PUT', `${dir}/f`, { body: '' })
    await expect(201, 'MKCOL', `${dir}/d`)
    const { token } = await lock(`${dir}/f`)
    const { inode: directory } = await fs.lookup(root, 1, dir.slice('/home/'.length))
    const { inode: below } = await fs.lookup(root, directory.ino, 'd')
    await fs.rename(root, directory.ino, 'f', below.ino, 'g')
    await expect(423, 'PUT', `${dir}/d/g`, { body: 'x' })
    await expect(207, 'DELETE', `${dir}/d`)
    await fs.remove(root, below.ino, 'g')
    await expect(201, 'PUT', `${dir}/d/g`, { body: 'x' })
    await unlock(409, `${dir}/d/g`, token)
  })

  const pause = () => new Promise((resolve) => setTimeout(resolve, 20))

  withDir('LCK8 a lock that is taken while a part arrives ends it there', async (dir) => {
    const f = `${dir}/f`
    await expect(201, 'PUT', f, { body: 'as it was' })
    const piece = Buffer.alloc(2 ** 20, 'x')
    let token = ''
    async function* slowly(): AsyncGenerator<Buffer> {
      yield piece
      while ((await expect(200, 'HEAD', f)).headers['content-length'] !== String(piece.length)) await pause()
      token = (await lock(f)).token
      yield piece
    }
    const range = { 'Content-Range': `bytes 0-${2 * piece.length - 1}/*` }
    await refused(f, 'PUT', f, { headers: range, body: slowly() })
    assert.is((await expect(200, 'HEAD', f)).headers['content-length'], String(piece.length))
    const rest = { 'Content-Range': `bytes ${piece.length}-${2 * piece.length - 1}/*` }
    await refused(f, 'PUT', f, { headers: rest, body: piece })
    await expect(204, 'PUT', f, { ...submit(token, rest), body: piece })
    assert.is((await expect(200, 'HEAD', f)).headers['content-length'], String(2 * piece.length))
    await unlock(204, f, token)
  })
}
