/**
 * A matrix of real processes on one segment (segment.ts), with virtual hosts: LUNs at an iSCSI target of our own on a machine beside them, or as
 * files that all share. Nodes are looked after as by systemd (../cluster/real-node.ts).
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { GiB } from '../../../src/base/units.ts'
import { RealNode } from '../cluster/real-node.ts'
import { Segment } from './segment.ts'

export const fencings = ['scsi-pr', 'kill', 'lease'] as const
export type Fencing = (typeof fencings)[number]

export type VhostMatrixOptions = {
  /** What is there is removed. */
  readonly dir: string
  readonly prefix: string
  readonly nodes: number
  readonly fencing: Fencing
  readonly policy: 'AUTOFAILBACK' | 'NOFAILBACK'
  /** Where nodes listen: on all addresses, or on their own alone. */
  readonly listen: 'all' | 'own'
  /** More of a node's configuration. */
  readonly more?: (matrix: VhostMatrix, name: string) => string
}

export type VhostState = { readonly name: string; readonly address: string; readonly node?: string }

export const PORTS = { mesh: 34001, nfs: 34049, http: 34080, iscsi: 34260 } as const
export const EXPORT = '/home'
const LUN_BYTES = 8 * GiB
const IQN = 'iqn.2026-11.net.matrixfs.test:vhost'
const cli = new URL('../../../src/cli/main.ts', import.meta.url).pathname
const run = promisify(execFile)

export class VhostMatrix {
  readonly segment: Segment
  readonly nodes: readonly RealNode[]
  /** The virtual hosts: `files` (IPv4) and `six` (IPv6). */
  readonly files: string
  readonly six: string
  readonly #options: VhostMatrixOptions
  #target: ChildProcess | undefined

  static async create(options: VhostMatrixOptions): Promise<VhostMatrix> {
    rmSync(options.dir, { recursive: true, force: true })
    mkdirSync(join(options.dir, 'run'), { recursive: true })
    const matrix = new VhostMatrix(options, Segment.create(options.prefix, options.nodes))
    try {
      await matrix.#build()
      return matrix
    } catch (error) {
      await matrix.dispose()
      throw error
    }
  }

