/** What can be fuzzed: something that takes inputs made from a seed, and has to deal with each. */

export interface FuzzRun {
  /**
   * Makes input `number` and has it dealt with, to the end; gives what kind of input it was. Rejects when it was dealt with wrongly. The same
   * number of the same seed is the same input, as far as inputs are not made from answers. Numbers of one lane come one after another, ascending.
   */
  input(number: number): Promise<string>
  /** The whole is sound after all inputs, and still serves. */
  check(): Promise<void>
  close(): Promise<void>
}

export interface FuzzTarget {
  /** `npm run fuzz -- NAME`. */
  readonly name: string
  readonly about: string
  /** So many inputs are under way at a time (default 1); input n is of lane n modulo that. */
  readonly lanes?: number
  start(seed: number): Promise<FuzzRun>
}
