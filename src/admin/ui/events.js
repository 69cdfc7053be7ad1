/** What has happened, newest first: nodes that came and went, what became of LUNs, steps that failed, warnings of the node that is asked. */
import { Card } from './card.js'
import { clockTime, dateTime } from './format.js'
import { html } from './html.js'
import { Shape } from './states.js'
import { isFailure } from './timeline.js'

/** @typedef {import('./data.js').TimelineStep} Step */
/** @typedef {{ at: number, mark: import('./states.js').Mark, what: string, more: string }} Event */

const SHOWN = 40

/** @param {{ timeline: Step[], log: import('./data.js').LogLine[], node: string }} props */
export function Events({ timeline, log, node }) {
  const events = [...timeline.flatMap(eventOf), ...log.map((line) => eventOfLine(line, node))].sort(
    (a, b) => b.at - a.at,
  )
  return html`
    <${Card} id="events" title="Events">
      <ol class="events" tabindex="0" aria-label="Events, newest first">
        ${events.slice(0, SHOWN).map(
          ({ at, mark, what, more }) => html`
            <li><${Shape} mark=${mark} /><time datetime=${new Date(at).toISOString()} title=${dateTime(at)}>${clockTime(at)}</time><span>${what} <span class="fine">${more}</span></span></li>
          `,
        )}
        ${events.length === 0 && html`<li class="calm">Nothing yet.</li>`}
      </ol>
    <//>
  `
}

/** @param {Step} step @returns {Event[]} */
function eventOf(step) {
  const { step: name, startedAt: at, outcome, node, view } = step
  if (name === 'view') {
    const lost = / gone$/.test(outcome)
    return [{ at, mark: lost ? 'warn' : 'good', what: `View ${view}: ${outcome}`, more: '' }]
  }
  if (name.startsWith('LUN '))
    return [
      { at, mark: / → up:/.test(outcome) ? 'good' : 'warn', what: `${name} ${outcome}`, more: `as ${node} sees it` },
    ]
  if (name.startsWith('fence '))
    return [{ at, mark: isFailure(step) ? 'bad' : 'warn', what: `${node}: ${name}`, more: outcome }]
  return isFailure(step) ? [{ at, mark: 'warn', what: `${node}: ${name}`, more: outcome }] : []
}

/** @param {import('./data.js').LogLine} line @param {string} node @returns {Event} */
function eventOfLine({ at, level, message, fields }, node) {
  return {
    at,
    mark: level === 'error' ? 'bad' : 'warn',
    what: `${node}: ${message}`,
    more: fields === '{}' ? '' : fields,
  }
}
