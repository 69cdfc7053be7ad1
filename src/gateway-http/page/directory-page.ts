/**
 * The page of a directory: complete without JavaScript (lists, sorts, pages, searches, downloads); with it, what is `hidden` here
 * comes to life (assets/page.js): upload, new folder, rename, delete, previews.
 */
import { formatSize } from '../../base/units.ts'
import { type FsStatistics, type Inode, W_OK, X_OK } from '../../metadata/index.ts'
import type { Call, ExportCall } from '../call.ts'
import { MAX_PAGE_ENTRIES, PAGE_ROWS } from '../limits.ts'
import { breadcrumbs, documentEnd, documentStart, newNonce, replyPage, searchForm } from './document.ts'
import { type Entry, readEntries, type Sorting, sorted, sortingOf } from './entries.ts'
import { type Html, html } from './html.ts'
import { icon } from './icons.ts'
import { row, tableEnd, tableStart } from './rows.ts'
import { shownName } from './shown-name.ts'
import { whoLooks } from './sign-in.ts'

type Content = {
  readonly name: string
  readonly entries: readonly Entry[]
  readonly complete: boolean
  readonly sorting: Sorting
  /** From 1. */
  readonly page: number
  readonly writable: boolean
  readonly statistics: FsStatistics | undefined
}

export async function directoryPage(call: ExportCall, dir: Inode): Promise<void> {
  const url = [call.share.name, ...call.path]
  const ino = dir.ino
  const query = new URLSearchParams(call.target.query)
  const sorting = sortingOf(query)
  const { entries, complete } = await readEntries(call, dir)
  const pages = Math.max(1, Math.ceil(entries.length / PAGE_ROWS))
  const content: Content = {
    name: shownName(url.at(-1) as string),
    entries: sorted(entries, sorting),
    complete,
    sorting,
    page: Math.min(Math.max(1, Math.trunc(Number(query.get('page') ?? 1)) || 1), pages),
    writable: await mayChange(call, ino),
    statistics: await call.fs.statfs(),
  }
  const nonce = newNonce()
  const { assets } = call.workshop
  const start = documentStart({
    title: content.name,
    assets,
    nonce,
    search: searchForm(content.name, ''),
    user: whoLooks(call.visitor, url),
  })
  await replyPage(
    call.ctx,
    nonce,
    html`${start}<div class="head">${breadcrumbs(url)}${actions(content)}</div>
${view(content)}${documentEnd}`,
  )
}

/** The gateway's own root: the exports. */
export async function exportsPage(call: Call): Promise<void> {
  const nonce = newNonce()
  const { assets, exports } = call.workshop
  const rows = exports()
    .map(({ name }) => ({ path: [name], isDir: true, size: 0, modifiedS: Number.NaN }))
    .map((entry) => row(entry, false))
  const list =
    rows.length > 0
      ? html`${tableStart('Exports', { sorting: undefined, selectable: false })}${rows}${tableEnd}`
      : html`<p class="empty">This node has no exports.</p>`
  await replyPage(
    call.ctx,
    nonce,
    html`${documentStart({ title: 'matrixfs', assets, nonce, user: whoLooks(call.visitor, []) })}<div class="head">${breadcrumbs([])}</div>
<div id="view" class="exports">${list}</div>${documentEnd}`,
  )
}

async function mayChange({ fs, caller, mayChange }: ExportCall, ino: number): Promise<boolean> {
  if (!mayChange) return false
  const { granted } = await fs.access(caller, ino, W_OK | X_OK)
  return granted === (W_OK | X_OK)
}

function actions({ writable }: Content): Html {
  const change = writable
    ? html`<button type="button" class="button primary" data-do="upload" hidden>${icon('upload')}<span>Upload</span></button>
<button type="button" class="button" data-do="upload-folder" hidden>${icon('upload-folder')}<span>Upload folder</span></button>
<button type="button" class="button" data-do="new-folder" hidden>${icon('new-folder')}<span>New folder</span></button>
`
    : html`<span class="badge">Read-only</span>`
  // Also for an empty folder: it may be filled without the page being loaded anew.
  const download = html`<a class="button" href="?zip=1" download title="Download this folder as a ZIP file">${icon('download')}<span>Download</span></a>`
  return html`<div class="actions">${change}${download}</div>`
}

function view(content: Content): Html {
  const { name, entries, sorting, page, writable } = content
  if (entries.length === 0) {
    return html`<form id="view"${writable ? html` data-writable` : ''}><div class="empty">${icon('folder', 'folder')}<p>This folder is empty.</p>${
      writable ? html`<p class="hint" hidden>Upload files, or drop them here.</p>` : ''
    }</div>${summary(content)}</form>`
  }
  const rows = entries.slice((page - 1) * PAGE_ROWS, page * PAGE_ROWS).map((entry) => row(entry, true))
  return html`<form id="view" method="get"${writable ? html` data-writable` : ''}>
${tableStart(`Files in ${name}`, { sorting, selectable: true })}${rows}${tableEnd}${pager(content)}
<p class="without-script"><button class="button" name="zip" value="1">${icon('download')}Download selected</button></p>
${summary(content)}</form>`
}

function pager({ entries, page, sorting }: Content): Html {
  const pages = Math.ceil(entries.length / PAGE_ROWS)
  if (pages < 2) return html``
  const link = (to: number, label: string, rel: string) =>
    html`<a class="button" rel="${rel}" href="?sort=${sorting.column}&amp;order=${sorting.order}&amp;page=${to}">${label}</a>`
  return html`<nav class="pager" aria-label="Pages">${page > 1 ? link(page - 1, 'Previous', 'prev') : ''}<span>Page ${page} of ${pages}</span>${
    page < pages ? link(page + 1, 'Next', 'next') : ''
  }</nav>`
}

function summary({ entries, complete, statistics }: Content): Html {
  const folders = entries.reduce((count, { isDir }) => count + (isDir ? 1 : 0), 0)
  const files = entries.length - folders
  const size = entries.reduce((sum, entry) => sum + entry.size, 0)
  const parts = [
    ...(folders > 0 ? [count(folders, 'folder')] : []),
    ...(files > 0 ? [`${count(files, 'file')}, ${formatSize(size)}`] : []),
    ...(statistics ? [`${formatSize(statistics.freeBytes)} of ${formatSize(statistics.totalBytes)} free`] : []),
  ]
  const note = complete
    ? ''
    : html` This folder has more; these are the first ${MAX_PAGE_ENTRIES}. Search finds the others.`
  return html`<p class="summary">${parts.join(' · ')}${note || ''}</p>`
}

function count(number: number, noun: string): string {
  return `${number.toLocaleString('en')} ${noun}${number === 1 ? '' : 's'}`
}
