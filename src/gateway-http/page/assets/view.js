/**
 * The list as the server has rendered it, and the same list asked for anew after a change: there is one renderer, the server's, and this
 * puts its result in the place of what was there, keeping what was selected and where the focus was.
 */
import { notify } from './dom.js'
import { here, outcome } from './requests.js'

/** @returns {HTMLFormElement} */
export function view() {
  return /** @type {HTMLFormElement} */ (document.getElementById('view'))
}

export function isWritable() {
  return view().hasAttribute('data-writable')
}

/** @returns {Element[]} */
export function rows() {
  return [...document.querySelectorAll('#view tbody tr')]
}

/** @param {Element} row */
export function linkOf(row) {
  return /** @type {HTMLAnchorElement} */ (row.querySelector('.name > a'))
}

/** @param {Element} row */
export function nameOf(row) {
  return linkOf(row).textContent ?? ''
}

/** @param {Element} row */
export function boxOf(row) {
  return /** @type {HTMLInputElement | null} */ (row.querySelector('.pick input'))
}

export function selected() {
  return rows().filter((row) => boxOf(row)?.checked)
}

const format = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' })

/** Times in the zone of whoever looks. */
function localTimes() {
  for (const time of view().querySelectorAll('time')) time.textContent = format.format(new Date(time.dateTime))
  for (const zone of view().querySelectorAll('.zone')) zone.remove()
}

/** @type {Set<() => void>} */
const listeners = new Set()

/**
 * Called when the list is there, and after each time that it was replaced.
 * @param {() => void} listener
 */
export function onView(listener) {
  listeners.add(listener)
}

export function viewIsThere() {
  localTimes()
  const all = document.getElementById('all')
  if (all) all.hidden = false
  for (const hint of view().querySelectorAll('.hint')) if (hint instanceof HTMLElement) hint.hidden = false
  for (const listener of listeners) listener()
}

/** The one under way, and the one that begins after it. */
let underWay = Promise.resolve()
/** @type {Promise<void> | undefined} */
let next

/** Asks for the list anew. One at a time; all who come meanwhile share the next. */
export function refresh() {
  next ??= underWay.then(() => {
    next = undefined
    underWay = fetchView()
    return underWay
  })
  return next
}

async function fetchView() {
  try {
    const response = await fetch(location.href, { headers: { Accept: 'text/html' }, cache: 'no-store' })
    if (!response.ok) return notify(outcome(response.status).message, 'failed')
    const fresh = new DOMParser().parseFromString(await response.text(), 'text/html').getElementById('view')
    if (fresh) replace(document.adoptNode(fresh))
  } catch {
    notify(outcome(0).message, 'failed')
  }
}

/** @param {HTMLElement} fresh */
function replace(fresh) {
  const chosen = new Set(selected().map((row) => linkOf(row).href))
  const focus = document.activeElement?.closest('#view tr')
  const focused = focus && linkOf(focus)?.href
  const index = focus ? rows().indexOf(focus) : -1
  view().replaceWith(fresh)
  for (const row of rows()) {
    const box = boxOf(row)
    if (box && chosen.has(linkOf(row).href)) box.checked = true
  }
  viewIsThere()
  if (index < 0) return
  // What had the focus may be gone: then what has come into its place.
  const target = rows().find((row) => linkOf(row).href === focused) ?? rows()[Math.min(index, rows().length - 1)]
  if (target) linkOf(target).focus({ preventScroll: true })
}

/**
 * Whether the list has something at an address; undefined when it does not say.
 * @param {string} url
 * @returns {boolean | undefined}
 */
export function isListed(url) {
  const wanted = decodeURIComponent(url)
  const path = (/** @type {Element} */ row) => linkOf(row).pathname.replace(/\/$/, '')
  if (folderOf(url) !== here || view().classList.contains('results') || document.querySelector('.pager'))
    return undefined
  return rows().some((row) => {
    try {
      return decodeURIComponent(path(row)) === wanted
    } catch {
      // A name that is no UTF-8: nothing that is uploaded has one.
      return false
    }
  })
}

/**
 * The folder that something on the page is in: this one, except for what a search found.
 * @param {string} href
 */
export function folderOf(href) {
  const path = new URL(href, location.href).pathname.replace(/\/$/, '')
  return path.slice(0, path.lastIndexOf('/') + 1) || here
}
