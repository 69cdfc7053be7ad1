/** A slice of `npm run mutants`: a rule of each floor and of each kind of probe; and that a probe which has nothing to notice says so. */
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type BrokenRule, brokenRules } from '../../src/base/broken-rules.ts'
import { judge } from './judge.ts'
import { type Probe, probes } from './probes.ts'
import { runProbe } from './run-probe.ts'

const SECONDS = 60

test('every rule has a probe and a line in docs/testing.md, and only rules have', () => {
  const rules = Object.keys(brokenRules).sort()
  assert.equal(Object.keys(probes).sort(), rules)
  const section = readFileSync('docs/testing.md', 'utf8').split('## Mutants')[1]?.split('\n## ')[0] as string
  assert.equal([...section.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name).sort(), rules)
  assert.ok(Object.values(brokenRules).every((broken) => !broken))
})

for (const rule of ['leaseAfterIo', 'promiseStands', 'fenceBeforeRecovery', 'deps'] as const satisfies BrokenRule[]) {
  test(`${rule}: noticed when it is broken, and nothing else is`, async () => {
    const [outcome] = await judge([rule], { seconds: SECONDS, jobs: 1, report() {} })
    assert.is(outcome?.broken.kind, 'noticed')
    assert.ok(outcome?.broken.message, 'and said why')
    assert.is(outcome?.intact?.kind, 'held', outcome?.intact?.message)
  })
}

test('a rule that a probe has nothing to do with is not noticed by it', async () => {
  assert.is((await runProbe(probes.leaseAfterIo, 'deps', SECONDS)).kind, 'held')
})

test('a probe that names no test, or takes too long, has noticed nothing', async () => {
  const wrong: Probe = { by: 'test', file: 'test/unit/san/psd.test.ts', name: 'there is no such test' }
  let error: unknown
  await runProbe(wrong, 'gate', SECONDS).catch((caught) => (error = caught))
  assert.match(String(error), 'no test "there is no such test"')
  assert.is((await runProbe(probes.deps, undefined, 0.2)).kind, 'out of time')
})

test.run()
