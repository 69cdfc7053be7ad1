/**
 * `matrix demo`: a whole matrix on one machine, for a first look and for tests.
 *
 *  1. The folder is ours alone (demo-lock.ts). Nodes that a demo before left running, because it was killed, are stopped.
 *  2. The LUNs are there, labelled, and bear the filesystem; else they are made. demo.json says when that is done: a start that was
 *     interrupted before begins it again.
 *  3. Every node is started. When all serve, matrix.json is written and `matrix ready` printed.
 *  4. Nodes come and go, by kill, `start-node`, `stop-node` and `add-node` (demo-nodes.ts); each is told of in a line. One that has halted by itself is started again.
 *  5. Ctrl-C or SIGTERM stops all nodes cleanly, also those that `start-node` started. A later one kills them.
 */
import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { onStopSignal, replaceFile } from '../../../config/index.ts'
import { MatrixError } from '../../base/errors.ts'
import { formatSize, GiB, MiB } from '../../base/units.ts'
import { clearStaleMount } from '../../gateway-fuse/index.ts'
import { createFilesystem, formatMatrix } from '../provision.ts'
import { formatTable, say } from '../table.ts'
import { lockFolder } from './demo-lock.ts'
import {
  adminUrl,
  DemoLayout,
  type DemoSettings,
  FILESYSTEM,
  HOST,
  httpUrl,
  LUN_NAMES,
  MATRIX_NAME,
  MAX_NODES,
  nodeConfigText,
  nodeNames,
  portalPorts,
  portsOf,
  TARGET,
  targetConfigText,
} from './layout.ts'
import { writeMatrixFile } from './matrix-file.ts'
import { NodeProcess } from './node-process.ts'
import { checkPorts } from './ports.ts'
import { selfSigned } from './self-signed.ts'

export type DemoOptions = {
  readonly dir: string
  readonly nodes: number
  readonly basePort: number
  /** Left out: that of the kept data, else DEFAULT_LUN_BYTES. */
  readonly lunBytes?: number
  /** Where LUNs are that are there already, instead of files of its own; left out: those of the kept data. */
  readonly lunUrls?: readonly string[]
  readonly reset?: boolean
  /** Every node mounts the filesystem in DIR/mnt/<node>. */
  readonly mount?: boolean
  /** HTTPS with a certificate that the demo makes. */
  readonly tls?: boolean
  /** URL of the Redis that keeps the jobs, without a password. */
  readonly redis?: string
  /** The LUNs are at an iSCSI target of the demo's own, and nodes are fenced there. */
  readonly san?: boolean
}

const CERTIFICATE_DAYS = 3650
export const DEFAULT_LUN_BYTES = 8 * GiB
/** Smallest LUN that leaves room for data beside the journals of MAX_NODES nodes, bytes. */
export const MIN_LUN_BYTES = 128 * MiB
/** A node that keeps halting is left alone after so many times. */
const HALTS_MAX = 20
/** How often the demo looks which nodes run, ms. */
const WATCH_MS = 250

/** Resolves once a signal has ended it. Rejects with MatrixError when it could not come up. No node runs afterwards. */
export async function runDemo(options: DemoOptions): Promise<void> {
  const layout = new DemoLayout(options.dir)
  const stopping = new StopRequest()
  const lock = lockFolder(layout)
  try {
    await stopLeftovers(layout)
    await clearMounts(layout)
    if (options.reset && existsSync(layout.settingsFile)) removeData(layout)
    const settings = settle(layout, options)
    say(`matrixfs demo in ${layout.dir}`)
    await checkPorts(settings)
    const target = settings.san ? new NodeProcess(layout, TARGET, 'target') : undefined
    try {
      await provision(layout, settings, target)
      writeConfigs(layout, settings)
      const nodes = nodeNames(settings.nodes).map((name) => new NodeProcess(layout, name))
      try {
        await startAll(nodes, stopping)
        if (!stopping.asked) {
          writeMatrixFile(layout, settings)
          announce(layout, settings)
          await watch(nodes, layout, stopping)
        }
      } finally {
        lock.stopping()
        rmSync(layout.matrixFile, { force: true })
        await stopAll(nodes, stopping)
        await clearMounts(layout)
      }
    } finally {
      await target?.stop(() => stopping.hurry)
    }
  } finally {
    lock.release()
    stopping.close()
  }
}

