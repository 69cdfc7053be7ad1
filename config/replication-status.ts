/** What is told of replications: by a node to its peers, to the `matrix` command, and to the dashboard. */
import * as v from 'valibot'

const counts = {
  looked: v.number(),
  copied: v.number(),
  bytes: v.number(),
  pruned: v.number(),
  failed: v.number(),
}

/** What `matrix replicate copy --json` writes, as far as others read it. */
export const replicationOutcome = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ ...counts, troubles: v.array(v.object({ path: v.string(), why: v.string() })) }),
)

/** What became of the last run; `why` it failed, in whole or in part. */
export const replicationStatus = v.object({
  /** When it ended, wall clock, ms; how long it took. */
  at: v.number(),
  ms: v.number(),
  ...counts,
  why: v.optional(v.string()),
})

/** A configured replication, as a node knows it. */
export const replication = v.object({
  name: v.string(),
  from: v.string(),
  to: v.string(),
  everyMs: v.number(),
  /** Who runs it; the administrator when it is left out. Whether that is the node that answers. */
  node: v.optional(v.string()),
  mine: v.boolean(),
  /** Of a run that is under way: wall clock, ms. */
  since: v.optional(v.number()),
  last: v.optional(replicationStatus),
})
