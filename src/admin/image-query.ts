/**
 * Entry of the process that reads an image for others (image-reader.ts): `node image-query.ts FILE`. Nothing it is asked can change anything: the
 * connection is read-only, and one statement that only reads is run per question. Rows are bounded here; time and memory by whoever started it.
 *
 * Names in the image are byte strings as latin1 text; `utf8(name)` shows one, `bytes('é')` is what to compare one with, and `path(ino)` is
 * where an inode is found.
 */

import process from 'node:process'
import { createInterface } from 'node:readline'
import Database from 'better-sqlite3'
import * as v from 'valibot'
import { ROOT_INO } from '../base/ids.ts'
import { imageQuestion, type PathsAnswer, type queryResult } from './image-question.ts'

/** Of all rows of an answer, as JSON, characters. */
const ANSWER_MAX = 8 * 1024 * 1024
/** A path that is longer than this is a loop, which a sound image has none of. */
const DEPTH_MAX = 4096

const [, , file] = process.argv
const db = open()
/** For functions within a query: a connection runs one statement at a time. */
const beside = open()
const parentOf = beside.prepare('SELECT parent, type FROM inode WHERE ino = ?')
const nameIn = beside.prepare('SELECT name FROM dirent WHERE dir = ? AND ino = ?').pluck()
const anyName = beside.prepare('SELECT dir, name FROM dirent WHERE ino = ? LIMIT 1')
const DIRECTORY = 2

db.function('utf8', { deterministic: true }, (name: unknown) => (typeof name === 'string' ? shown(name) : name))
db.function('bytes', { deterministic: true }, (text: unknown) =>
  typeof text === 'string' ? Buffer.from(text, 'utf8').toString('latin1') : text,
)
db.function('path', (ino: unknown) => (typeof ino === 'number' ? (pathOf(ino) ?? null) : null))

createInterface({ input: process.stdin }).on('line', (line) => {
  const question = v.parse(v.pipe(v.string(), v.parseJson(), imageQuestion), line)
  const answer = 'sql' in question ? query(question.sql, question.maxRows) : paths(question.inos)
  process.stdout.write(`${JSON.stringify(answer)}\n`)
})

function open(): Database.Database {
  const opened = new Database(file as string, { readonly: true, fileMustExist: true })
  opened.pragma('query_only = 1')
  return opened
}

function query(sql: string, maxRows: number): v.InferOutput<typeof queryResult> {
  const started = performance.now()
  try {
    const first = /^\s*(?:--[^\n]*\n\s*|\/\*.*?\*\/\s*)*([a-z]+)/is.exec(sql)?.[1]?.toUpperCase()
    if (first === undefined || !['SELECT', 'WITH', 'VALUES', 'EXPLAIN'].includes(first))
      return { error: `only SELECT, WITH, VALUES and EXPLAIN are answered, not ${first ?? 'this'}` }
    const statement = db.prepare(sql)
    if (!statement.reader || !statement.readonly) return { error: 'the statement would change something' }
    const columns = statement.columns().map(({ name }) => name)
    const rows: (null | number | string)[][] = []
    let size = 0
    let truncated = false
    for (const row of statement.safeIntegers().raw().iterate() as IterableIterator<unknown[]>) {
      const cells = row.map(cellOf)
      size += JSON.stringify(cells).length
      truncated = rows.length === maxRows || size > ANSWER_MAX
      if (truncated) break
      rows.push(cells)
    }
    return { columns, rows, truncated, ms: performance.now() - started }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}

function cellOf(value: unknown): null | number | string {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
  if (Buffer.isBuffer(value)) return value.toString('hex')
  return value as null | number | string
}

function paths(inos: readonly number[]): PathsAnswer {
  const files = inos.filter((ino) => (parentOf.get(ino) as { type: number } | undefined)?.type !== DIRECTORY)
  // names are not indexed by inode: one pass finds all of them
  const marks = files.map(() => '?').join()
  const found = beside.prepare(`SELECT ino, dir, name FROM dirent WHERE ino IN (${marks})`).all(...files) as {
    ino: number
    dir: number
    name: string
  }[]
  const names = new Map(found.map((row) => [row.ino, row]))
  return inos.flatMap((ino): PathsAnswer => {
    const name = names.get(ino)
    const path = name ? join(pathOfDirectory(name.dir), name.name) : pathOfDirectory(ino)
    return path === undefined ? [] : [[ino, path]]
  })
}

function pathOf(ino: number): string | undefined {
  const directory = pathOfDirectory(ino)
  if (directory !== undefined) return directory
  const row = anyName.get(ino) as { dir: number; name: string } | undefined
  return row && join(pathOfDirectory(row.dir), row.name)
}

function pathOfDirectory(ino: number): string | undefined {
  const names: string[] = []
  for (let at = ino; at !== ROOT_INO; ) {
    const row = parentOf.get(at) as { parent: number; type: number } | undefined
    const name = row?.type === DIRECTORY ? (nameIn.get(row.parent, at) as string | undefined) : undefined
    if (!row || name === undefined || names.length > DEPTH_MAX) return undefined
    names.unshift(shown(name))
    at = row.parent
  }
  return `/${names.join('/')}`
}

function join(directory: string | undefined, name: string): string | undefined {
  if (directory === undefined) return undefined
  return `${directory === '/' ? '' : directory}/${shown(name)}`
}

/** A byte string as people read it; what is no UTF-8 keeps a mark in its place. */
function shown(name: string): string {
  return Buffer.from(name, 'latin1').toString('utf8')
}
