/** The dashboard of a matrix: one page, from any node. */
import { render } from 'preact'
import { Charts } from './charts.js'
import { useKnowledge } from './data.js'
import { Events } from './events.js'
import { FilesystemCards } from './filesystems.js'
import { clockTime, plural } from './format.js'
import { html } from './html.js'
import { JobsPanel } from './jobs.js'
import { LocksPanel } from './locks.js'
import { NodesTable } from './nodes.js'
import { ServicesCard } from './services.js'
import { SignIn, useSession, WhoLooks } from './session.js'
import { SqlPanel } from './sql.js'
import { Shape, stateOfLun, stateOfNode } from './states.js'
import { useTheme } from './theme.js'
import { Timeline } from './timeline.js'
import { Topology } from './topology.js'
import { WaitsPanel } from './waits.js'

/** @typedef {import('./data.js').Knowledge} Knowledge */
/** @typedef {import('./data.js').Matrix} Matrix */
/** @typedef {import('./session.js').Session} Session */

const PLACES = [
  ['#topology', 'Matrix'],
  ['#charts', 'Charts'],
  ['#locks', 'Locks'],
  ['#jobs', 'Jobs'],
  ['#services', 'Services'],
  ['#timeline', 'Timeline'],
  ['#nodes', 'Nodes'],
  ['#sql', 'SQL'],
]

function App() {
  const { session, error, renew } = useSession()
  if (!session)
    return html`<main class="empty"><h1>matrixfs</h1><p role="status">${error ? `The node does not answer: ${error}` : 'Asking the node …'}</p></main>`
  if (session.role === null) return html`<${SignIn} session=${session} renew=${renew} />`
  return html`<${Dashboard} session=${session} renew=${renew} />`
}

/** @param {{ session: Session, renew: (session: Session) => void }} props */
function Dashboard({ session, renew }) {
  const known = useKnowledge()
  const { choice, theme, next } = useTheme()
  const { matrix, filesystems, luns, waits, locks, timeline, log, samples, error } = known
  document.title = matrix ? `${matrix.name} – matrixfs` : 'matrixfs'
  if (!matrix)
    return html`<main class="empty"><h1>matrixfs</h1><p role="status">${error ? `The node does not answer: ${error}` : 'Asking the node …'}</p></main>`
  const names = matrix.nodes.map(({ node }) => node)
  const filesystemNames = filesystems?.filesystems.map(({ name }) => name) ?? []
  const choices = { node: names, filesystem: filesystemNames, lun: luns?.luns.map(({ name }) => name) ?? [] }
  return html`
    <a class="skip" href="#main">To the content</a>
    <${Header} known=${known} matrix=${matrix} choice=${choice} next=${next}><${WhoLooks} session=${session} renew=${renew} /><//>
    <main id="main">
      ${error && html`<p class="alarm banner" role="alert"><${Shape} mark="bad" />${matrix.answeredBy} does not answer (${error}). What is shown is of ${clockTime(matrix.at)}.</p>`}
      <h1 class="hidden">Matrix ${matrix.name}</h1>
      <${WaitsPanel} waits=${waits} />
      <div class="upper">
        <${Topology} matrix=${matrix} before=${known.before} luns=${luns} />
        <div class="stack"><${FilesystemCards} filesystems=${filesystems?.filesystems ?? []} /></div>
      </div>
      <${Charts} samples=${samples} theme=${theme} />
      <${LocksPanel} locks=${locks} waits=${waits} nodes=${names} />
      <${JobsPanel} jobs=${known.jobs} mayAct=${session.role === 'operator'} choices=${choices} look=${known.look} />
      <${ServicesCard} services=${known.services} replications=${known.replications} />
      <div class="halves">
        <${Timeline} timeline=${timeline} matrix=${matrix} />
        <${Events} timeline=${timeline} log=${log} node=${matrix.answeredBy} />
      </div>
      <${NodesTable} matrix=${matrix} />
      <${SqlPanel} filesystems=${filesystemNames} />
    </main>
    <footer>
      <p>matrixfs ${matrix.version} · <a href="api/openapi.json">API</a> · <a href="../metrics">Metrics</a> · the same at every node</p>
    </footer>
  `
}

