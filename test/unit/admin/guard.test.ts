/** Who may ask the admin plane: what a browser could be talked into by a page elsewhere is refused. */
import type { IncomingMessage } from 'node:http'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { refuse, securityHeaders } from '../../../src/admin/guard.ts'

function asked(method: string, headers: Record<string, string>, posts = false, isOpen = true): number {
  const request = { method, headers: { host: '127.0.0.1:20190', ...headers } } as unknown as IncomingMessage
  return refuse(request, posts, { isOpen, scheme: 'http' })?.status ?? 200
}

test('only names of this machine are answered, whatever the port: a tunnel may have another', () => {
  for (const host of ['127.0.0.1:20190', 'localhost:8080', 'LOCALHOST', '[::1]:20190', '127.1.2.3'])
    assert.is(asked('GET', { host }), 200, host)
  for (const host of [
    'evil.example',
    '127.0.0.1.evil.example',
    'localhost.evil.example:20190',
    '10.0.0.1:20190',
    '',
    '[::1',
    'a@localhost',
  ])
    assert.is(asked('GET', { host }), 421, host)
})

test('a page of another site is refused, and what has no page is not', () => {
  assert.is(asked('GET', { origin: 'http://evil.example' }), 403)
  assert.is(asked('GET', { origin: 'null' }), 403)
  assert.is(asked('GET', { origin: 'http://127.0.0.1:20190' }), 200)
  assert.is(asked('GET', { origin: 'http://127.0.0.1:9999' }), 403, 'another program of this machine')
  assert.is(asked('GET', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }), 403)
  assert.is(asked('GET', { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'cors' }), 403)
  assert.is(asked('GET', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }), 200, 'a link to it')
  assert.is(asked('GET', { 'sec-fetch-site': 'same-origin' }), 200)
})

test('nothing but reading, and JSON where a question is posted', () => {
  for (const method of ['PUT', 'DELETE', 'PATCH', 'OPTIONS', 'POST']) assert.is(asked(method, {}), 405, method)
  assert.is(asked('HEAD', {}), 200)
  const json = { 'content-type': 'application/json' }
  assert.is(asked('POST', json, true), 200)
  assert.is(asked('POST', { 'content-type': 'application/json; charset=utf-8' }, true), 200)
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonx', ''])
    assert.is(asked('POST', { 'content-type': type }, true), 415, type)
  assert.is(asked('POST', { ...json, origin: 'http://evil.example' }, true), 403)
})

test('the policy lets scripts of this server run, and the one that stands in the page', () => {
  const policy = securityHeaders(['sha256-abc'])['Content-Security-Policy'] as string
  assert.match(policy, /default-src 'none'/)
  assert.match(policy, /script-src 'self' 'sha256-abc';/)
  assert.not.match(policy, /unsafe/)
})

test.run()