  private constructor(options: VhostMatrixOptions, segment: Segment) {
    this.#options = options
    this.segment = segment
    this.files = segment.address(50)
    this.six = segment.ipv6(0x50)
    this.nodes = this.names.map(
      (name, index) =>
        new RealNode({
          ...{ name, number: index + 1, config: this.#file(`${name}.toml`), logFile: this.#file(`${name}.log`) },
          ...{ runFile: this.#file(`run/${name}.json`), enter: segment.enter(name), onStart: () => {} },
        }),
    )
  }

  get dir(): string {
    return this.#options.dir
  }

  get names(): readonly string[] {
    return Array.from({ length: this.#options.nodes }, (_, index) => `n${index + 1}`)
  }

  node(name: string): RealNode {
    return this.nodes.find((node) => node.name === name) as RealNode
  }

  /** `matrix …` on a machine; gives its output. */
  async order(machine: string, ...args: string[]): Promise<string> {
    const [program, ...before] = this.segment.enter(machine)
    const { stdout } = await run(program, [...before, process.execPath, cli, ...args], { encoding: 'utf8' })
    return stdout
  }

  /** Where the virtual hosts are, as a node that serves sees it. */
  async hosts(): Promise<readonly VhostState[]> {
    const asked = this.nodes.find(({ serves }) => serves) as RealNode
    return JSON.parse(await this.order(asked.name, 'vhost', 'list', '--json', '--config', asked.config))
  }

  async bearer(name: string): Promise<string | undefined> {
    return (await this.hosts()).find((host) => host.name === name)?.node
  }

  /** `matrix vhost move`, asked at any node; gives how long it took, ms. */
  async move(name: string, node: string): Promise<number> {
    const asked = this.nodes.find(({ serves }) => serves) as RealNode
    const answer = await this.order(asked.name, 'vhost', 'move', name, node, '--json', '--config', asked.config)
    return (JSON.parse(answer) as { ms: number }).ms
  }

  /** Resolves with the bearer once a virtual host is somewhere. */
  async placed(name: string, limitMs: number): Promise<string> {
    const deadline = performance.now() + limitMs
    for (;;) {
      const found = await this.bearer(name).catch(() => undefined)
      if (found !== undefined) return found
      if (performance.now() > deadline) throw new Error(`${name} is nowhere after ${limitMs} ms\n${this.tails()}`)
      await sleep(100)
    }
  }

  tails(): string {
    return this.nodes.map((node) => node.logTail(8)).join('\n')
  }

  async allServe(limitMs?: number): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.ready(limitMs)))
  }

  async dispose(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.destroy()))
    const target = this.#target
    if (target && target.exitCode === null) {
      const ended = new Promise((resolve) => target.once('exit', resolve))
      target.kill('SIGKILL')
      await ended
    }
    this.segment.remove()
  }

  #file(name: string): string {
    return join(this.#options.dir, name)
  }

  get #urls(): readonly string[] {
    if (this.#options.fencing !== 'scsi-pr') return [1, 2].map((number) => `file:${this.#file(`lun${number}.img`)}`)
    return [1, 2].map((number) => `iscsi://${this.segment.san}:${PORTS.iscsi}/${IQN}/${number}`)
  }

  async #build(): Promise<void> {
    if (this.#options.fencing === 'scsi-pr') await this.#startTarget()
    else
      for (const number of [1, 2]) {
        writeFileSync(this.#file(`lun${number}.img`), '')
        truncateSync(this.#file(`lun${number}.img`), LUN_BYTES)
      }
    writeFileSync(this.#file('secret'), `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
    await this.order('n1', 'lun', 'format', ...this.#urls, '--matrix', 'vhost')
    await this.order('n1', 'fs', 'create', 'home', '--lun', ...this.#urls)
    for (const [index, name] of this.names.entries())
      writeFileSync(this.#file(`${name}.toml`), this.#config(name, index))
    for (const node of this.nodes) {
      this.segment.announceIpv6(node.name)
      node.start()
    }
    await this.allServe()
  }

  async #startTarget(): Promise<void> {
    const luns = [1, 2].map(
      (number) => `[[luns]]\nnumber = ${number}\npath = "lun${number}.img"\nsize = ${LUN_BYTES}\n`,
    )
    const portal = `${this.segment.san}:${PORTS.iscsi}`
    writeFileSync(this.#file('target.toml'), `name = "${IQN}"\nportals = ["${portal}"]\n${luns.join('\n')}`)
    const [program, ...before] = this.segment.enter('san')
    const log = openSync(this.#file('target.log'), 'a')
    const args = [...before, process.execPath, cli, 'target', 'run', '--config', this.#file('target.toml')]
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', log] })
    closeSync(log)
    this.#target = child
    await new Promise<void>((resolve, reject) => {
      child.once('exit', () => reject(new Error(`the target ended\n${readFileSync(this.#file('target.log'), 'utf8')}`)))
      child.stdout?.on('data', (text: Buffer) => text.includes('target ready') && resolve())
    })
  }

  #config(name: string, index: number): string {
    const { segment } = this
    const { fencing, policy, listen } = this.#options
    const nodes = this.names.map(
      (each, slot) =>
        `[[nodes]]\nname = "${each}"\nslot = ${slot}\nmesh = "${segment.address(slot + 1)}:${PORTS.mesh}"\n`,
    )
    const at = (port: number) => (listen === 'all' ? `[::]:${port}` : `${segment.address(index + 1)}:${port}`)
    const host = (title: string, address: string) => `[[virtual_hosts]]
name = "${title}"
address = "${address}"
interface = "eth0"
nodes = ${JSON.stringify(this.names)}
policy = "${policy}"
`
    return `[matrix]
name = "vhost"
secret_file = "secret"

[node]
name = "${name}"
state_dir = "${name}"

${nodes.join('\n')}
${this.#urls.map((url) => `[[luns]]\nurl = "${url}"\n`).join('\n')}
[fencing]
agents = ${JSON.stringify(fencing === 'kill' ? ['kill', 'lease'] : [fencing])}

[nfs]
listen = "${at(PORTS.nfs)}"

[http]
listen = "${at(PORTS.http)}"
uid = 0
gid = 0

[[exports]]
path = "${EXPORT}"
filesystem = "home"
clients = ["${segment.network}", "${segment.network6}", "127.0.0.0/8", "::1"]
squash = "none"

${host('files', `${this.files}/24`)}
${host('six', `${this.six}/64`)}
${this.#options.more?.(this, name) ?? ''}
[cache]
data = "64MiB"
`
  }
}
