/**
 * `npm run bench -- viewers`: what NFS clients of a node notice of fifty people who have its dashboard and its metrics open (watchers.ts).
 *
 * The node has a processor to itself, as a server has; the load and the viewers share the rest, where the viewers, whose browsers would be elsewhere, get what the load leaves. Turns of two seconds with and
 * without viewers follow each other, since a machine is faster and slower by more than what is looked for, from one second to the next: each pair gives a ratio, and the result is their mean.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { Demo } from '../test/e2e/demo.ts'
import { markdownTable } from '../test/helpers/markdown-table.ts'
import { median } from './handover.ts'
import { commit, machine, save } from './results.ts'
import { type StormResult, storm } from './storm.ts'
import type { Target } from './target.ts'
import { Objects, type WorkloadName } from './workloads.ts'

const names = ['getattr', 'read-4k', 'write-4k'] as const satisfies readonly WorkloadName[]
/** Enough to fill the node. */
const options = { connections: 8, depth: 32 }
/** Of the throughput without viewers. */
const GOAL = 0.95

const help = `npm run bench -- viewers [options]

  --viewers N       so many (default 50)
  --pairs N         turns of every workload without viewers and with them (default 40)
  --seconds S       length of one (default 2: the dashboard is told everything once in it)
  --base-port P     ports of the demo (default 26000)
  --no-save         leave bench/results/ alone

Takes eight minutes.`

type Pair = { readonly alone: StormResult; readonly watched: StormResult }
type Row = { readonly name: string; readonly pairs: readonly Pair[] }

export async function benchViewers(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      viewers: { type: 'string', default: '50' },
      pairs: { type: 'string', default: '40' },
      seconds: { type: 'string', default: '2' },
      'base-port': { type: 'string', default: '26000' },
      'no-save': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return void process.stdout.write(`${help}\n`)
  const [count, seconds] = [Number(values.pairs), Number(values.seconds)]
  const demo = new Demo({ nodes: 2, basePort: Number(values['base-port']) })
  try {
    await demo.start()
    const { nfs, pid, admin } = demo.node('n1')
    const target: Target = { name: 'n1', ...nfs, pid }
    pin(pid, '0')
    for (const each of [demo.node('n2').pid, process.pid]) pin(each, others())
    const objects = await Objects.make(target)
    const viewers = await Viewers.start(admin?.url as string, values.viewers)
    const rows: Row[] = []
    for (const name of names) {
      const turn = async (way: 'watch' | 'rest') => {
        await viewers.all(way)
        return storm(target, await objects.workload(name), { ...options, seconds })
      }
      await turn('watch') // warm
      const pairs: Pair[] = []
      while (pairs.length < count) {
        if (pairs.length % 10 === 0) process.stderr.write(`  ${name}, pair ${pairs.length + 1} of ${count}\n`)
        // to and fro, so that whatever comes second is as often the one as the other
        if (pairs.length % 2 === 0) {
          const alone = await turn('rest')
          pairs.push({ alone, watched: await turn('watch') })
        } else {
          const watched = await turn('watch')
          pairs.push({ alone: await turn('rest'), watched })
        }
      }
      rows.push({ name, pairs })
    }
    await viewers.end()
    await objects.close()
    const text = report(rows, values.viewers, `${count} pairs of turns of ${seconds} s`)
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

class Viewers {
  readonly #child: ChildProcess
  readonly #ended: Promise<number | null>
  #heard: (line: string) => void = () => undefined

  private constructor(url: string, count: string) {
    const script = join(import.meta.dirname, 'watchers.ts')
    const command = ['--idle', '0', process.execPath, script, url, count]
    this.#child = spawn('chrt', command, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#ended = new Promise((resolve) => this.#child.once('exit', resolve))
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (line) => this.#heard(line))
  }

  static async start(url: string, count: string): Promise<Viewers> {
    const viewers = new Viewers(url, count)
    await viewers.#hear('ready')
    return viewers
  }

  /** Rejects when somebody was not answered. */
  async all(way: 'watch' | 'rest'): Promise<void> {
    const heard = this.#hear(way)
    this.#child.stdin?.write(`${way}\n`)
    await heard
  }

  async end(): Promise<void> {
    this.#child.stdin?.end()
    const code = await this.#ended
    if (code !== 0) throw new Error(`the viewers have ended with ${code}`)
  }

  #hear(wanted: string): Promise<void> {
    return Promise.race([
      new Promise<void>((resolve) => {
        this.#heard = (line) => {
          if (line === wanted) resolve()
        }
      }),
      this.#ended.then((code) => Promise.reject(new Error(`the viewers have ended with ${code}`))),
    ])
  }
}

/** Geometric mean of the ratios, and its standard error. */
function ratioOf(pairs: readonly Pair[]): { readonly mean: number; readonly error: number } {
  const logs = pairs.map(({ alone, watched }) => Math.log(watched.perSecond / alone.perSecond))
  const mean = logs.reduce((sum, each) => sum + each, 0) / logs.length
  const variance = logs.reduce((sum, each) => sum + (each - mean) ** 2, 0) / (logs.length - 1)
  return { mean: Math.exp(mean), error: Math.exp(mean) * Math.sqrt(variance / logs.length) }
}

function report(rows: readonly Row[], viewers: string, how: string): string {
  const lines = rows.map(({ name, pairs }) => {
    const shown = (turns: readonly StormResult[]) => {
      const of = (pick: (turn: StormResult) => number) => median(turns.map(pick))
      const [rate, p99, load] = [
        of(({ perSecond }) => perSecond),
        of(({ p99Us }) => p99Us),
        of((turn) => turn.clientLoad),
      ]
      return `${rate.toFixed(0)}; ${p99.toFixed(0)}; ${load.toFixed(2)}`
    }
    const { mean, error } = ratioOf(pairs)
    const workload = `${name} ${options.connections}x${options.depth}`
    const both = [pairs.map(({ alone }) => alone), pairs.map(({ watched }) => watched)]
    return [workload, ...both.map(shown), `${mean.toFixed(3)} ± ${error.toFixed(3)}`, `${GOAL}`]
  })
  const head = [
    ...['calls/s; p99 µs; processors the load took', 'nobody looks', `${viewers} look`],
    ...['times nobody, ± standard error', 'goal'],
  ]
  return `matrixfs ${commit()}, ${new Date().toISOString().slice(0, 10)}: NFS beside ${viewers} viewers, each with the dashboard and the metrics of the node open
${machine()}; ${how}

${markdownTable(head, lines)}

The node has the first processor to itself; the load and the viewers have the rest, the viewers what the load leaves.
`
}
