/** So many at a time: for what is worth answering but must not take the node over. */
import { HttpFailure } from './failure.ts'
import { RETRY_AFTER_S } from './limits.ts'

export class Gate {
  readonly #limit: number
  #inside = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** 503 when there is no room. */
  async pass<T>(run: () => Promise<T>): Promise<T> {
    if (this.#inside >= this.#limit) {
      throw new HttpFailure(503, 'too many searches and archives at a time', {
        headers: { 'Retry-After': String(RETRY_AFTER_S) },
      })
    }
    this.#inside++
    try {
      return await run()
    } finally {
      this.#inside--
    }
  }
}
