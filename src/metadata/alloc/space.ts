/**
 * The space this node may use without asking anybody: the allocation groups it holds exclusively (`G:<group>`), and what
 * of them is promised. An unstable write *reserves* blocks, so that "no space" is said while somebody listens; cleaning
 * *takes* runs for them (late allocation: long runs), *uses* them in the commit that maps them.
 *
 * Invariants: (1) reserved <= available blocks of the groups that are not leaving, except while a leaving group is relieved.
 * Groups of a LUN that is being drained count like leaving ones: promises made from them are kept, and blocks come back. (2) A group is given up only when nothing of it is in flight and invariant 1 holds without it. (3) `take` never fails for
 * what is reserved: groups that are leaving keep the promises made from them until these are written.
 *
 * Getting more (`grow`), in this order: groups nobody holds; space this node freed itself; groups of others, one after
 * another (their holders write what they have promised, then give them up). Only then ENOSPC.
 */

import { assert } from '../../base/assert.ts'
import { brokenRules } from '../../base/broken-rules.ts'
import { FsError } from '../../base/errors.ts'
import { MAX_SLOTS } from '../../base/limits.ts'
import type { Vector } from '../../base/vector.ts'
import { EX, GROUP_LOCK, type LockCache, type LockCallouts, resourceId, resourceNumber } from '../../locking/index.ts'
import { type FsLayout, lunOfGroup, lunRange } from '../fs-layout.ts'
import type { Mutation } from '../image/mutation.ts'
import type { VolumeApi } from '../volume-api.ts'
import { Group } from './group.ts'
import type { Run } from './run-set.ts'

const GOLDEN = (Math.sqrt(5) - 1) / 2

/** Groups asked for without waiting before the next step is tried: bounds one `grow`, not how much there is. */
const MAX_POLITE_REQUESTS = 16

export type SpaceParts = {
  readonly volume: VolumeApi
  readonly layout: FsLayout
  readonly locks: LockCache
}

export class Space {
  readonly #volume: VolumeApi
  readonly #layout: FsLayout
  readonly #locks: LockCache
  readonly #groups = new Map<number, Group>()
  /** Every group by LUN, each in the order this node prefers them. */
  #preference: readonly (readonly number[])[] = []
  /** LUNs that are being drained, by index: nothing more is promised from them. */
  #closed: ReadonlySet<number> = new Set()
  /** How often this node has looked for more; others begin elsewhere. */
  #looks: number
  /** Available blocks of groups that promises are made from (`#isOpen`). */
  #free = 0
  #reserved = 0
  #current: Group | undefined
  #growing: Promise<void> | undefined
  #idle: (() => void)[] = []

  /** Writes all dirty data that stands on reservations; set by the cleaner. */
  relieve: () => Promise<void> = async () => {}
  /** Moves what this node freed back to its groups; set by the reclaimer. True when anything moved. */
  reclaim: () => Promise<boolean> = async () => false

