/** What a service monitor probes, as the configuration has it. */
import type { PeerAddress } from '../../platform/index.ts'

export const serviceKinds = ['nfs', 'http', 'tcp'] as const
export type ServiceKind = (typeof serviceKinds)[number]

/** What is probed, and how patiently. */
export type ServiceCheck = {
  readonly kind: ServiceKind
  /** Where this node serves it. */
  readonly at: PeerAddress
  readonly intervalMs: number
  /** An answer that comes later is none, ms. */
  readonly timeoutMs: number
  /** Failures in a row after the first one before it is down. */
  readonly retries: number
}
