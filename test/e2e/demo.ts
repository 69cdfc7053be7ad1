/**
 * Drives `matrix demo` as a user's script would: starts it, waits for `matrix ready`, reads `matrix.json`, kills nodes and brings
 * them back. Everything end-to-end uses this; nothing here reaches into the product.
 *
 * With `--san tgt`, or MATRIXFS_SAN=tgt, the LUNs are at an iSCSI target that is started here, one for each folder for as long as this process lives; with
 * `own` at that of the demo itself.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { closeSync, existsSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseSize } from '../../src/base/units.ts'
import type { HandoverSteps } from '../../src/locking/index.ts'
import { freePort } from '../helpers/free-port.ts'
import { TargetProcess } from '../helpers/target-process.ts'
import { noTgt, Tgt } from '../helpers/tgt.ts'

export type DemoNode = {
  readonly name: string
  readonly pid: number
  readonly nfs: {
    readonly host: string
    readonly port: number
    readonly mountPort: number
    readonly portmapPort: number
    readonly export: string
  }
  readonly http: { readonly url: string }
  /** Of a demo. */
  readonly admin?: { readonly url: string }
  /** With `mount`: where the filesystem is mounted. */
  readonly mount?: string
}
export type DemoMatrix = {
  readonly matrix: string
  readonly nodes: readonly DemoNode[]
  readonly luns: readonly { readonly name: string; readonly path?: string; readonly url?: string }[]
}

/** Of `matrix counters --json`, what is looked at here. */
export type NodeCounters = {
  readonly filesystems: { readonly home: { readonly locks: { readonly steps: HandoverSteps } } }
  /** `nlm`: calls by procedure. */
  readonly nfs: { readonly nlm: Readonly<Record<string, number>> }
}

export type DemoOptions = {
  readonly dir?: string
  readonly nodes?: number
  readonly basePort?: number
  readonly lunSize?: string
  /** Every node mounts the filesystem on this machine. */
  readonly mount?: boolean
  /** Where the LUNs are, whatever is asked for otherwise. */
  readonly san?: 'own'
  /** LUNs that are there already. */
  readonly luns?: readonly string[]
  /** URL of the Redis that keeps the jobs. */
  readonly redis?: string
}

const root = new URL('../..', import.meta.url).pathname
const cli = join(root, 'src/cli/main.ts')
/** `matrix demo` promises to be up within 15 s; a loaded test machine gets more before the test gives up, ms. */
const READY_LIMIT_MS = 60_000

export class Demo {
  readonly dir: string
  readonly options: DemoOptions
  #child: ChildProcess | undefined
  #temporary: boolean
  output = ''

  constructor(options: DemoOptions = {}) {
    this.options = options
    this.#temporary = options.dir === undefined
    this.dir = options.dir ?? mkdtempSync(join(tmpdir(), 'matrixfs-demo-'))
  }

  get matrix(): DemoMatrix {
    return JSON.parse(readFileSync(join(this.dir, 'matrix.json'), 'utf8'))
  }

  node(name: string): DemoNode {
    const found = this.matrix.nodes.find((node) => node.name === name)
    if (!found) throw new Error(`no node ${name} in ${this.dir}/matrix.json`)
    return found
  }

