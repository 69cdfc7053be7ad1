/**
 * A real node: the core given this machine's clock, network, files, threads and processes, and the gateways on top. The gateways listen
 * once every filesystem serves here, and stop listening before anything is given back.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import {
  type ConfiguredHttp,
  type ConfiguredNode,
  type ControlRequest,
  type FenceAgentName,
  formatAddress,
  type MatrixdConfig,
} from '../../config/index.ts'
import { AdminPlane, type GatewaysReport, LogTail } from '../admin/index.ts'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import { Prng } from '../base/prng.ts'
import type { KnownPeer } from '../cluster/index.ts'
import { HostNames, UserGroups, Users } from '../export/index.ts'
import { Authenticator, HttpGateway, JwtVerifier } from '../gateway-http/index.ts'
import { NfsServer, type TlsMaterial, TlsOffer } from '../gateway-nfs/index.ts'
import type { HostAddresses, Log } from '../platform/index.ts'
import { realClock } from '../platform/real/clock.ts'
import { realHost, sysctl } from '../platform/real/host.ts'
import { IpAddresses } from '../platform/real/ip-addresses.ts'
import { realNames } from '../platform/real/names.ts'
import { realProcesses } from '../platform/real/processes.ts'
import { isProgram, realPrograms } from '../platform/real/programs.ts'
import { ScriptAddresses } from '../platform/real/script-addresses.ts'
import { realThreads } from '../platform/real/threads.ts'
import { createTcpTransport } from '../platform/real/transport.ts'
import type { Mount, TimelineEntry } from '../recovery/index.ts'
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
import type { AddressedGateway } from '../services/index.ts'
import { adminHost } from './admin-host.ts'
import { type ControlHandler, ControlServer } from './control.ts'
import { NodeCore } from './core.ts'
import { DrillNetwork } from './drill-network.ts'
import { ImageWatch, newImageFile } from './image-watch.ts'
import { LocalMounts } from './local-mounts.ts'
import { NodeLuns } from './node-luns.ts'
import { ServedExports } from './served-exports.ts'
import { TimelineFile } from './timeline-file.ts'

export type NodeHooks = {
  readonly log: Log
  /** The node has ended by itself (fenced, lease lost, withdrawn): the process has to end at once. */
  onStopped(reason: string): void
}

export type RunningNode = {
  /** Resolves once every filesystem is served by every configured gateway, and mounted where it should be. */
  readonly ready: Promise<void>
  /** Reads the exports of the configuration file again; when it is wrong, says so in the log, and all stays as it was. */
  reload(): void
  /** Clean end. */
  stop(): Promise<void>
}

/** Starts the node of a checked configuration. Rejects with a MatrixError that an operator understands. */
export async function startNode(config: MatrixdConfig, hooks: NodeHooks): Promise<RunningNode> {
  const logTail = new LogTail(() => realClock.wall())
  const log = logTail.behind(hooks.log)
  mkdirSync(config.stateDir, { recursive: true })
  const urls = new Map<Lun, string>()
  const { timings, node } = config
  for (const { url, lun } of await openAll(config, log)) urls.set(lun, url)
  const reserves = config.fencing.agents.includes('scsi-pr')
  const timeline = new TimelineFile(config.stateDir, log)
  const formerly = timeline.read(TIMELINE_SHOWN)
  const lunFinder = new NodeLuns(config, realHost, log)
  const orphansMs = () => orphanIoMs(lunFinder.urls(), timings)
  const network = createTcpTransport({ secret: config.matrix.secret, matrixName: config.matrix.name, log })
  const drill = config.drills
    ? new DrillNetwork(network, { stateDir: config.stateDir, clock: realClock, log })
    : undefined
  let gateways: Gateways | undefined
  const { virtualHosts: hosts } = config
  const addressed: AddressedGateway[] = []
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
    ...(hosts.length > 0 && {
      virtualHosts: { hosts, addresses: hostAddresses(config, log), dialer: realHost.dialer, gateways: addressed },
    }),
    onTimeline: (entry) => {
      timeline.add(entry)
      gateways?.admin.noteTimeline(entry)
    },
    onMounted: (mount) => gateways?.opened(mount),
    onHalt: (reason, ended) => {
      gateways?.abandon()
      void ended.then(() => hooks.onStopped(reason))
    },
  })
  gateways = new Gateways(config, core, log, { logTail, formerly })
  const served = gateways
  const images = () =>
    core.mounts.map((mount) => ({
      filesystem: mount.record.name,
      file: mount.volume.imageFile,
      withdraw: (error: MatrixError) => mount.withdraw(error),
    }))
  const watch = new ImageWatch(images, realClock)
  const ready = served
    .listenAdmin()
    .then(() => core.ready())
    .then(async () => {
      addressed.push(...(await served.listen()))
      core.virtualHosts?.begin()
    })
  return {
    ready,
    reload() {
      ready
        .then(() => served.reloadExports())
        .catch((error) => log.error({ error: String(error) }, 'exports stay as they were: the configuration is wrong'))
    },
    async stop() {
      await ready.catch(() => {})
      watch.stop()
      await core.virtualHosts?.leave()
      await served.close()
      await core.stop()
      drill?.close()
    },
  }
}

