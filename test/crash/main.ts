/**
 * `npm run crash -- [--seed 1] [--points 3000] [--case N [--moment N]]`: crashes in sequences of operations, at every write and
 * flush. Exits with 0 when a peer could always take over what was promised; the last line has the counts.
 */

import { scriptOptions } from '../helpers/script-options.ts'
import { FIXED_CASES } from './cases.ts'
import { CrashRun, summary } from './run.ts'

const values = scriptOptions(
  {
    seed: { type: 'string', default: '1' },
    points: { type: 'string', default: '3000' },
    case: { type: 'string' },
    moment: { type: 'string' },
    verbose: { type: 'boolean', default: false },
  },
  `Crashes at every write and flush of sequences of operations; a peer takes over, checks everything, goes on.
  --seed N      draws samples of two operations, what survives, and where the peer crashes (1)
  --points N    go on with sequences of two operations until there were so many crash points (3000);
                the ${FIXED_CASES} others, of one operation mostly, are always run
  --case N      only this case
  --moment N    only this crash point of the case
  --verbose     a line for every case`,
)

const began = performance.now()
let told = began
const run = new CrashRun({
  seed: wholeNumber('seed', values.seed),
  onFailure: (text) => console.log(text),
  onCase: ({ number, sequence, conditions }, totals) => {
    if (values.verbose) console.log(`case ${number}: ${sequence.name} ${JSON.stringify(conditions)}`)
    if (performance.now() - told < 10_000) return
    told = performance.now()
    console.log(`${((told - began) / 1000).toFixed(0)} s: case ${number}, ${summary(totals)}`)
  },
})
if (values.case === undefined) await run.all(wholeNumber('points', values.points))
else
  await run.one(
    wholeNumber('case', values.case),
    values.moment === undefined ? undefined : wholeNumber('moment', values.moment),
  )
console.log(`seed ${values.seed}, ${((performance.now() - began) / 1000).toFixed(0)} s: ${summary(run.totals)}`)
process.exit(run.totals.failures === 0 && run.totals.points > 0 ? 0 : 1)

function wholeNumber(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0) {
    console.error(`--${name} takes a whole number, not ${text}`)
    process.exit(2)
  }
  return value
}
