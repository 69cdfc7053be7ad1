/** What the admin plane sees of this node: its core, its gateways, its log. */
import { type MatrixdConfig, programVersion } from '../../config/index.ts'
import type { AdminHost, GatewaysReport, LogTail } from '../admin/index.ts'
import type { Log } from '../platform/index.ts'
import { realClock } from '../platform/real/clock.ts'
import type { TimelineEntry } from '../recovery/index.ts'
import type { NodeCore } from './core.ts'

export function adminHost(
  { matrix }: Pick<MatrixdConfig, 'matrix'>,
  core: NodeCore,
  {
    log,
    logTail,
    formerly,
    gateways,
  }: {
    readonly log: Log
    readonly logTail: LogTail
    /** The timeline of former lives of this node. */
    readonly formerly: readonly TimelineEntry[]
    readonly gateways: () => GatewaysReport
  },
): AdminHost {
  const { name, slot, incarnation } = core.cluster.self
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
    virtualHosts: () => core.virtualHosts?.ownView() ?? [],
    services: () => (core.virtualHosts?.services() ?? []).map((each) => ({ ...each, hosts: [...each.hosts] })),
  }
}
