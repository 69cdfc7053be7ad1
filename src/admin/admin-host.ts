/** What the admin plane is given of its node. It takes nothing else; it changes something only by the means of jobs. */
import type { ControlRequest, ControlResult } from '../../config/index.ts'
import type { Incarnation, Slot } from '../base/ids.ts'
import type { Administrator, ClusterStatus, Mesh } from '../cluster/index.ts'
import type { Clock, Log } from '../platform/index.ts'
import type { LunMembers, Mount, TimelineEntry } from '../recovery/index.ts'
import type { IoCounters, LeaseSector, LunPath, LunReport, MembershipDatabase } from '../san/index.ts'
import type {
  ExportReport,
  HostReport,
  HttpReport,
  KeptMount,
  MountReport,
  NfsReport,
  ReplicationReport,
  ServiceReport,
} from './api/node-report.ts'
import type { AuditLog } from './audit-log.ts'
import type { JobMeans } from './jobs/job-means.ts'
import type { LogTail } from './log-tail.ts'

export type AdminHost = {
  readonly self: { readonly name: string; readonly slot: Slot; readonly incarnation: Incarnation }
  readonly matrixName: string
  readonly version: string
  readonly clock: Clock
  readonly log: Log
  readonly logTail: LogTail
  readonly mesh: Mesh
  cluster(): ClusterStatus
  /** As announced in the present view. */
  administrator(): Administrator | undefined
  /** As they were read last. */
  leases(): readonly { readonly sector: LeaseSector; readonly stillMs: number }[]
  mounts(): readonly Mount[]
  /** Of the LUNs that are open here, by name. */
  luns(): readonly {
    readonly name: string
    readonly uuid: string
    readonly paths: readonly LunPath[]
    readonly io: Readonly<Record<string, IoCounters>>
  }[]
  /** By LUN name. */
  lunStates(): Readonly<Record<string, LunReport>>
  /** As `LunMembers.look`. */
  lookAtLuns(): ReturnType<LunMembers['look']>
  /** Rejects as `MembershipStore.read`. */
  readDatabase(): Promise<MembershipDatabase>
  /** Oldest first. */
  timeline(): readonly TimelineEntry[]
  gateways(): GatewaysReport
  /** The folder of this node's own files. */
  readonly stateDir: string
  /** The Redis that keeps jobs for all nodes; absent: the administrator has one of its own. */
  readonly redis?: { readonly url: string; readonly password?: string }
  /** Of a Redis of this node's own. */
  readonly redisPassword: string
  readonly means: JobMeans
  /** Where actions are written down. */
  readonly audit: AuditLog
  /** As the control socket answers; rejects with what is told to whoever asked. */
  order(request: ControlRequest): Promise<Omit<ControlResult, 'ok'>>
  virtualHosts(): readonly HostReport[]
  services(): readonly ServiceReport[]
  /** Those of the configuration. */
  replications(): readonly ReplicationReport[]
}

export type GatewaysReport = {
  /** Address of the admin plane. */
  readonly admin: string | null
  readonly nfs: NfsReport | null
  readonly http: HttpReport | null
  readonly exports: readonly ExportReport[]
  readonly mounts: readonly MountReport[]
  /** Those of the configuration. */
  readonly keptMounts: readonly KeptMount[]
}
