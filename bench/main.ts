/**
 * `npm run bench`: a demo of two nodes on this machine's disk, and peers if there are any, measured in turns with the same calls.
 * Prints a table and keeps it, with the commit and the machine, in bench/results/.
 */
import { parseArgs } from 'node:util'
import { canMount } from '../test/e2e/can-mount.ts'
import { Demo } from '../test/e2e/demo.ts'
import { type Handovers, measureHandover, median } from './handover.ts'
import { benchHttp } from './http.ts'
import { startPeers } from './peers.ts'
import { commit, machine, save } from './results.ts'
import { benchSan } from './san.ts'
import { type StormResult, storm } from './storm.ts'
import { cpuMicros, type Target } from './target.ts'
import { benchViewers } from './viewers.ts'
import { Objects, type WorkloadName, workloadNames } from './workloads.ts'

const help = `npm run bench [-- options]        a node, over NFS
npm run bench -- san [options]   the iSCSI initiator (--help for its own)
npm run bench -- http [options]  the HTTP gateway beside nginx and Apache (--help for its own)
npm run bench -- viewers [options]  NFS while people look at the dashboard (--help for its own)

  --only a,b        only these workloads: ${workloadNames.join(', ')}, handover
  --runs N          turns of every workload (default 3); medians are shown
  --seconds S       length of one (default 3)
  --peer SPEC       another server: name=nfs://host:port/export?mountport=N#pid=N  (repeatable)
  --base-port P     ports of the demo (default 26000)
  --no-save         leave bench/results/ alone

With MATRIXFS_PERF_LAB=DIR, DIR/peers.sh starts nfs-ganesha as a peer.`