function hostAddresses({ addresses: { script } }: MatrixdConfig, log: Log): HostAddresses {
  const programs = realPrograms
  if (script) return new ScriptAddresses({ programs, script: script.path, timeoutMs: script.timeoutMs })
  if (process.platform === 'linux') return new IpAddresses({ programs, log, isProgram, sysctl })
  throw new MatrixError(
    'config',
    `[[virtual_hosts]]: on ${process.platform} addresses are added and removed by a program of yours; name it in [addresses] script (docs/operating.md)`,
  )
}

/**
 * The LUNs of the configuration. One that cannot be opened now is looked for later, as one that is missing is (lun-table.ts): a filesystem that needs it may be in error,
 * and what this node cannot do without it is found out when its database is read. Rejects when there is none.
 */
async function openAll({ luns, timings }: MatrixdConfig, log: Log): Promise<readonly { url: string; lun: Lun }[]> {
  const opened = await Promise.allSettled(luns.map(({ url }) => openLun(url, realHost, { timings, log })))
  const out: { url: string; lun: Lun }[] = []
  let first: unknown
  for (const [i, result] of opened.entries()) {
    const { url } = luns[i] as { url: string }
    if (result.status === 'fulfilled') out.push({ url, lun: result.value })
    else {
      first ??= result.reason
      if (!isMatrixError(result.reason, 'lun-io', 'not-found')) throw result.reason
      log.warn({ url, error: result.reason.message }, 'a LUN cannot be opened')
    }
  }
  if (out.length === 0) throw first
  return out
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
      const { path: script, timeoutMs, dryRun } = fencing.script as NonNullable<typeof fencing.script>
      return new ScriptAgent({
        ...{ clock, watch, lease, timings, log, script, timeoutMs, dryRun },
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

/** Inodes with byte-range locks that one answer tells of. */
const RANGED_INODES = 50
/** A LUN is drained so long before whoever asked hears how far it is, ms. */
const DRAIN_STEP_MS = 1000

/** How often it is looked whether a filesystem has come into service, ms. */
const SERVING_POLL_MS = 50

/** Entries of the timeline from before this start that the admin plane shows. */
const TIMELINE_SHOWN = 200

/** What the admin plane shows of what has been. */
type Past = { readonly logTail: LogTail; readonly formerly: readonly TimelineEntry[] }

/** The protocols of one node. */
class Gateways {
  readonly #config: MatrixdConfig
  readonly #core: NodeCore
  readonly #log: Log
  readonly #exports: ServedExports
  readonly #nfs: NfsServer | undefined
  readonly #tls: TlsOffer | undefined
  #http: HttpGateway | undefined
  readonly #mounts: LocalMounts
  readonly #control: ControlServer
  readonly admin: AdminPlane

  constructor(config: MatrixdConfig, core: NodeCore, log: Log, past: Past) {
    this.#config = config
    this.#core = core
    this.#log = log
    const filesystems = () => core.mounts.map(({ fs }) => fs)
    this.#exports = new ServedExports({
      ...{ config, log },
      known: async () => (await core.readDatabase()).filesystems,
      prepare: async (exports) => this.#nfs?.learnNames(exports),
      renew: ({ nfs }) => this.#renewCertificates(nfs?.tls),
    })
    if (config.nfs?.tls) this.#tls = new TlsOffer(materialOf(config.nfs.tls), log)
    if (config.nfs)
      this.#nfs = new NfsServer({
        ...{ exports: () => this.#exports.nfs, log, clock: realClock },
        ...{ udp: config.nfs.udp, portmap: config.nfs.portmap },
        ...{ hostName: hostname(), life: core.life },
        tls: this.#tls,
        hosts: new HostNames({ service: realNames, clock: realClock, log }),
        ...(config.nfs.groups === 'server' && {
          groups: new UserGroups({ programs: realPrograms, clock: realClock, log }),
        }),
      })
    this.#mounts = new LocalMounts({ filesystems, clock: realClock, log })
    this.#control = new ControlServer((request) => this.#order(request), log)
    this.admin = new AdminPlane(adminHost(config, core, { ...past, log, gateways: () => this.#report() }))
  }

  /** Before anything is served: it shows what is waited for. */
  async listenAdmin(): Promise<void> {
    const { admin } = this.#config
    if (admin) await this.admin.listen(admin.listen.host, admin.listen.port)
  }

  /** Gives those that can serve at further addresses. */
  async listen(): Promise<readonly AddressedGateway[]> {
    const addressed: AddressedGateway[] = []
    const { nfs, http, mounts } = this.#config
    for (const { fs } of this.#core.mounts) this.#exports.add(fs)
    await this.#exports.begin()
    if (nfs && this.#nfs) {
      await this.#nfs.listen(nfs.listen.host, nfs.listen.port)
      addressed.push(this.#nfs)
    }
    if (http) {
      this.#http = new HttpGateway({
        ...{ exports: () => this.#exports.http, log: this.#log, clock: realClock },
        corsOrigins: http.corsOrigins,
        ...(http.tls && { tls: http.tls }),
        ...(http.users !== undefined && { authenticator: authenticatorOf(http, http.users, this.#config, this.#log) }),
      })
      await this.#http.listen(http.listen.host, http.listen.port)
      addressed.push(this.#http)
    }
    for (const { filesystem, directory } of mounts)
      if (!(await this.#exports.isInError(filesystem))) await this.#mounts.mount(filesystem, directory)
    await this.#control.listen(this.#config.stateDir)
    return addressed
  }

  /** A filesystem was opened while the node runs, because it is no longer in error: it is exported once it serves. */
  opened(mount: Mount): void {
    const { record, fs } = mount
    const looking = realClock.every(SERVING_POLL_MS, () => {
      if (mount.state !== 'serving' && mount.state !== 'withdrawn') return
      looking.cancel()
      if (mount.state === 'withdrawn') return
      this.#exports.add(fs)
      void this.#exports
        .begin()
        .catch((error) => this.#log.error({ error: String(error) }, 'exports stay as they were'))
      for (const { filesystem, directory } of this.#config.mounts)
        if (filesystem === record.name)
          this.#mounts.mount(filesystem, directory).catch((error) => {
            this.#log.error(
              { filesystem, directory, error: String(error) },
              'a filesystem that is in service again could not be mounted',
            )
          })
    })
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
      case 'exports':
        return { exports: this.#exports.list() }
      case 'reload-exports': {
        const restart = await this.reloadExports()
        return { exports: this.#exports.list(), restart: [...restart] }
      }
      case 'counters':
        return {
          counters: { ...this.#core.counters(), nfs: this.#nfs?.stats() ?? null, http: this.#http?.stats() ?? null },
        }
      case 'range-locks': {
        const { fs } = this.#mount(request.filesystem)
        const ranges = fs.ranges.status(request.after, RANGED_INODES)
        return { ranges: ranges.map((each) => ({ ...each, holders: [...each.holders], waiters: [...each.waiters] })) }
      }
      case 'luns': {
        const { matrixUuid, matrixName, luns, pending } = await this.#core.readDatabase()
        return { luns: { matrixUuid, matrixName, luns: [...luns], ...(pending && { pending: pending.lun.uuid }) } }
      }
      case 'virtual-hosts': {
        const sights = (await this.#core.virtualHosts?.look()) ?? []
        return {
          virtualHosts: sights.map(({ node, nodes, ...sight }) => ({
            ...{ ...sight, nodes: [...nodes] },
            ...(node !== undefined && { node }),
          })),
        }
      }
      case 'move-virtual-host':
        if (!this.#core.virtualHosts)
          throw new MatrixError('not-found', 'the configuration of this node has no [[virtual_hosts]]')
        await this.#core.virtualHosts.move(request.name, request.node)
        return {}
      case 'report':
        return { report: await this.admin.report(request.place) }
      case 'sql': {
        const { command: _, ...question } = request
        return { sql: await this.admin.sql(question) }
      }
      case 'fence-plan': {
        const { agents, rehearsals, ...life } = await this.#core.fenceDrill.plan(request.node)
        return { plan: { ...life, agents: [...agents], rehearsals: [...rehearsals] } }
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
        return {
          bytes: await this.#core.lunVerbs.growFilesystem(this.#mount(request.filesystem).record.fsid, request.uuid),
        }
      case 'restore-filesystem':
        await this.#core.lunVerbs.restoreFilesystem(request.filesystem)
        return {}
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

  /** Whether TLS is offered at all is decided at the start. */
  #renewCertificates(tls: NonNullable<MatrixdConfig['nfs']>['tls']): void {
    if (tls && !this.#tls)
      throw new MatrixError('config', 'nfs.tls_certificate is new: TLS is offered only after a restart of matrixd')
    if (tls) this.#tls?.renew(materialOf(tls))
  }

  /** Rejects with MatrixError 'config', and nothing has changed. */
  reloadExports(): Promise<readonly string[]> {
    return this.#exports.reload()
  }

  /** What is served here, for the admin plane. */
  #report(): GatewaysReport {
    const { admin, nfs, http, exports } = this.#config
    const nfsStats = this.#nfs?.stats()
    const httpStats = this.#http?.stats()
    return {
      admin: admin ? formatAddress(admin.listen) : null,
      nfs: nfs && nfsStats ? { address: formatAddress(nfs.listen), ...nfsStats } : null,
      http: http && httpStats ? { address: formatAddress(http.listen), ...httpStats } : null,
      exports: exports.map(({ path, filesystem, clients, access, squash }) => ({
        ...{ path, filesystem, clients: [...clients], access, squash },
      })),
      mounts: this.#mounts.list.map(({ filesystem, directory }) => ({ filesystem, directory })),
    }
  }

  /** A filesystem that is mounted here. */
  #mount(name: string) {
    const mount = this.#core.mounts.find(({ record }) => record.name === name)
    if (mount) return mount
    const known = this.#core.mounts.map(({ record }) => record.name).join(', ') || 'none'
    throw new MatrixError('not-found', `no filesystem ${name} is in service at this node; it has ${known}`)
  }

  /** The node has halted: nothing of it may be answered any more. */
  abandon(): void {
    void this.admin.close()
    this.#mounts.abandon()
    this.#nfs?.abandon()
    this.#http?.abandon()
  }

  async close(): Promise<void> {
    await this.#control.close()
    await Promise.all([this.#nfs?.close(), this.#http?.close(), this.#mounts.close(), this.admin.close()])
  }
}

/** Throws MatrixError 'config' when a file cannot be read any more. */
function materialOf(tls: NonNullable<NonNullable<MatrixdConfig['nfs']>['tls']>): TlsMaterial {
  const read = (path: string): Buffer => {
    try {
      return readFileSync(path)
    } catch (cause) {
      throw new MatrixError('config', `${path}: ${String(cause)}`, { cause })
    }
  }
  const { certificate, key, clientCa } = tls
  return { certificate: read(certificate), key: read(key), ...(clientCa !== undefined && { clientCa: read(clientCa) }) }
}

function authenticatorOf(http: ConfiguredHttp, file: string, { matrix }: MatrixdConfig, log: Log): Authenticator {
  const clock = realClock
  return new Authenticator({
    ...{ clock, log, realm: matrix.name, insecure: http.insecureLogins },
    users: new Users(file, clock, log),
    jwt: http.bearer && new JwtVerifier(http.bearer, clock, log),
  })
}
