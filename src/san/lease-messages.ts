/** What the main thread and the thread of the disk lease say to each other; plain values only. */

import type { MatrixErrorCode } from '../base/errors.ts'
import type { Incarnation } from '../base/ids.ts'
import type { Life } from '../base/life.ts'
import type { Timings } from '../base/timings.ts'
import type { LogFields } from '../platform/log.ts'
import type { LeaseEnd } from './disk-lease.ts'
import type { LeaseOwner } from './own-sectors.ts'

export type LeaseThreadData = {
  /** Of the LUNs with the membership partitions. */
  readonly lunUrls: readonly string[]
  /** How many partitions the matrix has: one of three may be missing. */
  readonly partitions: number
  /** This thread registers its ways to them. */
  readonly reserves: boolean
  readonly owner: LeaseOwner
  readonly timings: Timings
  /** See `ClaimOptions`. */
  readonly orphanIoMs: number
  /** One double: `goodUntil()` in milliseconds of the monotonic clock that all threads of a process share. */
  readonly deadline: SharedArrayBuffer
}

export type LeaseCommand =
  | { readonly kind: 'set-state'; readonly state: 'active' }
  | { readonly kind: 'request-fence'; readonly victims: readonly Life[] }
  | { readonly kind: 'release' }

export type ToLeaseThread = { readonly id: number; readonly command: LeaseCommand }

type Failure = { readonly code: MatrixErrorCode; readonly text: string }

export type FromLeaseThread =
  | { readonly kind: 'claimed'; readonly incarnation: Incarnation }
  | ({ readonly kind: 'refused' } & Failure)
  | { readonly kind: 'ended'; readonly end: LeaseEnd }
  | { readonly kind: 'done'; readonly id: number }
  | ({ readonly kind: 'failed'; readonly id: number } & Failure)
  | {
      readonly kind: 'log'
      readonly level: 'debug' | 'info' | 'warn' | 'error'
      readonly fields: LogFields
      readonly text: string
    }
