/** The uploads as the user sees them: where files come from (buttons, drag and drop), and how far they are. */
import { askConflict } from './dialogs.js'
import { button, count, dock, make, notify, say, size } from './dom.js'
import { fromChooser, fromDrop } from './dropped.js'
import { here } from './requests.js'
import { UploadQueue } from './upload-queue.js'
import { isWritable, refresh } from './view.js'

/** @typedef {import('./upload-queue.js').Upload} Upload */

/** Rows of the panel: those that matter come first. */
const MAX_ROWS = 60
/** The list is asked for again at most this often while uploads go on, ms. */
const REFRESH_MS = 2000

const queue = new UploadQueue(here, askConflict, () => schedule())

const title = make('h2', {})
const bar = make('progress', { 'aria-label': 'Uploaded' })
const detail = make('p', { class: 'detail' })
const list = make('ul', {})
const cancel = button('close', 'Cancel all', () => queue.cancelAll(), 'bare')
const retry = button('again', 'Retry what failed', () => queue.retry(), 'bare')
const close = button('close', 'Close', () => (panel.hidden = true), 'bare')
const panel = make(
  'section',
  { class: 'uploads', 'aria-label': 'Uploads', hidden: true },
  make('header', {}, title, retry, cancel, close),
  bar,
  detail,
  list,
)
dock.append(panel)

let scheduled = false
let wasBusy = false
let shownDone = 0
let lastRefresh = 0
/** Bytes sent and when, over the last seconds: for the speed. */
/** @type {{ at: number, loaded: number }[]} */
let samples = []

function schedule() {
  if (scheduled) return
  scheduled = true
  // A page in the background draws nothing, but its uploads go on.
  if (document.hidden) setTimeout(draw, 250)
  else requestAnimationFrame(draw)
}

function draw() {
  scheduled = false
  const tally = { total: 0, loaded: 0, done: 0, failed: 0, skipped: 0, cancelled: 0, asking: 0 }
  for (const { state, file, loaded } of queue.uploads) {
    if (state === 'done' || state === 'failed' || state === 'skipped' || state === 'cancelled' || state === 'asking')
      tally[state]++
    if (state === 'skipped' || state === 'cancelled' || state === 'failed') continue
    tally.total += file.size
    tally.loaded += loaded
  }
  const isBusy = queue.isBusy
  const wanted = queue.uploads.length - tally.skipped - tally.cancelled
  panel.hidden = panel.hidden && !isBusy
  cancel.hidden = !isBusy
  close.hidden = isBusy
  retry.hidden = tally.failed === 0
  title.textContent = isBusy ? `Uploading ${count(wanted, 'file')}` : result(tally)
  // Empty files count, too.
  bar.max = tally.total + wanted || 1
  bar.value = tally.loaded + tally.done
  detail.textContent = isBusy
    ? `${tally.done} of ${wanted} · ${size(tally.loaded)} of ${size(tally.total)}${speed(tally)}`
    : ''
  detail.hidden = !isBusy
  bar.hidden = !isBusy
  drawList()
  if (isBusy !== wasBusy) say(title.textContent)
  if (wasBusy && !isBusy) samples = []
  const now = performance.now()
  if (tally.done !== shownDone && (!isBusy || now - lastRefresh > REFRESH_MS)) {
    shownDone = tally.done
    void refresh().then(() => {
      // A long list takes long to show: it has more time until the next.
      lastRefresh = performance.now() + 3 * (performance.now() - now)
    })
  }
  wasBusy = isBusy
}

/** @param {{ done: number, failed: number, skipped: number, cancelled: number }} tally */
function result({ done, failed, skipped, cancelled }) {
  const parts = [`${count(done, 'file')} uploaded`]
  if (failed > 0) parts.push(`${failed} failed`)
  if (skipped > 0) parts.push(`${skipped} skipped`)
  if (cancelled > 0) parts.push(`${cancelled} cancelled`)
  return parts.join(', ')
}

