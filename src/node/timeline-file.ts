/**
 * The timeline of a node, kept across its restarts: `timeline.jsonl` in its state_dir, a line of JSON per entry, the oldest dropped once
 * the file is large. It is for people (`matrix timeline`): nothing depends on it, and a failure to write is logged once.
 */
import { appendFileSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { timelineFile } from '../../config/index.ts'
import type { Log } from '../platform/index.ts'
import { parseTimeline, type TimelineEntry } from '../recovery/index.ts'

/** The file is cut to its newer half beyond this, bytes. */
const LARGEST = 1024 * 1024

export class TimelineFile {
  readonly #path: string
  readonly #log: Log
  #failed = false

  constructor(stateDir: string, log: Log) {
    this.#path = timelineFile(stateDir)
    this.#log = log
  }

  /** The last `count` entries of former lives, oldest first; none when there are none, or they cannot be read. */
  read(count: number): TimelineEntry[] {
    try {
      return parseTimeline(readFileSync(this.#path, 'utf8')).slice(-count)
    } catch {
      return []
    }
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
