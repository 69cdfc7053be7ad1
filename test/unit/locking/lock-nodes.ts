/** A few lock spaces joined by a wire that takes a millisecond: what tests of the lock cache stand on. */
import { timingsFrom } from '../../../src/base/timings.ts'
import { emptyVector, type Vector } from '../../../src/base/vector.ts'
import {
  type Hold,
  LockSpace,
  lockTypes,
  type Mode,
  modeNames,
  type ResourceId,
  resourceName,
} from '../../../src/locking/index.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { SimHost, SimWorld } from '../../sim/world.ts'

export const WIRE_MS = 1

export class LockNodes {
  readonly world = new SimWorld(1)
  readonly spaces: LockSpace[]
  /** What the callouts saw, as `1 I:5 acquired PR` and `1 I:5 EX>NL`. */
  readonly events: string[] = []
  readonly fatal: (Error | undefined)[] = []
  readonly leaseGood: boolean[] = []
  /** Batches on the wire: `0>1`. */
  readonly wire: string[] = []
  /** What the next surrenders of a slot give, instead of an empty vector at once. */
  readonly surrender: (() => Vector | Promise<Vector>)[] = []
  readonly acquired: ((vector: Vector) => void | Promise<void>)[] = []
  cut = false
  /** Which nodes hear each other; all of them at first. */
  sides: readonly (readonly number[])[] = []

  readonly #cachedLocksMax: number | undefined

  constructor(count: number, options: { cachedLocksMax?: number } = {}) {
    this.#cachedLocksMax = options.cachedLocksMax
    this.spaces = Array.from({ length: count }, (_, self) => this.#space(self))
  }

  #space(self: number): LockSpace {
    this.leaseGood[self] = true
    const space = new LockSpace({
      self,
      clock: new SimHost(this.world, `n${self}`).clock,
      timings: { ...timingsFrom(2000), minHoldMs: 5, lockIdleMs: 1000 },
      log: silentLog,
      send: (to, payload) => {
        if (this.cut || this.sides.some((side) => side.includes(self) !== side.includes(to))) return
        this.wire.push(`${self}>${to}`)
        this.world.at(WIRE_MS, () => (this.spaces[to] as LockSpace).receive(self, payload))
      },
      leaseGood: () => this.leaseGood[self] === true,
      onFatal: (error) => void (this.fatal[self] = error),
      cachedLocksMax: this.#cachedLocksMax,
    })
    for (const type of lockTypes.keys()) {
      space.cache.registerCallouts(type, {
        acquired: (rid, mode, vector) => {
          this.events.push(`${self} ${resourceName(rid)} acquired ${modeNames[mode]}`)
          return this.acquired[self]?.(vector)
        },
        surrender: (rid, from, to) => {
          this.events.push(`${self} ${resourceName(rid)} ${modeNames[from]}>${modeNames[to]}`)
          return this.surrender[self]?.() ?? emptyVector
        },
      })
    }
    return space
  }

  /** Freezes and rebuilds all; the floor as given. */
  async view(id: number, floor: Vector = emptyVector): Promise<void> {
    for (const space of this.spaces) space.freeze()
    const members = [...this.spaces.keys()]
    await this.settle(Promise.all(this.spaces.map((space) => space.rebuild(members, floor, id))))
  }

  /** The next life of a node: it holds and knows nothing. */
  restart(slot: number): void {
    this.spaces[slot]!.withdraw()
    this.spaces[slot] = this.#space(slot)
  }

  /** The view falls apart: each side freezes and reopens by itself. */
  async split(id: number, ...sides: readonly (readonly number[])[]): Promise<void> {
    this.sides = sides
    for (const space of this.spaces) space.freeze()
    const reopening = sides.flatMap((side) => side.map((slot) => this.spaces[slot]!.reopen(side, id)))
    await this.settle(Promise.all(reopening))
  }

  acquire(slot: number, rid: ResourceId, mode: Mode): Promise<Hold> {
    return Promise.resolve((this.spaces[slot] as LockSpace).cache.acquire(rid, mode))
  }

  /** Takes and releases: the lock stays cached. */
  async use(slot: number, rid: ResourceId, mode: Mode): Promise<void> {
    ;(await this.settle(this.acquire(slot, rid, mode))).release()
  }

  settle<T>(promise: Promise<T>): Promise<T> {
    return this.world.settle(promise, 30_000)
  }

  async pass(ms: number): Promise<void> {
    await this.world.run(this.world.now + ms)
  }
}

/** A promise and its ends. */
export function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: Error) => void } {
  return Promise.withResolvers<T>()
}
