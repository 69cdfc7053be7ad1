/**
 * What every member remembers of the jobs of a matrix that has no Redis configured (docs/decisions/0021-jobs.md). They are kept in a Redis of the
 * administrator's own; should its node be lost, the next administrator begins the unfinished ones anew from here.
 *
 *     STATE/jobs.json   [{"version":3,"job":{…},"kept":{…}}, …]
 *
 * An entry is changed by the administrator alone, and its version grows by each change: of two, the one with the higher is right. A crash leaves the file as
 * it was before or after. It is a copy: it may be deleted while the node is down.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { replaceFile } from '../../../config/index.ts'
import type { Log } from '../../platform/index.ts'
import { job } from '../api/jobs.ts'

/** Of jobs that have ended. */
const FINISHED_KEPT = 50

export const ledgerEntry = v.object({ version: v.number(), job, kept: v.optional(v.unknown()) })
export type LedgerEntry = v.InferOutput<typeof ledgerEntry>
export const ledgerEntries = v.array(ledgerEntry)

export function isFinished({ job: { state } }: LedgerEntry): boolean {
  return state === 'completed' || state === 'failed' || state === 'cancelled'
}

export class JobLedger {
  readonly #file: string
  readonly #log: Log
  /** By kind and id. */
  readonly #entries = new Map<string, LedgerEntry>()

  constructor(stateDir: string, log: Log) {
    this.#file = join(stateDir, 'jobs.json')
    this.#log = log
    this.#merge(this.#read())
  }

  /** The newest first. */
  get entries(): readonly LedgerEntry[] {
    return [...this.#entries.values()].sort((a, b) => b.job.createdAt - a.job.createdAt)
  }

  find(kind: string, id: string): LedgerEntry | undefined {
    return this.#entries.get(`${kind}/${id}`)
  }

  /** What somebody else knows; what is older than what is known here is not looked at. */
  take(entries: readonly LedgerEntry[]): void {
    if (this.#merge(entries)) this.#write()
  }

  /** The administrator: it is so from now on. Gives what the others are to be told. */
  set(changed: LedgerEntry['job'], kept: unknown): LedgerEntry {
    const version = (this.find(changed.kind, changed.id)?.version ?? 0) + 1
    const entry = { version, job: changed, ...(kept !== undefined && { kept }) }
    this.take([entry])
    return entry
  }

  #merge(entries: readonly LedgerEntry[]): boolean {
    const newer = entries.filter(({ version, job: { kind, id } }) => version > (this.find(kind, id)?.version ?? 0))
    for (const entry of newer) this.#entries.set(`${entry.job.kind}/${entry.job.id}`, entry)
    for (const { job: old } of this.entries.filter(isFinished).slice(FINISHED_KEPT))
      this.#entries.delete(`${old.kind}/${old.id}`)
    return newer.length > 0
  }

  #read(): readonly LedgerEntry[] {
    let text: string
    try {
      text = readFileSync(this.#file, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    }
    const result = v.safeParse(v.pipe(v.string(), v.parseJson(), ledgerEntries), text)
    if (result.success) return result.output
    this.#log.warn(
      { file: this.#file, why: result.issues[0].message },
      'the ledger of jobs is damaged: it is begun anew',
    )
    return []
  }

  #write(): void {
    try {
      replaceFile(this.#file, `${JSON.stringify(this.entries)}\n`)
    } catch (error) {
      // a full disk of this node costs a copy of the ledger, and no more
      this.#log.warn({ file: this.#file, error: String(error) }, 'the ledger of jobs could not be written')
    }
  }
}
