/**
 * Flushes of one device. Two may be under way, so that data and journal do not wait for each other; flushes that are asked for meanwhile share
 * the next one.
 *
 * A flush that failed is final: what the device or the kernel could not write may be forgotten and taken for clean, so that the next flush would
 * succeed and lie. Every later one rejects with the same failure.
 */
const MAX_FLUSHES = 2

export class SharedFlush {
  readonly #device: () => Promise<void>
  #flushing = 0
  /** The flush that begins as soon as one may: whoever asks meanwhile shares it. */
  #next: Promise<void> | undefined
  #flushEnded: (() => void) | undefined
  #failure: unknown

  /** `device` makes durable whatever was written before it is called. */
  constructor(device: () => Promise<void>) {
    this.#device = device
  }

  flush(): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure)
    // those under way may have begun before the caller's write had ended: only a later one covers it
    this.#next ??= this.#mayFlush().then(() => {
      this.#next = undefined
      return this.#flush()
    })
    return this.#next
  }

  #mayFlush(): Promise<void> {
    if (this.#flushing < MAX_FLUSHES) return Promise.resolve()
    return new Promise((resolve) => {
      this.#flushEnded = resolve
    })
  }

  async #flush(): Promise<void> {
    this.#flushing++
    try {
      if (!this.#failure) await this.#device()
    } catch (error) {
      this.#failure ??= error
    } finally {
      this.#flushing--
      this.#flushEnded?.()
      this.#flushEnded = undefined
    }
    if (this.#failure) throw this.#failure
  }
}
