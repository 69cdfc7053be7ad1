/** Questions to the metadata by SQL: read-only, as the node that is asked has it. */
import { useState } from 'preact/hooks'
import { Card, Scrolled } from './card.js'
import { ask } from './data.js'
import { duration } from './format.js'
import { html } from './html.js'

/** @typedef {import('./data.js').SqlAnswer} SqlAnswer */

const EXAMPLES = [
  ['Largest files', 'select path(ino) path, size from inode where type = 1 order by size desc limit 20'],
  [
    'Space by user',
    'select uid, count(*) files, sum(size) bytes from inode where type = 1 group by uid order by bytes desc',
  ],
  [
    'Fragmented files',
    'select path(ino) path, count(*) extents, sum(count) blocks from extent group by ino order by extents desc limit 20',
  ],
  [
    'Largest directories',
    'select path(dir) directory, count(*) entries from dirent group by dir order by entries desc limit 20',
  ],
]

/** @param {{ filesystems: string[] }} props */
export function SqlPanel({ filesystems }) {
  const [sql, write] = useState(/** @type {string} */ (EXAMPLES[0]?.[1]))
  const [filesystem, choose] = useState('')
  const [answer, setAnswer] = useState(/** @type {SqlAnswer | undefined} */ (undefined))
  const [error, setError] = useState('')
  const [asking, setAsking] = useState(false)
  const run = async () => {
    setAsking(true)
    setError('')
    try {
      setAnswer(await ask('/sql', { sql, filesystem: filesystem || filesystems[0], maxRows: 500 }))
    } catch (failure) {
      setAnswer(undefined)
      setError(failure instanceof Error ? failure.message : String(failure))
    }
    setAsking(false)
  }
  const onInput = (/** @type {InputEvent} */ event) => write(/** @type {HTMLTextAreaElement} */ (event.target).value)
  const onChange = (/** @type {Event} */ event) => choose(/** @type {HTMLSelectElement} */ (event.target).value)
  const onKey = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) void run()
  }
  return html`
    <${Card} id="sql" title="Ask the metadata" wide>
      <div class="sql">
        <div class="examples" role="group" aria-label="Examples">
          ${EXAMPLES.map(([name, query]) => html`<button type="button" class="quiet" onClick=${() => write(/** @type {string} */ (query))}>${name}</button>`)}
        </div>
        <textarea rows="3" spellcheck="false" aria-label="SQL query" value=${sql} onInput=${onInput} onKeyDown=${onKey}></textarea>
        <div class="examples">
          ${
            filesystems.length > 1 &&
            html`
              <select aria-label="Filesystem" value=${filesystem} onChange=${onChange}>
                ${filesystems.map((name) => html`<option>${name}</option>`)}
              </select>
            `
          }
          <button type="button" class="primary" disabled=${asking} onClick=${run}>${asking ? 'Asking …' : 'Ask'}</button>
          <span class="fine">Ctrl+Enter. Nothing can be changed; a query is stopped after 5 s.</span>
        </div>
        <div aria-live="polite">
          ${error && html`<p class="alarm" role="alert">${error}</p>`}
          ${answer && html`<${Rows} answer=${answer} />`}
        </div>
      </div>
    <//>
  `
}

/** @param {{ answer: SqlAnswer }} props */
function Rows({ answer: { columns, rows, truncated, ms, node } }) {
  return html`
    <p class="fine">${rows.length}${truncated ? ' of more' : ''} rows from ${node} in ${duration(ms)}</p>
    <${Scrolled} label="Rows">
      <table>
        <thead><tr>${columns.map((name) => html`<th>${name}</th>`)}</tr></thead>
        <tbody>${rows.map((row) => html`<tr>${row.map((cell) => html`<td class=${typeof cell === 'number' ? 'number' : ''}>${cell === null ? html`<i>null</i>` : cell}</td>`)}</tr>`)}</tbody>
      </table>
    <//>
  `
}
