/** What is wrong with a configuration file, each problem as one line: where, what was found, what is allowed. */
import * as v from 'valibot'
import type { KeyInfo } from './values.ts'

type Schema = v.GenericSchema
type Path = readonly (string | number)[]

/** One line for an issue that valibot found in `schema`. */
export function explain(schema: Schema, issue: v.BaseIssue<unknown>): string {
  const path: Path = (issue.path ?? []).map((item) => item.key as string | number)
  const where = formatPath(path)
  const parent = schemaAt(schema, path.slice(0, -1))
  if (issue.type === 'strict_object' && issue.expected === 'never') {
    return `${where}: unknown key; ${suggestion(String(path.at(-1)), keysOf(parent))}`
  }
  const here = schemaAt(schema, path)
  const allowed = infoOf(here)?.allowed ?? shapeOf(here) ?? issue.message
  if (issue.kind === 'schema' && issue.input === undefined) return `${where}: missing; allowed is ${allowed}`
  if (issue.kind === 'schema') return `${where}: found ${show(issue.input)}; allowed is ${allowed}`
  // A rule on a whole list says by its message what is allowed.
  return `${where}: found ${show(issue.input)}; allowed is ${issue.message}`
}

/** Keys of a table that are there only together: a line for each that lacks. */
export function incomplete<Key extends string>(
  table: string,
  written: { readonly [K in Key]?: unknown },
  keys: readonly Key[],
): string[] {
  const missing = keys.filter((key) => written[key] === undefined)
  const there = keys.find((key) => written[key] !== undefined)
  if (there === undefined) return []
  return missing.map((key) => `${table}.${key}: missing; ${table}.${there} needs it beside it`)
}

/** `nodes[1].mesh`. */
export function formatPath(path: Path): string {
  const text = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${key}`)).join('')
  return text.replace(/^\./, '')
}

/** The keys that may stand in a table; empty for anything else. */
export function keysOf(schema: Schema | undefined): readonly string[] {
  return schema ? Object.keys(entriesOf(schema)) : []
}

/** The schema of what stands at `path`, without `optional` and `pipe` around it. */
export function schemaAt(schema: Schema, path: Path): Schema | undefined {
  let at: Schema | undefined = schema
  for (const key of path) {
    if (at === undefined) return undefined
    const bare: Schema = unwrap(at)
    at = typeof key === 'number' ? (bare as Schema & { item?: Schema }).item : entriesOf(bare)[key]
  }
  return at
}

export function infoOf(schema: Schema | undefined): KeyInfo | undefined {
  if (!schema) return undefined
  const bare = unwrapOptional(schema)
  const info = 'pipe' in bare ? (v.getMetadata(bare as never) as Partial<KeyInfo>) : {}
  return info.allowed === undefined ? undefined : (info as KeyInfo)
}

export function entriesOf(schema: Schema): Record<string, Schema> {
  return (unwrap(schema) as Schema & { entries?: Record<string, Schema> }).entries ?? {}
}

export function unwrapOptional(schema: Schema): Schema {
  return schema.type === 'optional' ? (schema as Schema & { wrapped: Schema }).wrapped : schema
}

/** Valibot spreads a pipe's first schema into the pipe, so only `optional` has to be taken off. */
function unwrap(schema: Schema): Schema {
  return unwrapOptional(schema)
}

function shapeOf(schema: Schema | undefined): string | undefined {
  if (!schema) return undefined
  const bare = unwrap(schema)
  if (bare.type === 'array') {
    const item = infoOf((bare as Schema & { item?: Schema }).item)
    return item ? `a list, each ${item.allowed}` : 'a list of tables'
  }
  return bare.type === 'strict_object' ? `a table with the keys ${keysOf(bare).join(', ')}` : undefined
}

/** What was found, as one would write it in the file; long values are cut, and passwords in URLs left out. */
function show(value: unknown): string {
  const written = value instanceof Date ? value.toISOString() : (JSON.stringify(value) ?? String(value))
  const text = written.replace(/(:\/\/[^/@\s:]*:)[^@\s]*@/g, '$1…@')
  return text.length <= 60 ? text : `${text.slice(0, 57)}…`
}

function suggestion(key: string, known: readonly string[]): string {
  const nearest = known
    .map((name) => ({ name, distance: editDistance(key, name) }))
    .sort((a, b) => a.distance - b.distance)[0]
  if (nearest && nearest.distance <= Math.max(2, key.length / 3)) return `did you mean ${nearest.name}?`
  return `known here: ${known.join(', ')}`
}

/** Insertions, deletions, replacements and swaps of neighbours that lead from `a` to `b`. */
export function editDistance(a: string, b: string): number {
  const rows = Array.from({ length: a.length + 1 }, (_, i) => [i, ...Array<number>(b.length).fill(0)])
  for (let j = 0; j <= b.length; j++) rows[0]![j] = j
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let least = Math.min(rows[i - 1]![j]! + 1, rows[i]![j - 1]! + 1, rows[i - 1]![j - 1]! + (same ? 0 : 1))
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (swapped) least = Math.min(least, rows[i - 2]![j - 2]! + 1)
      rows[i]![j] = least
    }
  }
  return rows[a.length]![b.length]!
}
