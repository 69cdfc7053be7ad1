/**
 * The membership partitions of a matrix as one store: a single one, or three, of which any one may be lost (a majority decides).
 *
 * Whatever lies on them is a block with one writer, the same at the same place on each. A write counts once a majority has it durably;
 * a read looks at a majority at least, so it meets every write that counted before it began. It waits a while for the third, too: should one
 * of the first two have come back with old content, the write may be met on that one alone. A write that reached fewer may be met or not:
 * readers take the newest copy they meet, and each kind of block says how copies of it compare.
 *
 * Invariants
 *   1. On each partition the writes of this process to one place go one after another: one whose write is still under way is passed
 *      over by the next write, so an older block never lands on a newer one.
 *   2. A partition that has not answered for `ioTimeoutMs` is passed over until it has: it holds up nobody, and does not fill the
 *      process with I/O that hangs. With a single partition there is nothing else to turn to, and everything waits for it.
 */

import { assert } from '../base/assert.ts'
import { brokenRules } from '../base/broken-rules.ts'
import { MatrixError } from '../base/errors.ts'
import type { Timings } from '../base/timings.ts'
import type { Clock, Timer } from '../platform/clock.ts'
import type { Lun, WriteOptions } from './lun.ts'

export type PartitionsOptions = { readonly clock: Clock; readonly timings: Pick<Timings, 'ioTimeoutMs'> }

type Partition = {
  readonly lun: Lun
  /** When each I/O under way was begun, own clock, ms. */
  readonly begun: Set<{ readonly at: number }>
  /** Writes under way, by place. */
  readonly writing: Map<number, Promise<unknown>>
}

export class Partitions {
  readonly #partitions: readonly Partition[]
  readonly #options: PartitionsOptions

  /** `luns`: one or three. */
  constructor(luns: readonly Lun[], options: PartitionsOptions) {
    assert(luns.length === 1 || luns.length === 3, `${luns.length} membership partitions`)
    this.#partitions = luns.map((lun) => ({ lun, begun: new Set(), writing: new Map() }))
    this.#options = options
  }

  get luns(): readonly Lun[] {
    return this.#partitions.map(({ lun }) => lun)
  }

  /** For messages. */
  get identity(): string {
    return this.luns.map((lun) => lun.identity).join(', ')
  }

  /** How many decide. */
  get majority(): number {
    return brokenRules.majority ? 1 : Math.floor(this.#partitions.length / 2) + 1
  }

  /** The `length` bytes from `offset` as a majority of the partitions has them, one buffer each. Rejects with 'lun-io' or 'timeout'. */
  read(offset: number, length: number): Promise<readonly Buffer[]> {
    return this.readMost(async (lun) => {
      const buffer = Buffer.allocUnsafe(length) // the read fills it, or rejects
      await lun.read(offset, buffer)
      return buffer
    })
  }

  /** As `most`, for what only reads: waits for those that are not needed, too, `ioTimeoutMs` at most. */
  readMost<T>(work: (lun: Lun) => Promise<T>): Promise<readonly T[]> {
    return this.#ask(work, undefined, this.#options.timings.ioTimeoutMs)
  }

  /** Durable on a majority when it resolves. Rejects with 'lun-io', 'timeout' or 'fenced'; then it may have landed anywhere. */
  async write(offset: number, block: Uint8Array, purpose: WriteOptions['purpose']): Promise<void> {
    await this.most((lun) => lun.write(offset, [block], { purpose, durable: true }), offset)
  }

  /**
   * Does `work` on every partition that can be asked; resolves with the results once a majority has succeeded, rejects with the
   * first error once that cannot be. `place`: for what writes there (invariant 1).
   */
  most<T>(work: (lun: Lun) => Promise<T>, place: number): Promise<readonly T[]> {
    return this.#ask(work, place, 0)
  }

  /** Resolves once no write of this process to `place` is under way anywhere: none can land any more. */
  async settled(place: number): Promise<void> {
    const underWay = this.#partitions.flatMap(({ writing }) => writing.get(place) ?? [])
    await Promise.allSettled(underWay)
  }

  #ask<T>(work: (lun: Lun) => Promise<T>, place: number | undefined, patienceMs: number): Promise<readonly T[]> {
    const { majority } = this
    return new Promise((resolve, reject) => {
      const results: T[] = []
      const errors: unknown[] = []
      let patience: Timer | undefined
      const answer = (): void => {
        patience?.cancel()
        resolve([...results])
      }
      const settled = (): void => {
        const open = this.#partitions.length - errors.length - results.length
        if (results.length + open < majority) reject(errors[0])
        else if (results.length >= majority && (open === 0 || patienceMs === 0)) answer()
        else if (results.length >= majority) patience ??= this.#options.clock.after(patienceMs, answer)
      }
      const failed = (error: unknown): void => {
        errors.push(error)
        settled()
      }
      for (const partition of this.#partitions) {
        if (this.#isPassedOver(partition, place)) {
          failed(new MatrixError('timeout', `${partition.lun.identity} has not answered yet`))
          continue
        }
        this.#tracked(partition, work, place).then((value) => {
          results.push(value)
          settled()
        }, failed)
      }
    })
  }

  #isPassedOver({ begun, writing }: Partition, place: number | undefined): boolean {
    if (this.#partitions.length === 1) return false
    const { clock, timings } = this.#options
    const longest = clock.now() - timings.ioTimeoutMs
    return (
      (place !== undefined && writing.has(place) && !brokenRules.oneWritePerPlace) ||
      [...begun].some(({ at }) => at <= longest)
    )
  }

  async #tracked<T>(partition: Partition, work: (lun: Lun) => Promise<T>, place: number | undefined): Promise<T> {
    const io = { at: this.#options.clock.now() }
    partition.begun.add(io)
    try {
      const done = work(partition.lun)
      if (place !== undefined) partition.writing.set(place, done)
      return await done
    } finally {
      partition.begun.delete(io)
      if (place !== undefined) partition.writing.delete(place)
    }
  }
}
