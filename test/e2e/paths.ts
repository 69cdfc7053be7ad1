/**
 * `npm run e2e:paths [-- --cuts 50 --target tgt,own]`: two nodes whose LUNs are at an iSCSI target with two portals. Clients write and read at both nodes, by HTTP and NFS, without
 * pause. One portal after the other is cut (nftables drop what goes to it and comes from it), and healed until the nodes find it well again.
 *
 * No client may meet an error or wrong content, no node may halt, no client may wait longer than PAUSE_LIMIT_MS, and `matrix fs check` has to find nothing.
 */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { Prng } from '../../src/base/prng.ts'
import { parseSize } from '../../src/base/units.ts'
import { ask } from '../../src/cli/ask-node.ts'
import { parseIscsiUrl } from '../../src/san/index.ts'
import { wrong } from '../helpers/script-options.ts'
import { noTgt, Tgt } from '../helpers/tgt.ts'
import { Demo } from './demo.ts'
import { freeBasePort } from './free-ports.ts'
import { type Files, PathsClient } from './paths-clients.ts'
import { noFirewall, PortalFirewall } from './portal-firewall.ts'
import { medianAndWorst } from './times.ts'
import { type TargetName, targetNames, trialOptions } from './trial-options.ts'

const root = new URL('../..', import.meta.url).pathname

/** What the project promises, ms. */
export const PAUSE_LIMIT_MS = 5000
const NODES = 2
const LUN_SIZE = '1GiB'
/** Unused paths are looked at every two I/O time-outs, 4 s: a node that has not found one well within this time never will, ms. */
const WELL_LIMIT_MS = 30_000
/** Within this time the demo says that a node has ended, ms. */
const DEMO_TELLS_MS = 1000

const usage = `One of two portals of an iSCSI target is cut with nftables, over and over, while clients write and read at two nodes: none may meet an
error, or wait longer than ${PAUSE_LIMIT_MS / 1000} s. Needs root, and nft.

  --cuts N         at each target (50)
  --target LIST    of ${targetNames.join(',')} (both): Debian's tgt, and the target of matrix demo --san
  --seed N         of what clients do, and how long cuts last (1)
  --help           this text

Exit codes: 0 all was right, 1 it was not, 2 wrong option, or this machine lacks something (it is said what).`

export type PathsOptions = {
  readonly target: TargetName
  readonly cuts: number
  readonly seed: number
  readonly dir: string
  /** Ends it early, with everything taken away. */
  readonly abort?: AbortSignal
  readonly say?: (line: string) => void
}

export type PathsReport = {
  readonly operations: number
  /** For each cut: the longest that any client waited, from the cut until the portal was well again, ms. */
  readonly pausesMs: readonly number[]
  /** Cuts that hit a portal by which a node had a LUN. */
  readonly inUse: number
}

const lunStates = v.object({
  lunStates: v.record(
    v.string(),
    v.object({ paths: v.array(v.object({ name: v.string(), state: v.string(), reason: v.optional(v.string()) })) }),
  ),
})

