/** What is told of replications: by a node to its peers, to the `matrix` command, and to the dashboard. */
import * as v from 'valibot'

/** What became of the last run: numbers as `matrix replicate copy` has them; `why` it failed, in whole or in part. */
export const replicationStatus = v.object({
  /** When it ended, wall clock, ms; how long it took. */
  at: v.number(),
  ms: v.number(),
  looked: v.number(),
  copied: v.number(),
  bytes: v.number(),
  pruned: v.number(),
  failed: v.number(),
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
