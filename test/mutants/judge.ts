/**
 * Breaks rules, one at a time, and says what came of it; for each that was noticed the counter-test: the same test, or the very seed
 * that noticed it, with no rule broken. Several rules may share a probe, whose counter-test is then run once.
 */
import type { BrokenRule } from '../../src/base/broken-rules.ts'
import { type Probe, probes } from './probes.ts'
import { runProbe, type Verdict } from './run-probe.ts'

export type Outcome = {
  readonly rule: BrokenRule
  readonly probe: Probe
  readonly broken: Verdict
  /** With no rule broken; undefined when there was nothing to compare with. */
  readonly intact: Verdict | undefined
}

export type JudgeOptions = {
  /** How long a probe may take. */
  readonly seconds: number
  /** Probes at a time. */
  readonly jobs: number
  /** Called with each outcome, as they come. */
  readonly report: (outcome: Outcome) => void
}

/** The outcomes, in the order of `rules`. */
export async function judge(rules: readonly BrokenRule[], options: JudgeOptions): Promise<readonly Outcome[]> {
  const { seconds, jobs, report } = options
  const intactRuns = new Map<string, Promise<Verdict>>()
  const intactRun = (probe: Probe): Promise<Verdict> => {
    const key = JSON.stringify(probe)
    let run = intactRuns.get(key)
    if (!run) intactRuns.set(key, (run = runProbe(probe, undefined, seconds)))
    return run
  }
  const outcomes: Outcome[] = []
  let next = 0
  const work = async (): Promise<void> => {
    while (next < rules.length) {
      const at = next++
      const rule = rules[at] as BrokenRule
      const probe = probes[rule]
      const broken = await runProbe(probe, rule, seconds)
      const intact = broken.kind === 'noticed' ? await intactRun(narrowed(probe, broken)) : undefined
      const outcome = { rule, probe, broken, intact }
      outcomes[at] = outcome
      report(outcome)
    }
  }
  await Promise.all(Array.from({ length: jobs }, work))
  return outcomes
}

function narrowed(probe: Probe, { seed }: Verdict): Probe {
  if (probe.by === 'test' || seed === undefined) return probe
  return { ...probe, first: seed, seeds: 1 }
}
