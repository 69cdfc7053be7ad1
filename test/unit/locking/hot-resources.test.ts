/** The hottest resources: which ones are found, and how little is kept for that. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { HotResources } from '../../../src/locking/hot-resources.ts'
import { inodeLock } from '../../../src/locking/index.ts'

test('what is taken most is hottest, among thousands that are taken once', () => {
  const hot = new HotResources()
  for (let i = 0; i < 3000; i++) {
    hot.note(inodeLock(1000 + i))
    if (i % 10 === 0) hot.note(inodeLock(7))
    if (i % 20 === 0) hot.note(inodeLock(8))
  }
  assert.equal(hot.hottest().slice(0, 2), [inodeLock(7), inodeLock(8)])
  assert.ok(hot.heatOf(inodeLock(7)) >= 300)
  assert.ok(hot.hottest().length <= 128, 'it keeps few, whatever comes')
  assert.is(hot.heatOf(inodeLock(1000)), 0)
})

test('what was long ago cools down', () => {
  const hot = new HotResources()
  for (let i = 0; i < 1000; i++) hot.note(inodeLock(7))
  const before = hot.heatOf(inodeLock(7))
  for (let i = 0; i < 40_000; i++) hot.note(inodeLock(8))
  assert.ok(hot.heatOf(inodeLock(7)) < before / 100)
  assert.is(hot.hottest()[0], inodeLock(8))
})

test.run()
