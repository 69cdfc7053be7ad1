/**
 * The resources that nodes take from each other most, as their master sees it: for people who ask why everybody waits. Counts a fixed number
 * of them, whatever is used (Metwally et al. 2005, Space-Saving): a newcomer takes the place of the coolest, and its heat. What
 * was long ago counts less: every so many times all heat is halved.
 */
import type { ResourceId } from './resource.ts'

const PLACES = 128
const HALVED_AFTER = 4096

export class HotResources {
  readonly #heat = new Map<ResourceId, number>()
  #noted = 0

  /** A holder of `rid` is told to give way. */
  note(rid: ResourceId): void {
    if (++this.#noted % HALVED_AFTER === 0) this.#cool()
    const heat = this.#heat.get(rid)
    if (heat !== undefined || this.#heat.size < PLACES) {
      this.#heat.set(rid, (heat ?? 0) + 1)
      return
    }
    const [coolest, least] = this.#coolest()
    this.#heat.delete(coolest)
    this.#heat.set(rid, least + 1)
  }

  /** 0 for what is not among the hottest. */
  heatOf(rid: ResourceId): number {
    return this.#heat.get(rid) ?? 0
  }

  /** Hottest first. */
  hottest(): ResourceId[] {
    return [...this.#heat].sort(([, a], [, b]) => b - a).map(([rid]) => rid)
  }

  #coolest(): [ResourceId, number] {
    let found: [ResourceId, number] = [0, Number.POSITIVE_INFINITY]
    for (const entry of this.#heat) if (entry[1] < found[1]) found = entry
    return found
  }

  #cool(): void {
    for (const [rid, heat] of this.#heat) {
      if (heat < 2) this.#heat.delete(rid)
      else this.#heat.set(rid, heat / 2)
    }
  }
}
