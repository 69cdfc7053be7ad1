/** The locks of the matrix: those somebody waits for, then those that nodes take from each other most. */
import { useState } from 'preact/hooks'
import { Card, Scrolled } from './card.js'
import { duration } from './format.js'
import { html } from './html.js'
import { WaitsForGraph } from './waits.js'

/** @typedef {import('./data.js').Locks} Locks */
/** @typedef {Locks['locks'][number]} Lock */

const SHOWN = 25

/** @param {{ locks?: Locks, waits?: import('./data.js').Waits, nodes: string[] }} props */
export function LocksPanel({ locks, waits, nodes }) {
  const [wanted, want] = useState('')
  const all = locks?.locks ?? []
  const found = all.filter(({ name, path, filesystem }) =>
    `${filesystem}:${path ?? ''} ${name}`.toLowerCase().includes(wanted.toLowerCase()),
  )
  const hottest = Math.max(1, ...all.map(({ heat }) => heat))
  const silent = locks?.masters.filter(({ answered }) => !answered) ?? []
  const onInput = (/** @type {InputEvent} */ event) => want(/** @type {HTMLInputElement} */ (event.target).value)
  const aside = html`
    <input type="search" placeholder="path or name" aria-label="Find locks by path or name" value=${wanted} onInput=${onInput} />
  `
  return html`
    <${Card} id="locks" title="Locks" wide aside=${aside}>
      <div class="beside">
        <div>
          ${silent.map(({ node, error }) => html`<p class="fine">Those that ${node} is master of are missing: ${error}</p>`)}
          <${Scrolled} label="Table of locks">
            <table>
              <thead><tr><th>covers</th><th>lock</th><th>held by</th><th>wanted by</th><th class="number">heat</th></tr></thead>
              <tbody>${found.slice(0, SHOWN).map((lock) => html`<${Row} key=${`${lock.filesystem} ${lock.name}`} lock=${lock} hottest=${hottest} />`)}</tbody>
            </table>
          <//>
          ${found.length === 0 && html`<p class="calm">${locks ? 'No lock fits.' : 'Asking …'}</p>`}
          <p class="fine">Heat: how often nodes lately took it from each other. ${found.length > SHOWN ? `${found.length - SHOWN} more are not shown.` : ''}</p>
        </div>
        <div class="who">
          <h3>Who waits for whom</h3>
          <${WaitsForGraph} waits=${waits} nodes=${nodes} />
        </div>
      </div>
    <//>
  `
}

/** @param {{ lock: Lock, hottest: number }} props */
function Row({ lock, hottest }) {
  const { filesystem, name, path, meaning, holders, waiters, heat, master } = lock
  const oldest = Math.max(0, ...waiters.map(({ ageMs }) => ageMs))
  return html`
    <tr class=${waiters.length > 0 ? 'wanted' : ''}>
      <td class="path-name">${path === null ? meaning : `${filesystem}:${path}`}</td>
      <td title=${`master: ${master}`}>${name}</td>
      <td>${holders.length === 0 ? 'nobody' : holders.map(({ node, mode, absent }) => `${node} ${mode}${absent ? ' (has left)' : ''}`).join(', ')}</td>
      <td>${waiters.length > 0 && html`${waiters.map(({ node, mode }) => `${node} ${mode}`).join(', ')} <b>${duration(oldest)}</b>`}</td>
      <td class="number">${heat > 0 && html`<meter min="0" max=${hottest} value=${heat} aria-label=${`heat of ${name}`}></meter>`} ${Math.round(heat)}</td>
    </tr>
  `
}
