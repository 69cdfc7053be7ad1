/**
 * What the two ends of a new connection say to each other before it is in use, and what speaks against a hello: docs/formats/mesh.md,
 * frame kinds 1 to 3. Order and deadlines are for greeting.ts.
 */
import * as v from 'valibot'
import type { Incarnation } from '../base/ids.ts'
import type { Timings } from '../base/timings.ts'
import { decodeBody, memberSchema, parseBody } from './membership-messages.ts'
import type { Member } from './view.ts'

/** Raised when the meaning of anything on the mesh changes; nodes of different versions do not talk. */
export const MESH_PROTOCOL = 3

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const number = v.pipe(count, v.minValue(1))

export const helloSchema = v.object({
  protocol: v.number(),
  matrixName: v.pipe(v.string(), v.maxLength(255)),
  matrixUuid: v.nullable(v.pipe(v.string(), v.maxLength(64))),
  ioTimeoutMs: v.number(),
  member: memberSchema,
  session: v.nullable(number),
})
export const useSchema = v.object({ number, session: number, received: count })
export const refuseSchema = v.object({ reason: v.pipe(v.string(), v.maxLength(1000)) })
const ackSchema = v.object({ received: count })

export type Hello = v.InferOutput<typeof helloSchema>
/** `session` is `number` for a new one; else the connection carries on with that one, of which `received` frames have come. */
export type Use = v.InferOutput<typeof useSchema>

/** This node, for what a hello has to fit. */
export type Ourselves = {
  readonly self: Member
  readonly matrixName: string
  /** When both ends know it, it must be the same. */
  readonly matrixUuid?: string
  readonly timings: Timings
}
/** A slot as it is known here, with the highest incarnation ever linked. */
export type Known = { readonly name: string; readonly incarnation: Incarnation }

/** Why this hello cannot be accepted; undefined when it can. `dialled`: who was expected at the address. */
export function objectionTo(
  { protocol, matrixName, matrixUuid, ioTimeoutMs, member }: Hello,
  { self, timings, ...our }: Ourselves,
  known: Known | undefined,
  dialled: Known | undefined,
): string | undefined {
  if (protocol !== MESH_PROTOCOL)
    return `mesh protocol ${protocol} of ${member.name}, ${MESH_PROTOCOL} here: all nodes must run one version`
  if (matrixName !== our.matrixName) return `${member.name} is of matrix ${matrixName}, not ${our.matrixName}`
  if (matrixUuid !== null && our.matrixUuid !== undefined && matrixUuid !== our.matrixUuid)
    return `${member.name} is of another matrix also named ${our.matrixName}`
  if (member.slot === self.slot || member.name === self.name) {
    return `two nodes are named ${member.name} or have slot ${member.slot}: check the configuration of both`
  }
  if (!known) return `slot ${member.slot} (${member.name}) is not known at ${self.name}, or not yet`
  if (known.name !== member.name)
    return `slot ${member.slot} is ${known.name} at ${self.name}, but the peer calls itself ${member.name}`
  if (dialled && dialled !== known) return `${member.name} answers at the address of ${dialled.name}`
  if (ioTimeoutMs !== timings.ioTimeoutMs)
    return `I/O time-out ${ioTimeoutMs} ms at ${member.name}, ${timings.ioTimeoutMs} ms at ${self.name}: they must agree`
  if (member.incarnation < known.incarnation)
    return `a newer process of ${member.name} runs (incarnation ${known.incarnation}, not ${member.incarnation})`
  return undefined
}

/** Frames that the other end has taken, from an ack. Throws MatrixError 'protocol'. */
export function decodeAck(frame: Buffer): number {
  return parseBody(ackSchema, decodeBody(frame.subarray(1)), 'frame').received
}
