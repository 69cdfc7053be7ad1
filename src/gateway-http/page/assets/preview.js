/** Pictures, films, sounds and text in a window of their own, one after the other. Text is shown as text, and not more than its beginning. */
import { button, icon, make, size } from './dom.js'
import { linkOf, nameOf, rows } from './view.js'

/** How much of a text is fetched and shown. */
const TEXT_BYTES = 256 * 1024

const title = make('h2', { id: 'preview-title' })
const place = make('span', { class: 'place' })
const stage = make('div', { class: 'stage', tabindex: '0', role: 'group', 'aria-label': 'Content' })
const open = make(
  'a',
  { class: 'button bare', title: 'Open by itself', 'aria-label': 'Open by itself', target: '_blank', rel: 'noopener' },
  icon('open'),
)
const download = make(
  'a',
  { class: 'button bare', title: 'Download', 'aria-label': 'Download', download: true },
  icon('download'),
)
const dialog = make(
  'dialog',
  { class: 'preview', 'aria-labelledby': 'preview-title' },
  make(
    'header',
    {},
    title,
    place,
    button('previous', 'Previous', () => step(-1), 'bare'),
    button('next', 'Next', () => step(1), 'bare'),
    open,
    download,
    button('close', 'Close', () => dialog.close(), 'bare'),
  ),
  stage,
)
document.body.append(dialog)

/** @type {Element | undefined} */
let shown
/** Ends what is still being fetched for the one before. */
let fetching = new AbortController()

function previewable() {
  return rows().filter((row) => row.hasAttribute('data-preview'))
}

/** @param {number} by */
function step(by) {
  const list = previewable()
  const at = shown ? list.indexOf(shown) : -1
  const next = list[(at + by + list.length) % list.length]
  if (next) show(next)
}

/** @param {Element} row */
function show(row) {
  fetching.abort()
  fetching = new AbortController()
  shown = row
  const { href } = linkOf(row)
  const list = previewable()
  title.textContent = nameOf(row)
  place.textContent = list.length > 1 ? `${list.indexOf(row) + 1} of ${list.length}` : ''
  open.href = href
  download.href = href
  const kind = row.getAttribute('data-preview')
  stage.className = `stage of-${kind}`
  const failed = () => stage.replaceChildren(make('p', { class: 'empty' }, 'It cannot be shown.'))
  if (kind === 'image') stage.replaceChildren(make('img', { src: href, alt: nameOf(row), error: failed }))
  else if (kind === 'video') stage.replaceChildren(make('video', { src: href, controls: true, error: failed }))
  else if (kind === 'audio') stage.replaceChildren(make('audio', { src: href, controls: true, error: failed }))
  // No byte of an empty file can be asked for.
  else if (row.getAttribute('data-size') === '0') stage.replaceChildren(make('pre'))
  else void showText(href, fetching.signal, failed)
  if (!dialog.open) dialog.showModal()
  stage.focus()
}

/**
 * @param {string} href
 * @param {AbortSignal} signal
 * @param {() => void} failed
 */
async function showText(href, signal, failed) {
  stage.replaceChildren()
  try {
    const response = await fetch(href, { headers: { Range: `bytes=0-${TEXT_BYTES - 1}` }, signal })
    if (!response.ok) return failed()
    const bytes = new Uint8Array(await response.arrayBuffer())
    if (bytes.includes(0)) return stage.replaceChildren(make('p', { class: 'empty' }, 'This is no text.'))
    const whole = Number(/\/(\d+)$/.exec(response.headers.get('Content-Range') ?? '')?.[1] ?? bytes.length)
    // A character that the end has cut in two is left out.
    const text = new TextDecoder().decode(bytes, { stream: whole > bytes.length })
    const note = `These are the first ${size(bytes.length)} of ${size(whole)}.`
    stage.replaceChildren(...(whole > bytes.length ? [make('p', { class: 'note' }, note)] : []), make('pre', {}, text))
    stage.scrollTop = 0
  } catch {
    if (!signal.aborted) failed()
  }
}

dialog.addEventListener('close', () => {
  fetching.abort()
  stage.replaceChildren()
  if (shown?.isConnected) linkOf(shown).focus()
  shown = undefined
})

dialog.addEventListener('keydown', (event) => {
  if (event.target instanceof HTMLMediaElement) return
  if (event.key === 'ArrowLeft') step(-1)
  else if (event.key === 'ArrowRight') step(1)
  else return
  event.preventDefault()
})

// A click beside the content closes, as everywhere.
dialog.addEventListener('click', (event) => {
  if (event.target === dialog) dialog.close()
})

document.addEventListener('click', (event) => {
  if (!(event.target instanceof Element) || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return
  const row = event.target.closest('#view .name > a')?.closest('tr[data-preview]')
  if (!row) return
  event.preventDefault()
  show(row)
})
