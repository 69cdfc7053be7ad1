/**
 * The monitor of one service or device of this node (R29, R31): probes it every `intervalMs`, and calls it down after `retries` further failures in a
 * row; one success calls it up again. Until then it is neither: nobody is sent to a service that has never answered.
 */
import { type Clock, type Log, type Timer, within } from '../../platform/index.ts'
import { type ProbeTools, probe } from './probes.ts'
import type { ServiceCheck } from './service-check.ts'

/** Whoever does not answer in time may hold up a process in the kernel for each probe: they become rarer, up to this, ms. */
const RAREST_MS = 30_000

export type ServiceMonitorOptions = {
  readonly clock: Clock
  readonly tools: ProbeTools
  readonly log: Log
  /** For scripts. */
  readonly env?: Readonly<Record<string, string>>
  /** It is up or down now, and was not before. */
  readonly onChange: () => void
}

export class ServiceMonitor {
  readonly check: ServiceCheck
  readonly #options: ServiceMonitorOptions
  #failures = 0
  #late = 0
  #state: 'unknown' | 'up' | 'down' = 'unknown'
  /** What the last probe found wrong; undefined when nothing was. */
  #reason: string | undefined = 'not probed yet'
  #timer: Timer | undefined
  #waiting = new AbortController()
  /** Counts beginnings: what a probe from before finds does not matter. */
  #round = 0

  constructor(check: ServiceCheck, options: ServiceMonitorOptions) {
    this.check = check
    this.#options = options
  }

  get state(): 'unknown' | 'up' | 'down' {
    return this.#state
  }

  get isUp(): boolean {
    return this.#state === 'up'
  }

  get reason(): string | undefined {
    return this.#reason
  }

  /** Also once it was stopped, or is running: what it found before counts no more. */
  start(): void {
    this.stop()
    this.#state = 'unknown'
    this.#failures = 0
    this.#late = 0
    this.#reason = 'not probed yet'
    void this.#probe(this.#round)
  }

  stop(): void {
    this.#round++
    this.#timer?.cancel()
    this.#waiting.abort()
  }

  async #probe(round: number): Promise<void> {
    const { intervalMs, timeoutMs } = this.check
    const { clock, tools, env } = this.#options
    const began = clock.now()
    const waiting = new AbortController()
    this.#waiting = waiting
    const answered = probe(tools, this.check, { limitMs: timeoutMs, end: waiting.signal, env }).then(
      () => undefined,
      (error) => (error instanceof Error ? error.message : String(error)),
    )
    const found = await within(clock, answered, timeoutMs)
    if (found === 'late') waiting.abort()
    if (round !== this.#round) return
    this.#late = found === 'late' ? this.#late + 1 : 0
    this.#judge(found === 'late' ? `no answer within ${timeoutMs} ms` : found)
    // what was called back may have ended this round
    if (round !== this.#round) return
    const { kind } = this.check
    const isProgram = kind === 'disk' || kind === 'script'
    const rarer =
      isProgram && this.#state === 'down' ? Math.min(intervalMs * 2 ** Math.min(this.#late, 10), RAREST_MS) : 0
    const nextAt = began + Math.max(intervalMs, rarer)
    this.#timer = clock.after(Math.max(0, nextAt - clock.now()), () => void this.#probe(round))
  }

  #judge(reason: string | undefined): void {
    this.#reason = reason
    this.#failures = reason === undefined ? 0 : this.#failures + 1
    const state = reason === undefined ? 'up' : this.#failures > this.check.retries ? 'down' : this.#state
    if (state === this.#state) return
    this.#state = state
    this.#options.onChange()
  }
}
