/** What is selected, and the bar that says what can be done with it. */
import { remove, rename } from './changes.js'
import { button, count, dock, make, notify, say } from './dom.js'
import { boxOf, isWritable, onView, rows, selected, view } from './view.js'

const total = make('output', {})
const renameButton = button('rename', 'Rename', () => renameSelected())
const deleteButton = button('trash', 'Delete', () => deleteSelected())
const bar = make(
  'div',
  { class: 'selection', role: 'toolbar', 'aria-label': 'What is selected', hidden: true },
  total,
  button('download', 'Download', download),
  renameButton,
  deleteButton,
  button('close', 'Select nothing', () => selectAll(false), 'bare'),
)
dock.append(bar)

/** Longest address that the server takes, less what stands before the query. */
const MAX_QUERY = 10_000

function download() {
  const chosen = selected()
  const first = chosen[0]
  if (!first) return
  const isFile = chosen.length === 1 && first.getAttribute('data-kind') === 'file'
  if (isFile) return /** @type {HTMLAnchorElement} */ (first.querySelector('.get a')).click()
  const query = new URLSearchParams({ zip: '1' })
  const isAll =
    chosen.length === rows().length && !view().classList.contains('results') && !document.querySelector('.pager')
  if (!isAll) for (const row of chosen) query.append('only', boxOf(row)?.value ?? '')
  const address = `?${query}`
  if (address.length > MAX_QUERY) {
    return notify('That is too much to name. Select fewer, or download the whole folder.', 'failed')
  }
  make('a', { href: address, download: true }).click()
}

export function renameSelected() {
  const [row, ...others] = selected()
  if (row && others.length === 0 && isWritable()) rename(row)
}

export function deleteSelected() {
  const chosen = selected()
  if (chosen.length > 0 && isWritable()) remove(chosen)
}

/** @param {boolean} on */
export function selectAll(on) {
  for (const row of rows()) {
    const box = boxOf(row)
    if (box) box.checked = on
  }
  update()
}

/** @param {Element} row */
export function toggle(row) {
  const box = boxOf(row)
  if (!box) return
  box.checked = !box.checked
  update()
}

export function update() {
  const all = /** @type {HTMLInputElement | null} */ (document.getElementById('all'))
  const number = selected().length
  if (all) {
    all.checked = number > 0 && number === rows().length
    all.indeterminate = number > 0 && !all.checked
  }
  const text = number > 0 ? `${number.toLocaleString('en')} selected` : ''
  if (text !== total.textContent) say(text)
  total.textContent = text
  bar.hidden = number === 0
  renameButton.hidden = !isWritable() || number !== 1
  deleteButton.hidden = !isWritable()
  bar.setAttribute('aria-label', count(number, 'item'))
}

/** @type {Element | undefined} */
let anchor

/**
 * From the row chosen last to this one, both included, as this one is.
 * @param {Element} row
 */
function extend(row) {
  const list = rows()
  const from = anchor ? list.indexOf(anchor) : -1
  const to = list.indexOf(row)
  const on = boxOf(row)?.checked ?? false
  if (from < 0 || to < 0) return
  for (const each of list.slice(Math.min(from, to), Math.max(from, to) + 1)) {
    const box = boxOf(each)
    if (box) box.checked = on
  }
}

document.addEventListener('click', (event) => {
  if (!(event.target instanceof Element)) return
  if (event.target.id === 'all') return selectAll(/** @type {HTMLInputElement} */ (event.target).checked)
  const row = event.target.closest('#view tbody tr')
  if (!row || event.target.closest('a')) return
  // The whole row is as good as its box.
  const box = boxOf(row)
  if (!box) return
  if (event.target !== box) {
    if (getSelection()?.type === 'Range') return
    box.checked = !box.checked
  }
  if (event.shiftKey) extend(row)
  anchor = row
  update()
})

onView(update)
