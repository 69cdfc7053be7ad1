import type { Timer } from '../platform/clock.ts'
import type { Hold } from './lock-cache.ts'
import type { Mode } from './modes.ts'

/** A local user that waits for a lock. Settled exactly once. */
export class LockWaiter {
  readonly mode: Mode
  readonly processScope: boolean
  readonly noQueue: boolean
  /** Undefined until settled. */
  outcome: { readonly hold: Hold | undefined } | { readonly error: Error } | undefined
  timer: Timer | undefined
  #resolve: ((hold: Hold | undefined) => void) | undefined
  #reject: ((error: Error) => void) | undefined

  constructor(mode: Mode, options: { readonly processScope: boolean; readonly noQueue: boolean }) {
    this.mode = mode
    this.processScope = options.processScope
    this.noQueue = options.noQueue
  }

  settle(outcome: { readonly hold: Hold | undefined } | { readonly error: Error }): void {
    this.outcome = outcome
    this.timer?.cancel()
    if ('error' in outcome) this.#reject?.(outcome.error)
    else this.#resolve?.(outcome.hold)
  }

  /** For whoever has to wait; asked for only while there is no outcome. */
  promise(): Promise<Hold | undefined> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }
}
