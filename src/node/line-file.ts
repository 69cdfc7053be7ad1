/**
 * A list in the state_dir that outlives the process: lines of JSON, the oldest dropped once the file is large. A line is with the system when `add`
 * returns: it survives the process, not the power. A failure to write is logged once, and nothing is kept from then on.
 */
import { appendFileSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import type { Log } from '../platform/index.ts'

/** The file is cut to its newer half beyond this, bytes. */
const LARGEST = 1024 * 1024

export class LineFile {
  readonly #path: string
  /** What is in it, for the log. */
  readonly #what: string
  readonly #log: Log
  #failed = false
  /** A line of a former life that was cut must not run into the first one of this life. */
  #begun = false

  constructor(path: string, what: string, log: Log) {
    this.#path = path
    this.#what = what
    this.#log = log
  }

  /** All of it; nothing when there is none, or it cannot be read. A crash may have cut its last line. */
  read(): string {
    try {
      return readFileSync(this.#path, 'utf8')
    } catch {
      return ''
    }
  }

  add(entry: unknown): void {
    if (this.#failed) return
    try {
      appendFileSync(this.#path, `${this.#begun ? '' : '\n'}${JSON.stringify(entry)}\n`)
      this.#begun = true
      if (statSync(this.#path).size > LARGEST) this.#cut()
    } catch (error) {
      this.#failed = true
      this.#log.warn({ path: this.#path, error: String(error) }, `${this.#what} are not kept any more`)
    }
  }

  #cut(): void {
    const lines = readFileSync(this.#path, 'utf8').split('\n')
    const beside = `${this.#path}.new`
    writeFileSync(beside, lines.slice(lines.length / 2).join('\n'))
    renameSync(beside, this.#path)
  }
}
