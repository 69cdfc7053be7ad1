/** Jobs: to start one, to watch those that are under way, to end and to repeat them, and what they have told. */
import { useEffect, useState } from 'preact/hooks'
import { Card, Scrolled } from './card.js'
import { ask } from './data.js'
import { clockTime, dateTime } from './format.js'
import { html } from './html.js'
import { Status } from './states.js'

/** @typedef {import('../api/jobs.ts').Job} Job */
/** @typedef {import('../api/jobs.ts').Jobs} Jobs */
/** @typedef {Jobs['kinds'][number]} Kind */
/** @typedef {Record<string, string[]>} Choices what there is to choose from, by the name of an entry */
/** @typedef {{ type: string, title?: string }} Entry */

/** @type {Record<Job['state'], import('./states.js').Mark>} */
const MARKS = { waiting: 'off', active: 'busy', retrying: 'warn', completed: 'good', failed: 'bad', cancelled: 'off' }
const LOG_LOOK_MS = 2_000

/** @param {{ jobs: Jobs | undefined, mayAct: boolean, choices: Choices, look: () => void }} props */
export function JobsPanel({ jobs, mayAct, choices, look }) {
  const [starting, start] = useState(false)
  const [error, setError] = useState('')
  /** @param {() => Promise<unknown>} action */
  const act = async (action) => {
    setError('')
    try {
      await action()
      start(false)
    } catch (failure) {
      setError(failure instanceof Error ? failure.message : String(failure))
    }
    look()
  }
  const aside =
    mayAct &&
    html`<button type="button" class="quiet" aria-expanded=${starting} disabled=${!jobs?.available && !starting} onClick=${() => start(!starting)}>${starting ? 'Not now' : 'Start a job …'}</button>`
  return html`
    <${Card} id="jobs" title="Jobs" aside=${aside} wide>
      ${jobs && jobs.reason !== null && html`<p class="calm">${jobs.reason}</p>`}
      ${error && html`<p class="alarm" role="alert">${error}</p>`}
      ${starting && jobs && html`<${StartForm} kinds=${jobs.kinds} choices=${choices} onStart=${(/** @type {unknown} */ question) => act(() => ask('/jobs', question))} />`}
      ${
        jobs && jobs.jobs.length > 0
          ? html`
              <${Scrolled} label="Table of jobs">
                <table class="jobs">
                  <thead><tr><th>job</th><th>state</th><th>what</th><th>node</th><th>started</th><th><span class="hidden">actions</span></th></tr></thead>
                  ${jobs.jobs.map((job) => html`<${JobRows} key=${`${job.kind}/${job.id}`} job=${job} kinds=${jobs.kinds} act=${mayAct ? act : undefined} />`)}
                </table>
              <//>
            `
          : html`<p class="calm">${jobs ? 'No job is under way, or has ended lately.' : 'Not known yet.'}</p>`
      }
    <//>
  `
}

/** @param {{ kinds: Kind[], choices: Choices, onStart: (question: unknown) => Promise<void> }} props */
function StartForm({ kinds, choices, onStart }) {
  const [name, choose] = useState(kinds[0]?.name ?? '')
  const [input, setInput] = useState(/** @type {Record<string, string | boolean>} */ ({}))
  const [sure, setSure] = useState(false)
  const kind = kinds.find((each) => each.name === name)
  if (!kind) return null
  const { properties, required } = /** @type {{ properties: Record<string, Entry>, required: string[] }} */ (
    /** @type {unknown} */ (kind.input)
  )
  const entries = Object.entries(properties)
  /** @param {string} entry @param {string | boolean} value */
  const set = (entry, value) => {
    setInput({ ...input, [entry]: value })
    setSure(false)
  }
  const given = (/** @type {string} */ entry) =>
    input[entry] ?? (required.includes(entry) ? (choices[entry]?.[0] ?? '') : '')
  const isWhole = required.every((entry) => given(entry) !== '')
  const run = () => {
    if (kind.confirm && !sure) return setSure(true)
    setSure(false)
    const filled = entries.filter(([entry]) => given(entry) !== '').map(([entry]) => [entry, given(entry)])
    void onStart({ kind: kind.name, input: Object.fromEntries(filled) })
  }
  const onKind = (/** @type {Event} */ event) => {
    choose(/** @type {HTMLSelectElement} */ (event.target).value)
    setInput({})
    setSure(false)
  }
  return html`
    <div class="job-form" role="group" aria-label="Start a job">
      <label>Job <select value=${name} onChange=${onKind}>${kinds.map((each) => html`<option value=${each.name}>${each.title}</option>`)}</select></label>
      ${entries.map(([entry, { type, title }]) => html`<${Field} key=${`${name} ${entry}`} entry=${entry} type=${type} title=${title ?? entry} value=${given(entry)} choices=${choices[entry]} optional=${!required.includes(entry)} onSet=${set} />`)}
      <button type="button" class="primary" disabled=${!isWhole} onClick=${run}>${sure ? 'Yes, start it' : 'Start'}</button>
      <p class="fine" aria-live="polite">${sure ? html`<b>Really? It cannot be undone.</b> ${kind.summary}` : kind.summary}</p>
    </div>
  `
}

