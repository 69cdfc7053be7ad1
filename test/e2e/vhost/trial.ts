/** Clients through one virtual host, and what is done to it; each event with the longest stall that a client saw. */
import { setTimeout as sleep } from 'node:timers/promises'
import { LibnfsLoop, NfsWorkers } from './clients.ts'
import { EXPORT, PORTS, type VhostMatrix } from './vhost-matrix.ts'

/** Looks at all machines for the address so often, ms. */
const LOOK_MS = 150
const PLACED_MS = 60_000

export class Trial {
  readonly #matrix: VhostMatrix
  readonly #host: 'files' | 'six'
  readonly at: { readonly host: string; readonly port: number; readonly path: string }
  #workers: NfsWorkers | undefined
  #libnfs: LibnfsLoop | undefined
  readonly #stalls = { move: [] as number[], kill: [] as number[], stop: [] as number[] }
  readonly #moveTimes: number[] = []
  /** Live processes that bore the address at one moment, where there were two. */
  readonly #doubled: string[] = []
  #watching = true
  #watch: Promise<void> | undefined

  constructor(matrix: VhostMatrix, host: 'files' | 'six') {
    this.#matrix = matrix
    this.#host = host
    this.at = { host: host === 'six' ? matrix.six : matrix.files, port: PORTS.nfs, path: EXPORT }
  }

  async begin(): Promise<void> {
    await this.#matrix.placed(this.#host, PLACED_MS)
    const enter = this.#matrix.segment.enter('client')
    this.#workers = new NfsWorkers(enter, this.at)
    if (this.#host === 'files') this.#libnfs = new LibnfsLoop(enter, this.#matrix.dir, this.at)
    this.#watch = this.#look()
    await sleep(1000)
    await this.#stall()
  }

  /** By hand, to another node. */
  async move(): Promise<string> {
    const from = await this.#matrix.placed(this.#host, PLACED_MS)
    const names = this.#matrix.names
    const to = names[(names.indexOf(from) + 1) % names.length] as string
    const ms = await this.#matrix.move(this.#host, to)
    this.#moveTimes.push(ms)
    await sleep(2500)
    return this.#noted('move', `${from} → ${to}, answered after ${ms} ms`)
  }

  /** SIGKILL of whoever bears it; until somebody else does, and all nodes serve again. */
  async kill(): Promise<string> {
    const from = await this.#matrix.placed(this.#host, PLACED_MS)
    const node = this.#matrix.node(from)
    const before = node.lives.length
    if (this.#libnfs) this.#libnfs.kills++
    node.signal('SIGKILL')
    const to = await this.#elsewhere(from)
    while (node.lives.length === before) await sleep(50)
    await this.#matrix.allServe()
    await sleep(1500)
    return this.#noted('kill', `${from} → ${to}`)
  }

  /** SIGTERM and a new start. */
  async stop(): Promise<string> {
    const from = await this.#matrix.placed(this.#host, PLACED_MS)
    const node = this.#matrix.node(from)
    await node.stop()
    const to = await this.#elsewhere(from)
    node.supervised = true
    node.start()
    await this.#matrix.allServe()
    return this.#noted('stop', `${from} → ${to}`)
  }

  async end(): Promise<{
    readonly lines: readonly string[]
    readonly held: boolean
    readonly worst: Record<string, number>
  }> {
    this.#watching = false
    await this.#watch
    const copies = await this.#libnfs?.end()
    const { operations, connections, errors, lost } = await (this.#workers as NfsWorkers).ask('end')
    const of = (stalls: readonly number[]) =>
      stalls.length === 0
        ? 'none'
        : `${stalls.length}, stall median ${median(stalls)} ms, worst ${Math.max(...stalls)} ms`
    const lines = [
      `planned moves (goal 2000 ms): ${of(this.#stalls.move)}; the command took ${median(this.#moveTimes)} ms, at worst ${Math.max(0, ...this.#moveTimes)} ms`,
      `kills (goal 12000 ms with scsi-pr): ${of(this.#stalls.kill)}`,
      `clean stops: ${of(this.#stalls.stop)}`,
      `clients: ${operations} operations over ${connections} connections, ${errors.length} errors, ${lost.length} lost acknowledged writes`,
      ...(copies
        ? [
            `libnfs: ${copies.count} copies in and out, longest ${Math.round(copies.worstMs)} ms, ${copies.errors.length} errors; not by these nodes: ${copies.repeated} told that their own CREATE had been done, ${copies.unmounted} cut while they mounted, ${copies.unstable} lack what was not stable`,
          ]
        : []),
      `two bearers at one time: ${this.#doubled.length}`,
      ...[...errors, ...lost, ...(copies?.errors ?? []), ...this.#doubled].slice(0, 20).map((line) => `  ${line}`),
    ]
    const held = errors.length + lost.length + (copies?.errors.length ?? 0) + this.#doubled.length === 0
    const worst = {
      move: Math.max(0, ...this.#stalls.move),
      kill: Math.max(0, ...this.#stalls.kill),
      stop: Math.max(0, ...this.#stalls.stop),
    }
    return { lines, held, worst }
  }

  destroy(): void {
    this.#watching = false
    this.#workers?.destroy()
  }

  async #elsewhere(from: string): Promise<string> {
    const deadline = performance.now() + PLACED_MS
    for (;;) {
      const found = await this.#matrix.bearer(this.#host).catch(() => undefined)
      if (found !== undefined && found !== from) return found
      if (performance.now() > deadline) throw new Error(`${this.#host} is still at ${found ?? 'no node'}`)
      await sleep(100)
    }
  }

  async #stall(): Promise<number> {
    return Math.round((await (this.#workers as NfsWorkers).ask('stall')).worstMs)
  }

  async #noted(kind: 'move' | 'kill' | 'stop', what: string): Promise<string> {
    const stall = await this.#stall()
    this.#stalls[kind].push(stall)
    return `${what}, stall ${stall} ms`
  }

  async #look(): Promise<void> {
    const { segment, names } = this.#matrix
    while (this.#watching) {
      const bearers = segment.bearers(this.at.host, names)
      // what a killed process left counts for nothing: nobody answers there
      const alive = bearers.filter((name) => this.#matrix.node(name).life !== undefined)
      if (alive.length > 1 && (await this.#stillDoubled(alive)))
        this.#doubled.push(`${new Date().toISOString()}: ${alive.join(', ')}`)
      await sleep(LOOK_MS)
    }
  }

  /** A life that has just begun removes what the one before has left, before it does anything else; and machines are looked at one after another. */
  async #stillDoubled(names: readonly string[]): Promise<boolean> {
    if (names.some((name) => !this.#matrix.node(name).serves)) return false
    return this.#matrix.segment.bearers(this.at.host, names).length > 1
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0
}
