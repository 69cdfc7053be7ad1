/**
 * The matrix as a drawing: networks above, nodes on them, LUNs below, and every path from a node to a LUN. What works is drawn thin, and thicker the
 * more is done; what does not is dashed, marked and named. A node that is chosen shows its own paths alone.
 */
import { useState } from 'preact/hooks'
import { Card } from './card.js'
import { bytes, count } from './format.js'
import { html } from './html.js'
import { Shape, stateOfLun, stateOfNode, stateOfPath } from './states.js'
import { useWidth } from './width.js'

/** @typedef {import('./data.js').Matrix} Matrix */
/** @typedef {import('./data.js').Luns} Luns */
/** @typedef {Matrix['nodes'][number]} Node */
/** @typedef {Luns['luns'][number]} Lun */

const NODE_HEIGHT = 74
const NODE_WIDTHS = { least: 100, most: 132 }
const LUN_HEIGHT = 78
const LUN_WIDTHS = { least: 158, most: 172 }
const GAP = 12
const NETWORK_GAP = 16
const FALL = 128

/** @param {{ matrix: Matrix, before?: Matrix, luns?: Luns }} props */
export function Topology({ matrix, before, luns }) {
  const [ref, given] = useWidth(900)
  const [chosen, choose] = useState(/** @type {string | undefined} */ (undefined))
  const all = luns?.luns ?? []
  const networks = Math.max(1, ...matrix.nodes.map(({ report }) => addressesOf(report).length))
  const nodeWidth = fitting(NODE_WIDTHS, given, matrix.nodes.length)
  const lunWidth = fitting(LUN_WIDTHS, given, all.length)
  const width = Math.max(given, matrix.nodes.length * (nodeWidth + GAP), all.length * (lunWidth + GAP))
  const nodeTop = 34 + networks * NETWORK_GAP
  const lunTop = nodeTop + NODE_HEIGHT + FALL
  const height = lunTop + LUN_HEIGHT + 14
  const nodeX = (/** @type {number} */ index) => (width * (index + 0.5)) / Math.max(1, matrix.nodes.length)
  const lunX = (/** @type {number} */ index) => (width * (index + 0.5)) / Math.max(1, all.length)
  const paths = all.flatMap((lun, l) =>
    matrix.nodes.flatMap((node, n) => pathsOf(node, lun, nodeX(n), nodeTop + NODE_HEIGHT, lunX(l), lunTop)),
  )
  const rates = ratesOf(matrix, before)
  return html`
    <${Card} id="topology" title="Nodes and LUNs" wide aside=${html`<${Legend} />`}>
      <div class="drawing" ref=${ref} tabindex="0" role="region" aria-label="Drawing of nodes, networks, LUNs and paths">
        <svg width=${width} height=${height} role="group" aria-label="Nodes, networks, LUNs and paths">
          ${Array.from({ length: networks }, (_, index) => html`<${Network} index=${index} y=${20 + index * NETWORK_GAP} width=${width} many=${networks > 1} />`)}
          ${matrix.nodes.map((node, n) => html`<${Links} node=${node} x=${nodeX(n)} top=${nodeTop} networks=${networks} nodes=${matrix.nodes} />`)}
          ${paths.map((path) => html`<${Path} path=${path} faded=${chosen !== undefined && chosen !== path.node} rate=${rates.get(`${path.node} ${path.lun}`) ?? 0} />`)}
          ${matrix.nodes.map(
            (node, n) => html`
              <${NodeBox}
                node=${node} x=${nodeX(n)} y=${nodeTop} width=${nodeWidth} chosen=${chosen === node.node}
                isAdministrator=${matrix.administrator?.node === node.node}
                choose=${() => choose(chosen === node.node ? undefined : node.node)}
              />
            `,
          )}
          ${all.map((lun, l) => html`<${LunBox} lun=${lun} x=${lunX(l)} y=${lunTop} width=${lunWidth} rate=${sumOf(rates, lun.name)} />`)}
        </svg>
      </div>
    <//>
  `
}

/** @param {{ least: number, most: number }} widths @param {number} given @param {number} many */
function fitting({ least, most }, given, many) {
  return Math.max(least, Math.min(most, given / Math.max(1, many) - GAP))
}

