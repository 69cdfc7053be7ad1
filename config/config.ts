/** What a checked configuration file means to the program: bytes, milliseconds, absolute paths, addresses. */
import type { Timings } from '../src/base/timings.ts'
import type { LogLevel, Subsystem } from '../src/platform/index.ts'
import type { PeerAddress } from '../src/platform/transport.ts'
import type { NotifyRule, Service, VirtualHost } from '../src/services/index.ts'
import type { ReplicationRule } from './replicate-schema.ts'
import type { FenceAgentName, PortmapMode } from './schema.ts'

export type ConfiguredNode = {
  readonly name: string
  /** 0 … MAX_SLOTS-1. */
  readonly slot: number
  /** Where it listens for the others, on the network that is preferred. */
  readonly mesh: PeerAddress
  /** The same on further networks, the preferred one first. */
  readonly otherMeshes: readonly PeerAddress[]
}

export type ConfiguredExport = {
  /** `/home`. */
  readonly path: string
  /** Name of a filesystem; whether the matrix has it is known only once its database is read. */
  readonly filesystem: string
  /** From the root of the filesystem; absent: all of it. */
  readonly directory?: string
  /** `*`, addresses, networks, names of hosts. */
  readonly clients: readonly string[]
  readonly privilegedPorts: boolean
  readonly tls: 'optional' | 'required' | 'mutual'
  readonly access: 'rw' | 'ro'
  /** What HTTP clients may that do not log in. */
  readonly anonymous: 'rw' | 'ro' | 'off'
  /** Of files, for HTTP clients and caches. */
  readonly cacheControl: string
  readonly squash: 'root' | 'all' | 'none'
  readonly anonUid: number
  readonly anonGid: number
}

/** Paths are absolute. */
export type ConfiguredHttp = {
  readonly listen: PeerAddress
  /** Of requests that do not say from whom they are. */
  readonly uid: number
  readonly gid: number
  readonly tls?: { readonly cert: string; readonly key: string }
  readonly users?: string
  readonly insecureLogins: boolean
  readonly corsOrigins: readonly string[]
  readonly bearer?: {
    readonly issuer: string
    readonly audience: string
    readonly keys: string
    readonly claim: string
  }
}

/** Who may do what at the admin plane: whoever is on this machine, or users of a file (absolute), named as the configuration does. */
export type AdminAccess =
  | { readonly anonymous: 'viewer' | 'operator' }
  | { readonly users: string; readonly viewers: readonly string[]; readonly operators: readonly string[] }

export type MatrixdConfig = {
  /** The file it was read from, absolute. */
  readonly file: string
  readonly matrix: { readonly name: string; readonly secret: string }
  /** This node: one of `nodes`, or described by [node] alone. */
  readonly node: ConfiguredNode
  /** Absolute; may not exist yet. */
  readonly stateDir: string
  /** Its network cable can be pulled (network-cut.ts). */
  readonly drills: boolean
  /** Those of [[nodes]], ascending by slot; may be none. */
  readonly nodes: readonly ConfiguredNode[]
  /** URLs with absolute paths (`file:/…`), in the file's order. */
  readonly luns: readonly { readonly url: string }[]
  readonly fencing: {
    readonly agents: readonly FenceAgentName[]
    /** Of agent 'script', which is among the agents exactly when this is there. */
    readonly script?: {
      readonly path: string
      readonly timeoutMs: number
      /** It knows `--dry-run`. */
      readonly dryRun: boolean
    }
  }
  readonly timings: Timings
  /** Absent: this node serves no NFS. */
  readonly nfs?: {
    readonly listen: PeerAddress
    /** NFS itself, beside its helpers. */
    readonly udp: boolean
    readonly portmap: { readonly mode: PortmapMode; readonly port: number }
    readonly groups: 'client' | 'server'
    /** PEM files, absolute. Absent: TLS is not offered. */
    readonly tls?: { readonly certificate: string; readonly key: string; readonly clientCa?: string }
  }
  /** Absent: this node serves no HTTP. */
  readonly http?: ConfiguredHttp
  /** Absent: this node serves no admin plane. */
  readonly admin?: {
    readonly listen: PeerAddress
    /** PEM files, absolute. Absent: plain HTTP. */
    readonly tls?: { readonly cert: string; readonly key: string }
    readonly access: AdminAccess
    /** The Redis that keeps jobs; absent: the administrator has one of its own. */
    readonly redis?: { readonly url: string; readonly password?: string }
  }
  readonly exports: readonly ConfiguredExport[]
  /** Directories are absolute. */
  readonly mounts: readonly { readonly filesystem: string; readonly directory: string }[]
  readonly virtualHosts: readonly VirtualHost[]
  /** What is looked after for them. */
  readonly services: readonly Service[]
  /** How addresses come to this node; the system's own programs when there is no script. */
  readonly addresses: { readonly script?: { readonly path: string; readonly timeoutMs: number } }
  /** Paths are absolute. */
  readonly notify: readonly NotifyRule[]
  readonly replicate: readonly ReplicationRule[]
  readonly cache: { readonly dataBytes: number }
  readonly log: { readonly level: LogLevel; readonly levels: Readonly<Partial<Record<Subsystem, LogLevel>>> }
}
