/**
 * The grace period: after locks were lost, their holders have the first choice. It exists only for clients that have to reclaim, and ends once all of
 * them have, or after its longest time; without any it never begins.
 *
 * That a client has reclaimed everything it does not say. It has when it asks for something new, or has been silent for a while since its last.
 */
import type { Clock, Timer } from '../../platform/clock.ts'
import { GRACE_MS, GRACE_QUIET_MS } from '../limits.ts'

export class Grace {
  readonly #clock: Clock
  /** Those who have not reclaimed yet, with what will tell that they have. */
  readonly #missing = new Map<string, Timer | undefined>()
  #end: Timer | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get isOver(): boolean {
    return this.#end === undefined
  }

  /** `clients` have lost locks just now. */
  begin(clients: Iterable<string>): void {
    for (const client of clients) if (!this.#missing.has(client)) this.#missing.set(client, undefined)
    if (this.#missing.size === 0) return
    this.#end?.cancel()
    this.#end = this.#clock.after(GRACE_MS, () => this.stop())
  }

  /** The client is about to reclaim a lock: true when it may. */
  reclaims(client: string): boolean {
    if (this.isOver) return false
    this.#missing.get(client)?.cancel()
    this.#missing.set(
      client,
      this.#clock.after(GRACE_QUIET_MS, () => this.done(client)),
    )
    return true
  }

  /** The client has nothing more to reclaim. */
  done(client: string): void {
    this.#missing.get(client)?.cancel()
    this.#missing.delete(client)
    if (this.#missing.size === 0) this.stop()
  }

  stop(): void {
    for (const timer of this.#missing.values()) timer?.cancel()
    this.#missing.clear()
    this.#end?.cancel()
    this.#end = undefined
  }
}
