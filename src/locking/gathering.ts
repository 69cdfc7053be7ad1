/**
 * Several locks that one user acquires together, in order, while it waits for one of them. It may give back what it has so far and
 * start over: nobody has seen it yet.
 */
import type { Hold } from './lock-cache.ts'
import type { Mode } from './modes.ts'
import type { ResourceId } from './resource.ts'

export class Gathering {
  /** Ascending. */
  readonly order: readonly (readonly [ResourceId, Mode])[]
  /** Of the first locks in that order. */
  readonly holds: Hold[] = []
  #startsOver = false

  constructor(order: readonly (readonly [ResourceId, Mode])[]) {
    this.order = order
  }

  /** The hold that was waited for. */
  add(hold: Hold): void {
    this.holds.push(hold)
    if (this.#startsOver) this.giveBack()
    this.#startsOver = false
  }

  has(rid: ResourceId): boolean {
    return this.holds.some((hold) => hold.rid === rid)
  }

  giveBack(): void {
    this.#startsOver = true
    for (const hold of this.holds.splice(0)) hold.release()
  }
}