  /** Starts it; resolves with the milliseconds to `matrix ready`. */
  async start(): Promise<number> {
    const { nodes = 3, basePort = 24000, lunSize = '8GiB', mount = false, redis } = this.options
    const luns = await this.#lunArguments(lunSize)
    const args = ['demo', '--dir', this.dir, '--nodes', `${nodes}`, '--base-port', `${basePort}`, ...luns]
    if (mount) args.push('--mount')
    if (redis !== undefined) args.push('--redis', redis)
    const began = performance.now()
    this.output = ''
    const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string) => reject(new Error(`${why}\n${this.output}`))
      const timer = setTimeout(() => fail(`matrix demo was not ready within ${READY_LIMIT_MS} ms`), READY_LIMIT_MS)
      const take = (chunk: Buffer) => {
        this.output += chunk.toString()
        if (/^matrix ready$/m.test(this.output)) {
          clearTimeout(timer)
          resolve()
        }
      }
      child.stdout.on('data', take)
      child.stderr.on('data', take)
      child.on('exit', (code) => {
        clearTimeout(timer)
        fail(`matrix demo ended with ${code}`)
      })
    })
    return performance.now() - began
  }

  async #lunArguments(lunSize: string): Promise<string[]> {
    const { luns, san = luns ? undefined : sanKind() } = this.options
    if (luns) return luns.flatMap((url) => ['--lun', url])
    if (san === 'tgt') return lunsAtTarget(this.dir, lunSize)
    return ['--lun-size', lunSize, ...(san ? ['--san'] : [])]
  }

  /** Ctrl-C; resolves once everything has ended. */
  async stop(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child && child.exitCode === null && child.signalCode === null) {
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
      child.kill('SIGINT')
      await ended
    }
  }

  /** Stops it and, when the directory was made here, removes it. */
  async dispose(): Promise<void> {
    await this.stop()
    if (this.#temporary) rmSync(this.dir, { recursive: true, force: true })
  }

  /** SIGKILL to one node. */
  kill(name: string): void {
    process.kill(this.node(name).pid, 'SIGKILL')
  }

  /** SIGKILL to the demo itself: its nodes go on without it. */
  killDemo(): void {
    this.#child?.kill('SIGKILL')
    this.#child = undefined
  }

  /** `matrix demo start-node NAME`; resolves with its milliseconds once that node serves again. */
  startNode(name: string): Promise<number> {
    const began = performance.now()
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [cli, 'demo', 'start-node', name, '--dir', this.dir], {
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      let output = ''
      child.stdout.on('data', (chunk) => (output += chunk))
      child.stderr.on('data', (chunk) => (output += chunk))
      child.on('exit', (code) =>
        code === 0 ? resolve(performance.now() - began) : reject(new Error(`start-node ${name}: ${code}\n${output}`)),
      )
    })
  }

  /** `matrix demo cut NAME CABLE`, or `heal NAME`; resolves with what it said. */
  drill(...words: readonly string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [cli, 'demo', ...words, '--dir', this.dir], {
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      let output = ''
      child.stdout.on('data', (chunk) => (output += chunk))
      child.stderr.on('data', (chunk) => (output += chunk))
      child.on('exit', (code) =>
        code === 0 ? resolve(output) : reject(new Error(`${words.join(' ')}: ${code}\n${output}`)),
      )
    })
  }

  /** `matrix fs check home`: its output; throws when it found something. */
  check(): string {
    return this.#matrix('n1', 'fs', 'check', 'home')
  }

  /** `matrix counters` of a node that runs. */
  counters(name: string): NodeCounters {
    return JSON.parse(this.#matrix(name, 'counters', '--json'))
  }

  #matrix(node: string, ...command: string[]): string {
    return this.matrixCommand(...command, '--config', join(this.dir, `${node}.toml`))
  }

  /** `matrix …`: what it said; throws with that when it failed. */
  matrixCommand(...command: string[]): string {
    const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...command], { encoding: 'utf8' })
    if (status !== 0) throw new Error(`matrix ${command.join(' ')}: exit ${status}\n${stdout}${stderr}`)
    return `${stdout}${stderr}`
  }
}

/** By folder of a demo. */
const targets = new Map<string, Tgt>()
/** Of LUNs beside those that demos begin with. */
const spares: (Tgt | TargetProcess)[] = []
process.on('exit', () => {
  for (const target of [...targets.values(), ...spares]) target.abandon()
})

/** The URL of a further LUN of the kind that demos have here, blank and nobody's: in files it is at `path`. */
export async function spareLun(path: string, bytes: number): Promise<string> {
  const san = sanKind()
  if (san === undefined) {
    const fd = openSync(path, 'w')
    ftruncateSync(fd, bytes)
    closeSync(fd)
    return `file:${path}`
  }
  const options = { luns: 1, lunBytes: bytes }
  const target = san === 'tgt' ? new Tgt(options) : new TargetProcess({ ...options, basePort: await freePort() })
  spares.push(target)
  await target.start()
  return target.url(1)
}

/** At which iSCSI target LUNs are; undefined when they are files. */
export function sanKind(): 'tgt' | 'own' | undefined {
  const at = process.argv.indexOf('--san')
  const san = at < 0 ? process.env['MATRIXFS_SAN'] : (process.argv[at + 1] ?? '')
  if (san === undefined || san === 'own') return san
  if (san !== 'tgt') throw new Error(`the SAN "${san}" is not known; allowed are tgt, own`)
  const missing = noTgt()
  if (missing) throw new Error(missing)
  return san
}

/** Arguments for the demo in `dir`. One whose data is gone gets LUNs that are empty. */
async function lunsAtTarget(dir: string, lunSize: string): Promise<string[]> {
  let target = targets.get(dir)
  if (target && !existsSync(join(dir, 'demo.json'))) {
    await target.dispose()
    target = undefined
  }
  if (!target) {
    target = new Tgt({ lunBytes: parseSize(lunSize) as number })
    targets.set(dir, target)
    await target.start()
  }
  return ['--lun', target.url(1), '--lun', target.url(2)]
}

/** `--name value` of a script's arguments, as a number. */
export function numberOption(name: string, fallback: number): number {
  const at = process.argv.indexOf(`--${name}`)
  if (at < 0) return fallback
  const value = Number(process.argv[at + 1])
  if (!Number.isSafeInteger(value)) throw new Error(`--${name} takes a whole number, not ${process.argv[at + 1]}`)
  return value
}
