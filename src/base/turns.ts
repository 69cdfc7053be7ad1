/** Does one thing after another, in the order in which they were asked for. What fails holds up nothing that comes after it. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve()

  /** Runs `work` once everything that was asked for before is over; settles as it does. */
  take<T>(work: () => T | Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }

  /** Resolves once everything that was asked for until now is over, however it ended. */
  async over(): Promise<void> {
    await this.#last
  }
}
