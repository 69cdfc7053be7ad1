/** GET of a directory: a page for a browser, complete without JavaScript. Sorting is a link; the server sorts. */
import { formatSize } from '../../base/units.ts'
import type { Inode } from '../../metadata/index.ts'
import { DIR, LNK, REG } from '../../metadata/index.ts'
import { answer, type Call, type ExportCall } from '../call.ts'
import { formatIsoDate } from '../http-date.ts'
import { LISTING_BATCH, MAX_PAGE_ENTRIES } from '../limits.ts'
import { displayName, encodeSegment, hrefOf } from '../paths.ts'
import type { Found } from '../resolve.ts'
import { isTemporaryName, sweep } from '../temporaries.ts'
import { escapeXml } from '../xml/names.ts'

type Row = { readonly name: string; readonly isDir: boolean; readonly size: number; readonly modifiedS: number }
type Column = 'name' | 'size' | 'modified'
type Order = 'asc' | 'desc'

export async function getDirectory(call: ExportCall, place: Found): Promise<void> {
  const url = [call.share.name, ...call.path]
  if (!call.target.trailingSlash) {
    // Relative links on the page only work below the slash.
    const query = call.target.query === '' ? '' : `?${call.target.query}`
    return answer(call, 301, { Location: hrefOf(url, true) + query })
  }
  const { rows, complete } = await readRows(call, place.inode)
  const { column, order } = sortOf(call.target.query)
  rows.sort(comparison(column, order))
  replyPage(call, page({ url, rows, complete, column, order }))
}

/** The gateway's own root: the exports. */
export async function getRoot(call: Call): Promise<void> {
  const rows = call.workshop.exports().map(({ name }) => ({ name, isDir: true, size: 0, modifiedS: Number.NaN }))
  replyPage(call, page({ url: [], rows, complete: true, column: 'name', order: 'asc' }))
}

function replyPage(call: Call, html: string): void {
  call.ctx.status = 200
  call.ctx.set({
    'Content-Type': 'text/html; charset=utf-8',
    'Cache-Control': 'no-cache',
    'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'same-origin',
  })
  call.ctx.body = html
}

async function readRows(call: ExportCall, dir: Inode): Promise<{ rows: Row[]; complete: boolean }> {
  const { fs, caller } = call
  const ino = dir.ino
  const rows: Row[] = []
  for (let cookie = 0; ; ) {
    const { entries, eof } = await fs.readdirplus(caller, ino, cookie, LISTING_BATCH)
    for (const { name, inode } of entries) {
      if (name === '.' || name === '..' || !inode) continue
      if (isTemporaryName(name)) sweep(call, ino, name, inode)
      else if (inode.type === REG || inode.type === DIR || inode.type === LNK) {
        rows.push({
          name,
          isDir: inode.type === DIR,
          size: inode.type === REG ? inode.size : 0,
          modifiedS: inode.mtimeS,
        })
      }
    }
    if (rows.length > MAX_PAGE_ENTRIES) return { rows: rows.slice(0, MAX_PAGE_ENTRIES), complete: false }
    const last = entries.at(-1)
    if (eof || !last) return { rows, complete: true }
    cookie = last.cookie
  }
}

function sortOf(query: string): { column: Column; order: Order } {
  const parameters = new URLSearchParams(query)
  const sort = parameters.get('sort')
  const column: Column = sort === 'size' || sort === 'modified' ? sort : 'name'
  return { column, order: parameters.get('order') === 'desc' ? 'desc' : 'asc' }
}

const collator = new Intl.Collator('en', { numeric: true })

/** Directories first, whatever the order: people look for them there. */
function comparison(column: Column, order: Order): (a: Row, b: Row) => number {
  const sign = order === 'asc' ? 1 : -1
  const byName = (a: Row, b: Row) => collator.compare(displayName(a.name), displayName(b.name))
  return (a, b) => {
    if (a.isDir !== b.isDir) return a.isDir ? -1 : 1
    const difference = column === 'size' ? a.size - b.size : column === 'modified' ? a.modifiedS - b.modifiedS : 0
    return sign * (difference || byName(a, b))
  }
}

const style = `:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.2rem;font-weight:600;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.25rem .5rem;border-bottom:1px solid color-mix(in srgb,currentColor 15%,transparent)}
td:first-child{overflow-wrap:anywhere}
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
a{text-decoration:none}a:hover,a:focus{text-decoration:underline}
tbody tr:hover{background:color-mix(in srgb,currentColor 6%,transparent)}
footer{margin-top:1rem;opacity:.7}`

type Page = {
  readonly url: readonly string[]
  readonly rows: readonly Row[]
  readonly complete: boolean
  readonly column: Column
  readonly order: Order
}

function page({ url, rows, complete, column, order }: Page): string {
  const title = escapeXml(`/${url.map(displayName).join('/')}`)
  const up = url.length > 0 ? '<tr><td><a href="../">../</a></td><td></td><td></td></tr>\n' : ''
  const note = complete ? '' : ` The directory has more entries; these are the first ${MAX_PAGE_ENTRIES}.`
  return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>
<style>${style}</style></head><body>
<h1>${breadcrumbs(url)}</h1>
<table><thead><tr>${heading('name', 'Name', column, order)}${heading('size', 'Size', column, order)}${heading('modified', 'Modified (UTC)', column, order)}</tr></thead>
<tbody>
${up}${rows.map(rowHtml).join('')}</tbody></table>
<footer>${rows.length} ${rows.length === 1 ? 'entry' : 'entries'}.${note}</footer>
</body></html>
`
}

function breadcrumbs(url: readonly string[]): string {
  const parts = url.map(
    (name, i) => `<a href="${hrefOf(url.slice(0, i + 1), true)}">${escapeXml(displayName(name))}</a>`,
  )
  return ['<a href="/">/</a>', parts.join(' / ')].filter(Boolean).join(' ')
}

function heading(column: Column, label: string, current: Column, order: Order): string {
  const isCurrent = column === current
  const next = isCurrent && order === 'asc' ? 'desc' : 'asc'
  const arrow = isCurrent ? (order === 'asc' ? ' ▲' : ' ▼') : ''
  const sorted = isCurrent ? ` aria-sort="${order === 'asc' ? 'ascending' : 'descending'}"` : ''
  const align = column === 'name' ? '' : ' class="n"'
  return `<th${align}${sorted}><a href="?sort=${column}&amp;order=${next}">${label}${arrow}</a></th>`
}

function rowHtml({ name, isDir, size, modifiedS }: Row): string {
  const slash = isDir ? '/' : ''
  const modified = Number.isNaN(modifiedS) ? '' : formatIsoDate(modifiedS).replace('T', ' ').replace('Z', '')
  // './' keeps a name with a colon from being taken for a scheme.
  return `<tr><td><a href="./${encodeSegment(name)}${slash}">${escapeXml(displayName(name))}${slash}</a></td><td class="n">${
    isDir ? '' : formatSize(size)
  }</td><td class="n">${modified}</td></tr>\n`
}
