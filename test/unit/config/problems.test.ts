import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { editDistance, formatPath } from '../../../config/problems.ts'
import { formatAddress, parseAddress } from '../../../config/values.ts'

test('a swap of neighbours is one edit, as is a lost or a wrong letter', () => {
  for (const [a, b, distance] of [
    ['fencing', 'fencing', 0],
    ['fencign', 'fencing', 1],
    ['fencin', 'fencing', 1],
    ['fancing', 'fencing', 1],
    ['', 'log', 3],
    ['cache', 'nodes', 5],
  ] as const) {
    assert.is(editDistance(a, b), distance, `${a} ${b}`)
    assert.is(editDistance(b, a), distance, `${b} ${a}`)
  }
})

test('paths read as in the file', () => {
  assert.is(formatPath(['nodes', 1, 'mesh']), 'nodes[1].mesh')
  assert.is(formatPath(['log']), 'log')
})

test('addresses: what is written comes back, anything else is refused', () => {
  for (const written of ['127.0.0.1:1', 'host-1.example:65535', '[::1]:20101']) {
    assert.is(formatAddress(parseAddress(written)!), written)
  }
  for (const wrong of [
    '',
    ':1',
    'a',
    'a:',
    'a:0',
    'a:65536',
    'a:1x',
    '::1:20',
    '[a]:1',
    '[127.0.0.1]:1',
    '300.1.1.1:1',
    '1.2:3',
    'a b:1',
  ]) {
    assert.is(parseAddress(wrong), undefined, wrong)
  }
})

test.run()
