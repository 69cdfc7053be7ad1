/**
 * What administrator and members say to each other during recovery: requests on the mesh channel 'recovery', bodies in
 * msgpack. The view number travels in the body too, so that a member never acts on a request of a view it has left.
 */
import * as v from 'valibot'
import type { Lsn, Slot, ViewId } from '../base/ids.ts'
import { fromPairs, toPairs, type Vector } from '../base/vector.ts'
import { parseBody } from '../cluster/index.ts'
import type { FilesystemRecord } from '../san/index.ts'

export type RecoveryRequest =
  /** Check that you see the membership database of this SAN generation, then write 'active' into your lease sector: from now on you must be fenced before anybody acts without you. */
  | { readonly kind: 'import'; readonly view: ViewId; readonly generation: number }
  /** These are the filesystems with their seals: read the dead's journals up to them; begin your own journal. */
  | { readonly kind: 'recover'; readonly view: ViewId; readonly filesystems: readonly FilesystemRecord[] }
  /** Somebody cannot read what you may have in your image: publish no checkpoint by yourself before 'resume'; one under way is over when you answer. */
  | { readonly kind: 'hold-checkpoints'; readonly view: ViewId; readonly fsid: number }
  /** All hold theirs: publish a checkpoint of this filesystem, if your image is beyond the newest one. */
  | { readonly kind: 'publish'; readonly view: ViewId; readonly fsid: number }
  /** You hold up the others: halt. */
  | { readonly kind: 'refuse'; readonly view: ViewId; readonly reason: string }
  /** Rebuild the locks above this floor, then go on. */
  | { readonly kind: 'resume'; readonly view: ViewId; readonly floors: readonly Floor[] }

/** What the next holder of any lock of a filesystem must have applied, since LVBs do not survive a change of view. */
export type Floor = { readonly fsid: number; readonly vector: Vector }

/** Answer to 'recover', per filesystem: where the member's own journal durably ends; or what it cannot read, for damage on the LUNs or since they fail. */
export type RecoverAnswer = {
  readonly ends: readonly { readonly fsid: number; readonly lsn: Lsn }[]
  readonly damaged: readonly { readonly fsid: number; readonly reason: string }[]
  /** Its LUNs fail here. `ended`: and so it was mounted, and is not any more. */
  readonly failed: readonly { readonly fsid: number; readonly reason: string; readonly ended: boolean }[]
}

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const pairs = v.array(v.strictTuple([count, count]))
const seal = v.strictObject({ slot: count, incarnation: count, lsn: count })
const record = v.strictObject({
  name: v.string(),
  uuid: v.string(),
  fsid: count,
  luns: v.array(v.nullable(v.string())),
  draining: v.optional(v.array(v.string())),
  slots: count,
  journalBytes: count,
  checkpointBytes: count,
  groupBlocks: count,
  spread: v.optional(v.picklist(['free', 'stripe'])),
  seals: v.array(seal),
  error: v.optional(v.string()),
})
const request = v.variant('kind', [
  v.strictObject({ kind: v.literal('import'), view: count, generation: count }),
  v.strictObject({ kind: v.literal('recover'), view: count, filesystems: v.array(record) }),
  v.strictObject({ kind: v.literal('hold-checkpoints'), view: count, fsid: count }),
  v.strictObject({ kind: v.literal('publish'), view: count, fsid: count }),
  v.strictObject({ kind: v.literal('refuse'), view: count, reason: v.string() }),
  v.strictObject({
    kind: v.literal('resume'),
    view: count,
    floors: v.array(v.strictObject({ fsid: count, vector: pairs })),
  }),
])
const answer = v.strictObject({
  ends: v.array(v.strictObject({ fsid: count, lsn: count })),
  damaged: v.array(v.strictObject({ fsid: count, reason: v.string() })),
  failed: v.array(v.strictObject({ fsid: count, reason: v.string(), ended: v.boolean() })),
})

export function encodeRequest(message: RecoveryRequest): unknown {
  if (message.kind !== 'resume') return message
  return { ...message, floors: message.floors.map(({ fsid, vector }) => ({ fsid, vector: toPairs(vector) })) }
}

export function decodeRequest(body: unknown): RecoveryRequest {
  const message = parseBody(request, body, 'recovery message')
  if (message.kind !== 'resume') return message
  return {
    ...message,
    floors: message.floors.map(({ fsid, vector }) => ({ fsid, vector: fromPairs(vector as [Slot, Lsn][]) })),
  }
}

export function decodeAnswer(body: unknown): RecoverAnswer {
  return parseBody(answer, body, 'recovery message')
}