/** Rejects at the first broken promise, pauses aside. */
export async function cutPaths({ target, cuts, seed, dir, abort, say = () => {} }: PathsOptions): Promise<PathsReport> {
  const prng = new Prng(seed)
  rmSync(dir, { recursive: true, force: true })
  mkdirSync(dir, { recursive: true })
  const tgt = target === 'tgt' ? new Tgt({ portals: 2, lunBytes: parseSize(LUN_SIZE) as number, dir }) : undefined
  const abandon = () => tgt?.abandon()
  process.once('exit', abandon)
  let demo: Demo | undefined
  let firewall: PortalFirewall | undefined
  const clients: PathsClient[] = []
  try {
    await tgt?.start()
    demo = new Demo({
      ...{ dir: join(dir, 'demo'), nodes: NODES, basePort: await freeBasePort(NODES), lunSize: LUN_SIZE },
      ...(tgt ? { luns: [tgt.url(1), tgt.url(2)] } : { san: 'own' }),
    })
    await demo.start()
    firewall = new PortalFirewall()
    const running = demo
    const pids = running.matrix.nodes.map(({ pid }) => pid)
    const noneEnded = (cut: number) => {
      const isLeft = running.matrix.nodes.every(({ pid }, i) => pid === pids[i])
      if (!isLeft || /has halted|stays down/.test(running.output))
        throw new Error(`cut ${cut}: a node has ended:\n${running.output}`)
    }
    const portals = parseIscsiUrl(demo.matrix.luns[0]?.url as string).addresses.map(({ port }) => port)
    const files: Files = new Map()
    for (const [index, node] of demo.matrix.nodes.entries())
      for (const [other, protocol] of (['nfs', 'http'] as const).entries())
        clients.push(await PathsClient.connect(node, protocol, files, seed + 10 * index + other))
    for (const client of clients) client.start()
    await untilWell(demo)
    const pausesMs: number[] = []
    let inUse = 0
    for (let cut = 1; cut <= cuts; cut++) {
      const port = portals[(cut - 1) % portals.length] as number
      const before = await pathsOf(demo)
      const used = before.filter(({ name, state }) => name.endsWith(`:${port}`) && state === 'active').length
      if (used > 0) inUse++
      for (const client of clients) client.takeLongestMs()
      firewall.cut(port)
      await sleep(prng.between(3000, 6000), undefined, { signal: abort })
      firewall.heal()
      const wellMs = await untilWell(demo).catch(async (error) => {
        await sleep(DEMO_TELLS_MS)
        noneEnded(cut)
        throw error
      })
      const waits = clients.map((client) => client.takeLongestMs())
      pausesMs.push(Math.max(...waits))
      const paused = clients.map(({ name }, i) => `${name} ${(waits[i] as number).toFixed(0)}`)
      say(
        `${target}, cut ${cut}/${cuts}: port ${port}, by which ${used} of ${before.length / portals.length} LUNs were used; longest waits ${paused.join(', ')} ms; well ${wellMs.toFixed(0)} ms after it was healed`,
      )
      for (const { failure } of clients) if (failure !== undefined) throw new Error(`cut ${cut}: ${failure}`)
      noneEnded(cut)
    }
    await Promise.all(clients.map((client) => client.stop()))
    const failed = clients.find(({ failure }) => failure !== undefined)
    if (failed) throw new Error(failed.failure)
    say(demo.check().trim())
    return { operations: clients.reduce((sum, { operations }) => sum + operations, 0), pausesMs, inUse }
  } finally {
    firewall?.remove()
    await Promise.all(clients.map((client) => client.stop()))
    await demo?.dispose()
    await tgt?.dispose()
    process.off('exit', abandon)
  }
}

/** Of all LUNs at all nodes, as their main threads have them. */
async function pathsOf(demo: Demo) {
  const answers = await Promise.all(
    demo.matrix.nodes.map(({ name }) => ask({ config: join(demo.dir, `${name}.toml`) }, { command: 'counters' })),
  )
  return answers.flatMap(({ counters }) =>
    Object.values(v.parse(lunStates, counters).lunStates).flatMap((lun) => lun.paths),
  )
}

/** Milliseconds until every node finds every path well. */
async function untilWell(demo: Demo): Promise<number> {
  const begun = performance.now()
  for (;;) {
    const paths = await pathsOf(demo)
    if (paths.length > 0 && paths.every(({ state }) => state === 'active' || state === 'ready'))
      return performance.now() - begun
    if (performance.now() - begun > WELL_LIMIT_MS) throw new Error(`not well again: ${JSON.stringify(paths)}`)
    await sleep(200)
  }
}

if (import.meta.main) {
  const { count: cuts, seed, targets } = trialOptions(['cuts', 50], usage)
  const lacking = noFirewall() ?? (targets.includes('tgt') ? noTgt() : undefined)
  if (lacking) wrong(lacking)
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  let isRight = true
  for (const target of targets) {
    if (stop.signal.aborted) break
    try {
      const options = { target, cuts, seed, dir: join(root, 'var/e2e-paths'), abort: stop.signal, say: console.log }
      const { pausesMs, inUse, operations } = await cutPaths(options)
      const tooLong = pausesMs.filter((ms) => ms > PAUSE_LIMIT_MS).length
      if (tooLong > 0) isRight = false
      console.log(
        `${target}: ${cuts} cuts, ${inUse} of a portal in use; ${operations} operations without an error; longest pause ${medianAndWorst(pausesMs)}, ${tooLong} over ${PAUSE_LIMIT_MS} ms`,
      )
    } catch (error) {
      isRight = false
      console.log(
        stop.signal.aborted ? 'stopped' : `${target}: VIOLATION ${error instanceof Error ? error.message : error}`,
      )
    }
  }
  process.exit(isRight ? 0 : 1)
}
