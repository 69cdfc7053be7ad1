/**
 * What a simulation has reached, counted by name: every kind of fault, every sentence that the nodes log (each is a state of some state
 * machine, or a way out of it; some are told apart by what they say), what locks go through, and what the oracles saw pass by. The run
 * prints the table, and names what was never reached.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Log, LogFields } from '../../src/platform/index.ts'

export type Counts = Readonly<Record<string, number>>

export class Coverage {
  readonly #counts = new Map<string, number>()

  count(name: string, times = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + times)
  }

  add(counts: Counts): void {
    for (const [name, times] of Object.entries(counts)) this.count(name, times)
  }

  get counts(): Counts {
    return Object.fromEntries([...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  /** Counts what is logged, and passes it on. */
  log(to: Log): Log {
    const level =
      (name: 'debug' | 'info' | 'warn' | 'error') =>
      (fields: LogFields, message: string): void => {
        this.count(`log ${message}`)
        const more = detail[message]?.(fields)
        if (more !== undefined) this.count(more)
        to[name](fields, message)
      }
    return {
      debug: level('debug'),
      info: level('info'),
      warn: level('warn'),
      error: level('error'),
      child: (fields) => this.log(to.child(fields)),
    }
  }
}

/** Finer names for sentences with several meanings. */
const detail: Readonly<Record<string, (fields: LogFields) => string | undefined>> = {
  'membership step': ({ step, outcome }) =>
    `recovery ${String(step)
      .split(' ', 2)
      .join(' ')
      .replace(/^fence .*/, 'fence')}: ${wayOut(String(outcome))}`,
  'fence agent has answered': ({ agent, outcome, error }) => `fence by ${agent}: ${error ? 'error' : outcome}`,
  'the state of a LUN has changed': ({ from, to }) => `LUN ${from} → ${to}`,
  'the disk lease is over': ({ kind, reason }) => `lease ${kind}${reason ? `: ${plain(String(reason))}` : ''}`,
  'the node halts': ({ reason }) => `halt ${plain(String(reason))}`,
}

/** Sentences that are told apart. */
export const detailed: readonly string[] = Object.keys(detail)

function wayOut(outcome: string): string {
  if (outcome === 'done' || /^\w+, term /.test(outcome)) return 'done'
  return /view/.test(outcome) ? 'the view ended' : 'failed'
}

/** Without names and numbers. */
function plain(text: string): string {
  const [head] = text.split(/[:(]/) as [string]
  return head
    .replaceAll(/\bn\d+(@\d+)?\b/g, 'n')
    .replaceAll(/[\d.]+/g, '#')
    .trim()
}

/** What a run wants to see: one name per kind of fault, per lock mode that is used, and per step of recovery. */
const wanted: readonly string[] = [
  ...['NL→PR', 'NL→EX', 'PR→EX', 'EX→PR', 'EX→NL', 'PR→NL'].map((change) => `lock ${change}`),
  ...[
    'administrator',
    'read database',
    'import',
    'scan',
    'fence',
    'read journals',
    'seal',
    'recover',
    'resume',
  ].flatMap((step) => [`recovery ${step}: done`, `recovery ${step}: the view ended`]),
  ...[
    'kill: fenced',
    'kill: error',
    'lease: fenced',
    'lease: unable',
    'scsi-pr: fenced',
    'scsi-pr: error',
    'script: fenced',
    'script: error',
    'script: unable',
  ].map((outcome) => `fence by ${outcome}`),
  ...['up → slow', 'up → failing', 'slow → failing', 'slow → up', 'failing → up'].map((change) => `LUN ${change}`),
  ...['lost', 'fenced', 'released'].map((end) => `lease ${end}`),
  ...['joining', 'blocked', 'member'].map((phase) => `phase ${phase}`),
  ...['frozen', 'rebuilding', 'reopened', 'granting'].map((phase) => `locks ${phase}`),
  'lock granted before the fence',
  ...['first', 'somebody came', 'somebody went', 'another life', 'the same again'].map((what) => `view ${what}`),
  ...['wrapped', 'reloaded'].map((what) => `journal ${what}`),
  ...['add: complete', 'add: refused', 'remove: complete', 'remove: in use'].map((what) => `LUN ${what}`),
  ...['decide', 'announce', 'undo', 'finish'].map((step) => `LUN change: its administrator ends at ${step}`),
  ...['decide', 'announce', 'finish'].flatMap((step) => [
    `recovery ${step} add: done`,
    `recovery ${step} remove: done`,
  ]),
  'recovery undo remove: done',
]

/** Sentences that the floors below the gateways log, from their source. */
export function sentences(source: string): string[] {
  const found = new Set<string>()
  const call = /\blog(?:\.\w+|\[[^\]]*\])\([^;]*?'(\w(?:[^'\\]|\\.)*)',?\s*\)/g
  for (const folder of ['san', 'cluster', 'locking', 'metadata', 'recovery', 'services', 'node/core.ts']) {
    const path = join(source, folder)
    const files = folder.endsWith('.ts')
      ? [path]
      : readdirSync(path, { recursive: true, encoding: 'utf8' }).map((name) => join(path, name))
    for (const file of files.filter((name) => name.endsWith('.ts')))
      for (const [, sentence] of readFileSync(file, 'utf8').matchAll(call)) found.add(sentence as string)
  }
  return [...found].sort()
}

/** Of everything that should be reached, what was not. */
export function neverReached(counts: Counts, faults: readonly string[], source: string): string[] {
  const names = [
    ...faults.map((fault) => `fault ${fault}`),
    ...wanted,
    ...sentences(source).map((sentence) => `log ${sentence}`),
  ]
  const reached = Object.keys(counts)
  return names.filter((name) => !reached.some((other) => other === name || other.startsWith(`${name}:`)))
}
