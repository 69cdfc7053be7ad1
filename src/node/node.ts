/**
 * A real node: the core given this machine's clock, network, files, threads and processes, and the gateways on top. The gateways listen
 * once every filesystem serves here, and stop listening before anything is given back.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { hostname } from 'node:os'
import { type ConfiguredNode, deliveriesFile, lookingRequests, type MatrixdConfig } from '../../config/index.ts'
import { AuditLog, LogTail } from '../admin/index.ts'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import { Prng } from '../base/prng.ts'
import type { KnownPeer } from '../cluster/index.ts'
import type { HostAddresses, Log, LogLevels, Subsystem } from '../platform/index.ts'
import { realClock } from '../platform/real/clock.ts'
import { realHost, sysctl } from '../platform/real/host.ts'
import { IpAddresses } from '../platform/real/ip-addresses.ts'
import { realMailer } from '../platform/real/mailer.ts'
import { realProcesses } from '../platform/real/processes.ts'
import { isProgram, realPrograms } from '../platform/real/programs.ts'
import { ScriptAddresses } from '../platform/real/script-addresses.ts'
import { realThreads } from '../platform/real/threads.ts'
import { tlsDialer } from '../platform/real/tls-dialer.ts'
import { createTcpTransport } from '../platform/real/transport.ts'
import { realWebhooks } from '../platform/real/webhooks.ts'
import { type Lun, openLun, orphanIoMs, startLeaseThread } from '../san/index.ts'
import { type AddressedGateway, Courier, DeliveryJournal, Notifier } from '../services/index.ts'
import { ControlServer } from './control.ts'
import { NodeCore } from './core.ts'
import { DrillNetwork } from './drill-network.ts'
import { makeFenceAgent } from './fence-agents.ts'
import { Gateways } from './gateways.ts'
import { ImageWatch, newImageFile } from './image-watch.ts'
import { eventStore, TimelineFile } from './kept-lists.ts'
import { runMatrix } from './matrix-command.ts'
import { NodeLuns } from './node-luns.ts'
import { Orders } from './orders.ts'
import { Replications } from './replications.ts'

/** Entries of the timeline from before this start that the admin plane shows. */
const TIMELINE_SHOWN = 200

export type NodeHooks = {
  readonly log: Log
  /** Of `log`. */
  readonly logLevels: LogLevels
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
  const of = (subsystem: Subsystem) => log.child({ subsystem })
  const [san, cluster, recovery, services] = [of('san'), of('cluster'), of('recovery'), of('services')]
  const urls = new Map<Lun, string>()
  const { timings, node } = config
  for (const { url, lun } of await openAll(config, san)) urls.set(lun, url)
  const reserves = config.fencing.agents.includes('scsi-pr')
  const timeline = new TimelineFile(config.stateDir, log)
  const formerly = timeline.read(TIMELINE_SHOWN)
  const lunFinder = new NodeLuns(config, realHost, san)
  const orphansMs = () => orphanIoMs(lunFinder.urls(), timings)
  const network = createTcpTransport({ secret: config.matrix.secret, matrixName: config.matrix.name, log: cluster })
  const drill = config.drills
    ? new DrillNetwork(network, { stateDir: config.stateDir, clock: realClock, log: cluster })
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
      config.fencing.agents.map((name) =>
        makeFenceAgent(name, config, { lease, watch, storage, log: recovery, orphansMs }),
      ),
    threads: realThreads,
    newImageFile: (record) => newImageFile(config.stateDir, record.name),
    dataCacheBytes: config.cache.dataBytes,
    ...(hosts.length > 0 && {
      virtualHosts: {
        ...{ hosts, services: config.services, addresses: hostAddresses(config, services), gateways: addressed },
        tools: { dialer: realHost.dialer, tls: tlsDialer, programs: realPrograms },
      },
    }),
    events: eventStore(config.stateDir, services),
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
  const audit = new AuditLog(config.stateDir, realClock)
  gateways = new Gateways(config, core, log, {
    logTail,
    formerly,
    audit,
    order: (request) => orders.answer(request),
    replications: () => replications.list(),
  })
  const served = gateways
  const notifier = notifierOf(config, core, services)
  const replications = new Replications({
    ...{ rules: config.replicate, stateDir: config.stateDir, clock: realClock, log: services },
    isMine: ({ node: configured }) =>
      configured === undefined ? core.administrator?.slot === node.slot : configured === node.name,
    matrix: (args, options) => runMatrix([...args, '--config', config.file], options),
    publish: (news) => core.events.publish(news),
  })
  const orders = new Orders(core, served, { notifier, replications, log: of('admin'), logLevels: hooks.logLevels })
  const control = new ControlServer((request) => {
    const run = () => orders.answer(request)
    if (lookingRequests.includes(request.command)) return run()
    const { command, ...about } = request
    return audit.run({ by: 'root', from: 'the control socket', what: command, about }, run)
  }, log)
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
      await control.listen(config.stateDir)
      core.virtualHosts?.begin()
      served.beginJobs()
      notifier.start()
      replications.begin()
    })
  return {
    ready,
    reload() {
      ready
        .then(() => served.exports.reload())
        .catch((error) => log.error({ error: String(error) }, 'exports stay as they were: the configuration is wrong'))
    },
    async stop() {
      await ready.catch(() => {})
      watch.stop()
      await core.virtualHosts?.leave()
      replications.end()
      await notifier.stop()
      await control.close()
      await served.close()
      await core.stop()
      drill?.close()
    },
  }
}

function notifierOf({ notify, matrix, node, stateDir }: MatrixdConfig, core: NodeCore, log: Log): Notifier {
  const secret = (path: string): Promise<string> => realHost.secret(path)
  return new Notifier({
    ...{ rules: notify, node: node.name, events: core.events, clock: realClock, log },
    journal: new DeliveryJournal(deliveriesFile(stateDir), log),
    courier: new Courier({
      matrix: matrix.name,
      programs: realPrograms,
      webhooks: realWebhooks,
      mailer: realMailer,
      secret,
    }),
  })
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

function peerOf({ name, slot, mesh, otherMeshes }: ConfiguredNode): KnownPeer {
  return { name, slot, address: mesh, otherAddresses: otherMeshes }
}
