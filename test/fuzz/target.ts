/** What can be fuzzed: something that takes inputs made from a seed, one by one, and has to deal with each. */

export interface FuzzRun {
  /**
   * Makes input `number` and has it dealt with, to the end; gives what kind of input it was. Rejects when it was dealt with wrongly. The same
   * number of the same seed is the same input.
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
  start(seed: number): Promise<FuzzRun>
}
