/**
 * What it costs when a lock goes from one node to another, seen from outside: a file that two nodes write in turn, and a directory of
 * files that another node has just made.
 */
import { spawnSync } from 'node:child_process'
import type { HandoverSteps } from '../src/locking/index.ts'
import type { Demo } from '../test/e2e/demo.ts'
import { NfsClient } from '../test/helpers/nfs-client.ts'
import { listingPages } from './listing.ts'

const ROUNDS = 300
const FILES = 10_000
const PARALLEL = 64

export type Handover = { readonly what: string; readonly ms: number; readonly local: number }
/** Mean of one step of the hand-overs of the first measurement, and how many there were. */
export type Step = { readonly what: string; readonly ms: number; readonly count: number }
export type Handovers = { readonly measured: readonly Handover[]; readonly steps: readonly Step[] }

/** Medians; `local` is the same with one node alone. */
export async function measureHandover(demo: Demo, runs: number, say: (line: string) => void): Promise<Handovers> {
  const [n1, n2] = demo.matrix.nodes
  if (!n1 || !n2) throw new Error('hand-over is measured between two nodes')
  const a = await NfsClient.connect(n1.nfs.port)
  const b = await NfsClient.connect(n2.nfs.port)
  const [rootA, rootB] = [await a.mount('/home'), await b.mount('/home')]
  const dir = await a.mkdir(rootA, `handover-${process.pid}`)
  const file = await a.create(dir, 'file')
  const block = Buffer.alloc(4096, 'h')

  const rounds = async (first: NfsClient, second: NfsClient): Promise<number> => {
    const took: number[] = []
    for (let i = 0; i < ROUNDS; i++) {
      const began = performance.now()
      await first.write(file, 0, block)
      await second.ok('GETATTR', { object: file })
      took.push(performance.now() - began)
    }
    return median(took)
  }
  const measured: Handover[] = []
  const local = await rounds(a, a)
  const before = [stepsOf(demo, n1.name), stepsOf(demo, n2.name)] as const
  measured.push({ what: 'stable write at one node, GETATTR at the other', ms: await rounds(a, b), local })
  const [writer, reader] = [since(stepsOf(demo, n1.name), before[0]), since(stepsOf(demo, n2.name), before[1])]
  const steps: Step[] = [
    { what: 'reader: from the request to the grant', ...reader.granted },
    { what: 'writer: from the BAST until it gives up the lock (its users, minimum hold)', ...writer.kept },
    { what: 'writer: data and journal made durable first', ...writer.written },
    { what: "reader: reads the writer's journal up to the grant's vector", ...reader.caughtUp },
    { what: 'writer: from its next request to the grant', ...writer.granted },
    { what: 'reader: from the BAST until it gives up the lock', ...reader.kept },
  ]

  const listings: { there: number[]; here: number[] } = { there: [], here: [] }
  const lsl: { there: number[]; here: number[] } = { there: [], here: [] }
  for (let run = 0; run < runs; run++) {
    say(`  listing, run ${run + 1} of ${runs}`)
    const name = `list-${process.pid}-${run}`
    await fill(a, await a.mkdir(rootA, name))
    listings.here.push(await list(a, rootA, name))
    listings.there.push(await list(b, rootB, name))
    if (n1.mount === undefined || n2.mount === undefined) continue
    const second = `ls-${process.pid}-${run}`
    await fill(a, await a.mkdir(rootA, second))
    lsl.here.push(ls(`${n1.mount}/${second}`))
    lsl.there.push(ls(`${n2.mount}/${second}`))
  }
  const what = `of ${FILES} files that the other node has just made`
  measured.push({ what: `READDIRPLUS ${what}`, ms: median(listings.there), local: median(listings.here) })
  if (lsl.here.length > 0)
    measured.push({ what: `ls -l on the mount ${what}`, ms: median(lsl.there), local: median(lsl.here) })
  await a.close()
  await b.close()
  return { measured, steps }
}

function stepsOf(demo: Demo, node: string): HandoverSteps {
  return demo.counters(node).filesystems.home.locks.steps
}

/** Means of what came since. */
function since(now: HandoverSteps, before: HandoverSteps): HandoverSteps {
  const step = (name: keyof HandoverSteps) => {
    const count = now[name].count - before[name].count
    return { count, ms: count > 0 ? (now[name].ms - before[name].ms) / count : 0 }
  }
  return { granted: step('granted'), caughtUp: step('caughtUp'), kept: step('kept'), written: step('written') }
}

async function fill(client: NfsClient, dir: Buffer): Promise<void> {
  for (let i = 0; i < FILES; i += PARALLEL) {
    await Promise.all(
      Array.from({ length: PARALLEL }, (_, j) => (i + j < FILES ? client.create(dir, `f${i + j}`) : undefined)),
    )
  }
}

/** One listing to its end, ms. */
async function list(client: NfsClient, root: Buffer, name: string): Promise<number> {
  const began = performance.now()
  const pages = listingPages(client, await client.lookup(root, name))
  while (!(await pages.next()).done);
  return performance.now() - began
}

function ls(path: string): number {
  const began = performance.now()
  const { status, stderr } = spawnSync('ls', ['-l', path], { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' })
  if (status !== 0) throw new Error(`ls -l ${path}: ${stderr}`)
  return performance.now() - began
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((x, y) => x - y)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
