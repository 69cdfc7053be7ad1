/** What `matrix service` says. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Services } from '../../../src/admin/index.ts'
import { describeEvents, describeServices } from '../../../src/cli/service-command.ts'

type Service = Services['nodes'][number]['services'][number]

const cells = (text: string) => text.split('\n').map((line) => line.trim().split(/ {2,}/))
const web: Service = {
  ...{ name: 'web', type: 'application', kind: 'http', target: '127.0.0.1:80/', policy: 'AUTORECOVER', hosts: ['www'] },
  ...{ state: 'up', counts: false, reason: null, sinceMs: 1, restarts: 0 },
}
const well = { answered: true, error: null, mounts: [] }

test('a service per block, a node per line; what counts against a node is marked, and why', () => {
  const nodes: Services['nodes'] = [
    {
      ...{ ...well, node: 'n1' },
      services: [{ ...web, state: 'failed', counts: true, reason: 'start: exit code 1' }],
      mounts: [{ filesystem: 'home', directory: '/home', state: 'failed', reason: 'no directory' }],
    },
    { ...well, node: 'n2', services: [web] },
    { ...well, node: 'n3', answered: false, error: 'timeout', services: [] },
  ]
  const lines = cells(describeServices({ virtualHosts: [], nodes }))
  assert.equal(lines[0], ['service', 'type', 'what', 'virtual hosts', 'node', 'state', 'reason'])
  const what = ['web', 'application', 'http 127.0.0.1:80/', 'www']
  assert.equal(lines[1], [...what, 'n1', 'failed, counts', 'start: exit code 1'])
  assert.equal(lines[2], [...what, 'n2', 'up'])
  assert.equal(lines[5], ['home', '/home', 'n1', 'failed', 'no directory'])
  assert.equal(lines[7], ['n3 does not say: timeout'])
})

test('none at all', () => {
  assert.is(describeServices({ virtualHosts: [], nodes: [] }), 'no service is configured')
  assert.is(describeEvents([]), 'nothing has happened yet')
})

test('an event per line', () => {
  const event = { id: 'n1-1-1', at: 0, node: 'n1', object: { type: 'service', name: 'web' }, detail: {} } as const
  const text = describeEvents([{ ...event, kind: 'service-down', severity: 'warning', text: 'service web is down' }])
  assert.equal(cells(text)[1], ['1970-01-01T00:00:00.000Z', 'service-down', 'warning', 'service web is down'])
})

test.run()
