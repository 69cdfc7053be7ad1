/** Kinds of values in answers. */
import * as v from 'valibot'

/** A number from 0 on. */
export const count = v.pipe(v.number(), v.minValue(0))
/** Milliseconds since 1970, by the clock of whoever says so. */
export const time = v.number()
/** Numbers by name. */
export const counts = v.record(v.string(), v.number())

/** What one node has said, or why nothing came: a node that cannot be asked is never just left out. */
export const nodeAnswer = v.object({ node: v.string(), answered: v.boolean(), error: v.nullable(v.string()) })
export type NodeAnswer = v.InferOutput<typeof nodeAnswer>
