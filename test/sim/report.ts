/** What a run of many seeds comes to: sums, coverage, failures; as lines, and as a file under bench/results. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { markdownTable } from '../helpers/markdown-table.ts'
import { Coverage, neverReached } from './coverage.ts'
import { faultNames } from './faults/faults.ts'
import type { Outcome } from './seed-pool.ts'

const ROOT = join(import.meta.dirname, '..', '..')

export class Report {
  readonly first: number
  readonly #coverage = new Coverage()
  readonly #began = performance.now()
  readonly #mixes = new Map<string, { seeds: number; virtualMs: number; operations: number; grants: number }>()
  readonly failures: { readonly seed: number; readonly failure: string }[] = []
  held = 0
  #lockPairs = 0
  #fences = 0
  #terms = 0
  #cpuMs = 0
  #events = 0

  /** The code that runs, whatever becomes of its folder meanwhile. */
  readonly #code: { readonly commit: string; readonly changed: boolean } | undefined

  /** `saves`: the report is to be saved. */
  constructor(first: number, saves: boolean) {
    this.first = first
    this.#code = saves ? code() : undefined
  }

  get seeds(): number {
    return this.held + this.failures.length
  }

  get seconds(): number {
    return (performance.now() - this.#began) / 1000
  }

  /** Takes one seed's outcome; gives its line. */
  add(outcome: Outcome): string {
    if ('failure' in outcome) {
      this.failures.push(outcome)
      return outcome.failure
    }
    const { seed, mix, hash, virtualMs, operations, grants, lockPairs, fences, terms, events, coverage } =
      outcome.result
    this.held++
    this.#coverage.add(coverage)
    const sum = this.#mixes.get(mix) ?? { seeds: 0, virtualMs: 0, operations: 0, grants: 0 }
    this.#mixes.set(mix, {
      seeds: sum.seeds + 1,
      virtualMs: sum.virtualMs + virtualMs,
      operations: sum.operations + operations,
      grants: sum.grants + grants,
    })
    this.#lockPairs += lockPairs
    this.#fences += fences
    this.#terms += terms
    this.#cpuMs += outcome.cpuMs
    this.#events += events
    const faults = Object.entries(coverage).filter(([name]) => name.startsWith('fault ') && !/write|frame/.test(name))
    const happened = faults.reduce((total, [, times]) => total + times, 0)
    return `seed ${seed} held (${mix}), hash ${hash}: ${seconds(virtualMs)} s, ${operations} operations, ${grants} grants, ${happened} faults, ${fences} fences, ${events} events`
  }

  get #sums() {
    const sums = { virtualMs: 0, operations: 0, grants: 0 }
    for (const { virtualMs, operations, grants } of this.#mixes.values()) {
      sums.virtualMs += virtualMs
      sums.operations += operations
      sums.grants += grants
    }
    return sums
  }

  summary(): string {
    const { virtualMs, operations, grants } = this.#sums
    const took = this.seconds
    return `${this.seeds} seeds: ${this.held} held, ${this.failures.length} failed; ${hours(virtualMs)} virtual hours in ${took.toFixed(0)} s (${(virtualMs / 1000 / took).toFixed(0)} times real time; ${(this.#cpuMs / 1000).toFixed(0)} s of a core, ${(virtualMs / this.#cpuMs).toFixed(0)} times), ${operations} operations, ${grants} grants held against ${this.#lockPairs} nodes, ${this.#fences} fences, ${this.#terms} administrators, ${this.#events} events`
  }

  /** What was reached how often, and what never. */
  table(): string {
    const { counts } = this.#coverage
    const lines = Object.entries(counts).map(([name, times]) => `${`${times}`.padStart(10)}  ${name}`)
    const missing = this.neverReached.map((name) => `${'never'.padStart(10)}  ${name}`)
    return [...lines, ...missing].join('\n')
  }

  get neverReached(): readonly string[] {
    return neverReached(this.#coverage.counts, faultNames, join(ROOT, 'src'))
  }

  /** Writes bench/results/sim-DATE-COMMIT.{md,json}; gives the path. */
  save(): string {
    const { commit, changed } = this.#code ?? code()
    const date = new Date().toISOString().slice(0, 10)
    const path = join('bench', 'results', `sim-${date}-${commit}`)
    const record = {
      ...{
        date,
        commit,
        changed,
        machine: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`,
        node: process.version,
      },
      ...{ firstSeed: this.first, seeds: this.seeds, held: this.held, failures: this.failures },
      ...{
        seconds: Math.round(this.seconds),
        cpuSeconds: Math.round(this.#cpuMs / 1000),
        virtualHours: Number(hours(this.#sums.virtualMs)),
        ...this.#sums,
      },
      ...{ lockPairs: this.#lockPairs, fences: this.#fences, administrators: this.#terms, events: this.#events },
      ...{ mixes: Object.fromEntries(this.#mixes), coverage: this.#coverage.counts, neverReached: this.neverReached },
    }
    mkdirSync(join(ROOT, 'bench', 'results'), { recursive: true })
    writeFileSync(join(ROOT, `${path}.json`), `${JSON.stringify(record, undefined, 2)}\n`)
    writeFileSync(join(ROOT, `${path}.md`), this.#page(record))
    return `written to ${path}.md and .json`
  }

  #page(record: { date: string; commit: string; changed: boolean; machine: string; node: string }): string {
    const rows = [...this.#mixes].map(([name, { seeds, virtualMs, operations, grants }]) =>
      [name, seeds, hours(virtualMs), operations, grants].map(String),
    )
    return `# Simulation of ${record.date}

Commit ${record.commit}${record.changed ? ' with changes' : ''}, Node ${record.node}, ${record.machine}. Seeds ${this.first} to ${this.first + this.seeds - 1}.

${this.summary()}.

${markdownTable(['runs', 'seeds', 'virtual hours', 'operations', 'grants checked'], rows)}

${this.failures.length === 0 ? 'No seed failed.' : this.failures.map(({ failure }) => `- ${failure.split('\n')[0]}`).join('\n')}

## Reached

\`\`\`
${this.table()}
\`\`\`
`
  }
}

function code(): { readonly commit: string; readonly changed: boolean } {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim()
  return {
    commit: git('rev-parse', '--short=7', 'HEAD'),
    changed: git('status', '--porcelain', '--untracked-files=no', '--', 'src', 'test') !== '',
  }
}

function hours(ms: number): string {
  return (ms / 3_600_000).toFixed(2)
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(0)
}
