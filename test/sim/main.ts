/**
 * `npm run sim -- [--seeds 100] [--first-seed 1] [--break RULE] [--verbose] [--log]`: seeded simulations of whole matrices. Exits with 0 when all held
 * (with --break: when some seed caught the broken rule); the last line has the counts.
 */
import { parseArgs } from 'node:util'
import { brokenRules } from '../../src/base/broken-rules.ts'
import { createLog } from '../../src/platform/real/log.ts'
import type { FaultCounts } from './faults.ts'
import { ruleNames, simulate } from './run.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    'first-seed': { type: 'string', default: '1' },
    break: { type: 'string' },
    verbose: { type: 'boolean', default: false },
    log: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) {
  console.log(`Simulates whole matrices in virtual time, one per seed.
  --seeds N        how many (100)
  --first-seed N   the first one (1)
  --break RULE     break a rule of the design; some seed must catch it: ${ruleNames.join(', ')}
  --verbose        print every event (to repeat a failed seed: --first-seed N --seeds 1 --verbose)
  --log            print what the nodes log`)
  process.exit(0)
}

const seeds = wholeNumber('seeds', values.seeds)
const first = wholeNumber('first-seed', values['first-seed'])
const rule = ruleNames.find((name) => name === values.break)
if (values.break !== undefined && !rule) {
  console.error(`--break ${values.break}: the rules are ${ruleNames.join(', ')}`)
  process.exit(2)
}
if (rule) brokenRules[rule] = true

let held = 0
let failed = 0
const totals = {
  operations: 0,
  crashes: 0,
  powerLosses: 0,
  partitions: 0,
  pauses: 0,
  slowness: 0,
  fences: 0,
  locksChecked: 0,
  virtualMs: 0,
}
const began = performance.now()
for (let seed = first; seed < first + seeds; seed++) {
  try {
    const log = values.log ? (node: string) => createLog({ level: 'debug' }).child({ node }) : undefined
    const result = await simulate(seed, { verbose: values.verbose, log })
    held++
    for (const key of Object.keys(totals) as (keyof typeof totals)[]) totals[key] += result[key]
    console.log(
      `seed ${seed} held, hash ${result.hash}: ${result.operations} operations, ${describeFaults(result)}, ${result.events} events`,
    )
  } catch (error) {
    failed++
    console.log(error instanceof Error ? error.message : String(error))
    if (rule) break
  }
}
const seconds = ((performance.now() - began) / 1000).toFixed(0)
console.log(
  `${held + failed} seeds${rule ? ` with rule '${rule}' broken` : ''}: ${held} held, ${failed} failed; ${(totals.virtualMs / 3_600_000).toFixed(2)} virtual hours, ${totals.operations} operations, ${describeFaults(totals)}, ${totals.locksChecked} lock pairs checked, ${seconds} s`,
)
process.exit((rule ? failed > 0 : failed === 0 && held > 0) ? 0 : 1)

function wholeNumber(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0) {
    console.error(`--${name} takes a whole number, not ${text}`)
    process.exit(2)
  }
  return value
}

function describeFaults(counts: FaultCounts & { readonly fences: number }): string {
  const { crashes, powerLosses, partitions, pauses, slowness, fences } = counts
  return `${crashes} crashes, ${powerLosses} power losses, ${partitions} partitions, ${pauses} pauses, ${slowness} slow LUNs, ${fences} fences`
}
