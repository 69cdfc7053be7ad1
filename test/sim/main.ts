/**
 * `npm run sim`: seeded simulations of whole matrices, as many as asked for or as fit into some minutes. Exits with 0 when all held (with
 * --break: when some seed caught the broken rule); what was reached, and what never, is printed at the end.
 */
import { availableParallelism } from 'node:os'
import { brokenRules } from '../../src/base/broken-rules.ts'
import { createLog } from '../../src/platform/real/log.ts'
import { scriptOptions } from '../helpers/script-options.ts'
import { mixNames } from './mix.ts'
import { Report } from './report.ts'
import { mixOf, ruleNames } from './run.ts'
import { runSeeds } from './seed-pool.ts'

const values = scriptOptions(
  {
    seeds: { type: 'string' },
    minutes: { type: 'string' },
    'first-seed': { type: 'string' },
    jobs: { type: 'string' },
    mix: { type: 'string' },
    'verify-hash': { type: 'boolean', default: false },
    save: { type: 'boolean', default: false },
    break: { type: 'string' },
    verbose: { type: 'boolean', default: false },
    log: { type: 'boolean', default: false },
  },
  `Simulates whole matrices in virtual time, one per seed.
  --seeds N        how many (100)
  --minutes M      instead: until so many minutes are over
  --first-seed N   the first one (1; with --minutes another one every time)
  --mix NAME       only seeds of this kind: ${mixNames.join(', ')}
  --jobs N         processes (one per core)
  --verify-hash    run every seed twice: it must give the same run
  --save           write what was reached to bench/results
  --break RULE     break a rule of the design; some seed must catch it: ${ruleNames.join(', ')}
  --verbose        print every event (to repeat a failed seed: --first-seed N --seeds 1 --verbose)
  --log            print what the nodes log`,
)

const minutes = values.minutes === undefined ? undefined : number('minutes', values.minutes)
const seeds = minutes === undefined ? wholeNumber('seeds', values.seeds ?? '100') : Number.POSITIVE_INFINITY
const first = wholeNumber('first-seed', values['first-seed'] ?? (minutes === undefined ? '1' : `${Date.now() % 1e9}`))
const rule = ruleNames.find((name) => name === values.break)
if (values.break !== undefined && !rule) {
  console.error(`--break ${values.break}: the rules are ${ruleNames.join(', ')}`)
  process.exit(2)
}
if (values.mix !== undefined && !mixNames.includes(values.mix)) {
  console.error(`--mix ${values.mix}: the kinds are ${mixNames.join(', ')}`)
  process.exit(2)
}
if (rule) brokenRules[rule] = true

// what is printed or broken is printed and broken here
const here = rule !== undefined || values.verbose || values.log
const jobs = here ? 1 : Math.max(1, wholeNumber('jobs', values.jobs ?? `${Math.min(availableParallelism(), seeds)}`))
const report = new Report(first, values.save)
const over = () => minutes !== undefined && report.seconds >= minutes * 60
let seed = first
let given = 0
function next(): number | undefined {
  if (given >= seeds || over() || (rule && report.failures.length > 0)) return undefined
  while (values.mix !== undefined && mixOf(seed) !== values.mix) seed++
  given++
  return seed++
}
await runSeeds(
  jobs,
  next,
  (outcome) => {
    console.log(report.add(outcome))
    if (report.seeds % 50 === 0) console.log(report.summary())
  },
  {
    verify: values['verify-hash'],
    verbose: values.verbose,
    ...(values.log && { log: (node: string) => createLog({ level: 'debug' }).child({ node }) }),
  },
)
console.log(report.table())
for (const { failure } of report.failures) console.log(failure)
console.log(`${rule ? `with rule '${rule}' broken: ` : ''}${report.summary()}`)
if (values.save) console.log(report.save())
process.exit((rule ? report.failures.length > 0 : report.failures.length === 0 && report.seeds > 0) ? 0 : 1)

function wholeNumber(name: string, text: string): number {
  const value = number(name, text)
  if (!Number.isSafeInteger(value)) {
    console.error(`--${name} takes a whole number, not ${text}`)
    process.exit(2)
  }
  return value
}

function number(name: string, text: string): number {
  const value = Number(text)
  if (!(value >= 0 && value < Number.POSITIVE_INFINITY)) {
    console.error(`--${name} takes a number, not ${text}`)
    process.exit(2)
  }
  return value
}
