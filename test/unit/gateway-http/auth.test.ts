/** Who may: passwords, tokens, what anonymous clients may, and TLS. */
import { createSign, generateKeyPairSync, sign } from 'node:crypto'
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { Agent, request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { selfSigned } from '../../../src/cli/demo/self-signed.ts'
import { Authenticator, JwtVerifier, keepPassword, newToken, Users, writeUserFile } from '../../../src/export/index.ts'
import { LoginLimits } from '../../../src/export/logins/login-limits.ts'
import { HttpGateway } from '../../../src/gateway-http/index.ts'
import { silentLog } from '../../../src/platform/index.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { closeClient, request } from '../../helpers/http-client.ts'
import { MemoryFs } from '../../helpers/memory-fs.ts'
import { handClock } from '../metadata/fixture.ts'

const test = suite('gateway-http who may')
const dir = mkdtempSync(join(tmpdir(), 'matrixfs-auth-'))
const file = join(dir, 'users.toml')
const keys = join(dir, 'keys.json')
const log = silentLog
const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const laptop = newToken('laptop')
const memory = new MemoryFs()
let gateway: HttpGateway
let url: string

const basic = (name: string, password: string) => ({
  Authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`,
})
const bearer = (token: string) => ({ Authorization: `Bearer ${token}` })

test.before(async () => {
  writeFileSync(keys, JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k1', use: 'sig' }] }))
  writeUserFile(file, {
    users: [
      {
        name: 'ann',
        uid: 1000,
        gid: 100,
        groups: [],
        password: await keepPassword('annspassword'),
        tokens: [laptop.record],
      },
      { name: 'bob', uid: 1001, gid: 100, groups: [], password: await keepPassword('bobspassword'), tokens: [] },
    ],
    groups: [],
  })
  const nobody = { uid: 65534, gid: 65534, gids: [] }
  const { fs } = memory
  await fs.setattr({ uid: 0, gid: 0, gids: [] }, 1, { mode: 0o1777 })
  gateway = new HttpGateway({
    clock: realClock,
    authenticator: new Authenticator({
      ...{ clock: realClock, log, realm: 'test' },
      users: new Users(file, realClock, log),
      jwt: new JwtVerifier({ keys, issuer: 'https://id', audience: 'm', claim: 'name' }, realClock, log),
    }),
    exports: () => [
      { name: 'off', fs, caller: nobody, anonymous: 'off' },
      { name: 'ro', fs, caller: nobody, anonymous: 'ro' },
      { name: 'rw', fs, caller: nobody, anonymous: 'rw' },
    ],
  })
  url = (await gateway.listen('127.0.0.1', 0)).url
})
test.after(async () => {
  closeClient()
  await gateway.close()
  rmSync(dir, { recursive: true, force: true })
})

const status = async (method: string, path: string, headers: Record<string, string> = {}, body?: string) =>
  (await request(url, method, path, { headers, ...(body !== undefined && { body }) })).status

test('anonymous clients may all, only read, or nothing, as each export says', async () => {
  for (const [path, get, put] of [
    ['/off/', 401, 401],
    ['/ro/', 200, 401],
    ['/rw/', 200, 201],
  ] as [string, number, number][]) {
    assert.is(await status('GET', path), get, path)
    assert.is(await status('PUT', `${path}anonymous`, {}, 'x'), put, path)
    assert.is(await status('LOCK', `${path}anonymous`, {}, ''), put === 401 ? 401 : 400, path)
  }
  const asked = await request(url, 'PROPFIND', '/off/', { headers: { Depth: '0' } })
  assert.is(asked.headers['www-authenticate'], 'Basic realm="test", charset="UTF-8", Bearer realm="test"')
  const listed = (await request(url, 'PROPFIND', '/', { headers: { Depth: '1' } })).text
  assert.not.match(listed, '/off/')
  assert.match(
    (await request(url, 'PROPFIND', '/', { headers: { Depth: '1', ...basic('ann', 'annspassword') } })).text,
    '/off/',
  )
})

test('a user acts with his own uid and gid, and the filesystem decides', async () => {
  assert.is(await status('PUT', '/off/mine', basic('ann', 'annspassword'), 'x'), 201)
  const { inode } = await memory.fs.lookup({ uid: 0, gid: 0, gids: [] }, 1, 'mine')
  assert.equal([inode.uid, inode.gid], [1000, 100])
  assert.is(await status('PUT', '/off/mine', basic('bob', 'bobspassword'), 'y'), 403)
  assert.is(await status('PUT', '/off/mine', bearer(laptop.secret), 'z'), 204)
})

test('what is wrong is refused, also where nobody need log in', async () => {
  for (const headers of [
    basic('ann', 'wrong'),
    basic('eve', 'annspassword'),
    { Authorization: 'Basic' },
    { Authorization: 'Basic !!!' },
    { Authorization: 'Digest x' },
    bearer('mxt_nonsense'),
    bearer('a.b.c'),
  ]) {
    assert.is(await status('GET', '/rw/', headers), 401, JSON.stringify(headers))
  }
})

test('tokens of an identity provider: signature, issuer, audience, time and user have to be right', async () => {
  const now = Math.floor(Date.now() / 1000)
  const good = { iss: 'https://id', aud: ['x', 'm'], exp: now + 100, name: 'ann' }
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const jwt = (claims: object, head: object = { alg: 'ES256', kid: 'k1' }, key = privateKey) => {
    const signed = `${part(head)}.${part(claims)}`
    return `${signed}.${sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  }
  const verifier = new JwtVerifier({ keys, issuer: 'https://id', audience: 'm', claim: 'name' }, realClock, log)
  assert.is(verifier.userOf(jwt(good)), 'ann')
  const { kid: _, ...withoutKid } = { alg: 'ES256', kid: 'k1' }
  assert.is(verifier.userOf(jwt(good, withoutKid)), 'ann')
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
  const [head, body, signature] = jwt(good).split('.') as [string, string, string]
  const hmac = createSign('sha256')
    .update(`${part({ alg: 'RS256' })}.${part(good)}`)
    .sign(rsa, 'base64url')
  for (const [why, token] of [
    ['expired', jwt({ ...good, exp: now - 100 })],
    ['without an end', jwt({ ...good, exp: undefined })],
    ['not yet', jwt({ ...good, nbf: now + 100 })],
    ['of another issuer', jwt({ ...good, iss: 'https://evil' })],
    ['for somebody else', jwt({ ...good, aud: 'other' })],
    ['without a user', jwt({ ...good, name: undefined })],
    ['signed by a stranger', jwt(good, { alg: 'ES256', kid: 'k1' }, stranger)],
    ['of an unknown key', jwt(good, { alg: 'ES256', kid: 'k2' })],
    ['unsigned', `${part({ alg: 'none' })}.${part(good)}.`],
    ['signed by nobody', `${part({ alg: 'none' })}.${part(good)}.x`],
    ['with the public key as a secret', `${part({ alg: 'HS256' })}.${body}.${signature}`],
    ['of another kind', `${part({ alg: 'RS256' })}.${part(good)}.${hmac}`],
    ['changed', `${head}.${part({ ...good, name: 'bob' })}.${signature}`],
    ['critical', jwt(good, { alg: 'ES256', kid: 'k1', crit: ['b64'] })],
    ['no token', 'x'],
    ['too long', `${head}.${'x'.repeat(20_000)}.${signature}`],
  ] as [string, string][]) {
    assert.is(verifier.userOf(token), undefined, why)
  }
  assert.is(await status('GET', '/off/', bearer(jwt(good))), 200)
  assert.is(await status('GET', '/off/', bearer(jwt({ ...good, name: 'eve' }))), 401, 'not in the file')
})

test('who fails too often has to wait, and is let in again', () => {
  let now = 0
  const limits = new LoginLimits({ ...handClock(), now: () => now })
  for (let i = 0; i < 10; i++) {
    assert.is(limits.waitS('1.2.3.4', 'ann'), 0)
    limits.failed('1.2.3.4', 'ann')
  }
  assert.is(limits.waitS('1.2.3.4', 'bob'), 60)
  assert.is(limits.waitS('1.2.3.5', 'ann'), 0, 'others are not kept out')
  now += 59_000
  assert.is(limits.waitS('1.2.3.4', 'ann'), 1)
  now += 1000
  assert.is(limits.waitS('1.2.3.4', 'ann'), 0)
  for (let i = 0; i < 100; i++) limits.failed(`10.0.0.${i}`, 'ann')
  assert.ok(limits.waitS('1.2.3.5', 'ann') > 0, 'nor is one name tried from everywhere')
})

test('passwords go over plain HTTP from this machine only', async () => {
  const authenticator = new Authenticator({
    ...{ clock: realClock, log, realm: 'test' },
    users: new Users(file, realClock, log),
  })
  const from = (remoteAddress: string, encrypted = false) =>
    authenticator
      .userOf({
        headers: { authorization: basic('ann', 'annspassword').Authorization },
        socket: { remoteAddress, encrypted },
      } as never)
      .then(
        (user) => user?.name,
        (error) => error.status,
      )
  assert.is(await from('127.0.0.1'), 'ann')
  assert.is(await from('::1'), 'ann')
  assert.is(await from('::ffff:127.0.0.1'), 'ann')
  assert.is(await from('10.0.0.1'), 403)
  assert.is(await from('10.0.0.1', true), 'ann')
})

test('a client that keeps failing is answered 429, and one that is known is not', async () => {
  assert.is(await status('GET', '/off/', basic('ann', 'annspassword')), 200)
  let last = 0
  for (let i = 0; i < 12 && last !== 429; i++) last = await status('GET', '/off/', basic('ann', `wrong ${i}`))
  assert.is(last, 429)
  assert.is(await status('GET', '/off/', basic('ann', 'annspassword')), 200)
})

test('HTTPS, with a certificate that is replaced while it serves', async () => {
  const [cert, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')]
  const write = () => {
    const pair = selfSigned(['localhost', '127.0.0.1'], 10)
    writeFileSync(cert, pair.cert)
    writeFileSync(key, pair.key, { mode: 0o600 })
    return pair.cert
  }
  const first = write()
  const tls = new HttpGateway({
    clock: realClock,
    tls: { cert, key },
    exports: () => [{ name: 'home', fs: memory.fs, caller: { uid: 0, gid: 0, gids: [] } }],
  })
  const { port, url: address } = await tls.listen('127.0.0.1', 0)
  assert.match(address, /^https:/)
  const get = (ca: string) =>
    new Promise<string>((resolve, reject) => {
      const agent = new Agent({ keepAlive: false })
      const req = httpsRequest({ host: '127.0.0.1', port, path: '/home/', ca, agent, method: 'HEAD' }, (res) => {
        const { fingerprint256 } = (res.socket as TLSSocket).getPeerCertificate()
        res.resume().on('end', () => resolve(`${res.statusCode} ${fingerprint256}`))
      })
      req.on('error', reject).end()
    })
  const before = await get(first)
  assert.match(before, /^200 /)
  const second = write()
  for (const each of [cert, key]) utimesSync(each, 5, 5)
  let after = before
  for (let i = 0; i < 50 && after === before; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100))
    // the two have one name, so that either alone is trusted
    after = await get(first).catch(() => get(second))
  }
  assert.is.not(after, before)
  writeFileSync(cert, 'broken')
  await new Promise((resolve) => setTimeout(resolve, 1100))
  await get(second)
  assert.is(await get(second), after, 'what cannot be used changes nothing')
  await tls.close()
  assert.throws(
    () => new HttpGateway({ clock: realClock, tls: { cert, key }, exports: () => [] }),
    /cannot be used as certificate/,
  )
})

