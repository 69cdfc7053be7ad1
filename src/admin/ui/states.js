/** How things are, in a word and a mark: each has its own shape, so that nobody needs the colour. */
import { html } from './html.js'

/** @typedef {'good' | 'busy' | 'warn' | 'bad' | 'off'} Mark */
/** @typedef {{ mark: Mark, word: string }} State */
/** @typedef {import('./data.js').Matrix['nodes'][number]} Node */

const shapes = {
  good: html`<circle cx="8" cy="8" r="7" /><path class="ink" d="M4.6 8.3l2.3 2.3 4.6-4.9" />`,
  busy: html`<circle class="hollow" cx="8" cy="8" r="6" /><path class="pie" d="M8 2a6 6 0 0 1 0 12z" />`,
  warn: html`<path d="M8 1.2l7.2 13H.8z" /><path class="ink" d="M8 5.6v4M8 12v.2" />`,
  bad: html`<path d="M5 1h6l4 4v6l-4 4H5l-4-4V5z" /><path class="ink" d="M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2" />`,
  off: html`<circle class="hollow" cx="8" cy="8" r="6" />`,
}

/** @param {{ mark: Mark, x?: number, y?: number, size?: number }} props */
export function Shape({ mark, x = 0, y = 0, size = 14 }) {
  return html`<svg class=${`mark ${mark}`} x=${x} y=${y} width=${size} height=${size} viewBox="0 0 16 16" aria-hidden="true">${shapes[mark]}</svg>`
}

/** @param {State} state */
export function Status({ mark, word }) {
  return html`<span class=${`status ${mark}`}><${Shape} mark=${mark} />${word}</span>`
}

/** @param {Node} node @returns {State} */
export function stateOfNode({ state, answered, report }) {
  if (state === 'down') return { mark: 'off', word: 'has left' }
  if (state === 'silent') return { mark: 'bad', word: 'gone' }
  if (!answered || !report) return { mark: 'bad', word: 'no answer' }
  if (report.phase !== 'member') return { mark: 'busy', word: report.phase }
  const filesystems = report.filesystems.map((each) => each.state)
  if (filesystems.includes('withdrawn')) return { mark: 'bad', word: 'withdrawn' }
  if (filesystems.some((each) => each !== 'serving')) return { mark: 'busy', word: 'recovering' }
  return { mark: 'good', word: 'serving' }
}

/** @param {string} state @returns {State} */
export function stateOfLun(state) {
  if (state === 'up') return { mark: 'good', word: 'up' }
  if (state === 'slow') return { mark: 'warn', word: 'slow' }
  return { mark: 'bad', word: state }
}

/** @param {string} state @returns {State} */
export function stateOfPath(state) {
  if (state === 'failed') return { mark: 'bad', word: 'failed' }
  return state === 'active' || state === 'ready' ? { mark: 'good', word: state } : { mark: 'off', word: state }
}

/** @param {string} state @returns {State} */
export function stateOfFilesystem(state) {
  if (state === 'serving') return { mark: 'good', word: 'serving' }
  return state === 'error' ? { mark: 'bad', word: 'in error' } : { mark: 'busy', word: 'recovering' }
}
