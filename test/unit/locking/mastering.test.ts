import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MAX_SLOTS } from '../../../src/base/limits.ts'
import { Mastering } from '../../../src/locking/mastering.ts'
import { GROUP_LOCK, inodeLock, OPEN_LOCK, resourceId, SLOT_LOCK } from '../../../src/locking/resource.ts'

const groups = Array.from({ length: 4000 }, (_, i) => resourceId(GROUP_LOCK, i))

test('an object born at a member is mastered there, as is its own state', () => {
  const mastering = new Mastering([0, 2, 5])
  for (const slot of [0, 2, 5]) {
    const ino = 77 * MAX_SLOTS + slot
    assert.is(mastering.masterOf(inodeLock(ino)), slot)
    assert.is(mastering.masterOf(resourceId(OPEN_LOCK, ino)), slot)
    assert.is(mastering.masterOf(resourceId(SLOT_LOCK, slot)), slot)
  }
})

test('what was born at a slot that is gone, and the root, have a master among the members', () => {
  const mastering = new Mastering([0, 2])
  for (const rid of [inodeLock(77 * MAX_SLOTS + 5), resourceId(SLOT_LOCK, 5), inodeLock(1)]) {
    assert.ok(mastering.has(mastering.masterOf(rid)))
  }
})

test('the order in which members are named does not matter', () => {
  const [a, b] = [new Mastering([3, 1, 2]), new Mastering([1, 2, 3])]
  for (const rid of groups) assert.is(a.masterOf(rid), b.masterOf(rid))
})

test('masters are spread evenly, and only those of a leaver move', () => {
  const before = new Mastering([0, 1, 2, 3])
  const after = new Mastering([0, 1, 3])
  const counts = [0, 0, 0, 0]
  for (const rid of groups) {
    const master = before.masterOf(rid)
    ;(counts[master] as number)++
    if (master !== 2) assert.is(after.masterOf(rid), master)
  }
  for (const count of counts) assert.ok(count > 800 && count < 1200, `${counts}`)
})

test.run()
