/** What the API says of who asks, and of what was done. */
import * as v from 'valibot'

/** GET /session */
export const session = v.object({
  node: v.string(),
  /** null: everybody on this machine, or nobody yet. */
  name: v.nullable(v.string()),
  /** null: he has to log in. */
  role: v.nullable(v.picklist(['viewer', 'operator'])),
  /** To be sent in the header X-Matrix-CSRF with each POST of this session; null without one. */
  csrf: v.nullable(v.string()),
})
export type SessionAnswer = v.InferOutput<typeof session>

/** POST /session */
export const credentials = v.strictObject({
  name: v.pipe(v.string(), v.maxLength(64)),
  password: v.pipe(v.string(), v.maxLength(1024)),
})

/** An action that was begun (`by` … `about`), or its end (`outcome`, `ms`), by the same id. */
export const auditLine = v.object({
  at: v.string(),
  id: v.string(),
  by: v.optional(v.string()),
  from: v.optional(v.string()),
  what: v.optional(v.string()),
  about: v.optional(v.string()),
  outcome: v.optional(v.string()),
  ms: v.optional(v.number()),
})
export type AuditLine = v.InferOutput<typeof auditLine>

/** GET /audit */
export const audit = v.object({ node: v.string(), lines: v.array(auditLine) })
