/**
 * `npm run e2e:kill [-- --kills 20]`: clients write at every node without pause; one node after another is SIGKILLed under that load.
 * Each time: the others serve again within 10 s, also what the dead node was writing; every answer that called a change stable
 * still holds, at every node; `matrix fs check` finds nothing. At the end all nodes are killed at once and started again: the same.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { Prng } from '../../src/base/prng.ts'
import { Demo, numberOption } from './demo.ts'
import { freeBasePort } from './free-ports.ts'
import { HttpClient } from './http-client.ts'
import { NfsTree } from './nfs-tree.ts'

const root = new URL('../..', import.meta.url).pathname
/** What the project promises from the death of a node to service at the others, ms. */
const SERVICE_LIMIT_MS = 10_000
/** Files each writer goes round: new ones come, old ones are overwritten, renamed and removed. */
const FILES_PER_WRITER = 60

/** What may be in a file: what was acknowledged last, or what was under way since. `undefined`: absent. */
type Expectation = { acknowledged: string | undefined; possible: Set<string | undefined> }

/** One client of one node, writing its own files by one protocol. Remembers what was acknowledged. */
class Writer {
  readonly node: string
  readonly protocol: 'http' | 'nfs'
  readonly expected = new Map<string, Expectation>()
  acknowledged = 0
  #demo: Demo
  #prng: Prng
  #serial = 0
  #stopped = false
  #loop: Promise<void> | undefined

  constructor(demo: Demo, node: string, protocol: 'http' | 'nfs', seed: number) {
    this.#demo = demo
    this.node = node
    this.protocol = protocol
    this.#prng = new Prng(seed)
  }

  start(): void {
    this.#stopped = false
    this.#loop = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#loop
  }

  async #run(): Promise<void> {
    const target = await connect(this.#demo, this.node, this.protocol).catch(() => undefined)
    while (target && !this.#stopped) {
      const name = `${this.protocol}-${this.node}-${this.#prng.below(FILES_PER_WRITER)}`
      const remove = this.#prng.chance(0.15)
      const value = remove ? undefined : `${name}/${this.#serial++}/${'x'.repeat(this.#prng.below(9000))}`
      let expectation = this.expected.get(name)
      if (!expectation) {
        expectation = { acknowledged: undefined, possible: new Set() }
        this.expected.set(name, expectation)
      }
      expectation.possible.add(value)
      try {
        if (value === undefined) await target.remove(name)
        else await target.write(name, value)
      } catch {
        break // the node died: what was under way may or may not have happened
      }
      expectation.acknowledged = value
      expectation.possible = new Set([value])
      this.acknowledged++
    }
    target?.close()
  }
}

/** What a writer and a reader need of a node. */
type Target = {
  write(name: string, value: string): Promise<void>
  remove(name: string): Promise<void>
  read(name: string): Promise<string | undefined>
  close(): void
}

async function connect(demo: Demo, node: string, protocol: 'http' | 'nfs'): Promise<Target> {
  if (protocol === 'http') {
    const client = new HttpClient(demo.node(node).http.url)
    return {
      write: (name, value) => client.put(`kill/${name}`, Buffer.from(value)),
      remove: async (name) => {
        const { status } = await client.send('DELETE', `kill/${name}`)
        if (status !== 204 && status !== 404) throw new Error(`DELETE: ${status}`)
      },
      read: async (name) => (await client.get(`kill/${name}`))?.toString(),
      close: () => client.close(),
    }
  }
  const tree = await NfsTree.connect(demo.node(node))
  const directory = await tree.makePath('kill')
  return {
    write: (name, value) => tree.replaceFile(directory, name, Buffer.from(value)),
    remove: (name) => tree.removeIfThere(directory, name),
    read: async (name) => (await tree.readFile(directory, name))?.toString(),
    close: () => tree.close(),
  }
}

