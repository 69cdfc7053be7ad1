/** Programs of the operator, run and waited for: handed in, so that the simulator has its own. */

export type ProgramRun = {
  /** Absolute. Started as it is, by no shell; its standard input is empty. */
  readonly path: string
  readonly args: readonly string[]
  /** Beside the environment of this process. */
  readonly env: Readonly<Record<string, string>>
  /** After so long it is killed, ms. */
  readonly timeoutMs: number
  /** So many of the last lines of its output are kept; 20 when left out. */
  readonly outputLines?: number
  /** Kills it earlier. */
  readonly abort?: AbortSignal | undefined
}

export type ProgramEnd = {
  /** Killed with all that it has started, unless 'exited' or 'killed' (by somebody else). */
  readonly how: 'exited' | 'killed' | 'timeout' | 'aborted'
  /** Of 'exited'. */
  readonly code?: number
  /** The last lines it has written to standard output and standard error. */
  readonly output: readonly string[]
}

export interface Programs {
  /** Rejects with MatrixError 'not-found' when it cannot be started. */
  run(program: ProgramRun): Promise<ProgramEnd>
}
