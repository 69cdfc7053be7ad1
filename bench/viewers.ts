/**
 * `npm run bench -- viewers`: what NFS clients of a node notice of people who look at it: its throughput while fifty have the dashboard and the metrics open (watchers.ts), and
 * while nobody has, in turns. All of it on this machine: what the watchers' process itself takes is part of the fall.
 */
import { type ChildProcess, spawn } from 'node:child_process'
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
type Row = { readonly name: string; readonly alone: Turn[]; readonly watched: Turn[] }

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
    const objects = await Objects.make(target)
    const rows: Row[] = names.map((name) => ({ name, alone: [], watched: [] }))
    const turn = async (name: WorkloadName): Promise<Turn> => {
      const before = cpuMicros(target)
      const { perSecond, p99Us, calls } = await storm(target, await objects.workload(name), { ...options, seconds })
      return { perSecond, p99Us, serverUs: (cpuMicros(target) - before) / calls }
    }
    for (const row of rows) await turn(row.name as WorkloadName) // warm
    for (let run = 0; run < runs; run++) {
      process.stderr.write(`  run ${run + 1} of ${runs}, alone\n`)
      for (const row of rows) row.alone.push(await turn(row.name as WorkloadName))
      process.stderr.write(`  run ${run + 1} of ${runs}, watched\n`)
      const watchers = await watch(admin?.url as string, values.viewers)
      await sleep(SETTLE_MS)
      for (const row of rows) row.watched.push(await turn(row.name as WorkloadName))
      await watchers.end()
    }
    await objects.close()
    const text = report(rows, values.viewers, `medians of ${runs} runs of ${seconds} s`)
    process.stdout.write(text)
    if (!values['no-save']) process.stderr.write(`kept in ${save('viewers-', text, rows)}\n`)
  } finally {
    await demo.dispose()
  }
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
  const lines = rows.map(({ name, alone, watched }) => {
    const ratio = median(alone.map((each, run) => (watched[run] as Turn).perSecond / each.perSecond))
    return [
      `${name} ${options.connections}x${options.depth}`,
      shown(alone),
      shown(watched),
      ratio.toFixed(3),
      `${GOAL}`,
    ]
  })
  const head = ['calls/s; p99 µs; server CPU µs/call', 'alone', `${viewers} viewers`, 'times', 'goal']
  return `matrixfs ${commit()}, ${new Date().toISOString().slice(0, 10)}: NFS beside ${viewers} viewers, each with the dashboard and the metrics open
${machine()}; ${how}

${markdownTable(head, lines)}

The watchers run on this machine, too: what their process takes of the processors is in the difference.
`
}
