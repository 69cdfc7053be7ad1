/** The table at the end of a run: per matrix and scenario, how often, and median and worst of what was measured. */
import { markdownTable } from '../../helpers/markdown-table.ts'
import type { Fencing } from './real-matrix.ts'
import { limits, type Measured, type Result } from './scenario.ts'

export type Row = Result & { readonly nodes: number; readonly fencing: Fencing }

const columns: readonly (readonly [keyof Measured, string])[] = [
  ['takeover', 'held by the lost'],
  ['cached', 'cached'],
  ['untouched', 'untouched'],
  ['orphaned', 'made at the lost'],
  ['rejoin', 'rejoin'],
]

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

/** Cells "median / worst" in seconds; `!` marks what is over its goal. */
export function tableOf(rows: readonly Row[]): string {
  const groups = new Map<string, Row[]>()
  for (const row of rows) {
    const key = `${row.nodes} ${row.fencing} ${row.scenario}`
    groups.set(key, [...(groups.get(key) ?? []), row])
  }
  const lines = [...groups.values()].map((group) => {
    const { nodes, fencing, scenario, judgedBy } = group[0] as Row
    const cells = columns.map(([kind]) =>
      cell(
        group.flatMap((row) => row[kind]),
        limits[kind][judgedBy],
      ),
    )
    const violations = group.reduce((sum, row) => sum + row.violations.length, 0)
    const operations = group.reduce((sum, row) => sum + row.operations, 0)
    return [`${nodes}`, fencing, scenario, `${group.length}`, ...cells, `${operations}`, `${violations}`]
  })
  const head = [
    'nodes',
    'fencing',
    'scenario',
    'runs',
    ...columns.map(([, title]) => title),
    'operations',
    'violations',
  ]
  return markdownTable(head, lines)
}

function cell(values: readonly number[], limit: number): string {
  if (values.length === 0) return '–'
  const worst = Math.max(...values)
  return `${(median(values) / 1000).toFixed(2)} / ${(worst / 1000).toFixed(2)}${worst > limit ? ' !' : ''}`
}
