/**
 * What happened when membership changed: per view, its steps on one axis of time, as wide as they took. While one is under way it is lit, and
 * the steps that are done appear one by one.
 */
import { Card } from './card.js'
import { clockTime, dateTime, duration } from './format.js'
import { html } from './html.js'
import { Shape, Status } from './states.js'

/** @typedef {import('./data.js').TimelineStep} Step */
/** @typedef {import('./data.js').Matrix} Matrix */
/** @typedef {{ view: number, begin: number, end: number, outcome: string, steps: Step[] }} Change */

const SHOWN = 6
/** A change of which nothing is heard for so long has ended in another one, ms. */
const UNFINISHED_MS = 10_000
/** A step that fails in the ordinary way of things: another view came. */
const OVERTAKEN = /view-changed|has ended|view \d+/

/** @param {{ timeline: Step[], matrix: Matrix }} props */
export function Timeline({ timeline, matrix }) {
  const changes = changesOf(timeline)
  const running = isRunning(matrix) || isUnfinished(changes[0], matrix)
  return html`
    <${Card} id="timeline" title="Recovery timeline" aside=${html`<${Status} mark=${running ? 'busy' : 'good'} word=${running ? 'under way' : 'at rest'} />`}>
      ${changes.slice(0, SHOWN).map((change, index) => html`<${ChangeSteps} key=${change.view} change=${change} open=${index === 0} running=${index === 0 && running} />`)}
      ${changes.length === 0 && html`<p class="calm">No change of membership is known here.</p>`}
    <//>
  `
}

/** @param {{ change: Change, open: boolean, running: boolean }} props */
function ChangeSteps({ change, open, running }) {
  const { view, begin, end, outcome, steps } = change
  const whole = Math.max(1, end - begin)
  return html`
    <details class=${running ? 'change running' : 'change'} open=${open}>
      <summary><span><b>View ${view}</b> <span class="fine">${clockTime(begin)}</span></span><span class="outcome">${outcome}</span><b>${duration(end - begin)}</b></summary>
      <ol class="steps" aria-label=${`Steps of view ${view}, begun ${dateTime(begin)}`}>
        ${steps.map((step) => {
          const failed = isFailure(step)
          const left = (100 * (step.startedAt - begin)) / whole
          const width = Math.max(0.6, (100 * step.durationMs) / whole)
          return html`
            <li title=${step.outcome}>
              <span class="what">${failed && html`<${Shape} mark=${OVERTAKEN.test(step.outcome) ? 'off' : 'bad'} />`}<span class="fine">${step.node}</span> ${step.step}</span>
              <span class="track"><span class=${failed ? 'bar failed' : 'bar'} style=${{ left: `${Math.min(99.4, left)}%`, width: `${Math.min(width, 100 - Math.min(99.4, left))}%` }}></span></span>
              <span class="number">${duration(step.durationMs)}</span>
              ${failed && html`<span class="why">${step.outcome}</span>`}
            </li>
          `
        })}
        ${running && html`<li class="pending"><span class="what">going on …</span><span class="track"><span class="bar"></span></span></li>`}
      </ol>
    </details>
  `
}

/** @param {Step} step */
export function isFailure({ step, outcome }) {
  return step !== 'view' && !step.startsWith('LUN ') && /error|fail|refused|Error:/i.test(outcome)
}

/** @param {Matrix} matrix */
function isRunning({ nodes }) {
  return nodes.some(
    ({ report }) =>
      report &&
      (report.phase !== 'member' ||
        report.filesystems.some(({ state }) => state === 'recovering' || state === 'reopened' || state === 'loaded')),
  )
}

/** Steps have been told of lately, and not the last one. @param {Change | undefined} change @param {Matrix} matrix */
function isUnfinished(change, matrix) {
  if (!change || matrix.at - change.end > UNFINISHED_MS) return false
  return !change.steps.some(({ step }) => step === 'resume')
}

/** Newest first. @param {Step[]} timeline @returns {Change[]} */
function changesOf(timeline) {
  /** @type {Map<number, Step[]>} */
  const views = new Map()
  for (const step of timeline) {
    // what becomes of a LUN is no step of a change
    if (!step.step.startsWith('LUN ')) views.set(step.view, [...(views.get(step.view) ?? []), step])
  }
  return [...views]
    .map(([view, all]) => {
      const steps = all.filter(({ step }) => step !== 'view').sort((a, b) => a.startedAt - b.startedAt)
      const begin = Math.min(...all.map(({ startedAt }) => startedAt))
      const end = Math.max(...all.map(({ startedAt, durationMs }) => startedAt + durationMs))
      return { view, begin, end, outcome: all.find(({ step }) => step === 'view')?.outcome ?? '', steps }
    })
    .filter(({ view }) => view > 0)
    .sort((a, b) => b.view - a.view)
}
