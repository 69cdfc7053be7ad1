/** Reading TypeScript sources for the checks: no parser, just enough to tell code from comments, strings and regexps. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'

export interface Source {
  /** Relative to the root, with slashes. */
  name: string
  /** The text with comments and the insides of strings and regular expressions blanked; same length, same lines. */
  code: string
  /** What stood in each '…' or "…" string or plain template, by the offset of its opening quote. */
  strings: Map<number, string>
}

export interface Finding {
  file: string
  line: number
  message: string
}

/** A `/` after one of these words begins a regular expression, not a division. */
const BEFORE_REGEXP = new Set(
  'return typeof case in of delete void throw new do else yield await instanceof'.split(' '),
)

export function readSources(root: string, folders: string[]): Source[] {
  const sources: Source[] = []
  const visit = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) {
        if (entry.name !== 'node_modules' && entry.name !== 'dist') visit(path)
      } else if (/\.[cm]?tsx?$/.test(entry.name)) {
        sources.push(parse(relative(root, path).split(sep).join('/'), readFileSync(path, 'utf8')))
      }
    }
  }
  for (const folder of folders) {
    try {
      visit(join(root, folder))
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'ENOENT') throw err
    }
  }
  return sources.sort((a, b) => (a.name < b.name ? -1 : 1))
}

export function parse(name: string, text: string): Source {
  const strings = new Map<number, string>()
  const out: string[] = []
  let at = 0

  const keep = (to: number): void => {
    out.push(text.slice(at, to))
    at = to
  }
  const blank = (to: number): void => {
    out.push(text.slice(at, to).replace(/[^\n]/g, ' '))
    at = to
  }

  /** Whether a `/` at this place can only begin a regular expression. */
  const regexpMayStart = (): boolean => {
    const before = out.slice(-200).join('').trimEnd()
    if (before === '') return true
    const word = /[\w$]+$/.exec(before)?.[0]
    if (word) return BEFORE_REGEXP.has(word) && before.at(-word.length - 1) !== '.'
    return !/[)\]}'"`]$/.test(before)
  }

  /** A quoted string whose opening quote is at `at`. */
  const quoted = (quote: string): void => {
    let end = at + 1
    while (end < text.length && text[end] !== quote && text[end] !== '\n') end += text[end] === '\\' ? 2 : 1
    strings.set(at, text.slice(at + 1, end))
    keep(at + 1)
    blank(Math.min(end, text.length))
    if (text[at] === quote) keep(at + 1)
  }

  const regexp = (): void => {
    let end = at + 1
    let inClass = false
    while (end < text.length && text[end] !== '\n' && (inClass || text[end] !== '/')) {
      if (text[end] === '\\') end++
      else if (text[end] === '[') inClass = true
      else if (text[end] === ']') inClass = false
      end++
    }
    keep(at + 1)
    blank(Math.min(end, text.length))
    if (text[at] === '/') keep(at + 1)
  }

  const template = (): void => {
    const open = at
    let plain = true
    keep(at + 1)
    while (at < text.length) {
      let end = at
      while (end < text.length && text[end] !== '`' && !(text[end] === '$' && text[end + 1] === '{')) {
        end += text[end] === '\\' ? 2 : 1
      }
      blank(Math.min(end, text.length))
      if (text[at] === '`') {
        if (plain) strings.set(open, text.slice(open + 1, at))
        keep(at + 1)
        return
      }
      plain = false
      keep(Math.min(at + 2, text.length))
      codeUntilBrace()
    }
  }

  /** Code up to the `}` that closes what is open now, or to the end of the text. */
  const codeUntilBrace = (): void => {
    let depth = 0
    while (at < text.length) {
      const char = text[at]!
      const next = text[at + 1]
      if (char === '/' && next === '/') {
        const end = text.indexOf('\n', at)
        blank(end < 0 ? text.length : end)
      } else if (char === '/' && next === '*') {
        const end = text.indexOf('*/', at + 2)
        blank(end < 0 ? text.length : end + 2)
      } else if (char === "'" || char === '"') {
        quoted(char)
      } else if (char === '`') {
        template()
      } else if (char === '/' && regexpMayStart()) {
        regexp()
      } else {
        if (char === '{') depth++
        if (char === '}' && depth-- === 0) {
          keep(at + 1)
          return
        }
        keep(at + 1)
      }
    }
  }

  if (text.startsWith('#!')) blank(text.indexOf('\n') < 0 ? text.length : text.indexOf('\n'))
  while (at < text.length) codeUntilBrace()
  return { name, code: out.join(''), strings }
}

export function lineOf(source: Source, offset: number): number {
  let line = 1
  for (let i = source.code.indexOf('\n'); i >= 0 && i < offset; i = source.code.indexOf('\n', i + 1)) line++
  return line
}

export type ImportKind = 'import' | 'url'

export interface Import {
  /** `url`: a `new URL('./x.ts', import.meta.url)`, the entry of a thread or process rather than an import. */
  kind: ImportKind
  specifier: string
  offset: number
  /** Between `import` and `from`; empty for the other forms. */
  clause: string
}

const IMPORT_FORMS: [ImportKind, RegExp][] = [
  ['import', /\bfrom\s*(?=['"])/g],
  ['import', /\bimport\s*(?:\(\s*)?(?=['"`])/g],
  ['import', /\brequire(?:\.resolve)?\s*\(\s*(?=['"`])/g],
  ['url', /\bnew\s+URL\s*\(\s*(?=['"`])/g],
]

export function importsOf(source: Source): Import[] {
  const found: Import[] = []
  for (const [kind, pattern] of IMPORT_FORMS) {
    for (const match of source.code.matchAll(pattern)) {
      const offset = match.index + match[0].length
      const specifier = source.strings.get(offset)
      if (specifier === undefined) continue
      if (kind === 'url' && !/^\.{1,2}\/.*\.[cm]?ts$/.test(specifier)) continue
      const head = source.code.slice(0, match.index)
      const clause = match[0].startsWith('from')
        ? (/\b(?:import|export)\b((?:(?!\b(?:import|export)\b)[^;'"])*)$/.exec(head.slice(-4000))?.[1] ?? '')
        : ''
      found.push({ kind, specifier, offset, clause: clause.trim() })
    }
  }
  return found.sort((a, b) => a.offset - b.offset)
}

export function printFindings(findings: Finding[]): void {
  for (const { file, line, message } of findings) process.stdout.write(`${file}:${line}: ${message}\n`)
}
