/** What the admin plane sees of this node: its core, its gateways, its log. */
import { createHmac } from 'node:crypto'
import { type MatrixdConfig, programVersion } from '../../config/index.ts'
import type { AdminHost, AuditLog, GatewaysReport, LogTail } from '../admin/index.ts'
import type { Log } from '../platform/index.ts'
import { realClock } from '../platform/real/clock.ts'
import type { TimelineEntry } from '../recovery/index.ts'
import type { NodeCore } from './core.ts'
import { jobMeans } from './job-means.ts'
import type { LocalMounts } from './local-mounts.ts'

export function adminHost(
  config: MatrixdConfig,
  core: NodeCore,
  {
    log,
    logTail,
    formerly,
    gateways,
    mounts,
    order,
    audit,
    replications,
  }: {
    readonly log: Log
    readonly logTail: LogTail
    /** The timeline of former lives of this node. */
    readonly formerly: readonly TimelineEntry[]
    readonly gateways: () => GatewaysReport
    readonly mounts: LocalMounts
    readonly order: AdminHost['order']
    readonly audit: AuditLog
    readonly replications: AdminHost['replications']
  },
): AdminHost {
  const { name, slot, incarnation } = core.cluster.self
  const { matrix, admin, stateDir } = config
  return {
    self: { name, slot, incarnation },
    matrixName: matrix.name,
    version: programVersion(),
    clock: realClock,
    log,
    logTail,
    mesh: core.cluster.mesh,
    cluster: () => core.cluster.status(),
    administrator: () => core.administrator,
    leases: () => core.leases(),
    mounts: () => core.mounts,
    luns: () =>
      core.luns.entries.map(({ label, gate }) => ({
        ...{ name: label.lunName, uuid: label.lunUuid, paths: gate.paths ?? [] },
        io: Object.fromEntries(gate.counters),
      })),
    lunStates: () => core.lunStates(),
    lookAtLuns: () => core.lunVerbs.lookEverywhere(),
    readDatabase: () => core.readDatabase(),
    timeline: () => [...formerly, ...core.timeline.entries],
    gateways,
    stateDir,
    ...(admin?.redis && { redis: admin.redis }),
    // known to nobody else, and the same in every life of this node: what a former one has left can be ended
    redisPassword: createHmac('sha256', matrix.secret).update(`redis of ${name}`).digest('hex'),
    means: jobMeans(config.file, core, mounts),
    order,
    audit,
    replications,
    virtualHosts: () => core.virtualHosts?.ownView() ?? [],
    services: () => (core.virtualHosts?.services() ?? []).map((each) => ({ ...each, hosts: [...each.hosts] })),
  }
}
