/** A slice of `npm run crash`, and what must make it fail: devices that lie, and rules of the design that are broken. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type BrokenRule, brokenRules } from '../../src/base/broken-rules.ts'
import { CASES_OF_ONE, CASES_OF_REUSE, casesNamed } from './cases.ts'
import type { Lie } from './lun-log.ts'
import { CrashRun, summary } from './run.ts'

const SEED = 1

test('a peer takes over whatever a crash leaves', async () => {
  const failures: string[] = []
  const run = new CrashRun({ seed: SEED, onFailure: (text) => failures.push(text) })
  await run.one(casesNamed('rename foo bar')[0])
  await run.one(casesNamed('unlink-open foo')[1])
  await run.one(casesNamed('write foo 20000 1000 false')[1])
  await run.one(casesNamed('write A/foo 3000 3000 true')[1])
  await run.one(CASES_OF_REUSE[3] as number)
  assert.equal(failures, [])
  assert.ok(run.totals.points > 40 && run.totals.states > run.totals.points, summary(run.totals))
})

/** The first failure in these cases; undefined: nothing was noticed. */
async function firstFailure(cases: readonly number[], lie?: Lie): Promise<string | undefined> {
  let failure: string | undefined
  const run = new CrashRun({
    seed: SEED,
    lie,
    onFailure: (text) => {
      failure = text
    },
  })
  for (const number of cases) {
    await run.one(number)
    if (failure !== undefined) break
  }
  return failure
}

test('a device that answers durable writes too early is noticed', async () => {
  const failure = await firstFailure(casesNamed('mkdir B'), 'durable-writes-are-not')
  assert.match(failure ?? 'nothing noticed', /the tree is none of those/)
})

test('a device that does nothing at a flush is noticed', async () => {
  const failure = await firstFailure(casesNamed('write foo end 5000 true'), 'flushes-do-nothing')
  assert.match(failure ?? 'nothing noticed', /is of no version that may be there|it should have/)
})

const hasty = Array.from({ length: CASES_OF_ONE / 2 }, (_, i) => CASES_OF_ONE / 2 + i)
const broken: [BrokenRule, readonly number[]][] = [
  ['answeredIsDurable', casesNamed('mkdir B')],
  ['dataBeforeExtent', casesNamed('write foo end 5000 true')],
  ['freedIsDurable', CASES_OF_REUSE],
  ['seal', hasty],
  ['doneIsLookedUp', casesNamed('mkdir B')],
  ['doneWithItsChange', casesNamed('mkdir B')],
]

for (const [rule, cases] of broken)
  test(`breaking the rule '${rule}' is noticed`, async () => {
    brokenRules[rule] = true
    try {
      assert.ok(await firstFailure(cases), 'no case noticed')
    } finally {
      brokenRules[rule] = false
    }
  })

test.run()
