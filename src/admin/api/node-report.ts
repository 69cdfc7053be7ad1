/** What a node says of itself: on the mesh channel 'report' and, within the answers about the matrix, in the API. */
import * as v from 'valibot'
import { replication } from '../../../config/replication-status.ts'
import { count, counts, time } from './values.ts'

const step = v.object({ count, ms: count })

export const lunPath = v.object({ name: v.string(), state: v.string(), reason: v.nullable(v.string()), forMs: count })

const lun = v.object({
  name: v.string(),
  uuid: v.string(),
  /** As its probe finds it. */
  state: v.string(),
  reason: v.nullable(v.string()),
  paths: v.array(lunPath),
  /** Since the start, by purpose; `ms` is that of all operations together. */
  io: v.record(v.string(), v.object({ ops: count, bytes: count, errors: count, ms: count })),
})

const filesystem = v.object({
  name: v.string(),
  fsid: count,
  state: v.string(),
  totalBytes: count,
  freeBytes: count,
  totalFiles: count,
  freeFiles: count,
  /** Slot and LSN: up to where this node has applied each journal. */
  applied: v.array(v.tuple([count, count])),
  /** Slot and bytes: what a peer has said is durable and this node has not applied. */
  lag: v.array(v.tuple([count, count])),
  /** Bytes of the own journal: its durable end, what of the ring is in use, and the ring. */
  journal: v.object({ end: count, used: count, size: count }),
  /** Sequence number of the newest checkpoint known here. */
  checkpoint: count,
  lockPhase: v.string(),
  locks: counts,
  handover: v.object({ granted: step, caughtUp: step, kept: step, written: step }),
  metadata: counts,
  cache: counts,
})

const nfs = v.object({
  address: v.string(),
  connections: count,
  connectionsRefused: count,
  inFlight: count,
  duplicates: count,
  /** By procedure. */
  calls: counts,
})
const http = v.object({ address: v.string(), requests: count, failures: count, underWay: count })
const exported = v.object({
  path: v.string(),
  filesystem: v.string(),
  clients: v.array(v.string()),
  access: v.picklist(['ro', 'rw']),
  squash: v.picklist(['root', 'all', 'none']),
})
const mount = v.object({ filesystem: v.string(), directory: v.string() })

/** A virtual host, as this node could bear it. */
export const hostReport = v.object({
  name: v.string(),
  address: v.string(),
  policy: v.string(),
  /** Who may bear it, in order. */
  nodes: v.array(v.string()),
  bears: v.boolean(),
  serves: v.boolean(),
  byHand: v.boolean(),
  /** Weights of what fails here. */
  failing: count,
  /** A device fails that it needs. */
  barred: v.boolean(),
  reason: v.nullable(v.string()),
})

/** A service, application or device, as this node keeps it. */
export const serviceReport = v.object({
  name: v.string(),
  type: v.picklist(['service', 'application', 'device']),
  /** How it is probed, and what. */
  kind: v.string(),
  target: v.string(),
  policy: v.string(),
  hosts: v.array(v.string()),
  state: v.picklist(['idle', 'unknown', 'starting', 'up', 'repairing', 'failed', 'stopping']),
  /** It counts against this node now. */
  counts: v.boolean(),
  reason: v.nullable(v.string()),
  sinceMs: count,
  /** Repairs in the last five minutes. */
  restarts: count,
})
export const keptMount = v.object({
  filesystem: v.string(),
  directory: v.string(),
  state: v.picklist(['mounted', 'waits', 'failed', 'unmounted by hand']),
  reason: v.nullable(v.string()),
})

export const nodeReport = v.object({
  name: v.string(),
  slot: count,
  incarnation: count,
  version: v.string(),
  host: v.string(),
  pid: count,
  startedAt: time,
  at: time,
  phase: v.string(),
  view: v.nullable(
    v.object({
      id: count,
      members: v.array(v.object({ slot: count, name: v.string(), addresses: v.array(v.string()) })),
    }),
  ),
  administrator: v.nullable(v.object({ slot: count, term: count, generation: count })),
  process: v.object({
    rssBytes: count,
    heapBytes: count,
    /** Share of one core, 0 …, since the report before. */
    cpu: count,
    /** How late the event loop was: in the mean and at worst, since the report before. */
    loopDelayMs: count,
    loopDelayMaxMs: count,
  }),
  links: v.array(
    v.object({
      slot: count,
      name: v.string(),
      linked: v.boolean(),
      /** Index of the network in use. */
      network: v.nullable(count),
      moves: count,
    }),
  ),
  /** The lease sectors as this node has read them last. */
  leases: v.array(
    v.object({
      slot: count,
      node: v.string(),
      state: v.string(),
      incarnation: count,
      /** For how long it has shown no sign of life. */
      stillMs: count,
      host: v.string(),
      pid: count,
      address: v.string(),
    }),
  ),
  luns: v.array(lun),
  filesystems: v.array(filesystem),
  /** Where its own admin plane is served. */
  admin: v.nullable(v.string()),
  nfs: v.nullable(nfs),
  http: v.nullable(http),
  exports: v.array(exported),
  mounts: v.array(mount),
  virtualHosts: v.array(hostReport),
  services: v.array(serviceReport),
  /** Mounts of the configuration. */
  keptMounts: v.array(keptMount),
  /** Those of its configuration. */
  replications: v.array(replication),
})

export type NodeReport = v.InferOutput<typeof nodeReport>
export type FilesystemReport = v.InferOutput<typeof filesystem>
export type NfsReport = v.InferOutput<typeof nfs>
export type HttpReport = v.InferOutput<typeof http>
export type ExportReport = v.InferOutput<typeof exported>
export type MountReport = v.InferOutput<typeof mount>
export type HostReport = v.InferOutput<typeof hostReport>
export type ServiceReport = v.InferOutput<typeof serviceReport>
export type ReplicationReport = v.InferOutput<typeof replication>
export type KeptMount = v.InferOutput<typeof keptMount>

/** A resource as its master keeps it. */
export const lockReport = v.object({
  filesystem: v.string(),
  /** Such as `I:4711`. */
  name: v.string(),
  type: v.string(),
  number: count,
  master: v.string(),
  /** How often nodes lately took it from each other. */
  heat: count,
  holders: v.array(v.object({ slot: count, mode: v.string(), absent: v.boolean() })),
  waiters: v.array(
    v.object({ slot: count, mode: v.string(), converting: v.boolean(), parked: v.boolean(), ageMs: count }),
  ),
})
export type LockReport = v.InferOutput<typeof lockReport>

/** A node at one moment: totals since its start, but for what says otherwise. */
export const sample = v.object({
  at: time,
  incarnation: count,
  nfsCalls: count,
  httpRequests: count,
  /** File data on the LUNs, bytes. */
  readBytes: count,
  writtenBytes: count,
  /** Operations of all kinds on the LUNs, their time, and those of the journal alone. */
  ios: count,
  ioMs: count,
  journalIos: count,
  journalMs: count,
  /** Locks that had to be waited for, and how long their grants took together. */
  lockWaits: count,
  lockWaitMs: count,
  /** Now: bytes of peers' journals that are known durable and not applied here. */
  lagBytes: count,
  /** Since the sample before, at worst. */
  loopDelayMs: count,
})
export type Sample = v.InferOutput<typeof sample>