/** Benchmarks with options of their own. */
const others: Readonly<Record<string, (args: readonly string[]) => Promise<void>>> = {
  ...{ san: benchSan, http: benchHttp, viewers: benchViewers },
}
const what = process.argv[2]
const { values } = parseArgs({
  args: what !== undefined && what in others ? [] : process.argv.slice(2),
  options: {
    only: { type: 'string' },
    runs: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    peer: { type: 'string', multiple: true, default: [] },
    'base-port': { type: 'string', default: '26000' },
    'no-save': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

type Case = { readonly workload: WorkloadName; readonly connections: number; readonly depth: number }
/** `entries`: of a directory in each answer, in the mean; servers fill their answers differently. */
type Sample = StormResult & { readonly serverUs: number; readonly entries: number }
type Row = {
  readonly name: string
  readonly payload: number
  readonly samples: Record<string, Sample[]>
}

const cases: Case[] = [
  ...(['getattr', 'write-4k'] as const).map((workload) => ({ workload, connections: 1, depth: 1 })),
  { workload: 'readdirplus', connections: 1, depth: 1 },
  ...(['null', 'getattr', 'lookup', 'create', 'read-4k', 'write-4k'] as const).map((workload) => ({
    ...{ workload, connections: 8, depth: 8 },
  })),
  ...(['read-1m', 'write-1m'] as const).map((workload) => ({ workload, connections: 4, depth: 2 })),
]

const say = (line: string): void => void process.stderr.write(`${line}\n`)

async function main(): Promise<void> {
  const [runs, seconds] = [Number(values.runs), Number(values.seconds)]
  const only = values.only?.split(',')
  const wanted = (name: string) => !only || only.includes(name)
  const peers = startPeers(values.peer, say)
  const demo = new Demo({ nodes: 2, basePort: Number(values['base-port']), mount: canMount() })
  try {
    say(`the demo is up after ${((await demo.start()) / 1000).toFixed(1)} s`)
    const targets = [ours(demo), ...peers.targets]
    const rows = await measure(
      targets,
      cases.filter(({ workload }) => wanted(workload)),
      { runs, seconds },
    )
    const handover = wanted('handover') ? await measureHandover(demo, runs, say) : undefined
    const text = report(targets, rows, handover)
    process.stdout.write(text)
    if (!values['no-save']) say(`kept in ${save('', text, { rows, handover })}`)
  } finally {
    await demo.dispose()
    peers.stop()
  }
}

function ours(demo: Demo): Target {
  const { nfs, pid } = demo.node('n1')
  return { name: 'matrixfs', host: nfs.host, port: nfs.port, mountPort: nfs.mountPort, export: nfs.export, pid }
}

/** Target after target in every run, never two at once. */
async function measure(
  targets: readonly Target[],
  wanted: readonly Case[],
  { runs, seconds }: { readonly runs: number; readonly seconds: number },
): Promise<Row[]> {
  if (wanted.length === 0) return []
  const objects = new Map<Target, Objects>()
  for (const target of targets) objects.set(target, await Objects.make(target))
  const rows: Row[] = []
  for (const { workload: name, connections, depth } of wanted) {
    const samples: Record<string, Sample[]> = {}
    let payload = 0
    for (let run = 0; run < runs; run++) {
      for (const target of targets) {
        say(`  ${name} ${connections}x${depth}, run ${run + 1} of ${runs}, ${target.name}`)
        const workload = await (objects.get(target) as Objects).workload(name)
        payload = workload.payload
        const before = cpuMicros(target)
        const result = await storm(target, workload, { connections, depth, seconds })
        const serverUs = (cpuMicros(target) - before) / result.calls
        const sample = { ...result, serverUs, entries: workload.entries ?? 0 }
        ;(samples[target.name] ??= []).push(sample)
      }
    }
    rows.push({ name: `${name} ${connections}x${depth}`, payload, samples })
  }
  for (const each of objects.values()) await each.close()
  return rows
}

function report(targets: readonly Target[], rows: readonly Row[], handover: Handovers | undefined): string {
  const [own, ...others] = targets
  const lines = [
    `matrixfs ${commit()}, ${new Date().toISOString().slice(0, 10)}`,
    `${machine()}; medians of ${values.runs} runs of ${values.seconds} s`,
    '',
  ]
  const head = [
    `| workload | ${targets.map(({ name }) => `${name} calls/s | p50 / p99 µs | server CPU µs/call`).join(' | ')} | ${others.map(({ name }) => `times ${name} |`).join(' ')}`,
    `|---|${targets.map(() => '---|---|---|').join('')}${others.map(() => '---|').join('')}`,
  ]
  if (rows.length > 0) lines.push(...head)
  for (const { name, payload, samples } of rows) {
    const cells = targets.map((target) => {
      const all = samples[target.name] as Sample[]
      const of = (pick: (sample: Sample) => number) => median(all.map(pick))
      const rate = of((sample) => sample.perSecond)
      const bytes = payload > 0 ? ` (${((rate * payload) / 1e6).toFixed(0)} MB/s)` : ''
      const entries = of((sample) => sample.entries)
      const listed = entries > 0 ? ` (${((rate * entries) / 1000).toFixed(0)}k entries/s)` : ''
      const failed = all.reduce((sum, sample) => sum + sample.errors, 0)
      // the client has a core of its own: beyond this it is what was measured
      const bound = of((sample) => sample.clientLoad) > 0.9 ? ', client-bound' : ''
      const latency = `${of((sample) => sample.p50Us).toFixed(0)} / ${of((sample) => sample.p99Us).toFixed(0)}`
      const notes = `${bytes}${listed}${bound}${failed ? `, ${failed} failed` : ''}`
      return `${rate.toFixed(0)}${notes} | ${latency} | ${of((sample) => sample.serverUs).toFixed(1)}`
    })
    const rateOf = (target: Target) =>
      median((samples[target.name] as Sample[]).map((sample) => sample.perSecond * (sample.entries || 1)))
    const ratios = others.map((other) => `${(rateOf(own as Target) / rateOf(other)).toFixed(2)} |`)
    lines.push(`| ${name} | ${cells.join(' | ')} | ${ratios.join(' ')}`)
  }
  if (handover) {
    lines.push('', '| hand-over between two nodes | ms | one node alone, ms | times |', '|---|---|---|---|')
    for (const { what, ms, local } of handover.measured) {
      lines.push(`| ${what} | ${ms.toFixed(1)} | ${local.toFixed(1)} | ${(ms / local).toFixed(1)} |`)
    }
    lines.push('', '| steps of the first of these, as the nodes saw them | mean ms | times |', '|---|---|---|')
    for (const { what, ms, count } of handover.steps) lines.push(`| ${what} | ${ms.toFixed(2)} | ${count} |`)
  }
  return `${lines.join('\n')}\n`
}

const other = what === undefined ? undefined : others[what]
if (other) await other(process.argv.slice(3))
else if (values.help) process.stdout.write(`${help}\n`)
else {
  await main().catch((error: unknown) => {
    say(error instanceof Error ? error.message : String(error))
    process.exitCode = 1
  })
  process.exit() // clients of a run that failed may still be connected
}
