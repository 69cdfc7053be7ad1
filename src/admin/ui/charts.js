/** What the nodes do, over the last quarter of an hour: a line per node, the figures as text beneath. */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import uPlot from 'uplot'
import { bytes, clockTime, count, duration } from './format.js'
import { html } from './html.js'
import { useWidth } from './width.js'

/** @typedef {import('../api/node-report.ts').Sample} Sample */
/** @typedef {(now: Sample, before: Sample, seconds: number) => number | undefined} Measure undefined: nothing was done that could be measured */
/** @typedef {(number | null | undefined)[]} Line a line goes on over undefined, and ends at null */

const HEIGHT = 132
const STEP_MS = 2_000
const SYNC = 'nodes'
/** Of lines that share a colour, after eight nodes. */
const DASHES = [[], [6, 4], [2, 3]]

/** Steps of an axis that counts bytes. */
const POWERS_OF_TWO = Array.from({ length: 50 }, (_, power) => 2 ** power)

/** @type {(total: (sample: Sample) => number) => Measure} */
const perSecond = (total) => (now, before, seconds) => (total(now) - total(before)) / seconds
/** @type {(total: (sample: Sample) => number, times: (sample: Sample) => number) => Measure} */
const mean = (total, times) => (now, before) => {
  const done = times(now) - times(before)
  return done > 0 ? (total(now) - total(before)) / done : undefined
}

/** @type {{ title: string, about: string, sum: boolean, inBytes?: boolean, format: (value: number) => string, measure: Measure }[]} */
const CHARTS = [
  {
    ...{ title: 'Requests', about: 'NFS calls and HTTP requests per second', sum: true },
    format: (value) => `${count(value)}/s`,
    measure: perSecond(({ nfsCalls, httpRequests }) => nfsCalls + httpRequests),
  },
  {
    ...{ title: 'File data', about: 'read from and written to the LUNs per second', sum: true, inBytes: true },
    format: (value) => `${bytes(value)}/s`,
    measure: perSecond(({ readBytes, writtenBytes }) => readBytes + writtenBytes),
  },
  {
    ...{ title: 'Journal write', about: 'mean time of one, on the LUN', sum: false },
    format: duration,
    measure: mean(
      ({ journalMs }) => journalMs,
      ({ journalIos }) => journalIos,
    ),
  },
  {
    ...{ title: 'Lock from another node', about: 'mean time from request to grant', sum: false },
    format: duration,
    measure: mean(
      ({ lockWaitMs }) => lockWaitMs,
      ({ lockWaits }) => lockWaits,
    ),
  },
  {
    ...{
      title: 'Journal lag',
      about: "of peers' journals, durable and not applied here yet",
      sum: false,
      inBytes: true,
    },
    format: bytes,
    measure: ({ lagBytes }) => lagBytes,
  },
  {
    ...{ title: 'Event loop', about: 'how late it was at worst', sum: false },
    format: duration,
    measure: ({ loopDelayMs }) => loopDelayMs,
  },
]

/** @param {{ samples: Map<string, Sample[]>, theme: string }} props */
export function Charts({ samples, theme }) {
  const nodes = [...samples.keys()].sort()
  return html`
    <section class="charts" id="charts" aria-label="Charts of the last quarter of an hour">
      ${CHARTS.map((chart) => html`<${Chart} key=${chart.title} ...${chart} nodes=${nodes} samples=${samples} theme=${theme} />`)}
    </section>
  `
}

