/**
 * A real node: the core given this machine's clock, network, files, threads and processes, and the gateways on top. The gateways listen
 * once every filesystem serves here, and stop listening before anything is given back.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { hostname } from 'node:os'
import type {
  ConfiguredHttp,
  ConfiguredNode,
  ControlRequest,
  FenceAgentName,
  MatrixdConfig,
} from '../../config/index.ts'
import { MatrixError } from '../base/errors.ts'
import { Prng } from '../base/prng.ts'
import type { KnownPeer } from '../cluster/index.ts'
import { makeExport, type Squash, Users } from '../export/index.ts'
import { Authenticator, HttpGateway, JwtVerifier } from '../gateway-http/index.ts'
import { NfsServer } from '../gateway-nfs/index.ts'
import type { Log } from '../platform/index.ts'
import { realClock } from '../platform/real/clock.ts'
import { realHost } from '../platform/real/host.ts'
import { realProcesses } from '../platform/real/processes.ts'
import { realPrograms } from '../platform/real/programs.ts'
import { realThreads } from '../platform/real/threads.ts'
import { createTcpTransport } from '../platform/real/transport.ts'
import {
  type FenceAgent,
  KillAgent,
  LeaseAgent,
  type LeaseWatch,
  type Lun,
  type NodeLease,
  openLun,
  orphanIoMs,
  type ReservedStorage,
  ScriptAgent,
  ScsiPrAgent,
  startLeaseThread,
} from '../san/index.ts'
import { type ControlHandler, ControlServer } from './control.ts'
import { NodeCore } from './core.ts'
import { DrillNetwork } from './drill-network.ts'
import { ImageWatch, newImageFile } from './image-watch.ts'
import { LocalMounts } from './local-mounts.ts'
import { NodeLuns } from './node-luns.ts'
import { TimelineFile } from './timeline-file.ts'

export type NodeHooks = {
  readonly log: Log
  /** The node has ended by itself (fenced, lease lost, withdrawn): the process has to end at once. */
  onStopped(reason: string): void
}

export type RunningNode = {
  /** Resolves once every filesystem is served by every configured gateway, and mounted where it should be. */
  readonly ready: Promise<void>
  /** Clean end. */
  stop(): Promise<void>
}

/** Starts the node of a checked configuration. Rejects with a MatrixError that an operator understands. */
export async function startNode(config: MatrixdConfig, hooks: NodeHooks): Promise<RunningNode> {
  const { log } = hooks
  mkdirSync(config.stateDir, { recursive: true })
  const urls = new Map<Lun, string>()
  const { timings, node } = config
  for (const { url } of config.luns) urls.set(await openLun(url, realHost, { timings, log }), url)
  const reserves = config.fencing.agents.includes('scsi-pr')
  const timeline = new TimelineFile(config.stateDir, log)
  const lunFinder = new NodeLuns(config, realHost, log)
  const orphansMs = () => orphanIoMs(lunFinder.urls(), timings)
  const network = createTcpTransport({ secret: config.matrix.secret, matrixName: config.matrix.name, log })
  const drill = config.drills
    ? new DrillNetwork(network, { stateDir: config.stateDir, clock: realClock, log })
    : undefined
  let gateways: Gateways | undefined
  const core = await NodeCore.start({
    matrixName: config.matrix.name,
    self: peerOf(node),
    nodes: config.nodes.map(peerOf),
    clock: realClock,
    transport: drill?.transport ?? network,
    prng: new Prng(randomBytes(4).readUInt32LE(0)),
    log,
    timings,
    luns: [...urls.keys()],
    lunFinder,
    claimLease: (partitions, onEnd) =>
      startLeaseThread({
        threads: realThreads,
        lunUrls: partitions.luns.flatMap((lun) => urls.get(lun) ?? []),
        partitions: partitions.luns.length,
        reserves,
        owner: {
          slot: node.slot,
          nodeName: node.name,
          hostName: hostname(),
          address: node.mesh,
          process: realProcesses.self(),
          nonce: randomUUID(),
        },
        timings,
        orphanIoMs: orphansMs(),
        log,
        onEnd,
      }),
    reserves,
    fenceAgents: (lease, watch, storage) =>
      config.fencing.agents.map((name) => makeFenceAgent(name, config, { lease, watch, storage, log, orphansMs })),
    threads: realThreads,
    newImageFile: (record) => newImageFile(config.stateDir, record.name),
    dataCacheBytes: config.cache.dataBytes,
    onTimeline: (entry) => timeline.add(entry),
    onHalt: (reason, ended) => {
      gateways?.abandon()
      void ended.then(() => hooks.onStopped(reason))
    },
  })
  gateways = new Gateways(config, core, log)
  const served = gateways
  const images = () =>
    core.mounts.map((mount) => ({
      filesystem: mount.record.name,
      file: mount.volume.imageFile,
      withdraw: (error: MatrixError) => mount.withdraw(error),
    }))
  const watch = new ImageWatch(images, realClock)
  const ready = core.ready().then(() => served.listen())
  return {
    ready,
    async stop() {
      await ready.catch(() => {})
      watch.stop()
      await served.close()
      await core.stop()
      drill?.close()
    },
  }
}

