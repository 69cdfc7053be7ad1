/**
 * Read-only questions to the metadata image of this node, in a process of their own: SQLite cannot be interrupted within a step, and neither can a
 * thread that is inside of it, but a process is killed at its time limit, whatever it does, and its memory is its own.
 *
 * The process (image-query.ts) opens the image's file read-only and sees what was committed last. It answers a line of JSON per line of JSON; one that
 * has answered waits a while for the next question.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import * as v from 'valibot'
import { MatrixError } from '../base/errors.ts'
import { type Clock, moduleBeside, type Timer } from '../platform/index.ts'
import { type PathsAnswer, pathsAnswer, type QueryAnswer, queryResult } from './image-question.ts'

/** Processes at once: each may use a core. */
const MAX_PROCESSES = 3
/** One that nobody asks ends after this, ms. */
const IDLE_MS = 20_000
/** Of JavaScript in the process, and of all its memory where the system has such a limit (RLIMIT_DATA), MiB. A query can ask SQLite for gigabytes. */
const HEAP_MIB = 128
const DATA_MIB = 768

type Asked = {
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: Error) => void
  readonly timer: Timer
}

class ImageProcess {
  readonly image: string
  readonly #child: ChildProcess
  readonly #clock: Clock
  #asked: Asked | undefined
  #text = ''
  #errors = ''
  #idle: Timer | undefined
  over = false

  constructor(file: string, image: string, clock: Clock, onOver: () => void) {
    this.image = image
    this.#clock = clock
    const [program, ...args] = commandLine(fileURLToPath(moduleBeside(import.meta.url, './image-query.ts')), file)
    this.#child = spawn(program as string, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      // nothing of the node's own environment is any business of a query
      env: { PATH: process.env['PATH'] },
    })
    const { stdin, stdout, stderr } = this.#child
    stdin?.on('error', () => {})
    stdout?.setEncoding('utf8').on('data', (more: string) => this.#take(more))
    stderr?.setEncoding('utf8').on('data', (more: string) => {
      this.#errors = (this.#errors + more).slice(-1000)
    })
    const ended = (why: string): void => {
      this.over = true
      this.#idle?.cancel()
      this.#settle((asked) => asked.reject(new MatrixError('query', why)))
      onOver()
    }
    this.#child.once('error', (error) => ended(`the reader of the image could not be started: ${error.message}`))
    this.#child.once('close', () => {
      const [last = 'killed'] = this.#errors.trim().split('\n').slice(-1)
      ended(`the reader of the image ended; it may have ${DATA_MIB} MiB of memory (${last})`)
    })
  }

  get free(): boolean {
    return !this.over && this.#asked === undefined
  }

  ask(question: object, limitMs: number): Promise<unknown> {
    this.#idle?.cancel()
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(limitMs, () => {
        this.#settle((asked) => asked.reject(new MatrixError('timeout', `no answer within ${limitMs} ms: stopped`)))
        this.stop()
      })
      this.#asked = { resolve, reject, timer }
      this.#child.stdin?.write(`${JSON.stringify(question)}\n`)
    })
  }

  stop(): void {
    this.over = true
    this.#idle?.cancel()
    this.#child.kill('SIGKILL')
  }

  #take(more: string): void {
    this.#text += more
    if (!this.#text.endsWith('\n')) return
    const line = this.#text
    this.#text = ''
    this.#idle = this.#clock.after(IDLE_MS, () => this.stop())
    this.#settle((asked) => asked.resolve(JSON.parse(line)))
  }

  #settle(how: (asked: Asked) => void): void {
    const asked = this.#asked
    if (!asked) return
    this.#asked = undefined
    asked.timer.cancel()
    how(asked)
  }
}

function commandLine(entry: string, file: string): string[] {
  const node = [process.execPath, `--max-old-space-size=${HEAP_MIB}`, entry, file]
  if (process.platform === 'win32') return node
  return ['/bin/sh', '-c', 'ulimit -d "$0" && exec "$@"', `${DATA_MIB * 1024}`, ...node]
}

export class ImageReader {
  readonly #clock: Clock
  readonly #processes = new Set<ImageProcess>()
  #closed = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Rows of one statement. Rejects with MatrixError 'query' that says what is wrong with it, 'timeout', 'busy' when others ask too much, 'not-found' when the image is gone.
   */
  async query(
    file: string,
    sql: string,
    limits: { readonly maxRows: number; readonly ms: number },
  ): Promise<QueryAnswer> {
    const answer = v.parse(queryResult, await this.#ask(file, { sql, maxRows: limits.maxRows }, limits.ms))
    if ('error' in answer) throw new MatrixError('query', answer.error)
    return answer
  }

  /** Paths of inodes, of those that have one. Rejects as `query`. */
  async paths(file: string, inos: readonly number[], ms: number): Promise<PathsAnswer> {
    return v.parse(pathsAnswer, await this.#ask(file, { inos }, ms))
  }

  close(): void {
    this.#closed = true
    for (const each of this.#processes) each.stop()
  }

  async #ask(file: string, question: object, limitMs: number): Promise<unknown> {
    if (this.#closed) throw new MatrixError('withdrawn', 'the node ends')
    if (file === ':memory:') throw new MatrixError('query', 'the image is in memory: nobody else can read it')
    // a name is used again for an image that is built anew
    const ino = statSync(file, { throwIfNoEntry: false })?.ino
    if (ino === undefined) throw new MatrixError('not-found', `there is no image ${file} any more`)
    const image = `${file} ${ino}`
    const all = [...this.#processes]
    const free = all.find((each) => each.free && each.image === image)
    if (free) return free.ask(question, limitMs)
    if (all.filter((each) => !each.over).length >= MAX_PROCESSES) {
      const other = all.find((each) => each.free)
      if (!other) throw new MatrixError('busy', `${MAX_PROCESSES} queries are under way: ask again in a moment`)
      other.stop()
    }
    const started = new ImageProcess(file, image, this.#clock, () => this.#processes.delete(started))
    this.#processes.add(started)
    return started.ask(question, limitMs)
  }
}
