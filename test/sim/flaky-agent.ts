/**
 * A fence agent as a script for a switch or a power strip is on a bad day: it hangs until its time is over, fails, or says that it
 * cannot. It never lies: 'fenced' is certainty, and an agent that says so of a node that writes on is no agent.
 */
import { MatrixError } from '../../src/base/errors.ts'
import type { Prng } from '../../src/base/prng.ts'
import { type Clock, sleep } from '../../src/platform/index.ts'
import type { FenceAgent, FenceOutcome } from '../../src/san/index.ts'
import type { Coverage } from './coverage.ts'

export class FlakyAgent implements FenceAgent {
  readonly name = 'script'
  readonly #prng: Prng
  readonly #clock: Clock
  readonly #limitMs: number
  readonly #coverage: Coverage

  /** `limitMs`: how long it may hang. */
  constructor(prng: Prng, clock: Clock, limitMs: number, coverage: Coverage) {
    this.#prng = prng
    this.#clock = clock
    this.#limitMs = limitMs
    this.#coverage = coverage
  }

  async fence(): Promise<FenceOutcome> {
    const how = this.#prng.pick(['hangs', 'fails', 'is unable'] as const)
    this.#coverage.count(`fault fence agent ${how}`)
    if (how === 'is unable') return 'unable'
    await sleep(this.#clock, how === 'hangs' ? this.#limitMs : this.#prng.below(50))
    throw new MatrixError('timeout', `the script ${how}`)
  }
}
