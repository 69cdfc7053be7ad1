/**
 * How often somebody may fail to log in: so many times a minute from one address, and so many with one name from anywhere. Who is over it is
 * told to wait, and no password is looked at meanwhile.
 */
import type { Clock } from '../../platform/clock.ts'

const WINDOW_MS = 60_000
const MAX_PER_ADDRESS = 10
const MAX_PER_NAME = 100
/** Addresses and names remembered; beyond, the oldest are forgotten. */
const MAX_REMEMBERED = 20_000

type Failures = { count: number; readonly since: number }

export class LoginLimits {
  readonly #clock: Clock
  readonly #failures = new Map<string, Failures>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Seconds until the next try; 0: now. */
  waitS(address: string, name: string): number {
    return Math.max(this.#wait(`a${address}`, MAX_PER_ADDRESS), this.#wait(`n${name}`, MAX_PER_NAME))
  }

  failed(address: string, name: string): void {
    this.#count(`a${address}`)
    this.#count(`n${name}`)
  }

  #wait(key: string, max: number): number {
    const failures = this.#current(key)
    if (!failures || failures.count < max) return 0
    return Math.ceil((failures.since + WINDOW_MS - this.#clock.now()) / 1000)
  }

  #count(key: string): void {
    const failures = this.#current(key)
    if (failures) {
      failures.count++
      return
    }
    if (this.#failures.size >= MAX_REMEMBERED) this.#failures.delete(this.#failures.keys().next().value as string)
    this.#failures.set(key, { count: 1, since: this.#clock.now() })
  }

  #current(key: string): Failures | undefined {
    const failures = this.#failures.get(key)
    if (failures && this.#clock.now() - failures.since >= WINDOW_MS) {
      this.#failures.delete(key)
      return undefined
    }
    return failures
  }
}
