/** One answer for all who ask at the same time. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { SharedAnswer } from '../../../src/admin/shared-answer.ts'

test('fifty who ask are one question; a moment later it is asked anew', async () => {
  let now = 0
  let asked = 0
  const shared = new SharedAnswer(
    async () => ++asked,
    () => now,
    100,
  )
  assert.equal(await Promise.all(Array.from({ length: 50 }, () => shared.get())), Array(50).fill(1))
  now = 99
  assert.is(await shared.get(), 1)
  now = 100
  assert.is(await shared.get(), 2)
})

test('once something has happened an answer from before is given to nobody who asks after it', async () => {
  let asked = 0
  const waiting: (() => void)[] = []
  const shared = new SharedAnswer(
    () => new Promise<number>((resolve) => waiting.push(() => resolve(++asked))),
    () => 0,
    100,
  )
  const before = shared.get()
  shared.expire()
  const after = shared.get()
  for (const answer of waiting) answer()
  assert.equal(await Promise.all([before, after, shared.get()]), [1, 2, 2])
})

test('a failure is told to all who wait for it, and not kept', async () => {
  let fails = true
  const shared = new SharedAnswer(
    async () => {
      if (fails) throw new Error('silent')
      return 'well'
    },
    () => 0,
    100,
  )
  const outcomes = await Promise.allSettled([shared.get(), shared.get()])
  assert.equal(
    outcomes.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  fails = false
  assert.is(await shared.get(), 'well')
})

test.run()