function Legend() {
  return html`
    <ul class="legend" aria-label="Legend">
      <li><svg width="26" height="10" aria-hidden="true"><path class="path good" d="M0 5h26" /></svg>path works</li>
      <li><svg width="26" height="10" aria-hidden="true"><path class="path good active" d="M0 5h26" /></svg>and is in use</li>
      <li><svg width="26" height="10" aria-hidden="true"><path class="path bad" d="M0 5h26" /></svg>failed</li>
    </ul>
  `
}

/** @param {{ index: number, y: number, width: number, many: boolean }} props */
function Network({ index, y, width, many }) {
  return html`
    <g class="network">
      <path d=${`M8 ${y}H${width - 8}`} />
      <text x="10" y=${y - 6}>${many ? `network ${index + 1}` : 'network'}</text>
    </g>
  `
}

/** From a node to the networks: whole where it is linked to all other members. @param {{ node: Node, x: number, top: number, networks: number, nodes: readonly Node[] }} props */
function Links({ node, x, top, networks, nodes }) {
  const peers = nodes
    .filter(({ state, node: name }) => state === 'member' && name !== node.node)
    .map(({ node: name }) => name)
  const links = node.report?.links.filter(({ name }) => peers.includes(name)) ?? []
  return Array.from({ length: networks }, (_, network) => {
    const at = x + (network - (networks - 1) / 2) * 14
    const inUse = links.some((link) => link.linked && link.network === network)
    const broken = node.state !== 'member' || links.some(({ linked }) => !linked)
    const kind = broken ? 'bad' : inUse || peers.length === 0 ? 'good active' : 'good'
    return html`
      <g>
        <path class=${`path ${kind}`} d=${`M${at} ${top}V${20 + network * NETWORK_GAP}`} />
        <circle class="plug" cx=${at} cy=${20 + network * NETWORK_GAP} r="3" />
      </g>
    `
  })
}

/**
 * @param {{ node: Node, x: number, y: number, width: number, chosen: boolean, isAdministrator: boolean, choose: () => void }} props
 */
function NodeBox({ node, x, y, width, chosen, isAdministrator, choose }) {
  const { mark, word } = stateOfNode(node)
  const left = x - width / 2
  const { report } = node
  const cpu = report
    ? width < 120
      ? bytes(report.process.rssBytes)
      : `${Math.round(report.process.cpu * 100)} % CPU, ${bytes(report.process.rssBytes)}`
    : (node.lease?.host ?? '')
  const onKey = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== 'Enter' && event.key !== ' ') return
    event.preventDefault()
    choose()
  }
  return html`
    <g
      class=${`box ${mark}${chosen ? ' chosen' : ''}`} role="button" tabindex="0" aria-pressed=${chosen}
      aria-description="shows its paths alone"
      onClick=${choose} onKeyDown=${onKey}
    >
      <rect x=${left} y=${y} width=${width} height=${NODE_HEIGHT} rx="10" />
      <${Shape} mark=${mark} x=${left + 12} y=${y + 12} size=${16} />
      <text class="name" x=${left + 35} y=${y + 26}>${node.node}</text>
      ${isAdministrator && html`<g class="badge"><rect x=${left + width - 60} y=${y - 9} width="52" height="18" rx="9" /><text x=${left + width - 34} y=${y + 4}>admin</text></g>`}
      <text x=${left + 12} y=${y + 46}>${word}</text>
      <text class="fine" x=${left + 12} y=${y + 63}>${cpu}</text>
    </g>
  `
}

/** @param {{ lun: Lun, x: number, y: number, width: number, rate: number }} props */
function LunBox({ lun, x, y, width, rate }) {
  const { mark, word } = stateOfLun(lun.state)
  const [left, right] = [x - width / 2, x + width / 2]
  const bottom = y + LUN_HEIGHT - 8
  const [use] = lun.use
  const what = use
    ? `${use.filesystem}${use.draining ? ', draining' : use.part === 'first' ? ', journals' : ''}`
    : 'not in use'
  return html`
    <g class=${`box lun ${mark}`}>
      <title>${`LUN ${lun.name}, ${word}, ${bytes(lun.sizeBytes)}, ${what}`}</title>
      <path d=${`M${left} ${y + 8}a${width / 2} 8 0 0 1 ${width} 0V${bottom}a${width / 2} 8 0 0 1 ${-width} 0z`} />
      <path class="rim" d=${`M${left} ${y + 8}a${width / 2} 8 0 0 0 ${width} 0`} />
      <${Shape} mark=${mark} x=${left + 12} y=${y + 20} size=${16} />
      <text class="name" x=${left + 35} y=${y + 34}>${lun.name}</text>
      <text x=${right - 10} y=${y + 34} text-anchor="end">${mark === 'good' ? '' : word}</text>
      <text x=${left + 12} y=${y + 52}>${bytes(lun.sizeBytes)}, ${what}</text>
      <text class="fine" x=${left + 12} y=${y + 68}>${rate > 0 ? `${count(rate)} I/O per s` : 'no I/O now'}</text>
    </g>
  `
}

