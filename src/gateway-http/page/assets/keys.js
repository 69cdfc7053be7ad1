/** The page by keyboard. Keys act on the list only, not while something is typed or asked. */

import { rename } from './changes.js'
import { showKeys } from './dialogs.js'
import { deleteSelected, renameSelected, selectAll, toggle } from './selection.js'
import { isWritable, linkOf, rows, selected } from './view.js'

/** The row that has the focus. */
function current() {
  return document.activeElement?.closest('#view tbody tr')
}

/** @param {number} by */
function step(by) {
  const list = rows()
  const row = current()
  const at = row ? list.indexOf(row) : -1
  const next = at < 0 ? (by > 0 ? 0 : list.length - 1) : Math.min(Math.max(at + by, 0), list.length - 1)
  const target = list[next]
  if (target) linkOf(target).focus()
}

/** @type {Readonly<Record<string, () => boolean | void>>} False: the key goes on to the browser. */
const keys = {
  ArrowDown: () => step(1),
  ArrowUp: () => step(-1),
  PageDown: () => (current() ? step(10) : false),
  PageUp: () => (current() ? step(-10) : false),
  Home: () => (current() ? step(-rows().length) : false),
  End: () => (current() ? step(rows().length) : false),
  ' ': () => {
    const row = current()
    if (!row || !(document.activeElement instanceof HTMLAnchorElement)) return false
    toggle(row)
  },
  F2: () => {
    const row = current()
    if (selected().length > 0) renameSelected()
    else if (row && isWritable()) rename(row)
  },
  Delete: () => {
    const row = current()
    if (selected().length === 0 && row && isWritable()) toggle(row)
    deleteSelected()
  },
  Escape: () => selectAll(false),
  '/': () => {
    const field = /** @type {HTMLInputElement | null} */ (document.querySelector('.search input'))
    if (!field) return false
    field.focus()
    field.select()
  },
  '?': () => void showKeys(),
}

document.addEventListener('keydown', (event) => {
  if (document.querySelector('dialog[open]')) return
  if (event.altKey && event.key === 'ArrowUp') {
    event.preventDefault()
    const up = /** @type {HTMLAnchorElement | undefined} */ ([...document.querySelectorAll('.crumbs a')].at(-1))
    return up?.click()
  }
  const target = event.target
  if (target instanceof HTMLInputElement && target.type !== 'checkbox') {
    if (event.key === 'Escape') target.blur()
    return
  }
  if ((event.ctrlKey || event.metaKey) && event.key === 'a') {
    event.preventDefault()
    return selectAll(true)
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return
  const run = Object.hasOwn(keys, event.key) ? keys[event.key] : undefined
  if (run && run() !== false) event.preventDefault()
})