/** @param {(typeof CHARTS)[number] & { nodes: string[], samples: Map<string, Sample[]>, theme: string }} props */
function Chart({ title, about, sum, inBytes = false, format, measure, nodes, samples, theme }) {
  const [ref, width] = useWidth(320)
  const plot = useRef(/** @type {uPlot | undefined} */ (undefined))
  const [cursor, setCursor] = useState(/** @type {number | null} */ (null))
  const table = useMemo(() => tableOf(nodes, samples, measure), [samples])
  const names = nodes.join(' ')
  useEffect(() => {
    const element = ref.current
    if (!element || width < 40) return
    const drawn = new uPlot(options(nodes, format, inBytes, width, setCursor), /** @type {any} */ (table), element)
    plot.current = drawn
    return () => drawn.destroy()
  }, [names, theme, width > 40])
  useEffect(() => plot.current?.setSize({ width, height: HEIGHT }), [width])
  useEffect(() => plot.current?.setData(/** @type {any} */ (table)), [table])
  const [times = [], ...lines] = table
  const shown = cursor ?? times.length - 1
  const values = lines.map((line) => (cursor === null ? lastOf(line) : line[shown]))
  const known = values.filter((value) => typeof value === 'number')
  const whole = known.length === 0 ? null : sum ? known.reduce((a, b) => a + b, 0) : Math.max(...known)
  const moment = cursor === null ? '' : `, at ${clockTime((times[shown] ?? 0) * 1000)}`
  const textOf = (/** @type {Line[number]} */ value) => (typeof value === 'number' ? format(value) : '–')
  return html`
    <section class="card chart" aria-label=${`${title}: ${about}`}>
      <header>
        <h3>${title}</h3>
        <strong>${whole === null ? '–' : format(whole)}</strong>
      </header>
      <p class="fine">${about}${sum ? '; all nodes' : '; the worst node'}${moment}</p>
      <div class="plot" aria-hidden="true" ref=${ref}></div>
      <ul class="readout">
        ${nodes.map((node, index) => html`<${Reading} key=${node} node=${node} index=${index} text=${textOf(values[index])} />`)}
      </ul>
    </section>
  `
}

/** @param {{ node: string, index: number, text: string }} props */
function Reading({ node, index, text }) {
  const kind = `line s${index % 8}${index > 7 ? ' dashed' : ''}`
  return html`<li><span class=${kind} aria-hidden="true"></span>${node} <b>${text}</b></li>`
}

/** The newest value, of the last few. @param {Line} line */
function lastOf(line) {
  return line.slice(-3).findLast((value) => typeof value === 'number')
}

/**
 * Times in seconds, and a line of values per node: each node samples at moments of its own, which are put on a common grid.
 * @param {string[]} nodes @param {Map<string, Sample[]>} samples @param {Measure} measure
 * @returns {[number[], ...Line[]]}
 */
function tableOf(nodes, samples, measure) {
  const rows = nodes.map((node) => {
    const all = samples.get(node) ?? []
    /** @type {Map<number, number | null | undefined>} */
    const row = new Map()
    all.forEach((now, index) => {
      const before = all[index - 1]
      const goesOn = before && before.incarnation === now.incarnation
      row.set(Math.round(now.at / STEP_MS), goesOn ? measure(now, before, (now.at - before.at) / 1000) : null)
    })
    return row
  })
  const grid = [...new Set(rows.flatMap((row) => [...row.keys()]))].sort((a, b) => a - b)
  return [grid.map((at) => (at * STEP_MS) / 1000), ...rows.map((row) => grid.map((at) => row.get(at)))]
}

/**
 * @param {string[]} nodes @param {(value: number) => string} format @param {boolean} inBytes @param {number} width @param {(index: number | null) => void} onCursor
 * @returns {uPlot.Options}
 */
function options(nodes, format, inBytes, width, onCursor) {
  const style = getComputedStyle(document.documentElement)
  const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim()
  const font = `11px ${colour('--font')}`
  const axis = { stroke: colour('--ink-2'), font, ticks: { show: false } }
  return {
    ...{ width, height: HEIGHT, legend: { show: false }, padding: [8, 20, 0, 0] },
    cursor: { sync: { key: SYNC }, points: { size: 6 }, drag: { x: false, y: false }, y: false },
    scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.15 : 1] } },
    axes: [
      {
        ...axis,
        grid: { show: false },
        space: 70,
        size: 28,
        values: [
          [60, '{HH}:{mm}', null, null, null, null, null, null, 1],
          [1, '{HH}:{mm}:{ss}', null, null, null, null, null, null, 1],
        ],
      },
      {
        ...axis,
        grid: { stroke: colour('--line'), width: 1 },
        space: 36,
        size: 66,
        ...(inBytes && { incrs: POWERS_OF_TWO }),
        values: (_, splits) => splits.map((value) => format(value)),
      },
    ],
    series: [
      {},
      ...nodes.map((label, index) => ({
        ...{
          label,
          stroke: colour(`--s${index % 8}`),
          width: 1.75,
          dash: DASHES[Math.floor(index / 8) % DASHES.length],
        },
        points: { show: false },
      })),
    ],
    hooks: { setCursor: [(plot) => onCursor(plot.cursor.idx ?? null)] },
  }
}
