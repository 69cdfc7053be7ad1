/**
 * The If header of WebDAV (RFC 4918 10.4): lists of conditions on state tokens and entity tags. The request goes on when all
 * conditions of at least one list hold. Each token in it, wherever, is submitted by that: the locks with these tokens do not bind the request.
 */
import { isFsError } from '../base/errors.ts'
import type { ExportCall } from './call.ts'
import { namesContent } from './conditions.ts'
import { etagOf } from './etag.ts'
import { HttpFailure } from './failure.ts'
import { parseTarget } from './paths.ts'
import { walk } from './resolve.ts'

export type Condition = { readonly not: boolean; readonly kind: 'token' | 'etag'; readonly value: string }
/** `resource`: the URL the list is about; undefined: that of the request. */
export type ConditionList = { readonly resource: string | undefined; readonly conditions: readonly Condition[] }

/** What conditions are compared with. */
type State = { readonly etag: string | undefined; readonly tokens: readonly string[] }

/** More lists, or conditions in one, than any client sends; each list may cost a walk. */
const MAX_LISTS = 64
const MAX_CONDITIONS = 64

const NO_TOKENS: readonly string[] = []
const UNKNOWN: State = { etag: undefined, tokens: [] }

/** The lists of the request's If header; [] without one. */
export function ifLists(text: string | undefined): readonly ConditionList[] {
  return text === undefined ? [] : parseIf(text)
}

export function submittedTokens(lists: readonly ConditionList[]): readonly string[] {
  if (lists.length === 0) return NO_TOKENS
  const tokens = lists.flatMap(({ conditions }) => conditions.filter(({ kind }) => kind === 'token'))
  return [...new Set(tokens.map(({ value }) => value))].filter((token) => token !== 'DAV:no-lock')
}

/** Throws HttpFailure 412 unless one of the lists holds. */
export async function checkIf(call: ExportCall, lists: readonly ConditionList[]): Promise<void> {
  const states = new Map<string | undefined, State>()
  for (const { resource, conditions } of lists) {
    const state = states.get(resource) ?? (await stateOf(call, resource))
    states.set(resource, state)
    if (conditions.every((condition) => holds(condition, state))) return
  }
  throw new HttpFailure(412)
}

function holds({ not, kind, value }: Condition, { etag, tokens }: State): boolean {
  return not !== (kind === 'etag' ? etag !== undefined && namesContent(value, etag) : tokens.includes(value))
}

async function stateOf(call: ExportCall, resource: string | undefined): Promise<State> {
  const { fs, caller, share } = call
  const segments = resource === undefined ? call.target.segments : parseTarget(resource).segments
  if (segments[0] !== share.name) return UNKNOWN
  try {
    const { dir, inode } = await walk(fs, caller, segments.slice(1), { last: 'follow', missingParent: 404 })
    // a name that is not there yet is in the scope of its directory's locks
    const ino = inode?.ino ?? dir
    const locks = (await fs.dav.locks(dir, [ino])).get(ino) ?? []
    return { etag: inode && etagOf(inode), tokens: locks.map(({ token }) => token) }
  } catch (error) {
    if (error instanceof HttpFailure || isFsError(error, 'EACCES', 'ELOOP', 'ENOTDIR', 'ESTALE')) return UNKNOWN
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
      if (open.length > MAX_CONDITIONS) throw new HttpFailure(400, `more than ${MAX_CONDITIONS} conditions in a list`)
      not = false
    } else throw malformed()
  }
  if (open || lists.length === 0) throw malformed()
  return lists
}

function malformed(): HttpFailure {
  return new HttpFailure(400, 'malformed If header')
}
