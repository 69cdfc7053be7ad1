/** What nodes ask each other about jobs: requests on the mesh channel 'job', answered with JSON values. A message there is a job that has changed. */
import * as v from 'valibot'
import { parseBody } from '../../cluster/index.ts'
import { errand } from './errands.ts'
import { ledgerEntries } from './job-ledger.ts'

const reference = { kind: v.string(), id: v.string() }

export const jobAsk = v.variant('ask', [
  v.strictObject({ ask: v.literal('list') }),
  v.strictObject({ ask: v.literal('show'), ...reference }),
  v.strictObject({ ask: v.literal('start'), kind: v.string(), input: v.unknown(), by: v.string() }),
  v.strictObject({ ask: v.picklist(['cancel', 'retry']), ...reference, by: v.string() }),
])
/** To whoever keeps the jobs. */
export type JobAsk = v.InferOutput<typeof jobAsk>

const request = v.union([
  jobAsk,
  /** To any member: what do you remember? Answered with ledger entries. */
  v.strictObject({ ask: v.literal('ledger') }),
  /** By the administrator, to every member: remember this. Answered with null. */
  v.strictObject({ ask: v.literal('remember'), entries: ledgerEntries }),
  /** To any member: do this. */
  v.object({ ask: v.literal('errand') }),
])
export type JobRequest = v.InferOutput<typeof request>

/** Throws MatrixError 'protocol'. */
export function decodeJobRequest(body: unknown): JobRequest {
  return parseBody(request, body, 'job request')
}

export function decodeErrand(body: unknown) {
  const { ask: _, ...rest } = body as Record<string, unknown>
  return parseBody(errand, rest, 'errand')
}
