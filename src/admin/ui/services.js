/** Virtual hosts and where they are, and what is looked after for them at every node. */
import { Card, Scrolled } from './card.js'
import { dateTime, plural } from './format.js'
import { html } from './html.js'
import { Status } from './states.js'

/** @typedef {import('./data.js').Services} Services */
/** @typedef {Services['nodes'][number]['services'][number]} Service */
/** @typedef {Services['virtualHosts'][number]} Host */

/** @typedef {NonNullable<import('./data.js').Knowledge['replications']>[number]} Replication */

/** Nothing where none is configured. @param {{ services?: Services, replications?: Replication[] }} props */
export function ServicesCard({ services, replications = [] }) {
  const { virtualHosts = [], nodes = [] } = services ?? {}
  const mounts = nodes.flatMap(({ node, mounts: all }) => all.map((mount) => ({ node, ...mount })))
  if (virtualHosts.length === 0 && mounts.length === 0 && replications.length === 0) return null
  return html`
    <${Card} id="services" title="Virtual hosts and services" wide>
      <${Scrolled} label="Virtual hosts">
        <table>
          <thead><tr><th>virtual host</th><th>address</th><th>at</th><th>policy</th><th>nodes</th></tr></thead>
          <tbody>${virtualHosts.map((host) => html`<${HostRow} key=${host.address} host=${host} />`)}</tbody>
        </table>
      <//>
      <${Scrolled} label="Services, applications, devices and mounts">
        <table>
          <thead><tr><th>service</th><th>what</th><th>for</th><th>node</th><th>state</th></tr></thead>
          <tbody>
            ${nodes.flatMap(({ node, services: all }) =>
              all.map(
                (service) => html`<${ServiceRow} key=${`${node} ${service.name}`} node=${node} service=${service} />`,
              ),
            )}
            ${mounts.map(
              ({ node, filesystem, directory, state, reason }) => html`
                <tr key=${`${node} ${directory}`}>
                  <td>${directory}</td>
                  <td class="fine">mount of ${filesystem}</td>
                  <td>–</td>
                  <td>${node}</td>
                  <td><${Status} mark=${state === 'mounted' ? 'good' : state === 'failed' ? 'bad' : 'off'} word=${state} /> <span class="fine">${reason}</span></td>
                </tr>`,
            )}
          </tbody>
        </table>
      <//>
      ${
        replications.length > 0 &&
        html`
          <${Scrolled} label="Replications">
            <table>
              <thead><tr><th>replication</th><th>from</th><th>to</th><th>node</th><th>last run</th></tr></thead>
              <tbody>${replications.map((each) => html`<${ReplicationRow} key=${each.name} replication=${each} />`)}</tbody>
            </table>
          <//>`
      }
    <//>
  `
}

/** @param {{ replication: Replication }} props */
function ReplicationRow({ replication: { name, from, to, at, since, last } }) {
  const copied = last && `${plural(last.copied, 'file')} copied, ${dateTime(last.at)}`
  /** @type {import('./states.js').State} */
  const state =
    since !== undefined
      ? { mark: 'busy', word: 'under way' }
      : last?.why !== undefined
        ? { mark: 'bad', word: 'failed' }
        : last
          ? { mark: 'good', word: 'done' }
          : { mark: 'off', word: 'not yet' }
  return html`
    <tr>
      <td>${name}</td>
      <td class="fine">${from}</td>
      <td class="fine">${to}</td>
      <td>${at ?? 'nowhere'}</td>
      <td><${Status} ...${state} /> <span class="fine">${last?.why ?? copied}</span></td>
    </tr>
  `
}

/** @param {{ host: Host }} props */
function HostRow({ host: { name, address, node, byHand, policy, nodes } }) {
  return html`
    <tr>
      <td>${name}</td>
      <td>${address}</td>
      <td><${Status} mark=${node === null ? 'bad' : 'good'} word=${node === null ? 'nowhere' : byHand ? `${node} (by hand)` : node} /></td>
      <td>${policy}</td>
      <td>
        ${nodes.map(({ node: each, failing, barred, reason }) => {
          const word = barred ? `${each}: no place` : failing > 0 ? `${each}: fails ${failing}` : each
          return html`<span key=${each} title=${reason ?? ''}><${Status} mark=${barred || failing > 0 ? 'warn' : 'good'} word=${word} /> </span>`
        })}
      </td>
    </tr>
  `
}

/** @param {{ node: string, service: Service }} props */
function ServiceRow({ node, service: { name, type, kind, target, hosts, state, counts, reason } }) {
  return html`
    <tr>
      <td>${name}</td>
      <td class="fine">${type}, ${kind} ${target}</td>
      <td>${hosts.join(', ')}</td>
      <td>${node}</td>
      <td><${Status} ...${stateOfService(state, counts)} /> <span class="fine">${state === 'up' && !counts ? '' : reason}</span></td>
    </tr>
  `
}

/** @param {Service['state']} state @param {boolean} counts @returns {import('./states.js').State} */
function stateOfService(state, counts) {
  if (state === 'up') return counts ? { mark: 'warn', word: 'up, not trusted yet' } : { mark: 'good', word: 'up' }
  if (state === 'failed') return { mark: 'bad', word: 'failed' }
  if (state === 'idle') return counts ? { mark: 'bad', word: 'has failed here' } : { mark: 'off', word: 'idle' }
  return { mark: 'busy', word: state }
}