/** Whether somebody wants the demo to end, and how urgently. */
class StopRequest {
  /** Of a demo that npm started: the shell between the two dies of a SIGTERM without passing it on. */
  readonly #shell = startedByNpm() ? process.ppid : undefined
  #asked = false
  #hurry = false
  readonly close = onStopSignal({
    stop: () => {
      this.#asked = true
    },
    hurry: () => {
      this.#hurry = true
    },
  })

  get asked(): boolean {
    return this.#asked || (this.#shell !== undefined && process.ppid !== this.#shell)
  }
  get hurry(): boolean {
    return this.#hurry
  }
}

/** The settings of this start; throws when they do not fit the kept data. */
function settle(
  layout: DemoLayout,
  { nodes, basePort, lunBytes, lunUrls, san, mount = false, tls = false, redis }: DemoOptions,
): DemoSettings {
  if (lunBytes !== undefined && lunUrls)
    throw new MatrixError('config', '--lun-size is the size of files that the demo makes; leave it out with --lun')
  if (san && lunUrls) throw new MatrixError('config', '--san makes LUNs of its own; leave --lun out with it')
  const kept = layout.readSettings()
  if (!kept?.provisioned) {
    const luns = { lunBytes: lunBytes ?? DEFAULT_LUN_BYTES, lunUrls: [...(lunUrls ?? kept?.lunUrls ?? [])] }
    return { nodes, basePort, ...luns, san: san ?? false, mount, tls, redis, provisioned: false }
  }
  if (lunUrls && lunUrls.join(' ') !== kept.lunUrls.join(' ')) {
    const where = kept.lunUrls.join(', ') || 'files there'
    throw new MatrixError(
      'exists',
      `the data kept in ${layout.dir} is on other LUNs (${where}); leave --lun out to go on with it, or choose another --dir`,
    )
  }
  if (san === true && !kept.san)
    throw new MatrixError(
      'exists',
      `the data kept in ${layout.dir} is on LUNs without a target; choose another --dir, or --reset to begin anew`,
    )
  if (lunBytes !== undefined && lunBytes !== kept.lunBytes) {
    throw new MatrixError(
      'exists',
      `the data kept in ${layout.dir} has LUNs of ${formatSize(kept.lunBytes)}; leave --lun-size out to go on with it, or --reset to begin anew`,
    )
  }
  for (const { path } of layout.luns(kept)) {
    if (path === undefined || existsSync(path)) continue
    throw new MatrixError('not-found', `${path} is gone, and data with it; --reset begins anew`)
  }
  // Slots for MAX_NODES nodes are laid out, so the number of nodes may change from start to start.
  return { ...kept, nodes, basePort, mount, tls, redis }
}

async function stopLeftovers(layout: DemoLayout): Promise<void> {
  // the target last: nodes give back at their end what they have there
  for (const name of [...nodeNames(MAX_NODES), TARGET]) {
    const node = new NodeProcess(layout, name)
    const run = node.running()
    if (!run) continue
    say(`  stopping ${name} (pid ${run.process.pid}), left by a demo that was killed`)
    await node.stop()
  }
}

/** Takes away what nodes that were killed left mounted. No node runs. */
async function clearMounts(layout: DemoLayout): Promise<void> {
  if (!existsSync(layout.mountsFolder)) return
  for (const name of nodeNames(MAX_NODES)) await clearStaleMount(layout.mountFolder(name))
}

/** Removes what a demo keeps, and nothing else. The settings go first: without them what is left counts as unfinished. */
function removeData(layout: DemoLayout): void {
  const nodePaths = [...nodeNames(MAX_NODES), TARGET].flatMap((name) => [
    layout.configFile(name),
    layout.logFile(name),
    layout.formerLogFile(name),
    layout.runFile(name),
    layout.stateFolder(name),
  ])
  const lunPaths = LUN_NAMES.flatMap((name) => [layout.lunFile(name), `${layout.lunFile(name)}.reservations`])
  for (const path of [layout.settingsFile, layout.matrixFile, layout.secretFile, ...lunPaths, ...nodePaths]) {
    rmSync(path, { recursive: true, force: true })
  }
}

