/** What a monitor probes, as the configuration has it. */
import type { PeerAddress } from '../../platform/index.ts'

/** Services of the network that say something of themselves when they are spoken to. */
export const spokenKinds = ['ftp', 'smtp', 'imap', 'pop3'] as const
/** Those whose probe asks for a path. */
export const webKinds = ['http', 'https', 'webdav'] as const
export const serviceKinds = ['nfs', ...webKinds, ...spokenKinds, 'dns', 'tcp', 'script'] as const
export type ServiceKind = (typeof serviceKinds)[number]
export const deviceKinds = ['disk', 'lun', 'filesystem', 'gateway', 'script'] as const
export type DeviceKind = (typeof deviceKinds)[number]

export type ProbeTarget =
  /** `at`: where this node serves it. */
  | { readonly kind: 'nfs' | 'tcp' | (typeof spokenKinds)[number]; readonly at: PeerAddress }
  | { readonly kind: (typeof webKinds)[number]; readonly at: PeerAddress; readonly path: string }
  /** `query`: a name that it knows. */
  | { readonly kind: 'dns'; readonly at: PeerAddress; readonly query: string }
  /** Well while it exits with 0. */
  | { readonly kind: 'script'; readonly script: string }
  /** A file, directory or block device of this node. */
  | { readonly kind: 'disk'; readonly path: string }
  /** A LUN or filesystem of the matrix, as this node finds it. */
  | { readonly kind: 'lun' | 'filesystem'; readonly of: string }
  /** By ICMP; with a port by TCP. */
  | { readonly kind: 'gateway'; readonly host: string; readonly port?: number }

/** What is probed, and how patiently. */
export type ServiceCheck = ProbeTarget & {
  readonly intervalMs: number
  /** An answer that comes later is none, ms. */
  readonly timeoutMs: number
  /** Failures in a row after the first one before it is down. */
  readonly retries: number
}

/** In a word, for people. */
export function describeTarget(target: ProbeTarget): string {
  switch (target.kind) {
    case 'script':
      return target.script
    case 'disk':
      return target.path
    case 'lun':
    case 'filesystem':
      return `${target.kind} ${target.of}`
    case 'gateway':
      return target.port === undefined ? target.host : textOf({ host: target.host, port: target.port })
    case 'http':
    case 'https':
    case 'webdav':
      return `${textOf(target.at)}${target.path}`
    default:
      return textOf(target.at)
  }
}

function textOf({ host, port }: PeerAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
