/**
 * `npm run mutants [-- --only a,b] [--seconds-per-rule S] [--jobs N]`: breaks every safety rule of src/base/broken-rules.ts in turn, and runs what is
 * to notice it (probes.ts); then the same with no rule broken, which must hold. Exits with 0 when every rule was noticed and nothing else was.
 */
import { type BrokenRule, brokenRules } from '../../src/base/broken-rules.ts'
import { scriptOptions } from '../helpers/script-options.ts'
import { judge, type Outcome } from './judge.ts'
import { probes } from './probes.ts'

const rules = Object.keys(probes) as BrokenRule[]
const values = scriptOptions(
  {
    only: { type: 'string' },
    'seconds-per-rule': { type: 'string', default: '300' },
    jobs: { type: 'string', default: '2' },
  },
  `Breaks each safety rule and shows that it is noticed.
  --only a,b            these rules: ${rules.join(', ')}
  --seconds-per-rule S  how long a rule's probe may take (300)
  --jobs N              probes at a time (2)`,
)
const chosen = values.only?.split(',') ?? rules
const unknown = chosen.find((name) => !Object.hasOwn(brokenRules, name))
const seconds = Number(values['seconds-per-rule'])
const jobs = Number(values.jobs)
if (unknown !== undefined || !(seconds > 0) || !(Number.isSafeInteger(jobs) && jobs > 0)) {
  console.error(
    unknown === undefined ? '--seconds-per-rule and --jobs take numbers above 0' : `there is no rule ${unknown}`,
  )
  process.exit(2)
}

const began = performance.now()
const outcomes = await judge(chosen as BrokenRule[], {
  seconds,
  jobs,
  report: (outcome) => console.log(lineOf(outcome)),
})
const survived = outcomes.filter(({ broken }) => broken.kind !== 'noticed')
const disturbed = outcomes.filter(({ intact }) => intact !== undefined && intact.kind !== 'held')
for (const { rule, broken } of survived) console.log(`NOT NOTICED: ${rule} (${broken.kind})`)
for (const { rule, intact } of disturbed)
  console.log(`NOT THE RULE: ${rule}: ${intact?.kind} without it, too: ${intact?.message}`)
console.log(
  `${outcomes.length} rules broken: ${outcomes.length - survived.length} noticed; with no rule broken the same tests and seeds: ${outcomes.length - disturbed.length - survived.length} hold; ${Math.round((performance.now() - began) / 1000)} s`,
)
process.exit(survived.length + disturbed.length === 0 ? 0 : 1)

function lineOf({ rule, probe, broken, intact }: Outcome): string {
  const what =
    probe.by === 'test'
      ? `${probe.file.replace(/^test\/|\.test\.ts$/g, '')} "${probe.name}"`
      : `${probe.by}, ${seedsOf(probe.first, broken.seed)}`
  const times = `${(broken.ms / 1000).toFixed(1)} s, intact ${intact ? `${intact.kind} in ${(intact.ms / 1000).toFixed(1)} s` : 'not run'}`
  return `${rule.padEnd(22)} ${broken.kind} by ${what} (${times}): ${broken.message.slice(0, 150)}`
}

function seedsOf(first: number, seed: number | undefined): string {
  return seed === undefined ? `from seed ${first}` : `seed ${seed}, the ${seed - first + 1}. tried`
}
