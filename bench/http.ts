/**
 * `npm run bench -- http`: a node's HTTP gateway beside nginx (dav-ext) and Apache (mod_dav) on the same disk, in turns, under the same load from `wrk`.
 *
 * A PUT that matrixfs has answered is on stable storage, journaled, and seen by every node; the other two answer when the kernel has it in
 * memory. Who reads the table has to know that: it is written below it.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { KiB, MiB } from '../src/base/units.ts'
import { Demo } from '../test/e2e/demo.ts'
import { markdownTable } from '../test/helpers/markdown-table.ts'
import { median } from './handover.ts'
import { HttpPeer, type HttpTarget, type PeerName, programOf } from './http-peers.ts'
import { commit, machine, save } from './results.ts'
import { cpuMicros } from './target.ts'

type Workload = {
  readonly name: string
  /** As http.lua knows it. */
  readonly kind: 'get' | 'put' | 'propfind'
  /** Folder in which it works, with so many files of so many bytes. */
  readonly folder: string
  readonly files: number
  readonly bytes: number
  /** That many connections, each with one request under way. */
  readonly connections: number
  /** What is to be reached, beside whom. */
  readonly goal: { readonly peer: PeerName; readonly times: number }
}

const workloads: readonly Workload[] = [
  {
    ...{ name: 'GET 4 KiB', kind: 'get', folder: 'small', files: 1000, bytes: 4 * KiB, connections: 16 },
    goal: { peer: 'nginx', times: 0.6 },
  },
  {
    ...{ name: 'GET 1 MiB', kind: 'get', folder: 'large', files: 32, bytes: MiB, connections: 8 },
    goal: { peer: 'apache', times: 0.8 },
  },
  {
    ...{ name: 'PUT 4 KiB', kind: 'put', folder: 'put', files: 100, bytes: 4 * KiB, connections: 16 },
    goal: { peer: 'nginx', times: 0.8 },
  },
  {
    ...{
      name: 'PROPFIND of 1,000 entries',
      kind: 'propfind',
      folder: 'small',
      files: 1000,
      bytes: 4 * KiB,
      connections: 4,
    },
    goal: { peer: 'nginx', times: 2 },
  },
]

const help = `npm run bench -- http [options]

  --only WORDS      only workloads with one of these words in their names: ${workloads.map(({ name }) => name).join(', ')}
  --runs N          turns of every workload (default 3); medians are shown
  --seconds S       length of one (default 3)
  --base-port P     ports of the demo (default 26000)
  --no-save         leave bench/results/ alone

Needs Debian's wrk, nginx with libnginx-mod-http-dav-ext, and apache2.`

type Sample = {
  readonly requests: number
  readonly seconds: number
  readonly p50Us: number
  readonly p99Us: number
  readonly failed: number
  readonly serverUs: number
}
type Row = { readonly workload: Workload; readonly samples: Readonly<Record<string, Sample[]>> }

export async function benchHttp(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      runs: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '3' },
      'base-port': { type: 'string', default: '26000' },
      'no-save': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return void process.stdout.write(`${help}\n`)
  mustHave()
  const words = values.only?.toLowerCase().split(',')
  const wanted = workloads.filter(({ name }) => words?.some((word) => name.toLowerCase().includes(word)) ?? true)
  const [runs, seconds] = [Number(values.runs), Number(values.seconds)]
  const dir = mkdtempSync(join(tmpdir(), 'matrixfs-bench-http-'))
  chmodSync(dir, 0o755) // Apache serves as nobody
  const demo = new Demo({ nodes: 2, basePort: Number(values['base-port']), dir: join(dir, 'demo') })
  const peers: HttpPeer[] = []
  try {
    await demo.start()
    for (const name of ['nginx', 'apache'] as const) peers.push(await HttpPeer.start(name, join(dir, name)))
    const { http, pid } = demo.node('n1')
    const targets = [
      { name: 'matrixfs', url: `${http.url.replace(/\/$/, '')}/`, pid },
      ...peers.map((peer) => peer.target),
    ]
    for (const target of targets) await prepare(target, wanted)
    const rows: Row[] = []
    for (const workload of wanted) {
      const samples: Record<string, Sample[]> = {}
      for (let run = 0; run < runs; run++)
        for (const target of targets) {
          process.stderr.write(`  ${workload.name}, run ${run + 1} of ${runs}, ${target.name}\n`)
          ;(samples[target.name] ??= []).push(storm(target, workload, seconds))
        }
      rows.push({ workload, samples })
    }
    const text = report(rows, `medians of ${runs} runs of ${seconds} s`)
    process.stdout.write(text)
    if (!values['no-save']) process.stderr.write(`kept in ${save('http-', text, rows)}\n`)
  } finally {
    for (const peer of peers) await peer.stop()
    await demo.dispose()
    rmSync(dir, { recursive: true, force: true })
  }
}