test('the file page offers what its visitor may do, and a way to sign in', async () => {
  const page = async (path: string, headers: Record<string, string> = {}) =>
    (await request(url, 'GET', path, { headers })).text
  const ann = basic('ann', 'annspassword')
  assert.match(await page('/ro/'), /Sign in.*Read-only/s)
  assert.not.match(await page('/ro/'), /data-do|data-writable/)
  assert.match(await page('/rw/'), /Sign in.*data-do="upload"/s)
  for (const path of ['/ro/', '/rw/', '/off/']) {
    assert.match(await page(path, ann), /<bdi>ann<\/bdi>.*data-do="upload"/s)
    assert.not.match(await page(path, ann), /Sign in/)
  }
  assert.match(await page('/rw/?search=x'), /Sign in/)
  const go = (to: string, headers: Record<string, string> = {}) =>
    request(url, 'GET', `/.matrixfs/sign-in?to=${encodeURIComponent(to)}`, { headers })
  const refused = await go('/ro/')
  assert.is(refused.status, 401)
  assert.match(refused.headers['www-authenticate'] as string, /^Basic/)
  assert.is((await go('/ro/a%20b/', ann)).headers.location, '/ro/a%20b/')
  assert.is((await go('/ro/', ann)).status, 303)
  // Never to another server.
  for (const to of ['https://evil.example/ro/', '//evil.example/', '/\\evil.example/']) {
    assert.match((await go(to, ann)).headers.location as string, /^\/[^/\\]/)
  }
  assert.is((await go('javascript:alert(1)', ann)).status, 400)
})

test.run()
