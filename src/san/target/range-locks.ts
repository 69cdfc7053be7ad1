/**
 * Ranges of blocks that commands are at work on: readers share, writers do not, first come, first served. So every command sees and changes
 * its blocks as a whole, which COMPARE AND WRITE needs, and an ORDERED command is one that takes them all.
 */

type Claim = {
  readonly from: number
  /** Exclusive. */
  readonly to: number
  readonly isExclusive: boolean
  /** Undefined once it is granted. */
  grant: (() => void) | undefined
}

export type Release = () => void

export class RangeLocks {
  /** In the order in which they came. */
  readonly #claims: Claim[] = []

  /** A promise only where it has to wait. */
  acquire(from: number, to: number, isExclusive: boolean): Release | Promise<Release> {
    const claim: Claim = { from, to, isExclusive, grant: undefined }
    const release = (): void => this.#release(claim)
    const isFree = !this.#isBlocked(claim, this.#claims.length)
    this.#claims.push(claim)
    if (isFree) return release
    return new Promise((resolve) => {
      claim.grant = () => resolve(release)
    })
  }

  #isBlocked(claim: Claim, place: number): boolean {
    for (let i = 0; i < place; i++) {
      const other = this.#claims[i]!
      if ((claim.isExclusive || other.isExclusive) && other.from < claim.to && claim.from < other.to) return true
    }
    return false
  }

  #release(claim: Claim): void {
    const place = this.#claims.indexOf(claim)
    if (place < 0) return
    this.#claims.splice(place, 1)
    for (let i = place; i < this.#claims.length; i++) {
      const waiting = this.#claims[i]!
      if (!waiting.grant || this.#isBlocked(waiting, i)) continue
      const { grant } = waiting
      waiting.grant = undefined
      grant()
    }
  }
}
