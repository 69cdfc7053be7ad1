/** How late the event loop runs, and how much of a core the process uses, between one look and the next. */
import { monitorEventLoopDelay } from 'node:perf_hooks'

const RESOLUTION_MS = 20
const NS_PER_MS = 1e6

export type Pulse = { readonly cpu: number; readonly meanMs: number; readonly maxMs: number }

export class ProcessPulse {
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  readonly #now: () => number
  #cpu = process.cpuUsage()
  #at: number

  constructor(now: () => number) {
    this.#now = now
    this.#at = now()
    this.#delay.enable()
  }

  /** Since the look before. */
  look(): Pulse {
    const now = this.#now()
    const { user, system } = process.cpuUsage(this.#cpu)
    const spanMs = Math.max(1, now - this.#at)
    this.#cpu = process.cpuUsage()
    this.#at = now
    // the timer that measures is late by its own period when nothing is
    const late = (ns: number): number => (Number.isFinite(ns) ? Math.max(0, ns / NS_PER_MS - RESOLUTION_MS) : 0)
    const pulse = {
      cpu: (user + system) / 1000 / spanMs,
      meanMs: late(this.#delay.mean),
      maxMs: this.#delay.count > 0 ? late(this.#delay.max) : 0,
    }
    this.#delay.reset()
    return pulse
  }

  stop(): void {
    this.#delay.disable()
  }
}
