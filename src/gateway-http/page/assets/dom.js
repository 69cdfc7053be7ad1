/** Small helpers to make elements. Text is always set as text: no markup is ever made from names. */

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string | boolean | ((event: any) => void)>} [attributes] Functions are listeners; true is an empty attribute, false none.
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value)
    else if (value !== false) element.setAttribute(name, value === true ? '' : value)
  }
  element.append(...children)
  return element
}

const SVG = 'http://www.w3.org/2000/svg'

/**
 * One of the pictures that the page begins with.
 * @param {string} name
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg')
  svg.setAttribute('class', 'icon')
  svg.setAttribute('aria-hidden', 'true')
  const use = document.createElementNS(SVG, 'use')
  use.setAttribute('href', `#i-${name}`)
  svg.append(use)
  return svg
}

/**
 * @param {string} picture
 * @param {string} label
 * @param {(event: MouseEvent) => void} onClick
 * @param {string} [kind] Further classes; with `bare` the label is only spoken.
 */
export function button(picture, label, onClick, kind = '') {
  const made = make('button', { type: 'button', class: `button ${kind}`, click: onClick }, icon(picture))
  if (!kind.split(' ').includes('bare')) made.append(make('span', {}, label))
  else {
    made.title = label
    made.setAttribute('aria-label', label)
  }
  return made
}

/** Where what comes up from below stands. */
export const dock = make('section', { class: 'dock', 'aria-label': 'Selection and progress' })

const said = make('div', { class: 'unseen', role: 'status', 'aria-live': 'polite' })
document.body.append(said, dock)

/**
 * For those who listen instead of looking.
 * @param {string} text
 */
export function say(text) {
  said.textContent = text
}

/** @type {HTMLElement | undefined} */
let shown
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer

/**
 * Tells what has happened. What failed stays until it is closed.
 * @param {string} text
 * @param {'done' | 'failed'} kind
 */
export function notify(text, kind) {
  dismiss()
  const notice = make(
    'div',
    { class: `notice ${kind}`, role: kind === 'failed' ? 'alert' : 'status' },
    icon(kind === 'failed' ? 'alert' : 'check'),
    make('p', {}, text),
    button('close', 'Close this message', dismiss, 'bare'),
  )
  dock.append(notice)
  shown = notice
  if (kind === 'done') timer = setTimeout(dismiss, 5000)
}

export function dismiss() {
  clearTimeout(timer)
  shown?.remove()
  shown = undefined
}

/**
 * @param {number} number
 * @param {string} noun
 */
export function count(number, noun) {
  return `${number.toLocaleString('en')} ${noun}${number === 1 ? '' : 's'}`
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

/** @param {number} bytes */
export function size(bytes) {
  let unit = 0
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024
    unit++
  }
  return `${unit === 0 ? bytes : bytes.toFixed(1)} ${units[unit]}`
}
