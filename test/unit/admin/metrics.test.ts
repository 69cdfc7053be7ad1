/** The metrics: well formed, with help, and what the ready Grafana dashboard asks for is there. */
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Metrics, metrics } from '../../../src/admin/metrics.ts'

const all = new Metrics()
const names = new Set(all.names())

test('names are of one kind: a counter ends in _total, no other does; units are base units', () => {
  for (const { name, kind, help, labels } of metrics) {
    assert.match(name, /^[a-z][a-z_]*[a-z]$/)
    assert.is(name.endsWith('_total'), kind === 'counter', name)
    assert.not.match(name, /_(?:ms|milliseconds|kib|percent)(?:_|$)/)
    assert.ok(help.length > 10 && !help.endsWith('.'), name)
    for (const label of labels) assert.match(label, /^[a-z]+$/)
  }
  assert.is(new Set(metrics.map(({ name }) => name)).size, metrics.length)
})

test('the Grafana dashboard asks for nothing that is not there, and shows all that this project counts', () => {
  const text = readFileSync(new URL('../../../config/grafana-dashboard.json', import.meta.url), 'utf8')
  const { panels, templating, annotations } = JSON.parse(text) as {
    panels: { id: number; type: string; title: string; targets?: { expr: string }[] }[]
    templating: { list: { query: unknown }[] }
    annotations: { list: { expr: string }[] }
  }
  const asked = [...panels.flatMap(({ targets = [] }) => targets), ...annotations.list].map(({ expr }) => expr)
  const found = new Set(`${asked.join(' ')} ${JSON.stringify(templating)}`.match(/\bmatrixfs_\w+/g))
  assert.equal(
    [...found].filter((name) => !names.has(name)),
    [],
  )
  assert.equal(
    metrics.map(({ name }) => `matrixfs_${name}`).filter((name) => !found.has(name)),
    ['matrixfs_view_members', 'matrixfs_san_generation', 'matrixfs_link_up'],
    'shown by other means: nothing else may be forgotten',
  )
  assert.is(new Set(panels.map(({ id }) => id)).size, panels.length)
  for (const expr of asked) {
    const opened = expr.split('(').length
    assert.is(opened, expr.split(')').length, expr)
  }
  for (const { type, title, targets = [] } of panels) assert.is(targets.length > 0, type !== 'row', title)
})

test('docs/admin.md has them all', () => {
  const page = new URL('../../../docs/admin.md', import.meta.url)
  const text = readFileSync(page, 'utf8')
  const rows = metrics.map(({ name, labels, help }) => `| \`matrixfs_${name}\` | ${labels.join(', ')} | ${help} |`)
  const table = ['| name | labels | meaning |', '|---|---|---|', ...rows].join('\n')
  const made = text.replace(
    /(<!-- metrics: [^\n]*-->\n)[\s\S]*?(<!-- end of metrics -->)/,
    (_, begin: string, end: string) => `${begin}\n${table}\n\n${end}`,
  )
  if (process.env['UPDATE_FORMAT_DOCS']) writeFileSync(page, made)
  else assert.is(text, made, 'UPDATE_FORMAT_DOCS=1 npm test -- unit/admin/metrics writes it anew')
})

test.run()
