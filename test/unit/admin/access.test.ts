/** Who may ask the admin plane, over real HTTP: users of a file, roles, sessions, and what is written down of what they have had done. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import type { AdminAccess, ControlRequest } from '../../../config/index.ts'
import { Sessions } from '../../../src/admin/access/sessions.ts'
import type { AdminHost } from '../../../src/admin/admin-host.ts'
import { AdminServer } from '../../../src/admin/admin-server.ts'
import * as api from '../../../src/admin/api/access.ts'
import { AuditLog } from '../../../src/admin/audit-log.ts'
import type { Desk } from '../../../src/admin/endpoint.ts'
import { EventStream } from '../../../src/admin/event-stream.ts'
import { LogTail } from '../../../src/admin/log-tail.ts'
import { keepPassword, newToken, writeUserFile } from '../../../src/export/index.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { realClock } from '../../../src/platform/real/clock.ts'

const test = suite('who asks the admin plane')
const dir = mkdtempSync(join(tmpdir(), 'matrixfs-access-'))
const users = join(dir, 'users.toml')
const program = newToken('program')
const orders: ControlRequest[] = []
const closing: (() => Promise<void>)[] = []

test.before(async () => {
  const [ann, bob, eve] = await Promise.all(['ann', 'bob', 'eve'].map((name) => keepPassword(`${name}'s`)))
  const person = { uid: 1000, gid: 1000, tokens: [] }
  writeUserFile(users, {
    groups: [{ name: 'admins', gid: 10 }],
    users: [
      { ...person, name: 'ann', groups: ['admins'], password: ann as string },
      { ...person, name: 'bob', groups: [], password: bob as string, tokens: [program.record] },
      { ...person, name: 'eve', groups: [], password: eve as string },
    ],
  })
})
test.after(async () => {
  for (const close of closing) await close()
  rmSync(dir, { recursive: true })
})

/** A plane whose node takes orders, and does nothing. */
async function plane(access: AdminAccess): Promise<string> {
  const order = async (request: ControlRequest) => {
    orders.push(request)
    return {}
  }
  const host = {
    ...{
      self: { name: 'n1', slot: 0, incarnation: 1 },
      matrixName: 'm',
      version: '0',
      clock: realClock,
      log: silentLog,
    },
    ...{ logTail: new LogTail(() => realClock.wall()), audit: new AuditLog(dir, realClock), order },
  } as unknown as AdminHost
  const events = new EventStream(realClock)
  const server = new AdminServer({ host } as Desk, events, { access })
  const { url } = await server.listen('127.0.0.1', 0)
  closing.push(() => {
    events.close()
    return server.close()
  })
  return url
}

