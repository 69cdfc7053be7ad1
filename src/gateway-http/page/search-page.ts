/**
 * A search by name below a directory. Results are sent as they are found, so that the page fills while the tree is walked through, and without
 * JavaScript. It ends with the tree, or at a limit, and says which.
 */
import { isFsError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import { isPromise } from '../../base/maybe-promise.ts'
import { DIR, R_OK, REG, W_OK, X_OK } from '../../metadata/index.ts'
import type { ExportCall } from '../call.ts'
import { HttpFailure } from '../failure.ts'
import { MAX_SEARCH_ENTRIES, MAX_SEARCH_MS, MAX_SEARCH_RESULTS, MAX_SEARCH_TEXT } from '../limits.ts'
import { type Member, members } from '../members.ts'
import { send } from '../outlet.ts'
import { displayName } from '../paths.ts'
import { breadcrumbs, documentEnd, documentStart, newNonce, pageHeaders, searchForm } from './document.ts'
import { type Entry, entryOf } from './entries.ts'
import { type Html, html } from './html.ts'
import { icon } from './icons.ts'
import { row, tableEnd, tableStart } from './rows.ts'
import { searchPattern } from './search-pattern.ts'
import { shownName } from './shown-name.ts'
import { whoLooks } from './sign-in.ts'

type Tally = { entries: number; results: number; refused: number; ended: 'done' | 'results' | 'time' | 'entries' }

export async function searchPage(call: ExportCall, dir: Ino, text: string): Promise<void> {
  if (text.length > MAX_SEARCH_TEXT) throw new HttpFailure(400, `a search has at most ${MAX_SEARCH_TEXT} characters`)
  const fits = searchPattern(text)
  if (!fits) throw new HttpFailure(400, 'there is nothing to search for')
  const { granted } = await call.fs.access(call.caller, dir, R_OK | X_OK)
  if (granted !== (R_OK | X_OK)) throw new HttpFailure(403)
  const nonce = newNonce()
  call.ctx.respond = false
  call.res.writeHead(200, pageHeaders(nonce))
  if (call.req.method === 'HEAD') return void call.res.end()
  const writable = call.mayChange && (await call.fs.access(call.caller, dir, W_OK)).granted === W_OK
  await send(call.res, opening(call, nonce, text, writable).text)
  const tally: Tally = { entries: 0, results: 0, refused: 0, ended: 'done' }
  for await (const entry of found(call, dir, fits, tally)) await send(call.res, row(entry, true).text)
  call.res.end(html`${tableEnd}${closing(tally)}</form>${documentEnd}`.text)
}

async function* found(
  call: ExportCall,
  dir: Ino,
  fits: (name: string) => boolean,
  tally: Tally,
): AsyncGenerator<Entry> {
  const { clock } = call.workshop
  const end = clock.now() + MAX_SEARCH_MS
  for await (const member of members(call, dir, [], () => tally.refused++)) {
    if (tally.results === MAX_SEARCH_RESULTS) tally.ended = 'results'
    else if (tally.entries === MAX_SEARCH_ENTRIES) tally.ended = 'entries'
    else if (clock.now() > end) tally.ended = 'time'
    if (tally.ended !== 'done') return
    tally.entries++
    if ((member.type !== REG && member.type !== DIR) || !fits(displayName(member.path.at(-1) as string))) continue
    const entry = await look(call, member)
    if (!entry) continue
    tally.results++
    yield entry
  }
}

/** Undefined when it is gone again. */
async function look({ fs }: ExportCall, { ino, path }: Member): Promise<Entry | undefined> {
  try {
    const answer = fs.getattr(ino)
    return entryOf(path, isPromise(answer) ? await answer : answer)
  } catch (error) {
    if (isFsError(error, 'ESTALE')) return undefined
    throw error
  }
}

function opening(call: ExportCall, nonce: string, text: string, writable: boolean): Html {
  const url = [call.share.name, ...call.path]
  const where = shownName(url.at(-1) as string)
  const title = `Search for “${text}” in ${where}`
  const start = documentStart({
    title,
    assets: call.workshop.assets,
    nonce,
    search: searchForm(where, text),
    user: whoLooks(call.visitor, url),
  })
  return html`${start}<div class="head">${breadcrumbs(url)}<div class="actions"><a class="button" href="./">${icon('close')}End search</a></div></div>
<h2 class="found">Names with “<bdi>${text}</bdi>”</h2>
<form id="view" method="get" class="results"${writable ? html` data-writable` : ''}>
${tableStart(title, { sorting: undefined, selectable: true })}`
}

function closing({ entries, results, refused, ended }: Tally): Html {
  const reached = {
    done: `${entries.toLocaleString('en')} names were looked at.`,
    results: `These are the first ${results}; look for something narrower.`,
    entries: `The search ended after ${entries.toLocaleString('en')} names.`,
    time: `The search ended after ${MAX_SEARCH_MS / 1000} seconds and ${entries.toLocaleString('en')} names.`,
  }[ended]
  const closed = refused > 0 ? ` ${refused} ${refused === 1 ? 'folder' : 'folders'} could not be looked into.` : ''
  const many = `${results} ${results === 1 ? 'result' : 'results'}.`
  const none = html`<div class="empty">${icon('search')}<p>Nothing found.</p></div>`
  return html`${results === 0 ? none : html`<p class="without-script"><button class="button" name="zip" value="1">${icon('download')}Download selected</button></p>`}
<p class="summary">${results === 0 ? '' : `${many} `}${reached}${closed}</p>`
}
