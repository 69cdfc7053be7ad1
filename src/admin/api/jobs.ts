/** Jobs as the API has them, and as nodes tell each other of them. */
import * as v from 'valibot'
import { count, time } from './values.ts'

const jobStates = ['waiting', 'active', 'retrying', 'completed', 'failed', 'cancelled'] as const

/** What a job has come to: a sentence, and what programs want to know. */
export const jobResult = v.object({ said: v.string(), details: v.record(v.string(), v.unknown()) })
export type JobResult = v.InferOutput<typeof jobResult>

export const job = v.object({
  kind: v.string(),
  id: v.string(),
  /** What it is about: of a kind, one job per object is under way at a time. */
  object: v.string(),
  input: v.record(v.string(), v.unknown()),
  state: v.picklist(jobStates),
  /** It was asked to end, and has not ended yet. */
  cancelling: v.boolean(),
  percent: v.pipe(v.number(), v.minValue(0), v.maxValue(100)),
  /** What it is doing, or what it did last. */
  sentence: v.string(),
  /** Whose worker has it, or had it last. */
  node: v.nullable(v.string()),
  /** How often it has been tried. */
  attempts: count,
  /** Who has started it. */
  by: v.string(),
  createdAt: time,
  startedAt: v.nullable(time),
  finishedAt: v.nullable(time),
  result: v.nullable(jobResult),
  error: v.nullable(v.string()),
})
export type Job = v.InferOutput<typeof job>

/** GET /jobs: the newest first. */
export const jobs = v.object({
  /** Whether jobs can be started; when not, why, and what to do. */
  available: v.boolean(),
  reason: v.nullable(v.string()),
  /** Where they are kept, in words. */
  place: v.string(),
  kinds: v.array(
    v.object({
      name: v.string(),
      title: v.string(),
      summary: v.string(),
      /** It interrupts something: people are asked before it starts. */
      confirm: v.boolean(),
      /** JSON schema of its input. */
      input: v.record(v.string(), v.unknown()),
    }),
  ),
  jobs: v.array(job),
})
export type Jobs = v.InferOutput<typeof jobs>

/** GET /jobs/:queue/:id */
export const jobWithLog = v.object({ job, log: v.array(v.string()) })
export type JobWithLog = v.InferOutput<typeof jobWithLog>

/** POST /jobs */
export const jobQuestion = v.strictObject({
  kind: v.pipe(v.string(), v.maxLength(40)),
  input: v.record(v.pipe(v.string(), v.maxLength(64)), v.unknown()),
})
export type JobQuestion = v.InferOutput<typeof jobQuestion>
export const jobAnswer = v.object({ job })
/** Of a POST that says nothing beside its path. */
export const nothing = v.strictObject({})