/**
 * @param {{ entry: string, type: string, title: string, value: string | boolean, choices?: string[], optional: boolean,
 *   onSet: (entry: string, value: string | boolean) => void }} props
 */
function Field({ entry, type, title, value, choices, optional, onSet }) {
  const onText = (/** @type {Event} */ event) =>
    onSet(entry, /** @type {HTMLInputElement} */ (event.target).value.trim())
  const onCheck = (/** @type {Event} */ event) =>
    onSet(entry, /** @type {HTMLInputElement} */ (event.target).checked || '')
  if (type === 'boolean')
    return html`<label class="check"><input type="checkbox" checked=${value === true} onChange=${onCheck} /> ${title}</label>`
  if (choices)
    return html`
      <label>${title} <select value=${value} onChange=${onText}>
        ${optional && html`<option value="">–</option>`}
        ${choices.map((choice) => html`<option value=${choice}>${choice}</option>`)}
      </select></label>
    `
  return html`<label>${title} <input type="text" value=${value} onInput=${onText} spellcheck="false" autocomplete="off" /></label>`
}

/** @param {{ job: Job, kinds: Kind[], act: ((action: () => Promise<unknown>) => Promise<void>) | undefined }} props without `act` he may look only */
function JobRows({ job, kinds, act }) {
  const [open, setOpen] = useState(false)
  const { kind, id, object, state, cancelling, percent, sentence, node, createdAt, result, error } = job
  const title = kinds.find((each) => each.name === kind)?.title ?? kind
  const isOver = ['completed', 'failed', 'cancelled'].includes(state)
  const what = result?.said ?? error ?? sentence
  const name = `${title}: ${object}`
  const path = `/jobs/${kind}/${encodeURIComponent(id)}`
  return html`
    <tbody>
      <tr>
        <th scope="row">${title}<br /><span class="fine">${object}</span></th>
        <td><${Status} mark=${MARKS[state]} word=${cancelling ? 'cancelling' : state} /></td>
        <td class="job-what">
          ${!isOver && html`<span class="job-progress"><progress max="100" value=${percent} aria-label=${`Progress of ${name}`}></progress> ${Math.floor(percent)} %</span>`}
          <span>${what}</span>
        </td>
        <td>${node ?? '–'}</td>
        <td><time datetime=${new Date(createdAt).toISOString()} title=${`${dateTime(createdAt)} by ${job.by}`}>${clockTime(createdAt)}</time></td>
        <td class="job-actions">
          <button type="button" class="quiet" aria-expanded=${open} aria-label=${`Log of ${name}`} onClick=${() => setOpen(!open)}>Log</button>
          ${act && !isOver && html`<button type="button" class="quiet" disabled=${cancelling} aria-label=${`Cancel ${name}`} onClick=${() => act(() => ask(`${path}/cancel`, {}))}>Cancel</button>`}
          ${act && (state === 'failed' || state === 'cancelled') && html`<button type="button" class="quiet" aria-label=${`Retry ${name}`} onClick=${() => act(() => ask(`${path}/retry`, {}))}>Retry</button>`}
        </td>
      </tr>
      ${open && html`<tr><td colspan="6"><${JobLog} path=${path} job=${job} live=${!isOver} /></td></tr>`}
    </tbody>
  `
}

/** @param {{ path: string, job: Job, live: boolean }} props */
function JobLog({ path, job, live }) {
  const [lines, setLines] = useState(/** @type {string[] | undefined} */ (undefined))
  const [error, setError] = useState('')
  useEffect(() => {
    let stopped = false
    const look = async () => {
      try {
        const { log } = await ask(path)
        if (!stopped) setLines(log)
      } catch (failure) {
        if (!stopped) setError(failure instanceof Error ? failure.message : String(failure))
      }
    }
    void look()
    const timer = live ? setInterval(look, LOG_LOOK_MS) : undefined
    return () => {
      stopped = true
      clearInterval(timer)
    }
  }, [path, live])
  return html`
    <div class="job-log">
      <p class="fine">${job.kind}/${job.id}, by ${job.by}; input ${JSON.stringify(job.input)}</p>
      ${error && html`<p class="alarm">${error}</p>`}
      <pre tabindex="0" aria-label=${`What ${job.kind}/${job.id} has told`}>${lines ? lines.join('\n') || 'Nothing was told.' : 'Asking …'}</pre>
    </div>
  `
}
