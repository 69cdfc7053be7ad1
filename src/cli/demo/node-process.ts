/**
 * One node of the demo as a process. It is started in a session of its own, so Ctrl-C reaches the demo alone, and it outlives
 * the command that started it. Who it is and whether it serves stands in its run file; a process is never known by its pid alone.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, renameSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Run, readRunFile } from '../../../config/index.ts'
import { MatrixError } from '../../base/errors.ts'
import { MiB } from '../../base/units.ts'
import { realProcesses } from '../../platform/real/processes.ts'
import type { DemoLayout } from './layout.ts'

/** A node that does not serve by then is stuck, ms: recovery of a whole matrix after a crash takes a few lease times at most. */
export const READY_LIMIT_MS = 60_000
/** A node that has not stopped by then is killed, ms: it writes back what it has cached first. */
const STOP_LIMIT_MS = 20_000
const POLL_MS = 50
/** A log larger than this is put aside at the next start, bytes. */
const LOG_LIMIT = 16 * MiB
const TAIL_LINES = 12

/**
 * As in the first line of node/main.ts: a young generation of 3 x 32 MiB from the start. With V8's own, which begins small, a node that
 * takes 10,000 locks in one go spends half of its time moving what will stay.
 */
export const NODE_FLAGS = ['--min-semi-space-size=32', '--max-semi-space-size=32']

export class NodeProcess {
  readonly name: string
  readonly #layout: DemoLayout
  readonly #program: 'matrixd' | 'target'
  #child: ChildProcess | undefined

  /** `program`: the target is a process like those of the nodes. */
  constructor(layout: DemoLayout, name: string, program: 'matrixd' | 'target' = 'matrixd') {
    this.#layout = layout
    this.name = name
    this.#program = program
  }

  /** The process that serves, starts or stops now; undefined when there is none. */
  running(): Run | undefined {
    const run = this.lastRun()
    return run && !this.#isGone(run) ? run : undefined
  }

  /** A child is gone once its exit has been reported: before that, how it ended is not known. */
  #isGone(run: Run): boolean {
    if (run.process.pid === this.#child?.pid) return this.#ending() !== undefined
    return realProcesses.state(run.process) === 'gone'
  }

  /** What the run file says, of a process that may be gone. */
  lastRun(): Run | undefined {
    return readRunFile(this.#layout.runFile(this.name))
  }

  /** How the process of the run file, which is gone, came to its end; that of a child is known, of others it may be a guess. */
  lastWords(): string {
    const run = this.lastRun()
    if (run?.state === 'stopped') return 'has stopped'
    if (run?.state === 'halted') return 'has halted'
    return (run?.process.pid === this.#child?.pid ? this.#ending() : undefined) ?? 'has died'
  }

  /** How the process that this object started has ended; undefined while there is none, or it runs. */
  #ending(): string | undefined {
    const { exitCode = null, signalCode = null } = this.#child ?? {}
    if (signalCode !== null) return `was killed by ${signalCode}`
    return exitCode === null ? undefined : `has ended with exit code ${exitCode}`
  }

  /** It has ended as a node does that was fenced or lost its lease: a supervisor starts it again. */
  get hasHalted(): boolean {
    const isStarting = this.#child !== undefined && !this.#ending()
    return !isStarting && this.lastRun()?.state === 'halted' && !this.running()
  }

  /** Starts the process; returns its pid. */
  start(): number {
    const logFile = this.#layout.logFile(this.name)
    putAside(logFile, this.#layout.formerLogFile(this.name))
    const log = openSync(logFile, 'a')
    try {
      const args = ['--config', this.#layout.configFile(this.name), '--run-file', this.#layout.runFile(this.name)]
      this.#child = spawn(process.execPath, [...process.execArgv, ...NODE_FLAGS, ...entryOf(this.#program), ...args], {
        detached: true,
        stdio: ['ignore', log, log],
      })
    } finally {
      closeSync(log)
    }
    this.#child.on('error', () => {})
    if (this.#child.pid === undefined) throw new MatrixError('not-found', `cannot start ${process.execPath}`)
    return this.#child.pid
  }

  /** Resolves once the process that `start` started serves. Rejects when it ends before, or takes longer than READY_LIMIT_MS. */
  async ready(aborted: () => boolean = () => false): Promise<void> {
    const deadline = performance.now() + READY_LIMIT_MS
    while (performance.now() < deadline && !aborted()) {
      const run = this.lastRun()
      if (run?.process.pid === this.#child?.pid && run?.state === 'ready') return
      const ending = this.#ending()
      if (ending)
        throw new MatrixError(
          'peer-gone',
          `${this.name} ${ending} before it served; its log ends with\n${this.logTail()}`,
        )
      await sleep(POLL_MS)
    }
    if (aborted()) return
    throw new MatrixError(
      'timeout',
      `${this.name} does not serve after ${READY_LIMIT_MS / 1000} s; its log (${this.#layout.logFile(this.name)}) ends with\n${this.logTail()}`,
    )
  }

  /** Lets this command end while the process goes on. */
  release(): void {
    this.#child?.unref()
  }

  /** Stops the process cleanly, or by SIGKILL when that takes too long or `hurry` says so. Resolves to how it went. */
  async stop(hurry: () => boolean = () => false): Promise<'not running' | 'stopped' | 'killed'> {
    const run = this.running()
    // The first moments of a process, before it has written its run file: the handle knows it.
    if (!run) return this.#child && !this.#ending() ? this.#stopChild() : 'not running'
    process.kill(run.process.pid, 'SIGTERM')
    const deadline = performance.now() + STOP_LIMIT_MS
    while (performance.now() < deadline && !hurry()) {
      if (this.#isGone(run)) return 'stopped'
      await sleep(POLL_MS)
    }
    await realProcesses.kill(run.process)
    while (!this.#isGone(run)) await sleep(POLL_MS)
    return 'killed'
  }

  async #stopChild(): Promise<'killed'> {
    this.#child?.kill('SIGKILL')
    while (!this.#ending()) await sleep(POLL_MS)
    return 'killed'
  }

  /** The last lines of its log, for people. */
  logTail(): string {
    let text: string
    try {
      text = readFileSync(this.#layout.logFile(this.name), 'utf8')
    } catch {
      return '  (there is no log)'
    }
    const lines = text.trimEnd().split('\n').slice(-TAIL_LINES)
    return lines.map((line) => `  ${readable(line)}`).join('\n')
  }
}

/** The program beside this one: the source in development, the built file in a package. */
function entryOf(program: 'matrixd' | 'target'): readonly string[] {
  const entry = new URL(program === 'matrixd' ? '../../node/main.ts' : '../main.ts', import.meta.url)
  if (import.meta.url.endsWith('.js')) entry.pathname = entry.pathname.replace(/\.ts$/, '.js')
  return program === 'matrixd' ? [fileURLToPath(entry)] : [fileURLToPath(entry), 'target', 'run']
}

function putAside(logFile: string, former: string): void {
  try {
    if (statSync(logFile).size > LOG_LIMIT) renameSync(logFile, former)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

const levels: Record<number, string> = { 20: 'debug', 30: 'info', 40: 'warn', 50: 'error', 60: 'fatal' }

/** A line of the structured log as a sentence; any other line as it is. */
export function readable(line: string): string {
  try {
    const { time, level, msg, ...fields } = JSON.parse(line) as Record<string, unknown>
    const rest = Object.entries(fields).map(
      ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
    )
    return [time, levels[Number(level)] ?? level, msg, ...rest].filter((part) => part !== undefined).join(' ')
  } catch {
    return line
  }
}
