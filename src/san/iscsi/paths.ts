/**
 * The portals that lead to one logical unit, in the order in which they are wanted, and what is known of each:
 *
 *     untried ──login──▶ active ──lost──▶ failed ──a connection comes about──▶ ready ──login──▶ active
 *                          └── another, wanted more, is well again ──▶ ready
 *
 * One is in use at a time. That is what keeps writes in order: the session moves as a whole (session.ts).
 */
import { assert } from '../../base/assert.ts'
import type { Clock } from '../../platform/clock.ts'
import { formatAddress, type PeerAddress } from '../../platform/transport.ts'
import type { LunPath, PathState } from '../lun.ts'

/** A portal that is wanted more is gone back to once it has been well at so many looks in a row. */
const WELL_LOOKS = 2

export class Path implements LunPath {
  readonly address: PeerAddress
  readonly name: string
  readonly #clock: Clock
  #state: PathState = 'untried'
  #reason: string | undefined
  #since: number
  #well = 0

  constructor(address: PeerAddress, clock: Clock) {
    this.address = address
    this.name = formatAddress(address)
    this.#clock = clock
    this.#since = clock.now()
  }

  get state(): PathState {
    return this.#state
  }

  get reason(): string | undefined {
    return this.#reason
  }

  get forMs(): number {
    return this.#clock.now() - this.#since
  }

  /** True when that is news. */
  become(state: PathState, reason?: string): boolean {
    this.#well = state === 'ready' ? this.#well + 1 : 0
    this.#reason = reason
    if (state === this.#state) return false
    this.#state = state
    this.#since = this.#clock.now()
    return true
  }

  /** Well for long enough to be gone back to. */
  get isWell(): boolean {
    return this.#state === 'ready' && this.#well >= WELL_LOOKS
  }
}

export class Paths {
  readonly all: readonly Path[]

  constructor(addresses: readonly PeerAddress[], clock: Clock) {
    assert(addresses.length > 0, 'a LUN has a path')
    this.all = addresses.map((address) => new Path(address, clock))
  }

  get active(): Path | undefined {
    return this.all.find(({ state }) => state === 'active')
  }

  /** All of them, in the order in which they are worth a try: what was just lost last, then what failed when it was last tried. */
  toTry(lost?: Path): readonly Path[] {
    const rank = (path: Path): number => (path === lost ? 2 : path.state === 'failed' ? 1 : 0)
    return [...this.all].sort((a, b) => rank(a) - rank(b))
  }

  /** One that is wanted more than the active one, and has been well for a while. */
  better(): Path | undefined {
    const { active } = this
    return this.all.slice(0, active ? this.all.indexOf(active) : 0).find(({ isWell }) => isWell)
  }
}
