/** The filesystems: space, service at every node, and how far each node is behind the others' journals. */
import { Card } from './card.js'
import { bytes, count, percent } from './format.js'
import { html } from './html.js'
import { Status, stateOfFilesystem } from './states.js'

/** @typedef {import('./data.js').Filesystems['filesystems'][number]} Filesystem */

/** @param {{ filesystems: readonly Filesystem[] }} props */
export function FilesystemCards({ filesystems }) {
  return filesystems.map((filesystem) => html`<${FilesystemCard} key=${filesystem.fsid} filesystem=${filesystem} />`)
}

/** @param {{ filesystem: Filesystem }} props */
function FilesystemCard({ filesystem }) {
  const { name, state, error, luns, totalBytes, freeBytes, files, maxFiles, checkpoint, nodes } = filesystem
  const used = totalBytes - freeBytes
  const share = percent(used, totalBytes)
  return html`
    <${Card} id=${`fs-${name}`} title=${`Filesystem ${name}`} aside=${html`<${Status} ...${stateOfFilesystem(state)} />`}>
      ${error && html`<p class="alarm" role="alert">${error}</p>`}
      <div class="space">
        <p><b>${bytes(freeBytes)}</b> free of ${bytes(totalBytes)}</p>
        <meter class=${share >= 90 ? 'full' : ''} min="0" max="100" value=${share} aria-label=${`${share} % of ${name} is in use`}></meter>
        <p class="fine">${share} % in use · ${count(files)} of ${count(maxFiles)} files · on ${luns.join(', ')} · checkpoint ${checkpoint}</p>
      </div>
      <table>
        <thead><tr><th>node</th><th>service</th><th class="number">behind</th><th>own journal</th></tr></thead>
        <tbody>
          ${nodes.map((node) => html`<${NodeRow} key=${node.slot} node=${node} />`)}
        </tbody>
      </table>
    <//>
  `
}

/** @param {{ node: Filesystem['nodes'][number] }} props */
function NodeRow({ node: { node, answered, state, lagBytes, journalUsed, journalSize } }) {
  const share = percent(journalUsed, journalSize)
  return html`
    <tr>
      <td>${node}</td>
      <td><${Status} ...${answered && state ? serviceOf(state) : { mark: 'bad', word: 'no answer' }} /></td>
      <td class="number">${lagBytes === 0 ? '–' : bytes(lagBytes)}</td>
      <td>
        <meter min="0" max="100" value=${share} aria-label=${`journal of ${node}: ${share} % in use`}></meter>
        ${' '}<span class="fine">${share} %</span>
      </td>
    </tr>
  `
}

/** @param {string} state @returns {import('./states.js').State} */
function serviceOf(state) {
  if (state === 'serving') return { mark: 'good', word: state }
  return { mark: state === 'withdrawn' ? 'bad' : 'busy', word: state }
}
