/** What the membership protocol says, and its check when it comes from the wire: docs/formats/mesh.md, frame kind 4. */

import { Packr } from 'msgpackr'
import * as v from 'valibot'
import { MatrixError } from '../base/errors.ts'
import type { ViewId } from '../base/ids.ts'
import type { Life } from '../base/life.ts'
import { MAX_NETWORKS, MAX_SLOTS } from '../base/limits.ts'
import type { Member, View } from './view.ts'

/** Sign of life, with the whole standing of its sender; sent every heartbeatMs and at once when something in it changes. */
export type Alive = {
  readonly type: 'alive'
  /** Installed view; null before the first and after dissolving. */
  readonly view: View | null
  readonly served: boolean
  /** `view` cannot go on: a connection to a member was lost, or a change has begun. */
  readonly broken: boolean
  readonly leaving: boolean
  /** Lives the sender has a connection to. */
  readonly reach: readonly Life[]
  /** Lives whose connection was lost moments ago and may come back. */
  readonly lost: readonly Life[]
  /** Highest number the sender has seen: a proposal must be above it. */
  readonly highest: ViewId
}

/** "Be in this view": asks for a promise to take part in no view of a lower number. */
export type Propose = { readonly type: 'propose'; readonly number: ViewId; readonly members: readonly Member[] }
export type Accept = { readonly type: 'accept'; readonly number: ViewId }
export type Refuse = {
  readonly type: 'refuse'
  readonly number: ViewId
  /** stale: promised a higher number · busy: promised to another proposer that lives, or not of its matter · unconnected: lacks a connection to some member. */
  readonly why: 'stale' | 'busy' | 'unconnected'
  readonly highest: ViewId
}
/** Every member has promised: the view is. */
export type Commit = { readonly type: 'commit'; readonly number: ViewId }

export type MembershipMessage = Alive | Propose | Accept | Refuse | Commit

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const slot = v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(MAX_SLOTS - 1))
const life = v.object({ slot, incarnation: count })
const address = v.object({ host: v.pipe(v.string(), v.maxLength(255)), port: v.pipe(count, v.maxValue(65535)) })

/** The form of a member on the wire, also in hellos. */
export const memberSchema = v.object({
  slot,
  name: v.pipe(v.string(), v.minLength(1), v.maxLength(255)),
  incarnation: count,
  address,
  otherAddresses: v.optional(v.pipe(v.array(address), v.maxLength(MAX_NETWORKS - 1), v.readonly())),
})

const lives = v.pipe(v.array(life), v.maxLength(MAX_SLOTS))
const members = v.pipe(
  v.array(memberSchema),
  v.minLength(1),
  v.maxLength(MAX_SLOTS),
  v.check(
    (list) => list.every((member, index) => index === 0 || member.slot > (list[index - 1] as Member).slot),
    'members do not ascend by slot',
  ),
)

const messageSchema = v.variant('type', [
  v.object({
    type: v.literal('alive'),
    view: v.nullable(v.object({ id: count, members })),
    served: v.boolean(),
    broken: v.boolean(),
    leaving: v.boolean(),
    reach: lives,
    lost: lives,
    highest: count,
  }),
  v.object({ type: v.literal('propose'), number: count, members }),
  v.object({ type: v.literal('accept'), number: count }),
  v.object({
    type: v.literal('refuse'),
    number: count,
    why: v.picklist(['stale', 'busy', 'unconnected']),
    highest: count,
  }),
  v.object({ type: v.literal('commit'), number: count }),
])

/** Plain maps, no records and no shared structures: every message can be read alone. */
const packr = new Packr({ useRecords: false, copyBuffers: true })

export function encodeBody(body: unknown): Buffer {
  return packr.pack(body)
}

/** Decodes msgpack; throws MatrixError 'protocol' on anything else. */
export function decodeBody(bytes: Uint8Array): unknown {
  try {
    return packr.unpack(bytes)
  } catch (error) {
    throw new MatrixError('protocol', `malformed msgpack: ${(error as Error).message}`, { cause: error })
  }
}

/** Throws MatrixError 'protocol' when `bytes` are not a message of this protocol. */
export function decodeMembershipMessage(bytes: Uint8Array): MembershipMessage {
  return parseBody(messageSchema, decodeBody(bytes), 'membership message')
}

/** `body`, judged. Throws MatrixError 'protocol' when it is something else than `schema` says; `what` names it. */
export function parseBody<T>(schema: v.GenericSchema<unknown, T>, body: unknown, what: string): T {
  const result = v.safeParse(schema, body)
  if (!result.success) throw new MatrixError('protocol', `malformed ${what}: ${v.summarize(result.issues)}`)
  return result.output
}