function makeFenceAgent(
  name: FenceAgentName,
  { fencing, timings, nodes }: MatrixdConfig,
  {
    lease,
    watch,
    storage,
    log,
    orphansMs,
  }: {
    readonly lease: NodeLease
    readonly watch: LeaseWatch
    readonly storage: ReservedStorage
    readonly log: Log
    readonly orphansMs: () => number
  },
): FenceAgent {
  const clock = realClock
  switch (name) {
    case 'kill':
      return new KillAgent(realProcesses, { clock, orphanIoMs: orphansMs })
    case 'scsi-pr':
      return new ScsiPrAgent({ clock, watch, lease, timings, log, ...storage, life: lease.life })
    case 'script': {
      const { path: script, timeoutMs } = fencing.script as NonNullable<typeof fencing.script>
      return new ScriptAgent({
        ...{ clock, watch, lease, timings, log, script, timeoutMs },
        programs: realPrograms,
        addresses: ({ slot, address }) => [address, ...(nodes.find((node) => node.slot === slot)?.otherMeshes ?? [])],
      })
    }
    case 'lease':
      return new LeaseAgent({
        ...{ clock, watch, lease },
        pollMs: timings.renewMs,
        limitMs: 4 * timings.observedDeadMs,
      })
  }
}

function peerOf({ name, slot, mesh, otherMeshes }: ConfiguredNode): KnownPeer {
  return { name, slot, address: mesh, otherAddresses: otherMeshes }
}

/** A LUN is drained so long before whoever asked hears how far it is, ms. */
const DRAIN_STEP_MS = 1000

/** The protocols of one node. */
class Gateways {
  readonly #config: MatrixdConfig
  readonly #core: NodeCore
  readonly #log: Log
  #nfs: NfsServer | undefined
  #http: HttpGateway | undefined
  readonly #mounts: LocalMounts
  readonly #control: ControlServer

  constructor(config: MatrixdConfig, core: NodeCore, log: Log) {
    this.#config = config
    this.#core = core
    this.#log = log
    this.#mounts = new LocalMounts({ filesystems: () => core.mounts.map(({ fs }) => fs), clock: realClock, log })
    this.#control = new ControlServer((request) => this.#order(request), log)
  }

