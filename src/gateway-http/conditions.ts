/** Conditional requests in the order of RFC 9110 13.2.2. */
import { gzipTag } from './etag.ts'
import { HttpFailure } from './failure.ts'
import { parseHttpDate } from './http-date.ts'

export type ConditionHeaders = {
  readonly 'if-match'?: string
  readonly 'if-none-match'?: string
  readonly 'if-modified-since'?: string
  readonly 'if-unmodified-since'?: string
}

/**
 * What there is to compare with; undefined when the resource does not exist. `isPacked`: it would be sent compressed.
 */
export type Validators = { readonly etag: string; readonly modifiedS: number; readonly isPacked?: boolean } | undefined

/**
 * Answers 'proceed' or, for GET and HEAD, 'not-modified'; throws HttpFailure 412 when a precondition is false.
 * `reading`: the method is GET or HEAD.
 */
export function evaluate(headers: ConditionHeaders, current: Validators, reading: boolean): 'proceed' | 'not-modified' {
  const match = headers['if-match']
  const unmodifiedSince = headers['if-unmodified-since']
  if (match !== undefined) {
    if (!current || !namesContent(match, current.etag)) throw new HttpFailure(412)
  } else if (unmodifiedSince !== undefined) {
    const limit = parseHttpDate(unmodifiedSince)
    if (limit !== undefined && (!current || current.modifiedS > limit)) throw new HttpFailure(412)
  }
  const noneMatch = headers['if-none-match']
  const modifiedSince = headers['if-modified-since']
  if (noneMatch !== undefined) {
    if (reading && current) {
      // what a cache has must be just what it would get
      if (listHolds(noneMatch, current.isPacked ? gzipTag(current.etag) : current.etag, 'weak')) return 'not-modified'
    } else if (current && namesContent(noneMatch, current.etag, 'weak')) throw new HttpFailure(412)
  } else if (modifiedSince !== undefined && reading && current) {
    const limit = parseHttpDate(modifiedSince)
    if (limit !== undefined && current.modifiedS <= limit) return 'not-modified'
  }
  return 'proceed'
}

/** If-Range (13.1.5): true when the range still may be answered. A date must be equal, and old enough to be strong. */
export function ifRangeHolds(
  header: string | undefined,
  current: { etag: string; modifiedS: number },
  nowS: number,
): boolean {
  if (header === undefined) return true
  const value = header.trim()
  if (value.startsWith('"')) return value === current.etag
  if (value.startsWith('W/')) return false
  const date = parseHttpDate(value)
  return date !== undefined && date === current.modifiedS && current.modifiedS < nowS - 1
}

/** A list of entity tags with one of this content in it, sent as it is or compressed. */
export function namesContent(list: string, etag: string, comparison: 'strong' | 'weak' = 'strong'): boolean {
  return listHolds(list, etag, comparison) || listHolds(list, gzipTag(etag), comparison)
}

/** A list of entity tags, or `*`. What is not a tag matches nothing. */
function listHolds(list: string, etag: string, comparison: 'strong' | 'weak'): boolean {
  if (list.trim() === '*') return true
  for (const [, weak, tag] of list.matchAll(/(W\/)?("[\x21\x23-\x7e\x80-\xff]*")/g)) {
    if (tag === etag && (comparison === 'weak' || !weak)) return true
  }
  return false
}
