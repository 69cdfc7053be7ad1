/**
 * The monitor of one service of this node (R29): probes it every `intervalMs`, and calls it down after `retries` further failures in a row; one success
 * calls it up again. It begins as down, until the first answer: nobody is sent to a service that has never answered.
 */
import { type Clock, type Dialer, type Log, type Timer, within } from '../../platform/index.ts'
import { probes } from './probes.ts'
import type { ServiceCheck } from './service-check.ts'

export type ServiceMonitorOptions = {
  readonly clock: Clock
  readonly dialer: Dialer
  readonly log: Log
  /** It has gone up or down. */
  readonly onChange: () => void
}

export class ServiceMonitor {
  readonly check: ServiceCheck
  readonly #options: ServiceMonitorOptions
  #failures = 0
  #isUp = false
  /** What the last probe found wrong; undefined when nothing was. */
  #reason: string | undefined = 'not probed yet'
  #timer: Timer | undefined
  #stopped = false

  constructor(check: ServiceCheck, options: ServiceMonitorOptions) {
    this.check = check
    this.#options = options
  }

  get isUp(): boolean {
    return this.#isUp
  }

  get reason(): string | undefined {
    return this.#reason
  }

  start(): void {
    void this.#probe()
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  async #probe(): Promise<void> {
    const { kind, at, intervalMs, timeoutMs } = this.check
    const { clock, dialer } = this.#options
    const began = clock.now()
    const answered = probes[kind](dialer, at, timeoutMs).then(
      () => undefined,
      (error) => (error instanceof Error ? error.message : String(error)),
    )
    const found = await within(clock, answered, timeoutMs)
    if (this.#stopped) return
    this.#judge(found === 'late' ? `no answer within ${timeoutMs} ms` : found)
    this.#timer = clock.after(Math.max(0, began + intervalMs - clock.now()), () => void this.#probe())
  }

  #judge(reason: string | undefined): void {
    const { log, onChange } = this.#options
    const { kind, at, retries } = this.check
    this.#reason = reason
    this.#failures = reason === undefined ? 0 : this.#failures + 1
    const isUp = reason === undefined || (this.#isUp && this.#failures <= retries)
    if (isUp === this.#isUp) return
    this.#isUp = isUp
    const fields = { service: kind, host: at.host, port: at.port }
    if (isUp) log.info(fields, 'a monitored service is up')
    else log.warn({ ...fields, reason }, 'a monitored service is down')
    onChange()
  }
}
