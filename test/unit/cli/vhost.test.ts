/** What `matrix vhost list` and `matrix status` say of virtual hosts. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { describeVirtualHosts } from '../../../src/cli/vhost-command.ts'

const files = {
  ...{ name: 'files', address: '10.0.0.50', prefix: 24, interface: 'eth0', policy: 'AUTOFAILBACK', byHand: false },
  nodes: [
    { name: 'n1', state: 'serves it, well' },
    { name: 'n2', state: 'no member' },
  ],
}

test('a host per block, a node per line', () => {
  const text = describeVirtualHosts([
    { ...files, node: 'n1' },
    { ...files, name: 'other', address: 'fd00::50', prefix: 64, node: 'n2', byHand: true },
    { ...files, name: 'lost' },
  ])
  const lines = text.split('\n').map((line) => line.trim().split(/ {2,}/))
  assert.equal(lines[0], ['virtual host', 'address', 'at', 'policy', 'node', 'how it is'])
  assert.equal(lines[1], ['files', '10.0.0.50/24', 'n1', 'AUTOFAILBACK', 'n1', 'serves it, well'])
  assert.equal(lines[2], ['n2', 'no member'])
  assert.equal(lines[3]?.slice(0, 3), ['other', 'fd00::50/64', 'n2 (by hand)'])
  assert.equal(lines[5]?.slice(0, 3), ['lost', '10.0.0.50/24', 'nowhere'])
})

test('none at all', () => assert.is(describeVirtualHosts([]), 'no virtual host is configured'))

test.run()
