/**
 * The ways that lead to one LUN, in the order in which they are wanted, and what is known of each: portals of an iSCSI target, or devices of this host.
 *
 *     untried ──taken into use──▶ active ──lost──▶ failed ──it answers──▶ ready ──▶ active
 *                                   └── another, wanted more, is well again ──▶ ready
 *
 * One is in use at a time. How writes are kept in order when another is taken is told in iscsi/session.ts and drivers/device-paths.ts.
 */
import { assert } from '../base/assert.ts'
import type { Clock } from '../platform/clock.ts'
import type { LunPath, PathState } from './lun.ts'

/** A path that is wanted more is gone back to once it has been well at so many looks in a row. */
const WELL_LOOKS = 2

export class Path<To> implements LunPath {
  readonly to: To
  readonly name: string
  readonly #clock: Clock
  #state: PathState = 'untried'
  #reason: string | undefined
  #since: number
  #well = 0

  constructor(to: To, name: string, clock: Clock) {
    this.to = to
    this.name = name
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

export class Paths<To> {
  readonly all: readonly Path<To>[]

  /** `nameOf`: for people. */
  constructor(to: readonly To[], nameOf: (to: To) => string, clock: Clock) {
    assert(to.length > 0, 'a LUN has a path')
    this.all = to.map((each) => new Path(each, nameOf(each), clock))
  }

  get active(): Path<To> | undefined {
    return this.all.find(({ state }) => state === 'active')
  }

  /** All of them, in the order in which they are worth a try: what was just lost last, then what failed when it was last tried. */
  toTry(lost?: Path<To>): readonly Path<To>[] {
    const rank = (path: Path<To>): number => (path === lost ? 2 : path.state === 'failed' ? 1 : 0)
    return [...this.all].sort((a, b) => rank(a) - rank(b))
  }

  /** One that is wanted more than the active one, and has been well for a while. */
  better(): Path<To> | undefined {
    const { active } = this
    return this.all.slice(0, active ? this.all.indexOf(active) : 0).find(({ isWell }) => isWell)
  }
}
