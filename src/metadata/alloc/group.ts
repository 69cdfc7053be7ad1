/**
 * One allocation group held here under `G:<group>` EX. Blocks of it are in one of these states:
 *
 *     free in the image, available      may be taken
 *     free in the image, in flight      taken: data is being written to them, no extent maps them yet
 *     mapped                            committed together with the extent; no longer ours to give
 *
 * Invariants, after every commit: (1) `rows` equals the image's free rows of the group. (2) available + in flight = rows.
 * (3) A crash forgets what was in flight: the image still has it free. So space is never lost and never handed out twice.
 */
import { assert } from '../../base/assert.ts'
import type { Mutation } from '../image/mutation.ts'
import { type Run, RunSet } from './run-set.ts'

export class Group {
  readonly number: number
  /** Mirror of the image's free rows. */
  #rows: RunSet
  #available: RunSet
  readonly #inFlight = new RunSet()
  /** Next-fit cursor: where the last allocation ended. */
  #cursor: number
  /** Another node wants the group: nothing is promised from it any more, only promises kept. */
  leaving = false

  constructor(number: number, rows: readonly Run[]) {
    this.number = number
    this.#rows = RunSet.from(rows)
    this.#available = RunSet.from(rows)
    this.#cursor = rows[0]?.address ?? 0
  }

  get available(): number {
    return this.#available.blocks
  }

  get inFlight(): number {
    return this.#inFlight.blocks
  }

  /** Takes up to `count` blocks in one run, near `goal` when given; undefined when nothing is available. */
  take(count: number, goal?: number): Run | undefined {
    const run = this.#available.find(count, goal ?? this.#cursor)
    if (!run) return undefined
    this.#available.remove(run.address, run.count)
    this.#inFlight.add(run.address, run.count)
    this.#cursor = run.address + run.count
    return run
  }

  /** What was taken is not used after all. */
  giveBack(run: Run): void {
    this.#inFlight.remove(run.address, run.count)
    this.#available.add(run.address, run.count)
  }

  /** Adds the mutations that turn a taken run into a used one. Then `used` when they are committed, `reload` when not. */
  use(run: Run, mutations: Mutation[]): void {
    const index = this.#rows.indexOf(run.address)
    assert(index >= 0, 'a taken run is free in the image')
    const row = this.#rows.at(index)
    if (run.address === row.address) mutations.push({ op: 'removeFree', address: row.address })
    else mutations.push({ op: 'putFree', address: row.address, count: run.address - row.address })
    const tail = row.address + row.count - run.address - run.count
    if (tail > 0) mutations.push({ op: 'putFree', address: run.address + run.count, count: tail })
    this.#rows.remove(run.address, run.count)
  }

  /** The commit with the run's `use` is applied: it is no longer ours. */
  used(run: Run): void {
    this.#inFlight.remove(run.address, run.count)
  }

  /** Adds the mutations that make blocks of the group free, joined with their neighbours. They may be taken at once. */
  free(run: Run, mutations: Mutation[]): void {
    const right = this.#rows.indexOf(run.address + run.count)
    if (right >= 0) mutations.push({ op: 'removeFree', address: this.#rows.at(right).address })
    this.#rows.add(run.address, run.count)
    const joined = this.#rows.at(this.#rows.indexOf(run.address))
    mutations.push({ op: 'putFree', address: joined.address, count: joined.count })
    this.#available.add(run.address, run.count)
  }

  /** A commit failed: start over from what the image has. What is in flight stays so. */
  reload(rows: readonly Run[]): void {
    this.#rows = RunSet.from(rows)
    this.#available = RunSet.from(rows)
    for (const run of this.#inFlight.toArray()) this.#available.remove(run.address, run.count)
  }
}
