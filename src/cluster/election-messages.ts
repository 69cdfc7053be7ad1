/** What the coordinator of a view and its members say to each other about the administrator: requests on the mesh channel 'admin', in msgpack. */
import * as v from 'valibot'
import type { Incarnation, Slot, ViewId } from '../base/ids.ts'
import { parseBody } from './membership-messages.ts'

/** A seat: a term of the SAN locks, and the SAN generation that its owner wrote when it took them. */
export type Seat = { readonly term: number; readonly generation: number }
export type Administrator = Seat & { readonly slot: Slot; readonly incarnation: Incarnation }

export type ElectionRequest =
  /** Are you administrator? Answer: `Seat`, or null. */
  | { readonly kind: 'stand'; readonly view: ViewId }
  /** Try to become it. Answer: `Seat`, which is not yours before 'commit'. */
  | { readonly kind: 'try'; readonly view: ViewId }
  | { readonly kind: 'commit'; readonly view: ViewId; readonly term: number }
  /** What you tried for is not wanted: give it back. */
  | { readonly kind: 'undo'; readonly view: ViewId }
  | { readonly kind: 'announce'; readonly view: ViewId; readonly administrator: Administrator }

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const seat = v.strictObject({ term: count, generation: count })
const request = v.variant('kind', [
  v.strictObject({ kind: v.literal('stand'), view: count }),
  v.strictObject({ kind: v.literal('try'), view: count }),
  v.strictObject({ kind: v.literal('commit'), view: count, term: count }),
  v.strictObject({ kind: v.literal('undo'), view: count }),
  v.strictObject({
    kind: v.literal('announce'),
    view: count,
    administrator: v.strictObject({ ...seat.entries, slot: count, incarnation: count }),
  }),
])

export function decodeElectionRequest(body: unknown): ElectionRequest {
  return parseBody(request, body, 'election message')
}

export function decodeSeat(body: unknown): Seat {
  return parseBody(seat, body, 'election message')
}

export function decodeStanding(body: unknown): Seat | null {
  return parseBody(v.nullable(seat), body, 'election message')
}