/** Every expectation holds at `node`; returns how many files were looked at. */
async function verify(demo: Demo, node: string, writers: readonly Writer[]): Promise<number> {
  const targets = { http: await connect(demo, node, 'http'), nfs: await connect(demo, node, 'nfs') }
  let looked = 0
  for (const writer of writers) {
    for (const [name, expectation] of writer.expected) {
      const found = await targets[looked++ % 2 ? 'http' : 'nfs'].read(name)
      if (!expectation.possible.has(found) && found !== expectation.acknowledged) {
        const wanted = [...expectation.possible, expectation.acknowledged].map((value) => value?.slice(0, 40))
        throw new Error(`${name} at ${node}: found ${found?.slice(0, 40)}, expected one of ${wanted.join(' | ')}`)
      }
      // from now on it is this and nothing else: what was under way has been decided
      expectation.acknowledged = found
      expectation.possible = new Set([found])
    }
  }
  targets.http.close()
  targets.nfs.close()
  return looked
}

/** Milliseconds until `node` answers a write of its own and a read of `victimFile`. */
async function untilService(demo: Demo, node: string, victimFile: string, began: number): Promise<number> {
  for (;;) {
    try {
      const target = await connect(demo, node, 'http')
      await target.write(`probe-${node}`, `${began}`)
      await target.read(victimFile)
      target.close()
      return performance.now() - began
    } catch (error) {
      if (performance.now() - began > 3 * SERVICE_LIMIT_MS) throw new Error(`${node} does not serve: ${error}`)
      await pause(50)
    }
  }
}

export type KillReport = {
  readonly kills: number
  readonly acknowledged: number
  readonly serviceMs: readonly number[]
}

/** Runs the whole thing on a started demo of three nodes or more; throws at the first broken promise. */
export async function killOverAndOver(
  demo: Demo,
  kills: number,
  seed: number,
  say: (line: string) => void,
): Promise<KillReport> {
  const prng = new Prng(seed)
  const names = demo.matrix.nodes.map((node) => node.name)
  await new HttpClient(demo.node('n1').http.url).send('MKCOL', 'kill')
  const writers = names.flatMap((node, i) =>
    (['http', 'nfs'] as const).map((protocol, j) => new Writer(demo, node, protocol, seed + 10 * i + j)),
  )
  const serviceMs: number[] = []
  for (let round = 1; round <= kills; round++) {
    for (const writer of writers) writer.start()
    await pause(prng.between(500, 2000))
    const victim = prng.pick(names)
    const began = performance.now()
    demo.kill(victim)
    const others = names.filter((name) => name !== victim)
    const times = await Promise.all(others.map((name) => untilService(demo, name, `http-${victim}-0`, began)))
    serviceMs.push(...times)
    const worst = Math.max(...times)
    if (worst > SERVICE_LIMIT_MS) throw new Error(`after the death of ${victim} service took ${worst.toFixed(0)} ms`)
    await pause(prng.between(100, 500))
    await Promise.all(writers.map((writer) => writer.stop()))
    const looked = await verify(demo, prng.pick(others), writers)
    demo.check()
    const back = await demo.startNode(victim)
    await verify(demo, victim, writers)
    say(
      `kill ${round}/${kills}: ${victim}; service after ${times.map((ms) => ms.toFixed(0)).join(', ')} ms; ${looked} files hold; back in ${back.toFixed(0)} ms`,
    )
  }
  for (const writer of writers) writer.start()
  await pause(1500)
  for (const name of names) demo.kill(name)
  await Promise.all(writers.map((writer) => writer.stop()))
  await demo.stop()
  const ready = await demo.start()
  for (const name of names) await verify(demo, name, writers)
  demo.check()
  say(`all killed at once: ready again in ${ready.toFixed(0)} ms, everything holds`)
  return { kills, acknowledged: writers.reduce((sum, writer) => sum + writer.acknowledged, 0), serviceMs }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

if (import.meta.main) {
  const dir = join(root, 'var/e2e-kill')
  rmSync(dir, { recursive: true, force: true })
  const demo = new Demo({ dir, basePort: await freeBasePort(3) })
  try {
    await demo.start()
    const report = await killOverAndOver(demo, numberOption('kills', 20), numberOption('seed', 1), console.log)
    const sorted = [...report.serviceMs].sort((a, b) => a - b)
    const median = sorted[Math.floor(sorted.length / 2)] ?? 0
    console.log(
      `${report.kills} kills, ${report.acknowledged} acknowledged changes, none lost; service again after ${median.toFixed(0)} ms (median), ${(sorted.at(-1) ?? 0).toFixed(0)} ms (worst)`,
    )
  } finally {
    await demo.dispose()
  }
}
