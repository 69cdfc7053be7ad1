/** Clients on the client's machine, seen from outside: the process of nfs-worker.ts, programs of libnfs in a loop, and a real kernel when there is one. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { WorkerAnswer, WorkerRequest } from './nfs-worker.ts'

const worker = new URL('./nfs-worker.ts', import.meta.url).pathname
const forwarder = new URL('./forwarder.ts', import.meta.url).pathname
const kernelWorker = new URL('./kernel-worker.py', import.meta.url).pathname

type Enter = readonly [string, ...string[]]

export class NfsWorkers {
  readonly #child: ChildProcess
  readonly #ended: Promise<never>
  #lastId = 0

  constructor(
    [program, ...before]: Enter,
    at: { readonly host: string; readonly port: number; readonly path: string },
  ) {
    const args = [...before, process.execPath, worker, at.host, `${at.port}`, at.path]
    this.#child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#ended = new Promise((_, reject) => {
      this.#child.once('exit', () => reject(new Error('the clients have ended')))
    })
    this.#ended.catch(() => {})
  }

  /** The longest stall since it was asked last; and what was counted. */
  ask(kind: WorkerRequest['kind']): Promise<WorkerAnswer> {
    const id = ++this.#lastId
    const answered = new Promise<WorkerAnswer>((resolve) => {
      const take = (answer: WorkerAnswer): void => {
        if (answer.id !== id) return
        this.#child.off('message', take as never)
        resolve(answer)
      }
      this.#child.on('message', take as never)
      this.#child.send({ id, kind } satisfies WorkerRequest)
    })
    return Promise.race([answered, this.#ended])
  }

  destroy(): void {
    this.#child.kill('SIGKILL')
  }
}

export type Copies = {
  readonly count: number
  readonly worstMs: number
  readonly errors: readonly string[]
  /** Files whose CREATE was answered with EXIST: it had been done before its answer was lost, and was sent again to another node. */
  readonly repeated: number
  /** Mounts that were cut off, which libnfs does not begin anew by itself. */
  readonly unmounted: number
  /** Copies that lack what a killed node had not made stable: libnfs does not look at write verifiers (RFC 1813 3.3.21), and sends nothing again. */
  readonly unstable: number
}

/** nfs-cp and nfs-cat, one after another: a file in, and the same file out. */
export class LibnfsLoop {
  readonly #enter: Enter
  readonly #file: string
  readonly #url: (name: string) => string
  #count = 0
  #worstMs = 0
  #repeated = 0
  #unmounted = 0
  #unstable = 0
  /** Nodes that have been killed. */
  kills = 0
  readonly #errors: string[] = []
  #ending = false
  readonly #over: Promise<void>

  constructor(enter: Enter, dir: string, { host, port, path }: { host: string; port: number; path: string }) {
    this.#enter = enter
    this.#file = join(dir, 'libnfs-copy')
    writeFileSync(this.#file, 'x'.repeat(300_000))
    this.#url = (name) => `nfs://${host}${path}/${name}?version=3&nfsport=${port}&mountport=${port}`
    this.#over = this.#loop()
  }

  async end(): Promise<Copies> {
    this.#ending = true
    await this.#over
    return {
      count: this.#count,
      worstMs: this.#worstMs,
      errors: this.#errors,
      repeated: this.#repeated,
      unmounted: this.#unmounted,
      unstable: this.#unstable,
    }
  }

  async #loop(): Promise<void> {
    const content = readFileSync(this.#file, 'utf8')
    while (!this.#ending) {
      const url = this.#url(`copy-${++this.#count}`)
      const began = performance.now()
      const { kills } = this
      if ((await this.#run('nfs-cp', this.#file, url)) === undefined) continue
      const found = await this.#run('nfs-cat', url)
      if (found !== undefined && found !== content) {
        if (kills === this.kills) this.#errors.push(`nfs-cat gave ${found.length} other bytes of ${url}`)
        else this.#unstable++
      }
      this.#worstMs = Math.max(this.#worstMs, performance.now() - began)
    }
  }

  #run(name: string, ...args: string[]): Promise<string | undefined> {
    const [program, ...before] = this.#enter
    return new Promise((resolve) => {
      const child = spawn(program, [...before, name, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
      let [out, said] = ['', '']
      child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
      child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
      child.on('close', (code) => {
        if (said.includes('NFS3ERR_EXIST')) this.#repeated++
        else if (said.includes('Failed to mount')) this.#unmounted++
        else if (code !== 0) this.#errors.push(`${name}: exit ${code}: ${said.trim().slice(-200)}`)
        resolve(code === 0 ? out : undefined)
      })
    })
  }
}

export type KernelReport = {
  readonly operations: number
  readonly worstMs: number
  readonly errors: readonly string[]
  /** Renames and removals that were told of themselves: done, their answer lost, sent again to another node, which found nothing any more. */
  readonly repeated: number
  readonly stalls: readonly (readonly [atMs: number, ms: number])[]
}

/**
 * A real kernel that mounts through the address: `program` boots one (MATRIXFS_KERNEL_CLIENT), takes the options below, and reaches loopback ports
 * of its machine (forwarder.ts).
 */
export class KernelClient {
  readonly #child: ChildProcess
  readonly #forwarder: ChildProcess
  readonly #share: string
  #said = ''

  constructor(
    [nsenter, ...before]: Enter,
    options: { program: string; dir: string; host: string; port: number; path: string; seconds: number },
  ) {
    this.#share = join(options.dir, 'kernel')
    mkdirSync(this.#share, { recursive: true })
    const { program, host, port, path, seconds } = options
    this.#forwarder = spawn(nsenter, [...before, process.execPath, forwarder, `${port}`, host], { stdio: 'inherit' })
    const args = [...before, program, '--nfs-port', `${port}`, '--mount-port', `${port}`]
    args.push(
      '--export',
      path,
      '--share',
      this.#share,
      '--timeout',
      `${seconds + 120}`,
      '--log',
      join(options.dir, 'kernel.log'),
    )
    args.push('-c', `python3 ${kernelWorker} $MNT $OUT`)
    this.#child = spawn(nsenter, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => (this.#said += text))
  }

  /** Resolves once it has mounted and works. */
  async begun(limitMs = 60_000): Promise<void> {
    const deadline = performance.now() + limitMs
    while (!existsSync(join(this.#share, 'begun'))) {
      if (performance.now() > deadline || this.#child.exitCode !== null)
        throw new Error(`the kernel does not mount:\n${this.#said}`)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  async end(): Promise<KernelReport> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    writeFileSync(join(this.#share, 'end'), '')
    if (this.#child.exitCode === null) await ended
    const report = join(this.#share, 'report.json')
    if (!existsSync(report)) throw new Error(`the kernel client has not reported:\n${this.#said}`)
    return JSON.parse(readFileSync(report, 'utf8')) as KernelReport
  }

  destroy(): void {
    this.#forwarder.kill('SIGKILL')
    this.#child.kill('SIGTERM')
  }
}
