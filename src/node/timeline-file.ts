/**
 * The timeline of a node, kept across its restarts: `timeline.jsonl` in its state_dir, a line of JSON per entry, the oldest dropped once
 * the file is large. It is for people (`matrix timeline`): nothing depends on it, and a failure to write is logged once.
 */
import { appendFileSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import type { Log } from '../platform/index.ts'
import { type TimelineEntry, timelineEntry } from '../recovery/index.ts'

/** The file is cut to its newer half beyond this, bytes. */
const LARGEST = 1024 * 1024

export function timelineFile(stateDir: string): string {
  return join(stateDir, 'timeline.jsonl')
}

export class TimelineFile {
  readonly #path: string
  readonly #log: Log
  #failed = false

  constructor(stateDir: string, log: Log) {
    this.#path = timelineFile(stateDir)
    this.#log = log
  }

  add(entry: TimelineEntry): void {
    if (this.#failed) return
    try {
      appendFileSync(this.#path, `${JSON.stringify(entry)}\n`)
      if (statSync(this.#path).size > LARGEST) this.#cut()
    } catch (error) {
      this.#failed = true
      this.#log.warn({ path: this.#path, error: String(error) }, 'the timeline is not kept any more')
    }
  }

  #cut(): void {
    const lines = readFileSync(this.#path, 'utf8').split('\n')
    const beside = `${this.#path}.new`
    writeFileSync(beside, lines.slice(lines.length / 2).join('\n'))
    renameSync(beside, this.#path)
  }
}

/** The entries of a timeline file, oldest first; a line that a crash has cut is left out. Throws the error of the file system. */
export function readTimeline(path: string): TimelineEntry[] {
  const line = v.pipe(v.string(), v.parseJson(), timelineEntry)
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((text) => {
      const parsed = v.safeParse(line, text)
      return parsed.success ? [parsed.output] : []
    })
}
