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

  /** Where `incarnation` of a slot (or one after it) was sealed. */
  sealOf(slot: Slot, incarnation: Incarnation): Seal | undefined {
    const last = this.#seals.get(slot)?.at(-1)
    return last && last.incarnation >= incarnation && !brokenRules.seal ? last : undefined
  }

  setIncarnation(slot: Slot, incarnation: Incarnation): void {
    this.#current.set(slot, incarnation)
  }

  /**
   * Does a frame of `incarnation` count at `lsn` of `slot`? Below a seal only the sealed incarnation's do. Beyond the last one
   * those of the current incarnation; while nobody has said which that is (a node that has just loaded the filesystem),
   * those of any newer than the sealed: there is only one, since the next writes only once the one before is sealed.
   */
  counts(slot: Slot, lsn: Lsn, incarnation: Incarnation): boolean {
    if (brokenRules.seal) return true
    for (const seal of this.#seals.get(slot) ?? []) if (lsn < seal.lsn) return incarnation === seal.incarnation
    if (this.sealOf(slot, incarnation)) return false
    const current = this.#current.get(slot)
    return current === undefined || incarnation === current
  }
}
