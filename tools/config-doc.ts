/** The tables of docs/configuration.md, made from the schema: `node tools/config-doc.ts` writes them into the page. */
import { readFileSync, writeFileSync } from 'node:fs'
import type * as v from 'valibot'
import { entriesOf, infoOf, unwrapOptional } from '../config/problems.ts'
import { fileSchema } from '../config/schema.ts'

const page = new URL('../docs/configuration.md', import.meta.url)
const BEGIN = '<!-- keys: made from config/schema.ts by `node tools/config-doc.ts` -->'
const END = '<!-- end of keys -->'

type Schema = v.GenericSchema

/** A section per table of the file, a row per key. */
export function keyTables(): string {
  return Object.entries(entriesOf(fileSchema)).map(section).join('\n')
}

function section([name, schema]: [string, Schema]): string {
  const bare = unwrapOptional(schema) as Schema & { item?: Schema }
  const isList = bare.item !== undefined
  const rows = Object.entries(entriesOf(bare.item ?? bare)).map(
    ([key, value]) =>
      `| \`${key}\` | ${necessity(value)} | ${cell(keyInfo(value).allowed)} | ${cell(keyInfo(value).about)} |`,
  )
  return `### ${isList ? `[[${name}]]` : `[${name}]`}

${need(schema, isList)}

| key | default | allowed | meaning |
|---|---|---|---|
${rows.join('\n')}
`
}

function need(schema: Schema, isList: boolean): string {
  if (schema.type === 'optional') {
    const has = (schema as Schema & { default?: unknown }).default !== undefined
    if (isList) return 'Any number of these, also none.'
    return has
      ? 'May be left out; then every key has its default.'
      : 'May be left out; then nothing is served this way.'
  }
  return isList ? 'One or more of these.' : 'Necessary.'
}

function necessity(schema: Schema): string {
  if (schema.type !== 'optional') return 'necessary'
  const { default: value } = schema as Schema & { default?: unknown }
  return value === undefined ? '' : `\`${JSON.stringify(value)}\``
}

/** Of a key, or of the items of a list. */
function keyInfo(schema: Schema): { about: string; allowed: string } {
  const own = infoOf(schema)
  if (own) return own
  const { item } = unwrapOptional(schema) as Schema & { item?: Schema }
  const info = infoOf(item)
  if (!info) throw new Error('a key without a description')
  return { about: info.about, allowed: `a list; each ${info.allowed}` }
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}

/** The page with its tables as they should be. */
export function renewedPage(current: string): string {
  const [before, rest] = current.split(BEGIN)
  const after = rest?.split(END)[1]
  if (before === undefined || after === undefined) throw new Error('docs/configuration.md has lost its markers')
  return `${before}${BEGIN}\n\n${keyTables()}\n${END}${after}`
}

export function readPage(): string {
  return readFileSync(page, 'utf8')
}

if (import.meta.main) writeFileSync(page, renewedPage(readPage()))