/** @param {{ known: Knowledge, matrix: Matrix, choice: string, next: () => void, children?: unknown }} props */
function Header({ known, matrix, choice, next, children }) {
  const { mark, word } = wholeState(known, matrix)
  const { view, administrator, san } = matrix
  return html`
    <header class="top">
      <div class="brand"><img src="ui/icon.svg" alt="" width="30" height="30" /><div><b>${matrix.name}</b><span>matrixfs</span></div></div>
      <p class=${`whole ${mark}`} role="status"><${Shape} mark=${mark} size=${18} /><span>${word}</span></p>
      <dl class="facts">
        <div><dt>view</dt><dd>${view ? view.id : 'none'}</dd></div>
        <div><dt>administrator</dt><dd>${administrator?.node ?? 'none'}</dd></div>
        <div><dt>SAN generation</dt><dd>${san?.generation ?? '–'}</dd></div>
        <div><dt>nodes</dt><dd>${matrix.nodes.filter(({ state }) => state === 'member').length} of ${matrix.nodes.length}</dd></div>
      </dl>
      <div class="tools">
        <${Others} matrix=${matrix} />
        <button type="button" class="quiet" onClick=${next} aria-label=${`Colours: ${choice}; change`}>${choice === 'auto' ? '◐ auto' : choice === 'light' ? '☀ light' : '☾ dark'}</button>
        ${children}
        <span class=${known.live && !known.error ? 'live' : 'live out'}>${known.live && !known.error ? 'live' : 'not live'}</span>
      </div>
      <nav aria-label="Sections"><ul>${PLACES.map(([href, name]) => html`<li><a href=${href}>${name}</a></li>`)}</ul></nav>
    </header>
  `
}

/** Where the same is served by other nodes. @param {{ matrix: Matrix }} props */
function Others({ matrix }) {
  const served = matrix.nodes.flatMap(({ node, report }) =>
    report?.admin ? [{ node, url: `${location.protocol}//${report.admin}/_admin/` }] : [],
  )
  return html`
    <ul class="others" aria-label="Served by">
      ${served.map(({ node, url }) => {
        const own = node === matrix.answeredBy
        const title = own ? 'this node answers' : `ask ${node} instead`
        return html`<li><a href=${url} aria-current=${own ? 'page' : undefined} title=${title}>${node}</a></li>`
      })}
    </ul>
  `
}

/** The state of the whole in one sentence. @param {Knowledge} known @param {Matrix} matrix @returns {import('./states.js').State} */
function wholeState({ filesystems, luns, waits, error }, { nodes, administrator, answeredBy }) {
  if (error) return { mark: 'bad', word: `${answeredBy} does not answer` }
  const broken = filesystems?.filesystems.filter(({ state }) => state === 'error') ?? []
  if (broken.length > 0) return { mark: 'bad', word: `${broken.map(({ name }) => name).join(', ')} in error` }
  const gone = nodes.filter((node) => stateOfNode(node).mark === 'bad')
  if (gone.length > 0)
    return {
      mark: 'bad',
      word: `${gone.map(({ node }) => node).join(', ')} gone; ${plural(nodes.length - gone.length, 'node')} left`,
    }
  const busy = nodes.filter((node) => stateOfNode(node).mark === 'busy')
  if (busy.length > 0) return { mark: 'busy', word: `recovering at ${busy.map(({ node }) => node).join(', ')}` }
  if (!administrator) return { mark: 'busy', word: 'no administrator' }
  const failing = luns?.luns.filter(({ state }) => stateOfLun(state).mark !== 'good') ?? []
  if (failing.length > 0) return { mark: 'warn', word: `${failing.map(({ name }) => name).join(', ')} not well` }
  const paths =
    luns?.luns.flatMap(({ sights }) =>
      sights.flatMap((sight) => sight.paths.filter(({ state }) => state === 'failed')),
    ) ?? []
  if (paths.length > 0) return { mark: 'warn', word: `${plural(paths.length, 'path')} failed` }
  const waiting = waits?.waits.length ?? 0
  return { mark: 'good', word: waiting > 0 ? `serving; ${plural(waiting, 'wait')}` : 'all is well' }
}

const place = document.getElementById('app')
if (place) render(html`<${App} />`, place)
