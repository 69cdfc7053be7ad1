/** The nodes as a table: what the drawing shows, in words and figures. */
import { Card, Scrolled } from './card.js'
import { bytes, count, duration } from './format.js'
import { html } from './html.js'
import { Status, stateOfNode } from './states.js'

/** @typedef {import('./data.js').Matrix} Matrix */

/** @param {{ matrix: Matrix }} props */
export function NodesTable({ matrix }) {
  return html`
    <${Card} id="nodes" title="Nodes" wide>
      <${Scrolled} label="Table of nodes">
        <table>
          <thead>
            <tr>
              <th>node</th><th>state</th><th>process</th><th class="number">up for</th><th class="number">CPU</th>
              <th class="number">memory</th><th class="number">late</th><th class="number">NFS clients</th>
              <th class="number">requests</th><th>lease</th><th>version</th>
            </tr>
          </thead>
          <tbody>${matrix.nodes.map((node) => html`<${Row} key=${node.slot} node=${node} administrator=${matrix.administrator?.node === node.node} />`)}</tbody>
        </table>
      <//>
    <//>
  `
}

/** @param {{ node: Matrix['nodes'][number], administrator: boolean }} props */
function Row({ node: { node, error, state, answered, lease, report, slot }, node: whole, administrator }) {
  const calls = Object.values(report?.nfs?.calls ?? {}).reduce((a, b) => a + b, 0) + (report?.http?.requests ?? 0)
  return html`
    <tr>
      <th scope="row">${node} <span class="fine">slot ${slot}${administrator ? ', administrator' : ''}</span></th>
      <td><${Status} ...${stateOfNode(whole)} />${!answered && state === 'member' && html` <span class="fine">${error}</span>`}</td>
      <td>${report ? `${report.pid} on ${report.host}` : lease ? `${lease.pid} on ${lease.host}` : ''}</td>
      ${
        report
          ? html`
            <td class="number">${duration(report.at - report.startedAt)}</td>
            <td class="number">${Math.round(report.process.cpu * 100)} %</td>
            <td class="number">${bytes(report.process.rssBytes)}</td>
            <td class="number">${duration(report.process.loopDelayMaxMs)}</td>
            <td class="number">${report.nfs?.connections ?? '–'}</td>
            <td class="number">${count(calls)}</td>
          `
          : html`<td class="number" colspan="6"></td>`
      }
      <td>${lease ? `${lease.state}${lease.stillMs > 5000 && lease.state !== 'clean' ? `, silent for ${duration(lease.stillMs)}` : ''}` : ''}</td>
      <td>${report?.version ?? ''}</td>
    </tr>
  `
}
