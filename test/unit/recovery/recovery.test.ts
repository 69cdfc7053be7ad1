/** Which journals of the dead have to be read and sealed (R58), decided from lease sectors, view and seals alone. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { View } from '../../../src/cluster/index.ts'
import { endsOfSealed, ownStart, unsealed } from '../../../src/recovery/index.ts'
import type { FilesystemRecord, LeaseSector, LeaseState } from '../../../src/san/index.ts'

const sector = (slot: number, incarnation: number, state: LeaseState): LeaseSector => ({
  slot,
  incarnation,
  state,
  nodeName: `n${slot + 1}`,
  counter: 1,
  ioTimeoutMs: 2000,
  process: { bootId: 'boot', pid: 1, startTime: 1 },
  address: { host: 'localhost', port: 1 },
  hostName: 'host',
  nonce: '00000000-0000-4000-8000-000000000000',
})

const view = (...members: [slot: number, incarnation: number][]): View => ({
  id: 9,
  members: members.map(([slot, incarnation]) => ({
    slot,
    incarnation,
    name: `n${slot + 1}`,
    address: { host: 'localhost', port: 1 },
  })),
})

const record = (...seals: [slot: number, incarnation: number, lsn: number][]): FilesystemRecord => ({
  name: 'home',
  uuid: '00000000-0000-4000-8000-000000000001',
  fsid: 1,
  luns: [],
  slots: 3,
  journalBytes: 0,
  checkpointBytes: 0,
  groupBlocks: 0,
  seals: seals.map(([slot, incarnation, lsn]) => ({ slot, incarnation, lsn })),
})

test('a member in its first life leaves nothing to seal', () => {
  assert.equal(unsealed(record(), view([0, 1]), [sector(0, 1, 'active')]), [])
})

test('a dead member is sealed with its own incarnation', () => {
  const sectors = [sector(0, 1, 'active'), sector(1, 4, 'active')]
  assert.equal(unsealed(record([1, 3, 512]), view([0, 1]), sectors), [{ slot: 1, incarnation: 4 }])
})

test('a member that came back needs the seal of the life before', () => {
  assert.equal(unsealed(record(), view([0, 1], [1, 5]), [sector(0, 1, 'active'), sector(1, 5, 'joining')]), [
    { slot: 1, incarnation: 4 },
  ])
})

test('a life on its way into a view is never sealed: its frames must count later', () => {
  assert.equal(unsealed(record([1, 4, 512]), view([0, 1]), [sector(0, 1, 'active'), sector(1, 5, 'joining')]), [])
})

test('a clean leave is sealed like a death', () => {
  assert.equal(unsealed(record(), view([0, 1]), [sector(0, 1, 'active'), sector(2, 2, 'clean')]), [
    { slot: 2, incarnation: 2 },
  ])
})

test('what is sealed is not sealed again, and slots without a journal are left out', () => {
  const sectors = [sector(0, 1, 'active'), sector(1, 4, 'active'), sector(7, 1, 'active')]
  assert.equal(unsealed(record([1, 4, 512]), view([0, 1]), sectors), [])
})

test('a journal begins at the seal of the incarnation before', () => {
  const sealed = record([0, 1, 512], [0, 2, 2048], [1, 1, 1024])
  assert.is(ownStart(sealed, 0, 3), 2048)
  assert.is(ownStart(sealed, 2, 1), 0)
  assert.throws(() => ownStart(sealed, 0, 2), /sealed/)
  assert.equal(
    [...endsOfSealed(sealed)],
    [
      [0, 2048],
      [1, 1024],
    ],
  )
})

test.run()
