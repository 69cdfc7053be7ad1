/**
 * Holds the promise that nothing below floor 7 touches clock, timers, randomness, sockets or files by itself: it is given
 * them, so that the simulator can give its own. Prints `file:line: what is wrong, and what to use instead`.
 */
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { FREE_FLOOR, floorOf, GATEWAY_FLOOR, isReal, isWorkerEntry } from './floors.ts'
import { type Finding, importsOf, lineOf, printFindings, readSources } from './source.ts'

export interface Exemption {
  file: string
  rule: Rule
  reason: string
}

/** Files that may break one rule, and why. An entry that is no longer needed is a finding itself. */
export const EXEMPTIONS: Exemption[] = []

export type Rule = 'clock' | 'timers' | 'random' | 'files' | 'network' | 'processes' | 'threads' | 'console'

interface Call {
  rule: Rule
  pattern: RegExp
}

/** A name as the global it is: not a member of something else, not the key of a property. */
const global = (names: string): RegExp =>
  new RegExp(String.raw`(?:(?<![\w$.])|\bglobalThis\.)(?:${names})\b(?!\s*\??:)`, 'g')

const CALLS: Call[] = [
  { rule: 'clock', pattern: /(?<![\w$.])Date\s*\.\s*now\b/g },
  { rule: 'clock', pattern: /(?<![\w$.])new\s+Date\s*\(/g },
  { rule: 'clock', pattern: /(?<![\w$.])(?<!new\s+)Date\s*\(/g },
  { rule: 'clock', pattern: /(?<![\w$.])performance\s*\.\s*(?:now|timeOrigin)\b/g },
  { rule: 'clock', pattern: /(?<![\w$.])process\s*\.\s*(?:hrtime|uptime)\b/g },
  { rule: 'timers', pattern: global('setTimeout|setInterval|setImmediate') },
  { rule: 'random', pattern: /(?<![\w$.])Math\s*\.\s*random\b/g },
  { rule: 'random', pattern: /(?<![\w$])crypto\s*\.\s*(?:random\w*|getRandomValues)\b/g },
]

const INSTEAD: Record<Rule, string> = {
  clock: 'use the clock that is handed in (src/platform)',
  timers: 'use the timers that are handed in (src/platform)',
  random: 'use the seeded randomness that is handed in (src/base)',
  files: 'use the files that are handed in (src/platform)',
  network: 'use the network that is handed in (src/platform)',
  processes: 'have it done through an interface of src/platform',
  threads: 'have it done through an interface of src/platform',
  console: 'use the log that is handed in (src/platform); only src/cli prints',
}

const MODULES: Record<string, Rule> = {
  fs: 'files',
  'fs/promises': 'files',
  net: 'network',
  tls: 'network',
  dgram: 'network',
  dns: 'network',
  'dns/promises': 'network',
  http: 'network',
  https: 'network',
  http2: 'network',
  child_process: 'processes',
  cluster: 'processes',
  worker_threads: 'threads',
  timers: 'timers',
  'timers/promises': 'timers',
  perf_hooks: 'clock',
}

const RANDOM_NAME = /\b(?:random\w*|getRandomValues|webcrypto)\b/

interface Hit {
  rule: Rule
  what: string
  offset: number
}

export function checkBanned(root: string, exemptions: Exemption[] = EXEMPTIONS): Finding[] {
  const findings: Finding[] = []
  const used = new Set<Exemption>()
  const present = new Set<string>()
  for (const source of readSources(root, ['src'])) {
    present.add(source.name)
    // A file on no floor is check-imports' finding; here it is held to the strictest rules.
    const floor = floorOf(source.name) ?? 0
    const seen = new Set<string>()
    for (const { rule, what, offset } of hits(source)) {
      if (allowed(rule, source.name, floor)) continue
      const exemption = exemptions.find((entry) => entry.file === source.name && entry.rule === rule)
      if (exemption) {
        used.add(exemption)
        continue
      }
      const line = lineOf(source, offset)
      // One finding per rule and line will do: an import of a timer and its name are one matter.
      if (seen.has(`${rule}:${line}`)) continue
      seen.add(`${rule}:${line}`)
      findings.push({ file: source.name, line, message: `${what}: ${INSTEAD[rule]}` })
    }
  }
  for (const entry of exemptions) {
    const complain = (message: string): void => {
      findings.push({ file: entry.file, line: 1, message: `exemption from '${entry.rule}' ${message}` })
    }
    if (entry.reason.trim() === '') complain('gives no reason')
    if (present.has(entry.file) && !used.has(entry)) complain('is no longer needed')
  }
  return findings
}

function hits(source: ReturnType<typeof readSources>[number]): Hit[] {
  const found: Hit[] = []
  const add = (rule: Rule, pattern: RegExp): void => {
    for (const match of source.code.matchAll(pattern)) {
      found.push({ rule, what: match[0].replace(/\s+/g, ' ').trim(), offset: match.index })
    }
  }
  for (const { rule, pattern } of CALLS) add(rule, pattern)
  add('console', /(?<![\w$.])console\s*\.\s*\w+/g)

  for (const { kind, specifier, offset, clause } of importsOf(source)) {
    if (kind !== 'import') continue
    const name = specifier.replace(/^node:/, '')
    const rule = Object.hasOwn(MODULES, name) ? MODULES[name] : undefined
    if (rule) found.push({ rule, what: `import of node:${name}`, offset })
    if (name !== 'crypto') continue
    const named = RANDOM_NAME.exec(clause)
    if (named) found.push({ rule: 'random', what: `${named[0]} of node:crypto`, offset })
    const space = /(?:\*\s*as\s+|^)(\w+)\s*$/.exec(clause.replace(/,\s*\{[^}]*\}/, ''))?.[1]
    if (space && space !== 'crypto') {
      add('random', new RegExp(String.raw`(?<![\w$.])${space}\s*\.\s*(?:random\w*|getRandomValues|webcrypto)\b`, 'g'))
    }
  }
  return found.sort((a, b) => a.offset - b.offset)
}

function allowed(rule: Rule, file: string, floor: number): boolean {
  if (rule === 'console') return file.startsWith('src/cli/')
  if (isReal(file)) return true
  if (rule === 'threads' && isWorkerEntry(file)) return true
  if (rule === 'network') return floor >= GATEWAY_FLOOR
  return floor >= FREE_FLOOR
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { root: { type: 'string', default: dirname(dirname(fileURLToPath(import.meta.url))) } },
  })
  const findings = checkBanned(values.root)
  printFindings(findings)
  process.exitCode = findings.length > 0 ? 1 : 0
}
