/**
 * Faults on request: commands that take longer, fail, are never answered, or end their connection, before or after they were carried
 * out. A rule meets the commands it describes, as often as it says; the first that meets a command is the one that counts.
 */
import type { CheckCondition } from './sense-data.ts'

export type FaultOperation = 'read' | 'write' | 'flush' | 'reserve' | 'other'

export type Fault = {
  readonly lun?: number
  /** Name of the initiator. */
  readonly initiator?: string
  /** Number of the portal, from 1. */
  readonly portal?: number
  readonly operation?: FaultOperation
  /** So many commands, then the rule is gone; all when left out. */
  readonly count?: number
  /** Of the commands that it describes, this part, 0…1; all when left out. */
  readonly probability?: number
  /** Longer by so many milliseconds, and up to so many more. */
  readonly delayMs?: number
  readonly jitterMs?: number
  readonly sense?: CheckCondition
  readonly status?: number
  /** Never answered, until it is aborted. */
  readonly hang?: boolean
  /** Ends the connection. */
  readonly drop?: boolean
  /** Once the command was carried out, instead of before, and without it. */
  readonly after?: boolean
}

export type FaultPlace = {
  readonly lun: number
  readonly initiator: string
  readonly portal: number
  readonly operation: FaultOperation
}

type Rule = { readonly id: number; readonly fault: Fault; met: number }

export class Faults {
  readonly #rules: Rule[] = []
  readonly #random: () => number
  #lastId = 0

  /** `random`: 0 … 1, exclusive. */
  constructor(random: () => number) {
    this.#random = random
  }

  add(fault: Fault): number {
    this.#rules.push({ id: ++this.#lastId, fault, met: 0 })
    return this.#lastId
  }

  /** All, when left out. Returns how many there were. */
  remove(id?: number): number {
    const before = this.#rules.length
    for (let i = before - 1; i >= 0; i--) if (id === undefined || this.#rules[i]!.id === id) this.#rules.splice(i, 1)
    return before - this.#rules.length
  }

  list(): readonly (Fault & { readonly id: number; readonly met: number })[] {
    return this.#rules.map(({ id, fault, met }) => ({ id, ...fault, met }))
  }

  meet(place: FaultPlace): Fault | undefined {
    for (const rule of this.#rules) {
      const { fault } = rule
      if (fault.lun !== undefined && fault.lun !== place.lun) continue
      if (fault.initiator !== undefined && fault.initiator !== place.initiator) continue
      if (fault.portal !== undefined && fault.portal !== place.portal) continue
      if (fault.operation !== undefined && fault.operation !== place.operation) continue
      if (fault.probability !== undefined && this.#random() >= fault.probability) continue
      rule.met++
      if (fault.count !== undefined && rule.met >= fault.count) this.#rules.splice(this.#rules.indexOf(rule), 1)
      return fault
    }
    return undefined
  }

  delayOf({ delayMs = 0, jitterMs = 0 }: Fault): number {
    return delayMs + (jitterMs > 0 ? this.#random() * jitterMs : 0)
  }
}
