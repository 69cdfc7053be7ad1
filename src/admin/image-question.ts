/** What is asked of the process that reads an image, and its answers: a line of JSON each. */
import * as v from 'valibot'

export const imageQuestion = v.union([
  v.strictObject({ sql: v.string(), maxRows: v.number() }),
  v.strictObject({ inos: v.array(v.number()) }),
])

/** `rows` in the order of `columns`; a blob is hexadecimal, an integer beyond 2^53 text. */
export const queryAnswer = v.object({
  columns: v.array(v.string()),
  rows: v.array(v.array(v.union([v.null(), v.number(), v.string()]))),
  /** There are more rows than were asked for. */
  truncated: v.boolean(),
  ms: v.number(),
})
const queryError = v.object({ error: v.string() })
export const queryResult = v.union([queryError, queryAnswer])
export type QueryAnswer = v.InferOutput<typeof queryAnswer>

/** Inode and path. */
export const pathsAnswer = v.array(v.tuple([v.number(), v.string()]))
export type PathsAnswer = v.InferOutput<typeof pathsAnswer>
