/**
 * `npm run e2e:cluster`: matrices of real processes in network namespaces, to which everything happens that has to be survived, under the
 * load of the coherence checker. Exits with 0 only when nothing was violated.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { command, missing } from './commands.ts'
import { type Kind, kinds, scenariosOf } from './plan.ts'
import { type Fencing, fencings, RealMatrix } from './real-matrix.ts'
import { type Row, tableOf } from './report.ts'
import { Resources } from './resources.ts'
import { play } from './scenario.ts'

const root = new URL('../../..', import.meta.url).pathname

const usage = `Matrices of real matrixd processes in network namespaces, under the load of the coherence checker: nodes are killed and
stopped, cut from each other and from the SAN; they leave and join. At every moment at most one side may serve, every answer
must fit one order, every node must come back without a hand, and matrix fs check must find nothing. Needs root.

  --nodes LIST     sizes of the matrices (2,3,5)
  --only LIST      of ${kinds.join(',')} (all)
                     kill    kill -9 of a node
                     stop    SIGSTOP for 1, 5, 20 and 60 s
                     cut     the network between two halves, both ways and one way
                     san     a node cut from the SAN: I/O hangs, then fails
                     frozen  SIGSTOP before the fence, SIGCONT after (not with fencing by kill)
                     join    a node leaves and joins
                     luns    a LUN is added and removed
  --fencing LIST   of ${fencings.join(',')} (all): SIGKILL; a script that cuts a node off at the SAN; its lease alone
  --quick          one of each kind
  --seed N         which nodes, and what clients do (1)
  --dir DIR        where the matrices keep their data (var/e2e-cluster; what a run left there is removed)
  --prefix NAME    of the namespaces; two runs at once need two, and two directories (mfsc)
  --save           write the table to bench/results/cluster-DATE-COMMIT.md
  --help           this text

Exit codes: 0 nothing was violated or too late, 1 something was, 2 wrong option, or this machine lacks something (it is said what).`

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '2,3,5' },
    only: { type: 'string', default: kinds.join(',') },
    fencing: { type: 'string', default: fencings.join(',') },
    quick: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    dir: { type: 'string', default: join(root, 'var/e2e-cluster') },
    prefix: { type: 'string', default: 'mfsc' },
    save: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log(usage)
  process.exit(0)
}
const sizes = values.nodes.split(',').map(Number)
if (!sizes.every((size) => Number.isInteger(size) && size >= 2 && size <= 8))
  wrong(`--nodes ${values.nodes}: 2 … 8 each`)
const only = listOf<Kind>('only', kinds)
const chosenFencings = listOf<Fencing>('fencing', fencings)
const seed = Number(values.seed)
if (!Number.isSafeInteger(seed) || seed < 0) wrong(`--seed takes a whole number, not ${values.seed}`)
const lacking = missing()
if (lacking.length > 0) wrong(`this machine lacks what the test needs:\n  ${lacking.join('\n  ')}`)

const rows: Row[] = []
const broken: string[] = []
for (const nodes of sizes) for (const fencing of chosenFencings) await playAll(nodes, fencing)

const table = tableOf(rows)
// who shares few processors with many others starts and answers late
const load = `${availableParallelism()} processors, load ${loadavg()[0]?.toFixed(1)}`
const note = `Seconds, median / worst; \`!\` is over the goal (docs/testing.md). ${load}.`
console.log(`\n${table}\n\n${note}`)
for (const line of broken) console.log(line)
if (values.save) save()
process.exit(broken.length === 0 && rows.length > 0 ? 0 : 1)

async function playAll(nodes: number, fencing: Fencing): Promise<void> {
  const scenarios = scenariosOf({ nodes, fencing, only, quick: values.quick, seed })
  if (scenarios.length === 0) return
  console.log(`${nodes} nodes, fencing by ${fencing}`)
  const matrix = await RealMatrix.create({ dir: values.dir, nodes, prefix: values.prefix, fencing })
  try {
    const resources = await Resources.make(matrix)
    for (const [index, scenario] of scenarios.entries()) {
      console.log(` ${scenario.name}`)
      const result = await play(scenario, { matrix, resources, say: console.log, seed: seed + index })
      rows.push({ ...result, nodes, fencing })
      console.log(
        `  ${result.operations} operations in ${result.seconds.toFixed(0)} s, ${result.violations.length} violations`,
      )
      const faults = [
        ...result.violations.map((each) => `VIOLATION ${each}`),
        ...result.late.map((each) => `TOO LATE ${each}`),
      ]
      for (const fault of faults) {
        console.log(`  ${fault}`)
        broken.push(`${nodes} nodes, ${fencing}, ${scenario.name}: ${fault.split('\n')[0]}`)
      }
    }
    await matrix.stopAll()
  } catch (error) {
    broken.push(`${nodes} nodes, ${fencing}: VIOLATION ${error instanceof Error ? error.message : error}`)
    console.log(broken.at(-1))
  } finally {
    await matrix.dispose()
  }
}

function save(): void {
  const commit = command('git', '-C', root, 'rev-parse', '--short', 'HEAD').trim()
  const date = new Date().toISOString().slice(0, 10)
  const name = (again: number) => `cluster-${date}-${commit}${again > 1 ? `-${again}` : ''}.md`
  let again = 1
  while (existsSync(join(root, 'bench/results', name(again)))) again++
  const file = join(root, 'bench/results', name(again))
  const call = `npm run e2e:cluster -- ${process.argv.slice(2).join(' ')}`
  mkdirSync(join(root, 'bench/results'), { recursive: true })
  const text = [`# Cluster end to end, ${date}, ${commit}`, `\`${call.trim()}\``, table, note, ...broken]
  writeFileSync(file, `${text.join('\n\n')}\n`)
  console.log(`saved in ${file}`)
}

function listOf<T extends string>(name: 'only' | 'fencing', allowed: readonly T[]): readonly T[] {
  return values[name].split(',').map((word) => {
    const known = allowed.find((each) => each === word)
    return known ?? wrong(`--${name} ${values[name]}: of ${allowed.join(', ')}`)
  })
}

function wrong(message: string): never {
  console.error(message)
  process.exit(2)
}
