/** The machine as LUN drivers see it, handed in as one. */
import type { Dialer } from './byte-stream.ts'
import type { Clock } from './clock.ts'
import type { Files } from './files.ts'
import type { Programs } from './programs.ts'

export interface Host {
  /** Of this machine in its network. */
  readonly name: string
  readonly clock: Clock
  readonly files: Files
  readonly dialer: Dialer
  readonly programs: Programs
  /** The first line of a file that only its owner may read. Rejects with MatrixError 'config'. */
  secret(path: string): Promise<string>
  /** Unpredictable bytes. */
  random(count: number): Buffer
}
