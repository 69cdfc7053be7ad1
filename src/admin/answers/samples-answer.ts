/** What each node has done lately, sample by sample: all that is kept, or the newest of them. */

import type { Sample } from '../api/node-report.ts'
import type { Collector } from '../collector.ts'
import { SAMPLE_MS } from '../samples.ts'
import { nodeAnswer } from './matrix-answer.ts'

/** Who looks every two seconds, and has missed a few looks, still finds all that is new, samples. */
const RECENT = 6

/** Those after `at`, by the clock of the node that took them. */
export function answerSamples(collector: Collector, at: number) {
  return answer(collector, (samples) => samples.filter((sample) => sample.at > at))
}

export function answerRecentSamples(collector: Collector) {
  return answer(collector, (samples) => samples.slice(-RECENT))
}

async function answer(collector: Collector, wanted: (samples: readonly Sample[]) => readonly Sample[]) {
  const nodes = (await collector.samples()).map((each) => {
    return { ...nodeAnswer(each), slot: each.slot, samples: wanted(each.value ?? []) }
  })
  return { everyMs: SAMPLE_MS, nodes }
}
