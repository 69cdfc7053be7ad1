/**
 * Which incarnations' frames count where: seals and current incarnations of all slots. A frame of an older incarnation at
 * or beyond its seal is a ghost, a write issued before a death that landed after the recovery.
 *
 * An incarnation writes only after everything before it has been sealed. So between two seals one incarnation has written, but not
 * always the one that the later seal names: a life that died before its first recovery was over wrote nothing, and is sealed
 * together with the one before it. Hence the range: newer than the seal before, not newer than the seal after (or, beyond the
 * last seal, than the current incarnation, once somebody has said which that is).
 */

import { brokenRules } from '../../base/broken-rules.ts'
import type { Incarnation, Lsn, Slot } from '../../base/ids.ts'
import type { Vector } from '../../base/vector.ts'
import type { Seal } from '../../san/index.ts'

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

  /** The last seal of a slot, when it is that of `incarnation` or one after it. */
  sealOf(slot: Slot, incarnation: Incarnation): Seal | undefined {
    const last = this.#seals.get(slot)?.at(-1)
    return last && last.incarnation >= incarnation && !brokenRules.seal ? last : undefined
  }

  /** The slots that others are known to have written in. */
  slots(): Slot[] {
    return [...new Set([...this.#seals.keys(), ...this.#current.keys()])]
  }

  setIncarnation(slot: Slot, incarnation: Incarnation): void {
    this.#current.set(slot, incarnation)
  }

  /** True when a valid frame of `incarnation` at `lsn` is part of the slot's journal. */
  counts(slot: Slot, lsn: Lsn, incarnation: Incarnation): boolean {
    if (brokenRules.seal) return true
    let sealed = -1
    for (const seal of this.#seals.get(slot) ?? []) {
      if (lsn < seal.lsn) return incarnation > sealed && incarnation <= seal.incarnation
      sealed = seal.incarnation
    }
    return incarnation > sealed && incarnation <= (this.#current.get(slot) ?? Number.POSITIVE_INFINITY)
  }
}
