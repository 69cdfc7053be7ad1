/**
 * What members and administrator say to each other when the list of LUNs changes: requests on the mesh channel 'lun', bodies in msgpack. The
 * view number travels in the body too, so that nobody acts on a request of a view it has left.
 */
import * as v from 'valibot'
import type { ViewId } from '../base/ids.ts'
import { MAX_LUN_URL } from '../base/limits.ts'
import { parseBody } from '../cluster/index.ts'
import { type LunRecord, lunRecord, type PendingChange, pendingChange } from '../san/index.ts'

/** What somebody wants to be so; whoever asks for what is so already is told that it is done. */
export type LunWish =
  /** `hint`: the URL where it was found. */
  | { readonly kind: 'add'; readonly lun: LunRecord; readonly hint?: string }
  | { readonly kind: 'remove'; readonly uuid: string }
  /** A LUN of the list becomes one of the filesystem's. */
  | { readonly kind: 'extend'; readonly uuid: string; readonly fsid: number }
  /** Nothing new is written to a LUN of a filesystem; it is, after all; or it is none of the filesystem's, since nothing is left there. */
  | { readonly kind: 'drain' | 'refill' | 'vacate'; readonly uuid: string }
  /** A LUN of the list has become larger, and is to be used in this size. */
  | { readonly kind: 'enlarge'; readonly uuid: string; readonly size: number }

/** A change that has no generation yet. */
export type Change = Omit<PendingChange, 'generation'>

export type LunRequest =
  /** To the administrator: make it so. Answered with null once it is; else the failure says why not, and what to do. */
  | { readonly kind: 'ask'; readonly view: ViewId; readonly wish: LunWish }
  /** By anybody, to a member: how do you see the LUNs? Answered with `LunSight`s. */
  | { readonly kind: 'look'; readonly view: ViewId }
  /** To the administrator: this node's mount of a filesystem has ended, by what its LUNs have answered. Answered with null. */
  | { readonly kind: 'suspect'; readonly view: ViewId; readonly fsid: number; readonly reason: string }
  /** By the administrator, to every member: can you read and write these LUNs? Answered with `LunTrial`. */
  | { readonly kind: 'try'; readonly view: ViewId; readonly uuids: readonly string[] }
  /** To the administrator: a filesystem that is in error has its LUNs back. Answered with null once it is in service; else the failure says why not. */
  | { readonly kind: 'restore'; readonly view: ViewId; readonly fsid: number }
  /** By the administrator, to every member: open the LUN, or end all I/O to it and close it; use it for the filesystem, or do not. Answered with `LunAnswer`. */
  | { readonly kind: 'change'; readonly view: ViewId; readonly change: PendingChange }

/** A LUN as one member sees it. `path`: what the device calls itself there; without one, the member does not reach it. */
export type LunSight = {
  readonly uuid: string
  readonly path?: string | undefined
  /** Bytes of the device, when it tells. */
  readonly size?: number | undefined
  /** As its probe finds it, and why. */
  readonly state: string
  readonly reason?: string | undefined
}

/** `failed`: of each LUN, why it cannot be used here; null when it can. `left`: filesystems that this life had mounted, and has left since they are in error. */
export type LunTrial = { readonly failed: readonly (string | null)[]; readonly left: readonly number[] }

/** `refused`: why this member cannot use a LUN as it was told; null once it has done what it was told. */
export type LunAnswer = { readonly refused: string | null }

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const request = v.variant('kind', [
  v.strictObject({
    kind: v.literal('ask'),
    view: count,
    wish: v.variant('kind', [
      v.strictObject({
        kind: v.literal('add'),
        lun: lunRecord,
        hint: v.optional(v.pipe(v.string(), v.maxLength(MAX_LUN_URL))),
      }),
      v.strictObject({ kind: v.literal('remove'), uuid: v.string() }),
      v.strictObject({ kind: v.literal('extend'), uuid: v.string(), fsid: count }),
      v.strictObject({ kind: v.picklist(['drain', 'refill', 'vacate']), uuid: v.string() }),
      v.strictObject({ kind: v.literal('enlarge'), uuid: v.string(), size: count }),
    ]),
  }),
  v.strictObject({ kind: v.literal('look'), view: count }),
  v.strictObject({ kind: v.literal('suspect'), view: count, fsid: count, reason: v.string() }),
  v.strictObject({ kind: v.literal('try'), view: count, uuids: v.array(v.string()) }),
  v.strictObject({ kind: v.literal('restore'), view: count, fsid: count }),
  v.strictObject({ kind: v.literal('change'), view: count, change: pendingChange }),
])
const sights = v.array(
  v.strictObject({
    uuid: v.string(),
    path: v.optional(v.string()),
    size: v.optional(count),
    state: v.string(),
    reason: v.optional(v.string()),
  }),
)
const trial = v.strictObject({ failed: v.array(v.nullable(v.string())), left: v.array(count) })
const answer = v.strictObject({ refused: v.nullable(v.string()) })

export function decodeLunRequest(body: unknown): LunRequest {
  return parseBody(request, body, 'LUN message')
}

export function decodeSights(body: unknown): readonly LunSight[] {
  return parseBody(sights, body, 'LUN message')
}

export function decodeTrial(body: unknown): LunTrial {
  return parseBody(trial, body, 'LUN message')
}

export function decodeLunAnswer(body: unknown): LunAnswer {
  return parseBody(answer, body, 'LUN message')
}