  async listen(): Promise<void> {
    const { nfs, http, exports, mounts } = this.#config
    const served = exports.map((exported) => {
      const mount = this.#core.mounts.find(({ record }) => record.name === exported.filesystem)
      if (!mount) {
        const known = this.#core.mounts.map(({ record }) => record.name).join(', ') || 'none'
        throw new MatrixError(
          'config',
          `export ${exported.path}: the matrix has no filesystem "${exported.filesystem}" that could be mounted (it has: ${known})`,
        )
      }
      return { exported, fs: mount.fs }
    })
    if (nfs) {
      const list = served.map(({ exported, fs }) =>
        makeExport({ ...exported, fs, squash: squashNames[exported.squash] }),
      )
      this.#nfs = new NfsServer({ exports: () => list, log: this.#log, clock: realClock })
      await this.#nfs.listen(nfs.listen.host, nfs.listen.port)
    }
    if (http) {
      const list = served.map(({ exported, fs }) => ({
        name: exported.path.slice(1),
        fs,
        caller: { uid: http.uid, gid: http.gid, gids: [] },
        readOnly: exported.access === 'ro',
        anonymous: exported.anonymous,
      }))
      this.#http = new HttpGateway({
        ...{ exports: () => list, log: this.#log, clock: realClock },
        corsOrigins: http.corsOrigins,
        ...(http.tls && { tls: http.tls }),
        ...(http.users !== undefined && { authenticator: authenticatorOf(http, http.users, this.#config, this.#log) }),
      })
      await this.#http.listen(http.listen.host, http.listen.port)
    }
    for (const { filesystem, directory } of mounts) await this.#mounts.mount(filesystem, directory)
    await this.#control.listen(this.#config.stateDir)
  }

  /** What `matrix` asks of the running node. */
  async #order(request: ControlRequest): ReturnType<ControlHandler> {
    switch (request.command) {
      case 'mount':
        return { directory: (await this.#mounts.mount(request.filesystem, request.directory)).directory }
      case 'umount':
        await this.#mounts.unmount(request.directory, request.lazy)
        return {}
      case 'mounts':
        return { mounts: this.#mounts.list.map(({ filesystem, directory }) => ({ filesystem, directory })) }
      case 'counters':
        return {
          counters: { ...this.#core.counters(), nfs: this.#nfs?.stats() ?? null, http: this.#http?.stats() ?? null },
        }
      case 'luns': {
        const { matrixUuid, matrixName, luns, pending } = await this.#core.readDatabase()
        return { luns: { matrixUuid, matrixName, luns: [...luns], ...(pending && { pending: pending.lun.uuid }) } }
      }
      case 'fence-plan': {
        const { agents, ...life } = await this.#core.fenceDrill.plan(request.node)
        return { plan: { ...life, agents: [...agents] } }
      }
      case 'fence-drill':
        return { fenced: await this.#core.fenceDrill.run(request.node) }
      case 'look-at-luns': {
        const looks = await this.#core.lunVerbs.lookEverywhere()
        return {
          looks: looks.map(({ node, sights }) => ({ node, sights: typeof sights === 'string' ? sights : [...sights] })),
        }
      }
      case 'add-lun': {
        const { lun, url } = request
        await this.#core.lunVerbs.change({ kind: 'add', lun, hint: url })
        return {}
      }
      case 'remove-lun':
        await this.#core.lunVerbs.change({ kind: 'remove', uuid: request.uuid })
        return {}
      case 'grow-filesystem':
        return { bytes: await this.#core.lunVerbs.growFilesystem(this.#filesystem(request.filesystem), request.uuid) }
      case 'drain-lun': {
        const { done, leftBytes } = await this.#core.lunVerbs.drainLun(request.uuid, DRAIN_STEP_MS)
        return done ? {} : { left: leftBytes }
      }
      case 'grow-lun':
        return { bytes: await this.#core.lunVerbs.growLun(request.uuid) }
      case 'refill-lun':
        return { bytes: await this.#core.lunVerbs.refillLun(request.uuid) }
    }
  }

  /** The number of a filesystem that is mounted here. */
  #filesystem(name: string): number {
    const mount = this.#core.mounts.find(({ record }) => record.name === name)
    if (mount) return mount.record.fsid
    const known = this.#core.mounts.map(({ record }) => record.name).join(', ') || 'none'
    throw new MatrixError('not-found', `no filesystem ${name} is in service at this node; it has ${known}`)
  }

  /** The node has halted: nothing of it may be answered any more. */
  abandon(): void {
    this.#mounts.abandon()
    this.#nfs?.abandon()
    this.#http?.abandon()
  }

  async close(): Promise<void> {
    await this.#control.close()
    await Promise.all([this.#nfs?.close(), this.#http?.close(), this.#mounts.close()])
  }
}

function authenticatorOf(http: ConfiguredHttp, file: string, { matrix }: MatrixdConfig, log: Log): Authenticator {
  const clock = realClock
  return new Authenticator({
    ...{ clock, log, realm: matrix.name, insecure: http.insecureLogins },
    users: new Users(file, clock, log),
    jwt: http.bearer && new JwtVerifier(http.bearer, clock, log),
  })
}

const squashNames: Record<'root' | 'all' | 'none', Squash> = {
  root: 'root_squash',
  all: 'all_squash',
  none: 'no_root_squash',
}