function mustHave(): void {
  const missing = [
    spawnSync('which', ['wrk']).status === 0 ? [] : ['wrk'],
    existsSync(programOf('nginx')) && existsSync('/usr/lib/nginx/modules/ngx_http_dav_ext_module.so')
      ? []
      : ['nginx', 'libnginx-mod-http-dav-ext'],
    existsSync(programOf('apache')) ? [] : ['apache2'],
  ].flat()
  if (missing.length > 0) throw new Error(`missing: apt-get install ${missing.join(' ')}`)
}

/** Makes folders and files; each file is read once, so that all servers have it in memory. */
async function prepare({ name, url }: HttpTarget, wanted: readonly Workload[]): Promise<void> {
  const made = new Set<string>()
  for (const { folder, files, bytes, kind } of wanted) {
    if (made.has(folder)) continue
    made.add(folder)
    const ask = async (method: string, path: string, body?: Buffer<ArrayBuffer>) => {
      const answer = await fetch(`${url}${path}`, { method, ...(body && { body }) })
      await answer.arrayBuffer()
      if (!answer.ok) throw new Error(`${name}: ${method} ${path} was answered with ${answer.status}`)
    }
    await ask('MKCOL', `${folder}/`)
    if (kind === 'put') continue
    const content = Buffer.alloc(bytes, 'what is written here is of no meaning ')
    for (let file = 0; file < files; file++) await ask('PUT', `${folder}/f${file}`, content)
    for (let file = 0; file < files; file++) await ask('GET', `${folder}/f${file}`)
  }
}

function storm(target: HttpTarget, workload: Workload, seconds: number): Sample {
  const { kind, folder, files, bytes, connections } = workload
  const { origin, pathname } = new URL(target.url)
  const env = {
    ...process.env,
    ...{ WORKLOAD: kind, BASE: `${pathname}${folder}/`, FILES: `${files}`, BYTES: `${bytes}` },
  }
  const script = join(import.meta.dirname, 'http.lua')
  // one thread of load: the other processor is for who is measured
  const call = ['-t', '1', '-c', `${connections}`, '-d', `${seconds}s`, '--timeout', '10s', '-s', script, origin]
  const before = cpuMicros(target)
  const { stdout, stderr } = spawnSync('wrk', call, { encoding: 'utf8', env })
  const serverUs = cpuMicros(target) - before
  const line = /^\{.*\}$/m.exec(stdout)?.[0]
  if (line === undefined) throw new Error(`wrk: ${stderr || stdout}`)
  const said = JSON.parse(line) as Omit<Sample, 'serverUs'>
  if (said.requests === 0) throw new Error(`${target.name} answered nothing: ${workload.name}`)
  return { ...said, serverUs: serverUs / said.requests }
}

function report(rows: readonly Row[], how: string): string {
  const names = Object.keys(rows[0]?.samples ?? {})
  const rate = ({ requests, seconds }: Sample) => requests / seconds
  const lines = rows.map(({ workload, samples }) => {
    const of = (name: string, pick: (sample: Sample) => number) => median((samples[name] as Sample[]).map(pick))
    const cells = names.map((name) => {
      const failed = of(name, (sample) => sample.failed)
      const each = of(name, rate)
      const bytes = workload.bytes >= MiB ? ` (${((each * workload.bytes) / 1e6).toFixed(0)} MB/s)` : ''
      const times = `${of(name, ({ p50Us }) => p50Us).toFixed(0)} / ${of(name, ({ p99Us }) => p99Us).toFixed(0)}`
      const cpu = of(name, ({ serverUs }) => serverUs).toFixed(0)
      return `${each.toFixed(0)}${bytes}${failed ? `, ${failed} failed` : ''}; ${times}; ${cpu}`
    })
    const ratio = (peer: string) =>
      median(
        (samples.matrixfs as Sample[]).map((own, run) => rate(own) / rate((samples[peer] as Sample[])[run] as Sample)),
      )
    const { peer, times } = workload.goal
    return [workload.name, ...cells, ...names.slice(1).map((name) => ratio(name).toFixed(2)), `${times} × ${peer}`]
  })
  const head = [
    'requests/s; p50 / p99 µs; server CPU µs',
    ...names,
    ...names.slice(1).map((name) => `times ${name}`),
    'goal',
  ]
  return `matrixfs ${commit()}, ${new Date().toISOString().slice(0, 10)}: WebDAV and HTTP beside other servers on the same disk, load by wrk
${machine()}; ${how}

${markdownTable(head, lines)}

A PUT that matrixfs has answered is durable; nginx and Apache answer when the kernel has it in memory.
`
}
