/**
 * The If header of WebDAV (RFC 4918 10.4): lists of conditions on state tokens and entity tags. The request goes on when all
 * conditions of at least one list hold. Without locks no state token is ever true, and `Not` of one always is: clients use
 * `(Not <DAV:no-lock>)` for that.
 */
import { isFsError } from '../base/errors.ts'
import { type ExportCall, header } from './call.ts'
import { listHolds } from './conditions.ts'
import { etagOf } from './etag.ts'
import { HttpFailure } from './failure.ts'
import { parseTarget } from './paths.ts'
import { walk } from './resolve.ts'

export type Condition = { readonly not: boolean; readonly kind: 'token' | 'etag'; readonly value: string }
/** `resource`: the URL the list is about; undefined: that of the request. */
export type ConditionList = { readonly resource: string | undefined; readonly conditions: readonly Condition[] }

/** More lists than any client sends; each may cost a walk. */
const MAX_LISTS = 64

/** Throws HttpFailure 412 unless the request's If header, when there is one, holds. */
export async function checkIf(call: ExportCall): Promise<void> {
  const text = header(call, 'if')
  if (text === undefined) return
  const etags = new Map<string | undefined, string | undefined>()
  for (const { resource, conditions } of parseIf(text)) {
    if (!etags.has(resource)) etags.set(resource, await etagAt(call, resource))
    const etag = etags.get(resource)
    if (conditions.every((condition) => holds(condition, etag))) return
  }
  throw new HttpFailure(412)
}

function holds({ not, kind, value }: Condition, etag: string | undefined): boolean {
  return not !== (kind === 'etag' && etag !== undefined && listHolds(value, etag, 'strong'))
}

async function etagAt(call: ExportCall, resource: string | undefined): Promise<string | undefined> {
  const segments = resource === undefined ? call.target.segments : parseTarget(resource).segments
  if (segments[0] !== call.share.name) return undefined
  try {
    const place = await walk(call.fs, call.caller, segments.slice(1), { last: 'follow', missingParent: 404 })
    return place.inode && etagOf(place.inode)
  } catch (error) {
    if (error instanceof HttpFailure || isFsError(error, 'EACCES', 'ELOOP', 'ENOTDIR', 'ESTALE')) return undefined
    throw error
  }
}

const lexeme = /\s*(?:(\()|(\))|(not)(?=[\s<[])|<([^<>\s]*)>|\[((?:W\/)?"[^"\]]*")\])\s*/iy

/** Throws HttpFailure 400 for what does not follow the grammar. */
export function parseIf(text: string): readonly ConditionList[] {
  const lists: ConditionList[] = []
  let resource: string | undefined
  let open: Condition[] | undefined
  let not = false
  lexeme.lastIndex = 0
  while (lexeme.lastIndex < text.length) {
    const match = lexeme.exec(text)
    if (!match) throw malformed()
    const [, opening, closing, negation, url, etag] = match
    if (!open) {
      if (opening) open = []
      // A tag may not come after lists without one.
      else if (url !== undefined && (lists.length === 0 || resource !== undefined)) resource = url
      else throw malformed()
    } else if (closing && open.length > 0 && !not) {
      lists.push({ resource, conditions: open })
      if (lists.length > MAX_LISTS) throw new HttpFailure(400, `more than ${MAX_LISTS} lists in the If header`)
      open = undefined
    } else if (negation && !not) not = true
    else if (url !== undefined || etag !== undefined) {
      open.push(url === undefined ? { not, kind: 'etag', value: etag as string } : { not, kind: 'token', value: url })
      not = false
    } else throw malformed()
  }
  if (open || lists.length === 0) throw malformed()
  return lists
}

function malformed(): HttpFailure {
  return new HttpFailure(400, 'malformed If header')
}
