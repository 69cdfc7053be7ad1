/** A slice of `npm run e2e:fence`: whoever is fenced at its LUNs, at our target and at tgt, writes nothing afterwards; and whoever is not would be seen. */
// time limit: 180 s
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { noTgt } from '../helpers/tgt.ts'
import { playTrials } from './fence-trials.ts'
import type { TargetName } from './trial-options.ts'

const missing = noTgt()
if (missing) process.stderr.write(`skipped: ${missing}\n`)

for (const target of ['own', 'tgt'] satisfies TargetName[]) {
  const check = target === 'tgt' && missing ? test.skip : test
  check(
    `${target}: a victim that writes as fast as it can loses access at the fence, also one that was stopped`,
    async () => {
      const report = await playTrials({ target, trials: 10, seed: 1 })
      assert.equal(report.violations, [])
      assert.is(report.stopped, 2)
      assert.is(report.refusedAfterMs.length, 16)
      assert.is(report.wokenAfterMs.length, 4)
      assert.is(target === 'own' ? report.aborted : report.preempted, 20)
      assert.ok(report.acknowledged > 0)
    },
  )
}

test('without a fence the successor finds what the victim writes', async () => {
  const { violations } = await playTrials({ target: 'own', trials: 1, seed: 1, fences: false })
  assert.ok(violations.length > 0)
  assert.match(violations[0] as string, /trial 1: LUN \d, block \d+: found ".*victim 1/)
})

test.run()
