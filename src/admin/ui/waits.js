/** What is everybody waiting for? In words, the longest wait first; for locks, as a graph of who waits for whom. */
import { Card } from './card.js'
import { duration, plural } from './format.js'
import { html } from './html.js'
import { Shape, Status } from './states.js'

/** @typedef {import('./data.js').Waits} Waits */
/** @typedef {Waits['waits'][number]} Wait */

const SHOWN = 8
/** Of a name in the graph, characters. */
const LABEL_MAX = 14
/** @type {Record<Wait['kind'], import('./states.js').Mark>} */
const marks = { lock: 'busy', view: 'busy', recovery: 'busy', filesystem: 'bad', lun: 'warn', node: 'bad' }

/** @param {{ waits?: Waits }} props */
export function WaitsPanel({ waits }) {
  const all = waits?.waits ?? []
  const aside =
    waits &&
    html`<${Status} mark=${all.length === 0 ? 'good' : 'busy'} word=${all.length === 0 ? 'nobody waits' : plural(all.length, 'wait')} />`
  return html`
    <${Card} id="waits" title="What is everyone waiting for?" wide aside=${aside}>
      <div class="waits" aria-live="polite">
        ${all.length === 0 && html`<p class="calm">${waits ? 'Nothing: locks are granted at once, every node and LUN answers, every filesystem serves.' : 'Asking …'}</p>`}
        <ul>
          ${all.slice(0, SHOWN).map(
            ({ kind, what, forMs }) => html`
              <li class=${marks[kind]}>
                <${Shape} mark=${marks[kind]} size=${16} />
                <span>${what}</span>
                ${forMs !== null && html`<b>${duration(forMs)}</b>`}
              </li>
            `,
          )}
        </ul>
        ${all.length > SHOWN && html`<p class="fine">and ${all.length - SHOWN} more</p>`}
      </div>
    <//>
  `
}

/** Who waits for whom, and for what, as arrows in a ring of nodes. @param {{ waits?: Waits, nodes: string[] }} props */
export function WaitsForGraph({ waits, nodes }) {
  const edges = edgesOf(waits?.waits ?? [])
  const involved = nodes.filter((name) => edges.some(({ from, to }) => from === name || to === name))
  if (involved.length === 0) return html`<p class="calm">Nobody waits for a lock of another node.</p>`
  const [width, height, radius] = [300, 210, 26]
  const place = (/** @type {string} */ name) => {
    const angle = (2 * Math.PI * involved.indexOf(name)) / involved.length - Math.PI / 2
    return { x: width / 2 + Math.cos(angle) * (width / 2 - 46), y: height / 2 + Math.sin(angle) * (height / 2 - 34) }
  }
  return html`
    <svg class="graph" viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${edges.map(({ from, to, whats }) => `${from} waits for ${to}: ${whats.join(', ')}`).join('; ')}>
      <defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" /></marker></defs>
      ${edges.map(({ from, to, whats }) => {
        const [a, b] = [place(from), place(to)]
        const length = Math.hypot(b.x - a.x, b.y - a.y) || 1
        const [ux, uy] = [(b.x - a.x) / length, (b.y - a.y) / length]
        const [mx, my] = [(a.x + b.x) / 2 - uy * 22, (a.y + b.y) / 2 + ux * 22]
        // beside an arrow that goes up or down, away from the one that comes back
        const side = Math.abs(ux) > Math.abs(uy) ? 'above' : uy < 0 ? 'right' : 'left'
        return html`
          <g class="edge">
            <path d=${`M${a.x + ux * radius} ${a.y + uy * radius}Q${mx} ${my} ${b.x - ux * (radius + 3)} ${b.y - uy * (radius + 3)}`} stroke-width=${1.5 + Math.min(3, Math.log2(whats.length))} marker-end="url(#arrow)" />
            <title>${from} waits for ${to}: ${whats.join(', ')}</title>
            <text class=${side} x=${(mx + (a.x + b.x) / 2) / 2} y=${(my + (a.y + b.y) / 2) / 2 + 4}>${labelOf(whats)}</text>
          </g>
        `
      })}
      ${involved.map((name) => html`<g class="knot"><circle cx=${place(name).x} cy=${place(name).y} r=${radius} /><text x=${place(name).x} y=${place(name).y + 4}>${name}</text></g>`)}
    </svg>
  `
}

/** The last name of the path that is waited for longest, and how many more there are. @param {readonly string[]} whats */
function labelOf([first = '', ...others]) {
  const name = first.split('/').at(-1) || first
  const short = name.length > LABEL_MAX ? `${name.slice(0, LABEL_MAX - 1)}…` : name
  return others.length > 0 ? `${short} +${others.length}` : short
}

/** `whats`: the longest wait first. @param {readonly Wait[]} waits */
function edgesOf(waits) {
  /** @type {Map<string, { from: string, to: string, whats: string[] }>} */
  const edges = new Map()
  for (const { kind, who, on, path } of waits) {
    if (kind !== 'lock') continue
    for (const to of on) {
      const key = `${who} ${to}`
      const edge = edges.get(key) ?? { from: who, to, whats: [] }
      edge.whats.push(path ?? 'a lock')
      edges.set(key, edge)
    }
  }
  return [...edges.values()]
}
