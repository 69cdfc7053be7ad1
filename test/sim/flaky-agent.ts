/**
 * The operator's fence script, which may be a good one or have a bad day: it cuts its victim off at the storage, or powers it off; it
 * hangs until its time is over, cannot be started, says that it cannot; or it lies: it exits with 0 and has done nothing.
 *
 * What may land afterwards is what the agent takes the script's word for (src/san/script-agent.ts): of a node that was cut off nothing; of one
 * without power what a healthy LUN had already, for an I/O time-out; of one that was lied about everything, but for writes
 * that have been under way for longer than an I/O time-out. These are beyond what the agent claims, are kept from landing, and are counted.
 */

import { MatrixError } from '../../src/base/errors.ts'
import type { Life } from '../../src/base/life.ts'
import type { Prng } from '../../src/base/prng.ts'
import { type Clock, type ProgramEnd, type ProgramRun, type Programs, sleep } from '../../src/platform/index.ts'
import type { Coverage } from './coverage.ts'
import type { Landed, SimDisk } from './lun.ts'
import type { SimHost } from './world.ts'

export const scriptWays = ['hangs', 'fails', 'is unable', 'cuts off', 'powers off', 'lies'] as const
export type ScriptWay = (typeof scriptWays)[number]

/** Names under which its ways are counted. */
export const scriptFaults: readonly string[] = [
  ...scriptWays.map((way) => `fence script ${way}`),
  'late write of a node that a script has lied about',
]

export type FlakyScriptOptions = {
  readonly prng: Prng
  /** What it may do: drawn for every run. */
  readonly ways: readonly ScriptWay[]
  /** Of the node that runs it. */
  readonly clock: Clock
  readonly coverage: Coverage
  readonly disks: readonly SimDisk[]
  readonly ioTimeoutMs: number
  /** The threads of a life, the main one first. */
  threadsOf(life: Life): readonly SimHost[]
  powerOff(host: SimHost): void
}

export class FlakyScript implements Programs {
  readonly #options: FlakyScriptOptions

  constructor(options: FlakyScriptOptions) {
    this.#options = options
  }

  async run({ env, timeoutMs, path }: ProgramRun): Promise<ProgramEnd> {
    const { prng, ways, clock, coverage, ioTimeoutMs, threadsOf, powerOff } = this.#options
    const threads = threadsOf({
      slot: Number(env['MATRIXFS_SLOT']),
      incarnation: Number(env['MATRIXFS_INCARNATION']),
    })
    const way = prng.pick(ways)
    coverage.count(`fault fence script ${way}`)
    await sleep(clock, way === 'hangs' ? timeoutMs : prng.below(ioTimeoutMs))
    const [main] = threads
    const { world } = this.#options.disks[0] as SimDisk
    switch (way) {
      case 'hangs':
        return { how: 'timeout', output: [''] }
      case 'fails':
        throw new MatrixError('not-found', `${path} cannot be started: ENOENT`)
      case 'is unable':
        return { how: 'exited', code: 1, output: ['no route to the switch'] }
      case 'cuts off':
        this.#bar(threads, () => true)
        for (const disk of this.#options.disks)
          disk.faults.add((_io, by) => (threads.includes(by) ? 'error' : undefined))
        break
      case 'powers off': {
        if (main) powerOff(main)
        const overBy = world.now + ioTimeoutMs
        this.#bar(threads, () => world.now > overBy)
        break
      }
      case 'lies':
        this.#bar(threads, ({ issuedAt }) => {
          const isLate = world.now - issuedAt > ioTimeoutMs
          if (isLate) coverage.count('fault late write of a node that a script has lied about')
          return isLate
        })
        break
    }
    return { how: 'exited', code: 0, output: [''] }
  }

  #bar(threads: readonly SimHost[], isBarred: (write: Landed) => boolean): void {
    for (const disk of this.#options.disks) disk.bars.add((write) => threads.includes(write.by) && isBarred(write))
  }
}
