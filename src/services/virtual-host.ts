/** A virtual host: an address that belongs to the matrix, borne by one of its nodes at a time (R23). */
import type { HostAddress } from '../platform/index.ts'
import type { ServiceCheck } from './monitors/service-check.ts'

export const failbackPolicies = ['AUTOFAILBACK', 'NOFAILBACK'] as const
/** Whether it goes back to an earlier node of its list once that one is well again. */
export type FailbackPolicy = (typeof failbackPolicies)[number]

export type VirtualHost = HostAddress & {
  readonly name: string
  /** Names of the nodes that may bear it: the primary, then its backups in order. */
  readonly nodes: readonly string[]
  readonly policy: FailbackPolicy
  /** A node is well for this host while all of these are. */
  readonly monitors: readonly ServiceCheck[]
}
