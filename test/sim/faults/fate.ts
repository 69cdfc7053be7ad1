/**
 * What every kind of fault is given: the run's randomness, time outside of every node, the matrix, and the ways back. Whatever a fault
 * does ends by itself (`during`) or at `heal`, whichever comes first.
 */
import type { Prng } from '../../../src/base/prng.ts'
import { type Clock, sleep } from '../../../src/platform/index.ts'
import type { Coverage } from '../coverage.ts'
import type { FaultHook, SimDisk } from '../lun.ts'
import type { SimMatrix, SimNode } from '../matrix.ts'

export class Fate {
  readonly matrix: SimMatrix
  readonly prng: Prng
  /** Of a machine that nothing happens to. */
  readonly clock: Clock
  readonly #coverage: Coverage
  /** Faults come this many times as seldom. */
  readonly #pace: number
  readonly #undo = new Set<() => void>()
  #over = false

  /** `clock` is of a machine that nothing happens to. */
  constructor(matrix: SimMatrix, prng: Prng, clock: Clock, coverage: Coverage, pace: number) {
    this.matrix = matrix
    this.prng = prng
    this.clock = clock
    this.#coverage = coverage
    this.#pace = pace
  }

  /** A fault of this kind has begun. */
  count(kind: string): void {
    this.#coverage.count(`fault ${kind}`)
  }

  /** Something came of it. */
  tell(what: string): void {
    this.#coverage.count(what)
  }

  /** Again and again, with between `leastMs` and `mostMs` between two. */
  again(leastMs: number, mostMs: number, happen: () => void): void {
    void (async () => {
      for (;;) {
        await sleep(this.clock, this.prng.between(leastMs, mostMs) * this.#pace)
        if (this.#over) return
        happen()
      }
    })()
  }

  after(delayMs: number, run: () => void): void {
    this.clock.after(delayMs, () => {
      if (!this.#over) run()
    })
  }

  /** What has begun ends by `undo` after a while. */
  during(ms: number, undo: () => void): void {
    this.#undo.add(undo)
    this.after(ms, () => {
      if (this.#undo.delete(undo)) undo()
    })
  }

  /** `hook` is asked for every I/O of these disks for a while. */
  hook(disks: readonly SimDisk[], ms: number, hook: FaultHook): void {
    const own: FaultHook = (io, by) => hook(io, by)
    for (const disk of disks) disk.faults.add(own)
    this.during(ms, () => {
      for (const disk of disks) disk.faults.delete(own)
    })
  }

  kill(victim: SimNode | undefined): void {
    if (!victim?.host?.alive) return
    this.count('death of a node')
    this.matrix.crash(victim)
  }

  /** A moment, about a lease, or much longer, ms. */
  while(): number {
    const { suspectMs, leaseMs } = this.matrix.timings
    const { prng } = this
    return prng.pick([prng.between(5, suspectMs), prng.between(suspectMs, leaseMs), prng.between(leaseMs, 4 * leaseMs)])
  }

  /** Some of the disks. */
  disks(): readonly SimDisk[] {
    const { disks, spares } = this.matrix
    return this.prng.pick([disks, disks.slice(0, 1), disks.slice(1), spares.disks, [...disks, ...spares.disks]])
  }

  heal(): void {
    this.#over = true
    for (const undo of this.#undo) undo()
    this.#undo.clear()
  }
}
