/** Attributes that callers set. */

/** A time to set: the server's clock, or a value. */
export type TimeChange = 'now' | { readonly s: number; readonly ns: number }

export type AttributeChanges = {
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly size?: number
  readonly atime?: TimeChange
  readonly mtime?: TimeChange
  /** With a size: the set-id bits go as if the caller were not the superuser. */
  readonly dropSetId?: boolean
}
