/**
 * `npm run bench -- viewers`: what NFS clients of a node notice of people who look at it. In turns: nobody looks; fifty have the dashboard and the metrics of the other node open
 * (watchers.ts); they have those of this node open. The node has a processor to itself, as a server has; the load, the viewers and the other node share the rest, and the second of the
 * three tells what that alone makes of the figures.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Demo } from '../test/e2e/demo.ts'
import { markdownTable } from '../test/helpers/markdown-table.ts'
import { median } from './handover.ts'
import { commit, machine, save } from './results.ts'
import { storm } from './storm.ts'
import { cpuMicros, type Target } from './target.ts'
import { Objects, type WorkloadName } from './workloads.ts'

const names = ['getattr', 'read-4k', 'write-4k'] as const satisfies readonly WorkloadName[]
const options = { connections: 8, depth: 8 }
/** Of the throughput without viewers. */
const GOAL = 0.95
/** What viewers ask for settles, ms. */
const SETTLE_MS = 2_000

const help = `npm run bench -- viewers [options]

  --viewers N       so many (default 50)
  --runs N          turns of every workload (default 5); medians are shown
  --seconds S       length of one (default 4)
  --base-port P     ports of the demo (default 26000)
  --no-save         leave bench/results/ alone`

type Turn = { readonly perSecond: number; readonly p99Us: number; readonly serverUs: number }
/** Whom the viewers look at meanwhile. */
const ways = ['nobody', 'the other node', 'this node'] as const
type Way = (typeof ways)[number]
type Row = { readonly name: string; readonly turns: Readonly<Record<Way, Turn[]>> }

export async function benchViewers(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      viewers: { type: 'string', default: '50' },
      runs: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '4' },
      'base-port': { type: 'string', default: '26000' },
      'no-save': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return void process.stdout.write(`${help}\n`)
  const [runs, seconds] = [Number(values.runs), Number(values.seconds)]
  const demo = new Demo({ nodes: 2, basePort: Number(values['base-port']) })
  try {
    await demo.start()
    const { nfs, pid, admin } = demo.node('n1')
    const target: Target = { name: 'n1', ...nfs, pid }
    pin(pid, '0')
    for (const each of [demo.node('n2').pid, process.pid]) pin(each, others())
    const objects = await Objects.make(target)
    const rows: Row[] = names.map((name) => ({ name, turns: { nobody: [], 'the other node': [], 'this node': [] } }))
    const urls: Readonly<Record<Way, string | undefined>> = {
      ...{ nobody: undefined, 'the other node': demo.node('n2').admin?.url, 'this node': admin?.url },
    }
    const turn = async (name: WorkloadName): Promise<Turn> => {
      const before = cpuMicros(target)
      const { perSecond, p99Us, calls } = await storm(target, await objects.workload(name), { ...options, seconds })
      return { perSecond, p99Us, serverUs: (cpuMicros(target) - before) / calls }
    }
    for (const row of rows) await turn(row.name as WorkloadName) // warm
    for (let run = 0; run < runs; run++) {
      for (const way of ways) {
        process.stderr.write(`  run ${run + 1} of ${runs}, viewers look at ${way}\n`)
        const url = urls[way]
        const watchers = url === undefined ? undefined : await watch(url, values.viewers)
        await sleep(SETTLE_MS)
        for (const row of rows) row.turns[way].push(await turn(row.name as WorkloadName))
        await watchers?.end()
      }
    }
    await objects.close()
    const text = report(rows, values.viewers, `medians of ${runs} runs of ${seconds} s`)
    process.stdout.write(text)
    if (!values['no-save']) process.stderr.write(`kept in ${save('viewers-', text, rows)}\n`)
  } finally {
    await demo.dispose()
  }
}

/** All threads of a process run there, and what it starts from now on. Throws an Error that says what is missing. */
function pin(pid: number, processors: string): void {
  const { error, status, stderr } = spawnSync('taskset', ['-acp', processors, `${pid}`], { encoding: 'utf8' })
  if (error) throw new Error('taskset is missing: apt-get install util-linux')
  if (status !== 0) throw new Error(`taskset: ${stderr.trim()}`)
}

/** All processors but the first. */
function others(): string {
  const count = cpus().length
  if (count < 2) throw new Error('two processors are needed: one is for the node')
  return count === 2 ? '1' : `1-${count - 1}`
}

/** `end` rejects when somebody was not answered. */
async function watch(url: string, count: string): Promise<{ end(): Promise<void> }> {
  const script = join(import.meta.dirname, 'watchers.ts')
  const child: ChildProcess = spawn(process.execPath, [script, url, count], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  await Promise.race([
    new Promise((resolve) => createInterface({ input: child.stdout as NodeJS.ReadableStream }).once('line', resolve)),
    ended.then((code) => Promise.reject(new Error(`the watchers have ended with ${code}`))),
  ])
  return {
    async end() {
      child.stdin?.end()
      const code = await ended
      if (code !== 0) throw new Error(`the watchers have ended with ${code}`)
    },
  }
}

function report(rows: readonly Row[], viewers: string, how: string): string {
  const of = (turns: readonly Turn[], pick: (turn: Turn) => number) => median(turns.map(pick))
  const shown = (turns: readonly Turn[]) =>
    `${of(turns, ({ perSecond }) => perSecond).toFixed(0)}; ${of(turns, ({ p99Us }) => p99Us).toFixed(0)}; ${of(turns, ({ serverUs }) => serverUs).toFixed(1)}`
  const lines = rows.map(({ name, turns }) => {
    const here = turns['this node']
    const times = (way: Way) =>
      median(turns[way].map((each, run) => (here[run] as Turn).perSecond / each.perSecond)).toFixed(3)
    const workload = `${name} ${options.connections}x${options.depth}`
    return [workload, ...ways.map((way) => shown(turns[way])), times('nobody'), times('the other node'), `${GOAL}`]
  })
  const head = [
    ...['calls/s; p99 µs; server CPU µs/call', ...ways.map((way) => `${viewers} look at ${way}`)],
    ...['times nobody', 'times the other node', 'goal'],
  ]
  return `matrixfs ${commit()}, ${new Date().toISOString().slice(0, 10)}: NFS beside ${viewers} viewers, each with the dashboard and the metrics open
${machine()}; ${how}

${markdownTable(head, lines)}

The node has the first processor to itself; the load, the viewers and the other node have the rest.
`
}
