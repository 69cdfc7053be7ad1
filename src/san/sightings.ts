/**
 * What one observer has seen of one slot's lease record: tells a sign of life from an old copy.
 *
 * A record lies on up to three partitions, a read may meet any majority of them, and a claim that failed, or a partition that was away, leaves
 * old ones behind. So that a read differs from the one before proves nothing. A sign of life is a *writing* that was never met before, of the
 * newest incarnation that was: every process numbers its writings of a sector upwards, and has a nonce of its own.
 */
import type { LeaseSector } from './lease-sector.ts'

export class Sightings {
  #newest: LeaseSector | undefined
  /** Of the newest incarnation: the last writing met, by nonce. */
  readonly #counters = new Map<string, number>()

  /** The last record met that showed life; a rival's of the same incarnation when that came later. */
  get newest(): LeaseSector | undefined {
    return this.#newest
  }

  /** Takes what a read has met, the newest first: the record among it that shows life, the newest when several do. */
  meet(records: readonly LeaseSector[]): LeaseSector | undefined {
    let shown: LeaseSector | undefined
    for (const record of records.toReversed()) if (this.#isNew(record)) shown = record
    return shown
  }

  #isNew(record: LeaseSector): boolean {
    const { incarnation, counter, nonce } = record
    const known = this.#newest?.incarnation ?? 0
    if (incarnation < known || counter <= (incarnation > known ? 0 : (this.#counters.get(nonce) ?? 0))) return false
    if (incarnation > known) this.#counters.clear()
    this.#counters.set(nonce, counter)
    this.#newest = record
    return true
  }
}
