/** An answer that costs something, given to all who ask within a moment of each other: fifty viewers ask as much as one. */
export class SharedAnswer<T> {
  readonly #make: () => Promise<T>
  readonly #now: () => number
  readonly #freshMs: number
  #answer: Promise<T> | undefined
  #until = 0

  /** `freshMs` from when it came; a failure is shared only while it is awaited. */
  constructor(make: () => Promise<T>, now: () => number, freshMs: number) {
    this.#make = make
    this.#now = now
    this.#freshMs = freshMs
  }

  /** Something has happened: who asks from now on gets another one. */
  expire(): void {
    this.#answer = undefined
  }

  get(): Promise<T> {
    if (this.#answer && this.#now() < this.#until) return this.#answer
    const answer = this.#make()
    this.#answer = answer
    this.#until = Number.POSITIVE_INFINITY
    answer.then(
      () => {
        if (this.#answer === answer) this.#until = this.#now() + this.#freshMs
      },
      () => {
        if (this.#answer === answer) this.#answer = undefined
      },
    )
    return answer
  }
}