/** @param {{ total: number, loaded: number }} tally */
function speed({ total, loaded }) {
  const now = performance.now()
  if (now - (samples.at(-1)?.at ?? 0) > 200) samples.push({ at: now, loaded })
  while (samples.length > 2 && now - (samples[0]?.at ?? 0) > 5000) samples.shift()
  const first = samples[0]
  if (!first || now - first.at < 1000 || loaded <= first.loaded) return ''
  const rate = ((loaded - first.loaded) / (now - first.at)) * 1000
  const left = Math.ceil((total - loaded) / rate)
  const time = left < 90 ? `${left} s` : left < 5400 ? `${Math.round(left / 60)} min` : `${Math.round(left / 3600)} h`
  return ` · ${size(rate)}/s · ${time} left`
}

/** @type {Readonly<Record<string, number>>} */
const order = { failed: 0, asking: 1, active: 2 }

function drawList() {
  const shown = queue.uploads
    .filter(({ state }) => Object.hasOwn(order, state))
    .sort((a, b) => (order[a.state] ?? 9) - (order[b.state] ?? 9))
  list.replaceChildren(...shown.slice(0, MAX_ROWS).map(line))
}

/** @param {Upload} upload */
function line(upload) {
  const { state, file, loaded, message, path } = upload
  const name = path.join('/')
  const states = {
    failed: message,
    asking: 'It exists already.',
    active: message || (loaded < file.size ? `${size(loaded)} of ${size(file.size)}` : 'Nearly there …'),
  }
  const act =
    state === 'failed'
      ? [button('again', `Retry ${name}`, () => queue.retry((other) => other === upload), 'bare')]
      : state === 'active'
        ? [button('close', `Cancel ${name}`, () => queue.cancel(upload), 'bare')]
        : []
  return make(
    'li',
    { class: state },
    make('span', { class: 'file', title: name }, make('bdi', {}, name)),
    make('span', { class: 'state' }, states[/** @type {keyof typeof states} */ (state)]),
    ...act,
  )
}

/** @param {import('./dropped.js').Selection} selection */
async function upload(selection) {
  if (selection.unreadable.length > 0) {
    notify(
      `Your browser could not read ${count(selection.unreadable.length, 'item')}:\n${selection.unreadable[0]}`,
      'failed',
    )
  }
  const folders = await queue.add(selection)
  const failed = folders.find(({ ok }) => !ok)
  if (failed) notify(failed.message, 'failed')
  if (selection.files.length === 0) await refresh()
}

/** @param {boolean} folder */
function chooser(folder) {
  const input = make('input', {
    type: 'file',
    multiple: true,
    webkitdirectory: folder,
    hidden: true,
    'data-for': folder ? 'folder' : 'files',
  })
  input.addEventListener('change', () => {
    if (input.files) void upload(fromChooser(input.files))
    input.value = ''
  })
  document.body.append(input)
  return input
}

const files = chooser(false)
const folder = chooser(true)

export function chooseFiles() {
  files.click()
}

export function chooseFolder() {
  folder.click()
}

const sign = make('div', { class: 'drop', hidden: true, 'aria-hidden': 'true' }, 'Drop to upload here')
document.body.append(sign)
/** Enters less leaves of the elements below the pointer: 0 means it has left the window. */
let depth = 0

/** @param {DragEvent} event */
function bringsFiles(event) {
  return event.dataTransfer?.types.includes('Files') ?? false
}

document.addEventListener('dragenter', (event) => {
  if (!bringsFiles(event)) return
  depth++
  sign.hidden = !isWritable()
})
document.addEventListener('dragleave', (event) => {
  if (!bringsFiles(event)) return
  depth = Math.max(0, depth - 1)
  if (depth === 0) sign.hidden = true
})
document.addEventListener('dragover', (event) => {
  if (!bringsFiles(event)) return
  event.preventDefault()
  if (event.dataTransfer) event.dataTransfer.dropEffect = isWritable() ? 'copy' : 'none'
})
document.addEventListener('drop', async (event) => {
  if (!bringsFiles(event) || !event.dataTransfer) return
  event.preventDefault()
  depth = 0
  sign.hidden = true
  if (isWritable()) await upload(await fromDrop(event.dataTransfer))
})

addEventListener('beforeunload', (event) => {
  if (queue.isBusy) event.preventDefault()
})
