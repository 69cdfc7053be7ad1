/** Pauses of what tries again and again: they all end at once when the server does. */
import type { Clock, Timer } from '../../platform/clock.ts'

export class Pauses {
  readonly #clock: Clock
  readonly #under = new Map<Timer, () => void>()
  #closed = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get isClosed(): boolean {
    return this.#closed
  }

  /** Resolves after `ms`, or when the server ends. */
  pause(ms: number): Promise<void> {
    if (this.#closed) return Promise.resolve()
    return new Promise((resolve) => {
      const over = () => {
        this.#under.delete(timer)
        timer.cancel()
        resolve()
      }
      const timer = this.#clock.after(ms, over)
      this.#under.set(timer, over)
    })
  }

  close(): void {
    this.#closed = true
    for (const over of [...this.#under.values()]) over()
  }
}
