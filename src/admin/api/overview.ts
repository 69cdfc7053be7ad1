/** GET /overview: the parts are as their own places answer them. */
import * as v from 'valibot'
import {
  filesystems,
  locks,
  logAnswer,
  luns,
  matrix,
  replicationsAnswer,
  samplesAnswer,
  services,
  timeline,
  waits,
} from './answers.ts'
import { jobs } from './jobs.ts'

export const overview = v.object({
  matrix,
  /** The newest only; earlier ones are told by GET /samples. */
  samples: samplesAnswer,
  filesystems: v.nullable(filesystems),
  luns: v.nullable(luns),
  locks: v.nullable(locks),
  waits: v.nullable(waits),
  services: v.nullable(services),
  jobs: v.nullable(jobs),
  replications: replicationsAnswer.entries.replications,
  timeline,
  log: logAnswer,
})
export type Overview = v.InferOutput<typeof overview>
