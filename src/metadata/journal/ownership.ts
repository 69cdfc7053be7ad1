/**
 * Which incarnation's frames count where: seals and current incarnations of all slots. A frame of an older incarnation at
 * or beyond its seal is a ghost, a write issued before a death that landed after the recovery.
 */
import type { Incarnation, Lsn, Slot } from '../../base/ids.ts'
import type { Vector } from '../../base/vector.ts'
import type { Seal } from '../../san/index.ts'
import { brokenRules } from '../broken-rules.ts'

export class Ownership {
  #seals = new Map<Slot, Seal[]>()
  #current = new Map<Slot, Incarnation>()

  setSeals(seals: readonly Seal[]): void {
    this.#seals.clear()
    for (const seal of [...seals].sort((a, b) => a.slot - b.slot || a.incarnation - b.incarnation)) {
      const list = this.#seals.get(seal.slot)
      if (list) list.push(seal)
      else this.#seals.set(seal.slot, [seal])
    }
  }

  seals(): Seal[] {
    return [...this.#seals.values()].flat()
  }

  /** Where the sealed part of each journal ends: recovery made sure that all of it is on stable storage. */
  ends(): Vector {
    return new Map([...this.#seals].map(([slot, seals]) => [slot, (seals.at(-1) as Seal).lsn]))
  }

  /** The last seal of a slot. */
  lastSeal(slot: Slot): Seal | undefined {
    return this.#seals.get(slot)?.at(-1)
  }

  setIncarnation(slot: Slot, incarnation: Incarnation): void {
    this.#current.set(slot, incarnation)
  }

  incarnation(slot: Slot): Incarnation | undefined {
    return this.#current.get(slot)
  }

  /** The incarnation whose frame counts at `lsn` of `slot`; undefined when nobody's does. */
  ownerOf(slot: Slot, lsn: Lsn): Incarnation | undefined {
    for (const seal of this.#seals.get(slot) ?? []) if (lsn < seal.lsn) return seal.incarnation
    const current = this.#current.get(slot)
    // a sealed incarnation writes no more, whatever we still believe about who is current
    return current !== undefined && current > (this.lastSeal(slot)?.incarnation ?? -1) ? current : undefined
  }

  counts(slot: Slot, lsn: Lsn, incarnation: Incarnation): boolean {
    return brokenRules.seal || this.ownerOf(slot, lsn) === incarnation
  }
}