  constructor({ volume, layout, locks }: SpaceParts) {
    this.#volume = volume
    this.#layout = layout
    this.#locks = locks
    this.#looks = volume.slot
    this.relayout()
    locks.registerCallouts(GROUP_LOCK, this.#callouts())
  }

  /** The filesystem has other LUNs now, and nothing new is to be written to those that are `closed`. */
  relayout(closed: ReadonlySet<number> = new Set()): void {
    const layout = this.#layout
    this.#preference = Array.from({ length: layout.lunCount }, (_, lun) =>
      preferred(layout.groupsOf(lun), this.#volume.slot),
    )
    for (const group of this.#groups.values()) if (this.#isOpen(group)) this.#free -= group.available
    this.#closed = closed
    for (const group of this.#groups.values()) {
      const lun = lunOfGroup(group.number)
      // of a LUN that is none of the filesystem's any more nothing is left in any group
      if (layout.groupCount(lun) === 0) this.#groups.delete(group.number)
      else if (this.#isOpen(group)) this.#free += group.available
    }
    if (this.#current && !this.#groups.has(this.#current.number)) this.#current = undefined
    // promises that now stand on closed LUNs are kept soon; a failure is met by whoever surrenders such a group
    if (this.#reserved > this.#free) this.relieve().catch(() => {})
  }

  /** The LUN is being drained. */
  isClosed(lunIndex: number): boolean {
    return this.#closed.has(lunIndex)
  }

  /** Free blocks of LUNs that are being drained, those that are not back in their groups included: nobody can have them. */
  get closedFree(): number {
    let blocks = 0
    for (const lun of this.#closed) blocks += this.#volume.image.spaceIn(lunRange(lun), ['free', 'freed'])
    return blocks
  }

  /** Nothing of a group that is held here is in flight. */
  isAtRest(number: number): boolean {
    return (this.#groups.get(number)?.inFlight ?? 0) === 0
  }

  /** Promises are made from it. */
  #isOpen(group: Group): boolean {
    return !group.leaving && (!this.#closed.has(lunOfGroup(group.number)) || brokenRules.drainingIsNotFilled)
  }

  /** Blocks promised and not yet taken. */
  get reserved(): number {
    return this.#reserved
  }

  /** Blocks that `reserve` could still promise. */
  get unreserved(): number {
    return this.#free - this.#reserved
  }

  get groupsHeld(): number {
    return this.#groups.size
  }

  /** Promises `count` blocks; false when this node holds too little (then `grow`). */
  reserve(count: number): boolean {
    if (this.#free - this.#reserved < count) return false
    this.#reserved += count
    return true
  }

  unreserve(count: number): void {
    this.#reserved -= count
    assert(this.#reserved >= 0, 'no more is unreserved than was reserved')
  }

  /**
   * Turns `count` reserved blocks into runs, as few as possible and near `goal` (an address, or undefined). The caller
   * ends every run with `used` or `giveBack`.
   */
  take(count: number, goal: number | undefined): Run[] {
    assert(count <= this.#reserved, 'only what is reserved is taken')
    const runs: Run[] = []
    let left = count
    if (goal !== undefined && !this.#layout.isDataRange(goal, 1)) goal = undefined
    while (left > 0) {
      const group = this.#groupFor(goal)
      const near = goal !== undefined && this.#layout.groupOf(goal) === group.number ? goal : undefined
      const run = group.take(left, near) as Run
      if (this.#isOpen(group)) this.#free -= run.count
      left -= run.count
      runs.push(run)
      goal = undefined
    }
    this.#reserved -= count
    return runs
  }

  /** `take` for nothing: the blocks are available and reserved again. */
  giveBack(run: Run): void {
    const group = this.#groupAt(run.address)
    group.giveBack(run)
    if (this.#isOpen(group)) this.#free += run.count
    this.#reserved += run.count
    this.#noteIdle()
  }

  /** Adds the mutations that make a taken run used. Then `used` when they are committed, `unuse` when not. */
  use(run: Run, mutations: Mutation[]): void {
    this.#groupAt(run.address).use(run, mutations)
  }

  /** The commit with these runs' `use` is applied. */
  used(runs: readonly Run[]): void {
    for (const run of runs) this.#groupAt(run.address).used(run)
    this.#noteIdle()
  }

  /** The commit with these runs' `use` failed: they are taken as before. */
  unuse(runs: readonly Run[]): void {
    for (const number of new Set(runs.map((run) => this.#layout.groupOf(run.address)))) this.reload(number)
  }

  /** Throws away the mirror of a group after a failed commit. */
  reload(number: number): void {
    const group = this.#groups.get(number)
    if (!group) return
    if (this.#isOpen(group)) this.#free -= group.available
    group.reload(this.#rowsOf(number))
    if (this.#isOpen(group)) this.#free += group.available
  }

  /** True when the group is held and may get blocks back. */
  canFree(number: number): boolean {
    const group = this.#groups.get(number)
    return group !== undefined && !group.leaving
  }

  /** Adds the mutations that give blocks back to their group, which `canFree`. */
  free(run: Run, mutations: Mutation[]): void {
    const group = this.#groupAt(run.address)
    group.free(run, mutations)
    if (this.#isOpen(group)) this.#free += run.count
  }

  /** Waits until `reserve(count)` has a chance; rejects with FsError ENOSPC. The caller must pin no lock. */
  async grow(count: number): Promise<void> {
    while (this.#growing) await this.#growing.catch(() => {})
    if (this.unreserved >= count) return
    this.#growing = this.#grow(count).finally(() => {
      this.#growing = undefined
    })
    await this.#growing
  }

  async #grow(count: number): Promise<void> {
    const candidates = this.#candidates()
    let asked = 0
    for (const number of candidates) {
      if (asked === MAX_POLITE_REQUESTS) break
      if (this.#groups.has(number) || !this.#hasFreeRows(number)) continue
      asked++
      const hold = await this.#locks.acquire(resourceId(GROUP_LOCK, number), EX, { noQueue: true })
      hold?.release()
      if (this.unreserved >= count) return
    }
    if ((await this.reclaim()) && this.unreserved >= count) return
    for (const number of candidates) {
      if (this.#groups.has(number) || !this.#hasFreeRows(number)) continue
      const hold = await this.#locks.acquire(resourceId(GROUP_LOCK, number), EX)
      hold.release()
      if (this.unreserved >= count) return
    }
    await this.reclaim()
    if (this.unreserved < count) throw new FsError('ENOSPC')
  }

  /** Every group, in the order in which more space is looked for: which LUN comes first follows the policy, then the one with the most free. */
  #candidates(): number[] {
    const free = this.#preference.map((_, lun) =>
      this.#closed.has(lun) ? 0 : this.#volume.image.spaceIn(lunRange(lun), ['free']),
    )
    const first = spread(this.#looks++, free, this.#layout.record.spread ?? 'free')
    const luns = free.flatMap((_, lun) => (this.#closed.has(lun) && !brokenRules.drainingIsNotFilled ? [] : [lun]))
    luns.sort((a, b) => Number(b === first) - Number(a === first) || (free[b] as number) - (free[a] as number))
    return luns.flatMap((lun) => this.#preference[lun] as readonly number[])
  }

  #groupFor(goal: number | undefined): Group {
    if (goal !== undefined) {
      const group = this.#groups.get(this.#layout.groupOf(goal))
      if (group && group.available > 0 && this.#isOpen(group)) return group
    }
    if (this.#current && this.#current.available > 0 && this.#isOpen(this.#current)) return this.#current
    let leaving: Group | undefined
    for (const group of this.#groups.values()) {
      if (group.available === 0) continue
      if (this.#isOpen(group)) {
        this.#current = group
        return group
      }
      leaving = group
    }
    assert(leaving, 'what is reserved is there to take')
    return leaving
  }

  #groupAt(address: number): Group {
    const group = this.#groups.get(this.#layout.groupOf(address))
    assert(group, 'blocks are handled under the lock of their group')
    return group
  }

  #rowsOf(number: number): Run[] {
    return this.#volume.image.freeIn(this.#layout.groupRange(number))
  }

  #hasFreeRows(number: number): boolean {
    return this.#rowsOf(number).length > 0
  }

  #noteIdle(): void {
    const idle = this.#idle
    this.#idle = []
    for (const wake of idle) wake()
  }

  #callouts(): LockCallouts {
    return {
      acquired: (rid, _mode, vector) => {
        const number = resourceNumber(rid)
        const ready = () => {
          if (this.#groups.has(number)) return
          const group = new Group(number, this.#rowsOf(number))
          this.#groups.set(number, group)
          if (this.#isOpen(group)) this.#free += group.available
        }
        if (this.#volume.hasApplied(vector)) return ready()
        return this.#volume.applyTo(vector).then(ready)
      },
      surrender: (rid) => this.#surrender(resourceNumber(rid)),
    }
  }

  async #surrender(number: number): Promise<Vector> {
    const group = this.#groups.get(number)
    if (group) {
      if (this.#isOpen(group)) this.#free -= group.available
      group.leaving = true
      while (this.#reserved > this.#free) await this.relieve()
      while (group.inFlight > 0 && !brokenRules.groupAtRest)
        await new Promise<void>((resolve) => this.#idle.push(resolve))
      this.#groups.delete(number)
      if (this.#current === group) this.#current = undefined
    }
    await this.#volume.flush()
    return this.#volume.durableVector()
  }
}

/**
 * The LUN that a new group is taken from, the `turn`th time: 'free', each as often as its share of the free space; 'stripe', all in turn as
 * long as they have any.
 */
export function spread(turn: number, free: readonly number[], policy: 'free' | 'stripe'): number {
  const withSpace = free.flatMap((blocks, lun) => (blocks > 0 ? [lun] : []))
  if (policy === 'stripe') return withSpace[turn % withSpace.length] ?? 0
  // multiples of the golden ratio fall evenly on any division of the circle
  let place = ((turn * GOLDEN) % 1) * free.reduce((sum, blocks) => sum + blocks, 0)
  for (const lun of withSpace) {
    place -= free[lun] as number
    if (place < 0) return lun
  }
  return withSpace.at(-1) ?? 0
}

/** All groups from this slot's own starting point on: bit-reversed, so that any few slots start far apart. */
function preferred(groups: readonly number[], slot: number): number[] {
  let reversed = 0
  for (let bit = 1, value = slot; bit < MAX_SLOTS; bit *= 2, value >>= 1) reversed = reversed * 2 + (value & 1)
  const start = Math.floor((groups.length * reversed) / MAX_SLOTS)
  return [...groups.slice(start), ...groups.slice(0, start)]
}