/** `target`: started as soon as it has its files. */
async function provision(layout: DemoLayout, settings: DemoSettings, target?: NodeProcess): Promise<void> {
  const luns = layout.luns(settings)
  if (settings.provisioned) {
    layout.writeSettings(settings)
    const what =
      settings.lunUrls.length > 0 ? luns.map(({ url }) => url).join(', ') : `2 LUNs of ${formatSize(settings.lunBytes)}`
    say(`  going on with the data kept there: ${what}, filesystem ${FILESYSTEM}`)
    await startTarget(layout, settings, target)
    return
  }
  await refuseForeignFolder(layout)
  // of LUNs that are not its own the demo overwrites only those that it had begun to label
  const force = layout.readSettings()?.lunUrls.join(' ') === settings.lunUrls.join(' ')
  removeData(layout)
  layout.writeSettings(settings)
  writeFileSync(layout.secretFile, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
  chmodSync(layout.secretFile, 0o600)
  for (const { name, url, path } of luns) {
    if (path !== undefined) {
      writeFileSync(path, '')
      truncateSync(path, settings.lunBytes)
    }
    say(`  ${name}: ${path === undefined ? url : `${path}, ${formatSize(settings.lunBytes)}, sparse`}`)
  }
  await startTarget(layout, settings, target)
  await formatMatrix({ matrixName: MATRIX_NAME, luns, force })
  await createFilesystem({ name: FILESYSTEM, urls: luns.map(({ url }) => url), plan: { slots: MAX_NODES } })
  layout.writeSettings({ ...settings, provisioned: true })
  say(`  filesystem ${FILESYSTEM} made on ${luns.map(({ name }) => name).join(' and ')}`)
}

async function startTarget(layout: DemoLayout, settings: DemoSettings, target?: NodeProcess): Promise<void> {
  if (!target) return
  replaceFile(layout.configFile(TARGET), targetConfigText(settings))
  const pid = target.start()
  await target.ready()
  const portals = portalPorts(settings.basePort).map((port) => `${HOST}:${port}`)
  say(`  an iSCSI target at ${portals.join(' and ')} (pid ${pid})`)
}

/** A folder with somebody else's LUN images is not ours to fill. */
async function refuseForeignFolder(layout: DemoLayout): Promise<void> {
  if (layout.readSettings()) return
  const names = await readdir(layout.dir)
  const ours = new Set<string>(['run', 'mnt', 'demo.json', 'secret', 'matrix.json', 'cert.pem', 'key.pem'])
  const foreign = names.filter((name) => !ours.has(name))
  if (foreign.length === 0) return
  throw new MatrixError(
    'exists',
    `${layout.dir} holds something that no demo made (${foreign.slice(0, 3).join(', ')}); choose an empty or new --dir`,
  )
}

function writeConfigs(layout: DemoLayout, settings: DemoSettings): void {
  rmSync(layout.matrixFile, { force: true })
  layout.shareAddedLuns(settings)
  if (settings.tls) makeCertificate(layout)
  nodeNames(settings.nodes).forEach((name, index) => {
    if (settings.mount) mkdirSync(layout.mountFolder(name), { recursive: true })
    replaceFile(layout.configFile(name), nodeConfigText(settings, index + 1))
  })
}

/** One for as long as the folder is kept: whoever has told his client to trust it need not do so again. */
function makeCertificate({ certFile, keyFile }: DemoLayout): void {
  if (existsSync(certFile) && existsSync(keyFile)) return
  const { cert, key } = selfSigned(['localhost', HOST], CERTIFICATE_DAYS)
  writeFileSync(keyFile, key, { mode: 0o600 })
  writeFileSync(certFile, cert)
}

async function startAll(nodes: readonly NodeProcess[], stopping: StopRequest): Promise<void> {
  const begun = performance.now()
  const pids = nodes.map((node) => `${node.name} (pid ${node.start()})`)
  say(`  starting ${pids.join(', ')}`)
  await Promise.all(
    nodes.map(async (node) => {
      await node.ready(() => stopping.asked)
      if (!stopping.asked) say(`  ${node.name} serves after ${((performance.now() - begun) / 1000).toFixed(1)} s`)
    }),
  )
}

function announce(layout: DemoLayout, settings: DemoSettings): void {
  const rows = nodeNames(settings.nodes).map((name, index) => {
    const { nfs, admin } = portsOf(settings.basePort, index + 1)
    const mount = settings.mount ? [layout.mountFolder(name)] : []
    return [name, httpUrl(settings, index + 1), adminUrl(admin), ...mount, mountLine(nfs)]
  })
  const mounted = settings.mount ? ['mounted at'] : []
  say('')
  say(formatTable(['node', 'HTTP and WebDAV', 'dashboard', ...mounted, 'NFS (as root)'], rows))
  say('')
  say(`Every node serves the same files. Kill one (pids in ${layout.matrixFile}) and go on at another;`)
  say(`bring it back with: ${startCommand('NAME', layout)}`)
  if (settings.san) {
    const drill = (words: string) => `${matrixCommand()} demo ${words} --dir ${layout.dir}`
    say(`Pull a cable: ${drill('cut n2 san')}   or   ${drill('cut n2 net')}`)
    say(`and put it back: ${drill('heal n2')}`)
  }
  if (settings.tls)
    say(`Let clients trust ${layout.certFile}: curl --cacert ${layout.certFile} ${httpUrl(settings, 1)}`)
  say('Ctrl-C stops all nodes; the data stays for the next start.')
  say('matrix ready')
}

function startedByNpm(): boolean {
  return process.env['npm_lifecycle_event'] !== undefined
}

/** As it can be typed where the demo was started: without an installed `matrix`, through npm. */
function startCommand(name: string, layout: DemoLayout): string {
  return `${matrixCommand()} demo start-node ${name} --dir ${layout.dir}`
}

function matrixCommand(): string {
  return startedByNpm() ? 'npm run matrix --' : 'matrix'
}

export function mountLine(port: number): string {
  return `mount -t nfs -o vers=3,tcp,nolock,port=${port},mountport=${port},mountproto=tcp ${HOST}:/${FILESYSTEM} /mnt`
}

/** Tells of nodes that come and go, takes in those that `add-node` adds, and starts again what has halted, until a signal. */
async function watch(nodes: NodeProcess[], layout: DemoLayout, stopping: StopRequest): Promise<void> {
  const serving = new Set(nodes)
  const halts = new Map<NodeProcess, number>()
  while (!stopping.asked) {
    const settings = layout.readSettings() as DemoSettings
    for (const name of nodeNames(settings.nodes).slice(nodes.length)) nodes.push(new NodeProcess(layout, name))
    for (const node of nodes) {
      const run = node.running()
      if (node.hasHalted && (halts.get(node) ?? 0) < HALTS_MAX) {
        serving.delete(node)
        halts.set(node, (halts.get(node) ?? 0) + 1)
        say(
          `${node.name} has halted, and is started again (pid ${node.start()}); its log: ${layout.logFile(node.name)}`,
        )
      } else if (!run && serving.delete(node)) {
        say(`${node.name} ${node.lastWords()}; it stays down until: ${startCommand(node.name, layout)}`)
      } else if (run?.state === 'ready' && !serving.has(node)) {
        serving.add(node)
        writeMatrixFile(layout, settings)
        say(`${node.name} serves again (pid ${run.process.pid})`)
      }
    }
    await sleep(WATCH_MS)
  }
}

async function stopAll(nodes: readonly NodeProcess[], stopping: StopRequest): Promise<void> {
  const down = await Promise.all(nodes.map((node) => node.stop(() => stopping.hurry)))
  nodes.forEach((node, index) => {
    if (down[index] === 'killed') say(`${node.name} had to be killed`)
  })
  say('all nodes have stopped')
}
