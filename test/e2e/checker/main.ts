/**
 * `npm run e2e:checker [-- --seconds 60 --nodes 3 --protocols nfs,http,mount --clients 2 --seed 1 --kill --dir DIR --matrix FILE]`: clients of all
 * nodes and protocols work on the same few objects, and every answer must fit one order of all operations (wgl.ts). Then `matrix fs
 * check` finds nothing, and the images of all nodes are equal. Exits with 0 only when everything is explained.
 */
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Demo, type DemoMatrix } from '../demo.ts'
import type { Operation } from './history.ts'
import { imagesEqual } from './images.ts'
import { judge } from './judge.ts'
import { type Protocol, protocols, run } from './run.ts'

const usage = `Clients of all nodes and protocols work on shared objects; every answer must fit one order of all operations.
  --seconds N        how long they work (60)
  --nodes N          of the demo that is started (3)
  --protocols LIST   of ${protocols.join(',')} (nfs,http)
  --clients N        per node and protocol (2)
  --seed N           what they do (1)
  --kill             SIGKILL one node in the middle, and start it again
  --bound N          configurations looked at per object, at most (2000000)
  --dir DIR          where the demo keeps its data (var/e2e-checker; what is there is removed)
  --base-port N      of the demo (27000)
  --matrix FILE      use the running demo whose matrix.json this is, instead of starting one`

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    nodes: { type: 'string', default: '3' },
    protocols: { type: 'string', default: 'nfs,http' },
    clients: { type: 'string', default: '2' },
    seed: { type: 'string', default: '1' },
    kill: { type: 'boolean', default: false },
    bound: { type: 'string', default: '2000000' },
    dir: { type: 'string', default: join(new URL('../../..', import.meta.url).pathname, 'var/e2e-checker') },
    'base-port': { type: 'string', default: '27000' },
    matrix: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log(usage)
  process.exit(0)
}
const chosen = values.protocols.split(',').map((name) => {
  const protocol = protocols.find((known) => known === name)
  return protocol ?? wrong(`--protocols ${values.protocols}: the protocols are ${protocols.join(', ')}`)
})
if (values.matrix !== undefined && values.kill) wrong('--kill needs a demo of its own: leave out --matrix')

const options = {
  seconds: wholeNumber('seconds'),
  clients: wholeNumber('clients'),
  seed: wholeNumber('seed'),
  protocols: chosen as readonly Protocol[],
}
let demo: Demo | undefined
let holds = false
try {
  if (values.matrix === undefined) {
    rmSync(values.dir, { recursive: true, force: true })
    mkdirSync(values.dir, { recursive: true })
    demo = new Demo({
      dir: values.dir,
      nodes: wholeNumber('nodes'),
      basePort: wholeNumber('base-port'),
      mount: chosen.includes('mount'),
    })
    await demo.start()
  }
  const matrix = demo?.matrix ?? (JSON.parse(readFileSync(values.matrix as string, 'utf8')) as DemoMatrix)
  const { operations, deaths } = await run({ ...options, matrix, ...(values.kill && demo && { kill: demo }) })
  for (const line of counts(operations)) console.log(line)
  const began = performance.now()
  const { objects, configurations, unexplained, undecided } = judge(operations, deaths, wholeNumber('bound'))
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  for (const report of [...unexplained, ...undecided]) console.log(report)
  holds = unexplained.length === 0 && undecided.length === 0 && operations.length > 0
  if (demo) {
    console.log(
      `images of all nodes are equal: ${await imagesEqual(matrix.nodes.map(({ name }) => join(values.dir, name)))} rows each`,
    )
    console.log(demo.check().trim())
  }
  console.log(
    `${operations.length} operations on ${objects} objects, ${deaths.length} deaths, ${configurations} configurations looked at, judged in ${seconds} s: ${holds ? 'everything is explained' : `${unexplained.length} objects unexplained, ${undecided.length} undecided`} (seed ${options.seed})`,
  )
} finally {
  await demo?.dispose()
}
process.exit(holds ? 0 : 1)

/** Operations by kind and protocol. */
function counts(operations: readonly Operation[]): string[] {
  const table = new Map<string, Map<string, number>>()
  const reasons = new Map<string, number>()
  for (const { object, protocol, call, answer, why = 'no answer' } of operations) {
    if (answer === undefined) reasons.set(`${protocol}: ${why}`, (reasons.get(`${protocol}: ${why}`) ?? 0) + 1)
    const kind = `${object.split('/')[0]?.replace(/[0-9]/g, '')} ${(call as { kind: string }).kind}`
    const row = table.get(kind) ?? new Map<string, number>()
    row.set(protocol, (row.get(protocol) ?? 0) + 1)
    table.set(kind, row)
  }
  const rows = [...table].sort(([a], [b]) => (a < b ? -1 : 1))
  const lines = rows.map(
    ([kind, row]) => `${kind.padEnd(20)}${chosen.map((name) => `${row.get(name) ?? 0} ${name}`.padStart(14)).join('')}`,
  )
  return [...lines, ...[...reasons].map(([why, count]) => `${count} without an answer (${why})`)]
}

function wholeNumber(name: 'seconds' | 'clients' | 'seed' | 'nodes' | 'base-port' | 'bound'): number {
  const value = Number(values[name])
  return Number.isSafeInteger(value) && value >= 0
    ? value
    : wrong(`--${name} takes a whole number, not ${values[name]}`)
}

function wrong(message: string): never {
  console.error(message)
  process.exit(2)
}
