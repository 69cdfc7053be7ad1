/**
 * A matrix of real processes: each node in a network namespace of its own (namespaces.ts), reaching the LUNs by its own way through the
 * SAN switch (san-switch.ts), looked after as by systemd (real-node.ts).
 *
 *     DIR/lun1.img, lun2.img   the LUNs
 *     DIR/san/                 the nodes' ways to them, and the log of writes
 *     DIR/nK.toml, nK.log, nK/ configuration, log and local image of node K
 *     DIR/run/nK.json          its run file: by it the next run finds what a killed run left
 *     DIR/spare.img            a LUN that is none of the matrix, unless a scenario adds it
 *     DIR/fence                the fence script (fence-script.ts), and what it asks for
 *     DIR/tools.toml           for `matrix fs check`, which goes past the switch
 */
import { execFile, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { readRunFile } from '../../../config/index.ts'
import { GiB } from '../../../src/base/units.ts'
import { createFilesystem, formatMatrix } from '../../../src/cli/provision.ts'
import { clearStaleMount } from '../../../src/gateway-fuse/index.ts'
import { realProcesses } from '../../../src/platform/real/processes.ts'
import { now } from '../checker/clock.ts'
import type { DemoMatrix, DemoNode } from '../demo.ts'
import { FenceScript } from './fence-script.ts'
import { Network } from './namespaces.ts'
import { RealNode } from './real-node.ts'
import { SanSwitch } from './san-switch.ts'

export const fencings = ['kill', 'script', 'lease'] as const
export type Fencing = (typeof fencings)[number]

export type RealMatrixOptions = {
  /** What is there is removed. */
  readonly dir: string
  readonly nodes: number
  /** Of the namespaces: unique among runs at one time. */
  readonly prefix: string
  /** How a node is fenced: by `kill`, or by a `script` at the SAN switch, with `lease` after it; or by that alone. */
  readonly fencing: Fencing
}

const FILESYSTEM = 'home'
/** Name of the LUN that is added and removed. */
export const SPARE = 'spare'
/** Sparse; of a size for which journals are long enough for the time that a fence takes. */
const LUN_BYTES = 8 * GiB
const SLOTS = 8
const PORTS = { mesh: 36001, portmap: 36011, nfs: 36049, http: 36080 } as const
const cli = new URL('../../../src/cli/main.ts', import.meta.url).pathname

export class RealMatrix {
  readonly nodes: readonly RealNode[]
  readonly network: Network
  readonly san: SanSwitch
  readonly fencing: Fencing
  /** Place of the spare LUN among those of the SAN switch. */
  readonly spareIndex: number
  readonly #dir: string
  readonly #script: FenceScript

  /** Made, formatted and with every node serving. */
  static async create({ dir, nodes, prefix, fencing }: RealMatrixOptions): Promise<RealMatrix> {
    await clearLeftovers(dir)
    mkdirSync(join(dir, 'run'), { recursive: true })
    const luns = ['lun1', 'lun2'].map((name) => ({ name, path: join(dir, `${name}.img`) }))
    const spare = join(dir, `${SPARE}.img`)
    for (const path of [...luns.map((lun) => lun.path), spare]) {
      writeFileSync(path, '')
      truncateSync(path, LUN_BYTES)
    }
    writeFileSync(join(dir, 'secret'), `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
    const named = luns.map(({ name, path }) => ({ name, url: `file:${path}` }))
    await formatMatrix({ matrixName: 'cluster', luns: named })
    await createFilesystem({ name: FILESYSTEM, urls: named.map(({ url }) => url), plan: { slots: SLOTS } })

    const names = Array.from({ length: nodes }, (_, index) => `n${index + 1}`)
    const paths = luns.map(({ path }) => path)
    const network = Network.create(prefix, nodes)
    let san: SanSwitch | undefined
    try {
      san = await SanSwitch.start(dir, names, [...paths, spare])
      const matrix = new RealMatrix(dir, names, fencing, network, san, paths.length)
      matrix.#writeConfigs(names, paths)
      await matrix.startAll()
      return matrix
    } catch (error) {
      network.remove()
      await san?.close()
      throw error
    }
  }

  private constructor(
    dir: string,
    names: readonly string[],
    fencing: Fencing,
    network: Network,
    san: SanSwitch,
    spareIndex: number,
  ) {
    this.#dir = dir
    this.fencing = fencing
    this.network = network
    this.san = san
    this.spareIndex = spareIndex
    this.#script = new FenceScript(this.#file('fence'), (name) => san.fence(name))
    this.nodes = names.map(
      (name, index) =>
        new RealNode({
          ...{ name, number: index + 1, config: this.#file(`${name}.toml`), logFile: this.#file(`${name}.log`) },
          runFile: this.#file(`run/${name}.json`),
          enter: network.enter(index + 1),
          // whoever looks after a node gives it its way to the LUNs back before it is started again
          onStart: () => void san.admit(name),
        }),
    )
  }

  node(name: string): RealNode {
    const found = this.nodes.find((node) => node.name === name)
    if (!found) throw new Error(`no node ${name}`)
    return found
  }

  /** From 1. */
  numbered(number: number): RealNode {
    return this.node(`n${number}`)
  }

  /** How clients reach a node: whether it serves or not. */
  access({ name, number }: RealNode): DemoNode {
    const host = this.network.address(number)
    return {
      name,
      pid: this.node(name).life?.pid ?? 0,
      nfs: { host, port: PORTS.nfs, mountPort: PORTS.nfs, portmapPort: PORTS.portmap, export: `/${FILESYSTEM}` },
      http: { url: `http://${host}:${PORTS.http}/${FILESYSTEM}/` },
    }
  }

  get description(): DemoMatrix {
    return { matrix: 'cluster', nodes: this.nodes.map((node) => this.access(node)), luns: [] }
  }

  get stateDirs(): readonly string[] {
    return this.nodes.map(({ name }) => this.#file(name))
  }

  async startAll(): Promise<void> {
    for (const node of this.nodes) {
      node.supervised = true
      if (!node.life) node.start()
    }
    await this.allServe()
  }

  /** Resolves once every node serves; the supervisor starts again what has ended. */
  async allServe(limitMs?: number): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.ready(limitMs)))
  }

  async stopAll(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()))
  }

  /** Something is done to these nodes now that may be the end of their present lives. */
  doom(nodes: readonly RealNode[]): void {
    for (const { life } of nodes) if (life) life.doomedAt ??= now()
  }

  /** It is over, and whoever lives will. */
  undoom(): void {
    for (const { life } of this.nodes) if (life) delete life.doomedAt
  }

  /** The way of a node to the LUN that is none of the matrix. */
  spare(node: RealNode): string {
    return this.san.path(node.name, this.#file(`${SPARE}.img`))
  }

  /** A command of `matrix`; rejects when it fails. */
  async order(...args: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(process.execPath, [cli, ...args], { encoding: 'utf8' })
    return stdout
  }

  /** `matrix fs check`; throws when it finds anything. */
  check(): void {
    const args = [cli, 'fs', 'check', FILESYSTEM, '--config', this.#file('tools.toml')]
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
    if (status !== 0) throw new Error(`matrix fs check: exit ${status}\n${stdout}${stderr}`)
  }

  /** Ends everything, whatever state it is in. What is in the directory stays. */
  async dispose(): Promise<void> {
    for (const node of this.nodes) {
      node.supervised = false
      await this.san.set(node.name, 'pass') // whoever hangs in a call cannot be killed
    }
    await Promise.all(this.nodes.map((node) => node.destroy()))
    this.#script.close()
    await this.san.close()
    this.network.remove()
  }

  get #fencingKeys(): string {
    if (this.fencing === 'lease') return 'agents = ["lease"]'
    if (this.fencing === 'kill') return 'agents = ["kill", "lease"]'
    return `agents = ["script", "lease"]\nscript = "${this.#script.path}"`
  }

  #file(name: string): string {
    return join(this.#dir, name)
  }

  #writeConfigs(names: readonly string[], luns: readonly string[]): void {
    const mesh = (number: number) => `${this.network.address(number)}:${PORTS.mesh}`
    const nodes = names.map((name, slot) => `[[nodes]]\nname = "${name}"\nslot = ${slot}\nmesh = "${mesh(slot + 1)}"\n`)
    const text = (name: string, number: number, urls: readonly string[]) => `[matrix]
name = "cluster"
secret_file = "secret"

[node]
name = "${name}"
state_dir = "${name}"

${nodes.join('\n')}
${urls.map((url) => `[[luns]]\nurl = "file:${url}"\n`).join('\n')}
[fencing]
${this.#fencingKeys}

[nfs]
listen = "${this.network.address(number)}:${PORTS.nfs}"
portmap = "own"
portmap_port = ${PORTS.portmap}

[http]
listen = "${this.network.address(number)}:${PORTS.http}"
uid = 0
gid = 0

[[exports]]
path = "/${FILESYSTEM}"
filesystem = "${FILESYSTEM}"
clients = ["${this.network.addresses}"]
squash = "none"

[cache]
data = "64MiB"
`
    for (const [index, name] of names.entries()) {
      const own = luns.map((lun) => this.san.path(name, lun))
      writeFileSync(this.#file(`${name}.toml`), text(name, index + 1, own))
    }
    writeFileSync(this.#file('tools.toml'), text(names[0] as string, 1, luns))
  }
}

/** Ends the nodes that a killed run left, and removes what it kept. Refuses a directory that no such run has made. */
async function clearLeftovers(dir: string): Promise<void> {
  const names = list(dir)
  if (names.length > 0 && !names.includes('tools.toml') && !names.includes('run')) {
    throw new Error(`${dir} holds something that no run of this test made; choose an empty or new --dir`)
  }
  for (const file of list(join(dir, 'run'))) {
    const run = readRunFile(join(dir, 'run', file))
    if (run && realProcesses.state(run.process) === 'running') await realProcesses.kill(run.process)
  }
  for (const name of list(join(dir, 'san'))) await clearStaleMount(join(dir, 'san', name))
  rmSync(dir, { recursive: true, force: true })
}

function list(dir: string): string[] {
  try {
    return readdirSync(dir)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