const withUsers: AdminAccess = { users, viewers: ['bob'], operators: ['@admins'] }
const basic = (name: string, password = `${name}'s`) => ({
  Authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`,
})
const get = (url: string, headers: Record<string, string> = {}) => fetch(`${url}api/log`, { headers })
function post(url: string, path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  const type = { 'Content-Type': 'application/json' }
  return fetch(`${url}api${path}`, { method: 'POST', headers: { ...type, ...headers }, body: JSON.stringify(body) })
}
const move = { request: { command: 'move-virtual-host', name: 'files', node: 'n2' }, confirm: 'files' }
const said = async (response: Response) => ((await response.json()) as { error: { message: string } }).error.message

test('without users everybody on this machine looks, and acts where the configuration says so', async () => {
  const viewer = await plane({ anonymous: 'viewer' })
  assert.is((await get(viewer)).status, 200)
  const refused = await post(viewer, '/act', move)
  assert.is(refused.status, 403)
  assert.match(await said(refused), 'admin.anonymous')
  assert.is((await post(viewer, '/session', { name: 'ann', password: "ann's" })).status, 403)
  const operator = await plane({ anonymous: 'operator' })
  assert.is((await post(operator, '/act', move)).status, 200)
  assert.equal(orders.splice(0), [move.request])
  assert.equal(await (await fetch(`${operator}api/session`)).json(), {
    node: 'n1',
    name: null,
    role: 'operator',
    csrf: null,
  })
})

test('with users nobody looks without a login; who logs in may do what his role says', async () => {
  const url = await plane(withUsers)
  const wrong = await fetch(new URL('api/events?follow=everything', url), { headers: basic('ann') })
  assert.is(wrong.status, 400)
  assert.match(await wrong.text(), 'found \\"everything\\"; allowed is overview')
  for (const path of ['api/log', 'api/matrix', 'api/events', 'queues/', '../metrics'])
    assert.is((await fetch(new URL(path, url))).status, 401, path)
  assert.is((await fetch(url)).status, 200, 'the page itself shows nothing, and asks for a login')
  assert.match((await get(url)).headers.get('www-authenticate') ?? '', /^Basic .*Bearer/)
  assert.is((await get(url, basic('ann'))).status, 200)
  assert.is((await get(url, basic('bob'))).status, 200)
  assert.is((await get(url, { Authorization: `Bearer ${program.secret}` })).status, 200)
  assert.is((await get(url, basic('bob', 'wrong'))).status, 401)
  const eve = await get(url, basic('eve'))
  assert.is(eve.status, 403)
  assert.match(await said(eve), 'neither among admin.viewers nor admin.operators')
  assert.is((await post(url, '/act', move, basic('bob'))).status, 403)
  assert.is((await fetch(`${url}api/audit`, { headers: basic('bob') })).status, 403)
  assert.equal(orders, [])
  assert.is((await post(url, '/act', move, basic('ann'))).status, 200)
  assert.equal(orders.splice(0), [move.request])
})

test('an action names once more what it is about; and nothing is done by GET', async () => {
  const url = await plane(withUsers)
  const wrong = await post(url, '/act', { ...move, confirm: 'n2' }, basic('ann'))
  assert.is(wrong.status, 400)
  assert.match(await said(wrong), 'allowed is "files"')
  assert.is((await fetch(`${url}api/act`, { headers: basic('ann') })).status, 405)
  assert.is((await post(url, '/act', { ...move, request: { command: 'no' } }, basic('ann'))).status, 400)
  assert.equal(orders, [])
})

test('a session: a cookie that no script reads, and a number without which nothing is changed', async () => {
  const url = await plane(withUsers)
  const login = await post(url, '/session', { name: 'ann', password: "ann's" })
  const set = login.headers.get('set-cookie') ?? ''
  assert.match(set, /^matrix-n1=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/)
  const session = v.parse(api.session, await login.json())
  assert.is(session.role, 'operator')
  const cookie = { Cookie: set.split(';', 1)[0] as string }
  assert.is((await get(url, cookie)).status, 200)
  assert.is((await post(url, '/act', move, cookie)).status, 403)
  assert.is((await post(url, '/act', move, { ...cookie, 'X-Matrix-CSRF': 'guessed' })).status, 403)
  assert.equal(orders, [])
  const whole = { ...cookie, 'X-Matrix-CSRF': session.csrf as string }
  assert.is((await post(url, '/act', move, whole)).status, 200)
  assert.is(orders.splice(0).length, 1)
  const foreign = await post(url, '/act', move, { ...whole, Origin: 'http://evil.example' })
  assert.is(foreign.status, 403)
  assert.is((await post(url, '/session/end', {}, whole)).status, 200)
  assert.is((await get(url, cookie)).status, 401)
  assert.is((await post(url, '/session', { name: 'ann', password: 'wrong' })).status, 401)
})

test('after some failures nobody is heard for a while', async () => {
  const url = await plane(withUsers)
  const statuses = []
  for (let tries = 0; tries < 12; tries++)
    statuses.push((await post(url, '/session', { name: 'ann', password: `${tries}` })).status)
  assert.equal(new Set(statuses), new Set([401, 429]))
  assert.is((await post(url, '/session', { name: 'ann', password: "ann's" })).status, 429)
})

test('a session ends after a while without use, after a day, and with the users that it was begun under', () => {
  let now = 0
  const sessions = new Sessions({ now: () => now })
  const minute = 60_000
  const { id } = sessions.begin('ann', 1)
  for (; now < 10 * minute; now += minute) assert.ok(sessions.find(id, 1))
  now += 31 * minute
  assert.not(sessions.find(id, 1))
  const long = sessions.begin('ann', 1).id
  for (let hours = 0; hours < 47; hours++) {
    assert.ok(sessions.find(long, 1))
    now += 29 * minute
  }
  now += 60 * minute
  assert.not(sessions.find(long, 1))
  const changed = sessions.begin('ann', 1).id
  assert.not(sessions.find(changed, 2))
  const first = sessions.begin('ann', 1).id
  for (let more = 0; more < 1000; more++) sessions.begin('bob', 1)
  assert.not(sessions.find(first, 1), 'the number of sessions is bounded')
})

test('the audit log: who, from where, what, and what came of it; refused when it cannot be written', async () => {
  const folder = mkdtempSync(join(dir, 'audit-'))
  const log = new AuditLog(folder, realClock)
  const action = { by: 'ann', from: '10.0.0.7', what: 'drain-lun', about: { uuid: 'u1' } }
  assert.is(await log.run(action, async () => 7), 7)
  let failure: unknown
  await log
    .run({ ...action, what: 'remove-lun' }, async () => Promise.reject(new Error('in use')))
    .catch((error) => (failure = error))
  assert.instance(failure, Error)
  const [end, begin, done, begun] = log.last(10)
  assert.is(begun?.by, 'ann')
  assert.is(begun?.about, '{"uuid":"u1"}')
  assert.is(done?.outcome, 'done')
  assert.is(done?.id, begun?.id)
  assert.is(begin?.what, 'remove-lun')
  assert.is(end?.outcome, 'in use')
  writeFileSync(join(folder, 'audit.log'), `${readFileSync(join(folder, 'audit.log'), 'utf8')}{"at":"cut`)
  assert.is(log.last(10).length, 4, 'a line that a crash cut short is passed over')
  let ran = false
  const nowhere = new AuditLog(join(folder, 'missing'), realClock)
  const refused = await nowhere.run(action, async () => (ran = true)).catch((error: Error) => error.message)
  assert.match(String(refused), 'nothing was done')
  assert.not(ran)
})

test('the audit log: what is asked for step by step is one action', async () => {
  const log = new AuditLog(mkdtempSync(join(dir, 'steps-')), realClock)
  const drain = (by: string, left: number | undefined) =>
    log.run({ by, from: '10.0.0.7', what: 'drain-lun', about: { uuid: 'u1' } }, async () => ({ left }))
  for (const left of [30, 20, 10]) await drain('ann', left)
  assert.equal(
    log.last(10).map(({ by }) => by),
    ['ann'],
  )
  await drain('bob', 5)
  await drain('ann', undefined)
  await drain('ann', undefined)
  assert.equal(
    log
      .last(10)
      .toReversed()
      .map(({ by, outcome }) => by ?? outcome),
    ['ann', 'bob', 'done', 'ann', 'done'],
  )
  const [first, , done] = log.last(10).toReversed()
  assert.is(done?.id, first?.id)
  const failed = log.run({ by: 'bob', from: '10.0.0.7', what: 'drain-lun', about: { uuid: 'u1' } }, async () => {
    throw new Error('no space')
  })
  await failed.catch(() => undefined)
  assert.is(log.last(1)[0]?.outcome, 'no space')
})

test('a job is by whoever has logged in, whatever the request says', async () => {
  const url = await plane(withUsers)
  orders.length = 0
  const request = { command: 'start-job', kind: 'scrub', input: {}, by: 'root' }
  assert.is((await post(url, '/act', { request, confirm: 'scrub' }, basic('ann'))).status, 200)
  assert.equal(orders, [{ ...request, by: 'ann' }])
})

test.run()
