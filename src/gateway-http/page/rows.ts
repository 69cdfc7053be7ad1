/** A list of files as a table: what pages of directories and of searches have in common. */
import { formatSize } from '../../base/units.ts'
import { formatIsoDate } from '../http-date.ts'
import { encodeSegment } from '../paths.ts'
import type { Column, Entry, Sorting } from './entries.ts'
import { type Html, html } from './html.ts'
import { icon } from './icons.ts'
import { iconOf, previewOf } from './kinds.ts'
import { shownName } from './shown-name.ts'

const columns: readonly { readonly column: Column; readonly label: string }[] = [
  { column: 'name', label: 'Name' },
  { column: 'size', label: 'Size' },
  { column: 'modified', label: 'Modified' },
]

/** `sorting` undefined: in the order they come, which nobody can change. `selectable`: rows have a box to choose them. */
export function tableStart(
  caption: string,
  { sorting, selectable }: { readonly sorting: Sorting | undefined; readonly selectable: boolean },
): Html {
  return html`<table>
<caption class="unseen">${caption}</caption>
<thead><tr>
${selectable ? html`<td class="pick"><input type="checkbox" id="all" aria-label="Select all" hidden></td>` : html`<td class="pick"></td>`}
${columns.map((each) => heading(each, sorting))}
<td class="get"></td>
</tr></thead>
<tbody>
`
}

export const tableEnd: Html = html`</tbody>
</table>
`

function heading({ column, label }: (typeof columns)[number], sorting: Sorting | undefined): Html {
  const unit = column === 'modified' ? html` <span class="zone">UTC</span>` : ''
  if (!sorting) return html`<th scope="col" class="${column}">${label}${unit || ''}</th>\n`
  const isCurrent = sorting.column === column
  const next = isCurrent && sorting.order === 'asc' ? 'desc' : 'asc'
  const state = isCurrent ? html` aria-sort="${sorting.order === 'asc' ? 'ascending' : 'descending'}"` : ''
  const arrow = isCurrent ? icon(sorting.order === 'asc' ? 'up' : 'down') : ''
  return html`<th scope="col" class="${column}"${state || ''}><a href="?sort=${column}&amp;order=${next}">${label}${unit || ''}${arrow || ''}</a></th>\n`
}

export function row({ path, isDir, size, modifiedS }: Entry, selectable: boolean): Html {
  const own = path.at(-1) as string
  const name = shownName(own)
  const address = path.map(encodeSegment).join('/')
  // './' keeps a name with a colon from being taken for a scheme.
  const href = `./${address}${isDir ? '/' : ''}`
  const preview = isDir ? undefined : previewOf(own)
  const where =
    path.length > 1
      ? html`<span class="where">in <a href="./${path.slice(0, -1).map(encodeSegment).join('/')}/"><bdi>${path.slice(0, -1).map(shownName).join('/')}</bdi></a></span>`
      : ''
  const kind = isDir ? 'folder' : iconOf(own)
  return html`<tr data-kind="${isDir ? 'folder' : 'file'}"${isDir ? '' : html` data-size="${size}"`}${preview ? html` data-preview="${preview}"` : ''}>
<td class="pick">${selectable ? html`<input type="checkbox" name="only" value="${address}" aria-label="Select ${name}">` : ''}</td>
<th scope="row" class="name">${icon(kind, kind)}<a href="${href}"><bdi>${name}</bdi></a>${where || ''}</th>
<td class="size">${isDir ? '' : formatSize(size)}</td>
<td class="modified">${Number.isNaN(modifiedS) ? '' : time(modifiedS)}</td>
<td class="get">${selectable ? html`<a href="${isDir ? `${href}?zip=1` : href}" download aria-label="Download ${name}">${icon('download')}</a>` : ''}</td>
</tr>
`
}

function time(seconds: number): Html {
  const date = formatIsoDate(seconds)
  return html`<time datetime="${date}">${date.slice(0, 16).replace('T', ' ')}</time>`
}
