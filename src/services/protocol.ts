/**
 * What administrator and members say to each other about virtual hosts: requests on the mesh channel 'service', bodies in msgpack. The mesh
 * delivers them within one view alone, in order per peer; the view number travels in the body too, as in recovery.
 */
import * as v from 'valibot'
import { parseBody } from '../cluster/index.ts'

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const hostReport = v.strictObject({
  address: v.string(),
  bears: v.boolean(),
  serves: v.boolean(),
  byHand: v.boolean(),
  failing: count,
  barred: v.boolean(),
  /** What its failing monitors find wrong, for people. */
  reason: v.optional(v.string()),
})
const memberReport = v.strictObject({ ready: v.boolean(), hosts: v.array(hostReport) })

const request = v.variant('kind', [
  /** The administrator: say what you bear, and how well you are. */
  v.strictObject({ kind: v.literal('report'), view: count }),
  v.strictObject({ kind: v.literal('take'), view: count, address: v.string(), byHand: v.boolean() }),
  v.strictObject({ kind: v.literal('release'), view: count, address: v.string() }),
  /** To the administrator: how well I am has changed. */
  v.strictObject({ kind: v.literal('health'), view: count, report: memberReport }),
  /** To the administrator: I am about to stop; answered once nobody needs me any more. */
  v.strictObject({ kind: v.literal('leave'), view: count }),
  /** To the administrator, for a person: move it there; answered when it is there. */
  v.strictObject({ kind: v.literal('move'), view: count, address: v.string(), node: v.string() }),
])
export type ServiceRequest = v.InferOutput<typeof request>
export type SentReport = v.InferOutput<typeof memberReport>

export function decodeServiceRequest(body: unknown): ServiceRequest {
  return parseBody(request, body, 'message about virtual hosts')
}

export function decodeReport(body: unknown): SentReport {
  return parseBody(memberReport, body, 'report of virtual hosts')
}
