/**
 * GET of a directory, by its query: `?search=TEXT` searches below it, `?zip` is all of it as an archive (`only=PATH`, any number: these
 * members), else its page, which `sort`, `order` and `page` arrange.
 */
import { R_OK, X_OK } from '../../metadata/index.ts'
import { answer, type Call, type ExportCall } from '../call.ts'
import { HttpFailure } from '../failure.ts'
import { directoryPage, exportsPage } from '../page/directory-page.ts'
import { searchPage } from '../page/search-page.ts'
import { decodeSegment, hrefOf } from '../paths.ts'
import type { Found } from '../resolve.ts'
import { isTemporaryName } from '../temporaries.ts'
import { sendFolder } from '../zip/folder-archive.ts'

export async function getDirectory(call: ExportCall, place: Found): Promise<void> {
  const { target, workshop } = call
  if (!target.trailingSlash) {
    // Relative links on the page only work below the slash.
    const query = target.query === '' ? '' : `?${target.query}`
    return answer(call, 301, { Location: hrefOf([call.share.name, ...call.path], true) + query })
  }
  const query = new URLSearchParams(target.query)
  if (query.has('zip')) {
    const only = query.getAll('only').map(pathOf)
    const { granted } = await call.fs.access(call.caller, place.inode.ino, R_OK | X_OK)
    if (granted !== (R_OK | X_OK)) throw new HttpFailure(403)
    return workshop.walks.pass(() => sendFolder(call, place, only.length > 0 ? only : undefined))
  }
  const text = query.get('search')?.trim() ?? ''
  if (text !== '') return workshop.walks.pass(() => searchPage(call, place.inode.ino, text))
  return directoryPage(call, place.inode)
}

export function getRoot(call: Call): Promise<void> {
  return exportsPage(call)
}

/** Names below the directory, percent-encoded as in a URL. */
function pathOf(written: string): readonly string[] {
  const path = written
    .split('/')
    .filter((part) => part !== '')
    .map(decodeSegment)
  if (path.length === 0 || path.some(isTemporaryName)) throw new HttpFailure(400, '"only" must name a member')
  return path
}
