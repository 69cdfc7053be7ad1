/** Numbers of new inodes: per slot, never twice, and none before the slot's earlier lives are known. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MAX_SLOTS } from '../../../src/base/limits.ts'
import { InodeNumbers } from '../../../src/metadata/fs/inode-numbers.ts'
import type { Mutation } from '../../../src/metadata/index.ts'
import type { VolumeApi } from '../../../src/metadata/volume-api.ts'

const volume = (inoCounter?: number) =>
  ({
    slot: 3,
    image: { slotState: () => (inoCounter === undefined ? undefined : { inoCounter }) },
  }) as unknown as VolumeApi

test('no number is taken before the slot has been looked up', () => {
  const numbers = new InodeNumbers(volume(900))
  assert.throws(() => numbers.take(), /numbered once the slot is known/)
  numbers.start()
  assert.is(numbers.take(), 900 * MAX_SLOTS + 3)
})

test('a later life goes on above what an earlier one reserved', () => {
  const numbers = new InodeNumbers(volume())
  numbers.start()
  const first = numbers.take()
  assert.is(first, MAX_SLOTS + 3)
  const mutations: Mutation[] = []
  numbers.reserve(mutations)
  const [reservation] = mutations
  assert.ok(reservation?.op === 'putSlot')
  const next = new InodeNumbers(volume(reservation.inoCounter))
  next.start()
  assert.ok(next.take() > first)
})

test.run()
