/**
 * One `matrixd` in its namespace, and what systemd would be to it: the unit of config/matrixd.service starts it again a second after it
 * has failed or was killed, unless its configuration is wrong. Each process is a life; lives are kept for the oracles.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { exitCodes } from '../../../config/index.ts'
import { NODE_FLAGS, readable } from '../../../src/cli/demo/node-process.ts'
import { now } from '../checker/clock.ts'

/** `RestartSec`, ms. */
const RESTART_MS = 1000
/** Start-up of a node includes the recovery of the matrix: as long as the demo allows, ms. */
const READY_LIMIT_MS = 60_000
const STOP_LIMIT_MS = 30_000
const matrixd = new URL('../../../src/node/main.ts', import.meta.url).pathname

/** Times are of the host's monotonic clock, ms. */
export type Life = {
  readonly pid: number
  readonly startedAt: number
  /** It served from then on. */
  readyAt?: number
  endedAt?: number
  /** Exit code or signal. */
  ending?: string
  /** Something was done to this life, from then on it may be dying. */
  doomedAt?: number
}

/** A line of the log of a node. */
export type LogLine = { readonly time: number; readonly msg: string; readonly [field: string]: unknown }

export type RealNodeOptions = {
  readonly name: string
  /** From 1. */
  readonly number: number
  readonly config: string
  readonly logFile: string
  readonly runFile: string
  /** Arguments before the command line, to run it where it belongs. */
  readonly enter: readonly [string, ...string[]]
  /** Called before each start. */
  readonly onStart: () => void
}

export class RealNode {
  readonly name: string
  readonly number: number
  readonly lives: Life[] = []
  /** Start it again when it ends by itself or is killed. */
  supervised = true
  readonly #options: RealNodeOptions
  #child: ChildProcess | undefined
  #restart: NodeJS.Timeout | undefined

  constructor(options: RealNodeOptions) {
    this.name = options.name
    this.number = options.number
    this.#options = options
  }

  /** Its configuration file. */
  get config(): string {
    return this.#options.config
  }

  /** The life that runs; undefined while there is none. */
  get life(): Life | undefined {
    const last = this.lives.at(-1)
    return last && last.endedAt === undefined ? last : undefined
  }

  get serves(): boolean {
    return this.life?.readyAt !== undefined
  }

  start(): void {
    if (this.life) throw new Error(`${this.name} runs already`)
    clearTimeout(this.#restart)
    const { enter, config, runFile, logFile, onStart } = this.#options
    onStart()
    const [program, ...before] = enter
    const log = openSync(logFile, 'a')
    const args = [...before, process.execPath, ...NODE_FLAGS, matrixd, '--config', config, '--run-file', runFile]
    const startedAt = now()
    const child = spawn(program, args, { detached: true, stdio: ['ignore', 'pipe', log] })
    closeSync(log)
    if (child.pid === undefined) throw new Error(`${this.name}: cannot start ${program}`)
    const life: Life = { pid: child.pid, startedAt }
    this.#child = child
    this.lives.push(life)
    let said = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk
      if (life.readyAt === undefined && /^matrixd ready$/m.test(said)) life.readyAt = now()
    })
    child.on('exit', (code, signal) => {
      life.endedAt = now()
      life.ending = signal ?? `exit code ${code}`
      this.#ended(code)
    })
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  /** Clean end by SIGTERM. Throws when it does not end, or not with 0. */
  async stop(): Promise<void> {
    const { life } = this
    this.supervised = false
    clearTimeout(this.#restart)
    if (!life) return
    this.signal('SIGTERM')
    await this.#until(() => life.endedAt !== undefined, STOP_LIMIT_MS, 'has not stopped')
    if (life.ending !== 'exit code 0') throw new Error(`${this.name} ended with ${life.ending}\n${this.logTail()}`)
  }

  /** Makes an end of it, whatever it does. */
  async destroy(): Promise<void> {
    this.supervised = false
    clearTimeout(this.#restart)
    const { life } = this
    if (!life) return
    this.signal('SIGKILL')
    await this.#until(() => life.endedAt !== undefined, STOP_LIMIT_MS, 'survives SIGKILL')
  }

  /** Resolves once it serves. */
  async ready(limitMs = READY_LIMIT_MS): Promise<void> {
    await this.#until(() => this.serves, limitMs, 'does not serve')
  }

  /** What it has logged from `since` on (monotonic). */
  logged(since: number): LogLine[] {
    // wall-clock times of the log as times of the monotonic clock
    const shift = now() - Date.now()
    const out: LogLine[] = []
    for (const line of this.#log().split('\n')) {
      if (!line.startsWith('{')) continue
      try {
        const { time, ...fields } = JSON.parse(line) as { time: string; msg: string }
        const at = Date.parse(time) + shift
        if (at >= since) out.push({ ...fields, time: at })
      } catch {
        // a line that a killed process did not finish
      }
    }
    return out
  }

  /** Its last lines, for people. */
  logTail(lines = 12): string {
    const last = this.#log().trimEnd().split('\n').slice(-lines)
    return last.map((line) => `  ${this.name}: ${readable(line)}`).join('\n')
  }

  #log(): string {
    return existsSync(this.#options.logFile) ? readFileSync(this.#options.logFile, 'utf8') : ''
  }

  #ended(code: number | null): void {
    const isFinal = code === exitCodes.ok || code === exitCodes.usage || code === exitCodes.config
    if (!this.supervised || isFinal) return
    this.#restart = setTimeout(() => {
      if (this.supervised && !this.life) this.start()
    }, RESTART_MS)
  }

  async #until(holds: () => boolean, limitMs: number, what: string): Promise<void> {
    const deadline = now() + limitMs
    while (!holds()) {
      if (now() > deadline) throw new Error(`${this.name} ${what} after ${limitMs / 1000} s\n${this.logTail()}`)
      await sleep(20)
    }
  }
}