/**
 * @typedef {{ node: string, lun: string, mark: string, word: string, d: string, x: number, y: number, title: string }} Drawn
 * @param {{ path: Drawn, faded: boolean, rate: number }} props
 */
function Path({ path, faded, rate }) {
  const active = rate > 0.5 && path.mark === 'good' && path.word !== 'ready'
  const width = active ? Math.min(5, 1.6 + Math.log10(1 + rate) * 0.9) : undefined
  return html`
    <g class=${faded ? 'faded' : ''}>
      <path class=${`path ${path.mark}${active ? ' active' : ''}`} d=${path.d} stroke-width=${width}><title>${path.title}</title></path>
      ${
        (path.mark === 'bad' || path.mark === 'warn') &&
        html`<${Shape} mark=${path.mark} x=${path.x - 8} y=${path.y - 8} size=${16} />`
      }
    </g>
  `
}

/**
 * As many lines as the node has paths to the LUN; one where its device has no paths of its own.
 * @param {Node} node @param {Lun} lun @param {number} x @param {number} y @param {number} lunX @param {number} lunY
 * @returns {Drawn[]}
 */
function pathsOf(node, lun, x, y, lunX, lunY) {
  const sight = lun.sights.find(({ node: name }) => name === node.node)
  if (node.state === 'down') return []
  const whole =
    !sight?.answered || node.state !== 'member'
      ? { mark: 'off', word: 'unknown' }
      : stateOfLun(sight.state ?? 'missing')
  const ways = sight?.paths.length ? sight.paths : [{ name: '', state: '', reason: sight?.reason ?? null }]
  return ways.map((way, index) => {
    const shift = (index - (ways.length - 1) / 2) * 16
    const { mark, word } = way.state === '' || whole.mark !== 'good' ? whole : stateOfPath(way.state)
    const [fromX, toX] = [x + shift, lunX + shift * 1.5]
    const middle = (y + lunY) / 2
    const title = `${node.node} to ${lun.name}${way.name ? ` by ${way.name}` : ''}: ${word}${way.reason ? `, ${way.reason}` : ''}`
    return {
      ...{ node: node.node, lun: lun.name, mark, word, title, x: (fromX + toX) / 2, y: middle },
      d: `M${fromX} ${y}C${fromX} ${middle} ${toX} ${middle} ${toX} ${lunY + 2}`,
    }
  })
}

/** Operations per second by node and LUN, since the answer before. @param {Matrix} matrix @param {Matrix | undefined} before */
function ratesOf(matrix, before) {
  /** @type {Map<string, number>} */
  const rates = new Map()
  for (const { node, report } of matrix.nodes) {
    const former = before?.nodes.find((each) => each.node === node)?.report
    if (!report || !former || former.incarnation !== report.incarnation || report.at <= former.at) continue
    for (const { name, io } of report.luns) {
      const past = former.luns.find((lun) => lun.name === name)
      if (!past) continue
      const done = operations(io) - operations(past.io)
      rates.set(`${node} ${name}`, Math.max(0, (done * 1000) / (report.at - former.at)))
    }
  }
  return rates
}

/** @param {Record<string, { ops: number }>} io */
function operations(io) {
  return Object.values(io).reduce((total, { ops }) => total + ops, 0)
}

/** @param {Map<string, number>} rates @param {string} lun */
function sumOf(rates, lun) {
  return [...rates].reduce((total, [key, rate]) => (key.endsWith(` ${lun}`) ? total + rate : total), 0)
}

/** @param {Node['report']} report */
function addressesOf(report) {
  return report?.view?.members.find(({ slot }) => slot === report.slot)?.addresses ?? []
}
