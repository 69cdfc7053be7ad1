/**
 * The switch before the target: a port of it for each initiator at each portal, which can be disabled. It is the switch of the founding document, at
 * which a server is taken off the storage network.
 *
 * 'refuse': connections end with a reset, and new ones do, too, as soon as they say whose they are. 'silent': they stay open, and nothing
 * passes any more, as with a cable that was pulled.
 */

export type CutMode = 'refuse' | 'silent'

export type Cut = {
  /** Name of the initiator, in lower case; everybody's when left out. */
  readonly initiator?: string
  /** Number of the portal, from 1; all when left out. */
  readonly portal?: number
  readonly mode: CutMode
}

export class Switch {
  #cuts: readonly Cut[] = []

  get cuts(): readonly Cut[] {
    return this.#cuts
  }

  /** One for the same port takes the place of the one before. */
  cut(cut: Cut): void {
    this.#cuts = [...this.#cuts.filter((each) => !isSame(each, cut)), cut]
  }

  /** Every cut of this initiator at this portal; of all, where one is left out. Returns how many there were. */
  heal({ initiator, portal }: Pick<Cut, 'initiator' | 'portal'>): number {
    const before = this.#cuts.length
    this.#cuts = this.#cuts.filter(
      (each) =>
        (initiator !== undefined && each.initiator !== initiator) || (portal !== undefined && each.portal !== portal),
    )
    return before - this.#cuts.length
  }

  /** Undefined while the port is enabled. */
  stateOf(initiator: string, portal: number): CutMode | undefined {
    let found: CutMode | undefined
    for (const cut of this.#cuts) {
      if (cut.initiator !== undefined && cut.initiator !== initiator) continue
      if (cut.portal !== undefined && cut.portal !== portal) continue
      found = cut.mode === 'refuse' ? 'refuse' : (found ?? 'silent')
    }
    return found
  }
}

function isSame(one: Cut, other: Cut): boolean {
  return one.initiator === other.initiator && one.portal === other.portal
}
