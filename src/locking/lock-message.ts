/**
 * What the DLM ends of two nodes say to each other. One shape for all, so that the hot path stays monomorphic; what a
 * message does not need is zero or empty.
 *
 * | message   | from → to       | `seq`                     | `mode`                 | `vector`                    |
 * |-----------|-----------------|---------------------------|------------------------|-----------------------------|
 * | REQUEST   | client → master | of the request            | asked for              |                             |
 * | DOWN      | client → master | of the grant it gives up  | kept (NL: nothing)     | what the next must apply    |
 * | CANCEL    | client → master | of the request            |                        |                             |
 * | HELD      | client → master | of the grant              | held (rebuild only)    |                             |
 * | END       | client → master | view of the last complete epoch (dlm.ts; 0: none) | | all it ever surrendered |
 * | GRANT     | master → client | of the request            | granted                | the lock value block        |
 * | DENIED    | master → client | of the request (no-queue) |                        |                             |
 * | BAST      | master → client | of the grant in the way   | wanted by another      |                             |
 * | CANCELLED | master → client | of the request            |                        |                             |
 */
import { emptyVector, type Vector } from '../base/vector.ts'
import { type Mode, NL } from './modes.ts'
import type { ResourceId } from './resource.ts'

export const REQUEST = 1
export const DOWN = 2
export const CANCEL = 3
export const HELD = 4
export const END = 5
export const GRANT = 6
export const DENIED = 7
export const BAST = 8
export const CANCELLED = 9
export type LockMessageType = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9

export const lockMessageNames = [
  'none',
  'request',
  'down',
  'cancel',
  'held',
  'end',
  'grant',
  'denied',
  'bast',
  'cancelled',
] as const

export type LockMessage = {
  readonly type: LockMessageType
  readonly rid: ResourceId
  /** A client's number for one request, and then for the grant that answered it; it only grows per node. */
  readonly seq: number
  readonly mode: Mode
  /** REQUEST: deny rather than queue. */
  readonly noQueue: boolean
  readonly vector: Vector
}

export function lockMessage(
  type: LockMessageType,
  rid: ResourceId,
  seq: number,
  mode: Mode = NL,
  vector: Vector = emptyVector,
  noQueue = false,
): LockMessage {
  return { type, rid, seq, mode, noQueue, vector }
}

/** True for what a master handles; the others are for the client that asked. */
export function isForMaster(type: LockMessageType): boolean {
  return type <= END
}
