/**
 * The master's side of the DLM for the resources mastered at this node: a protocol core without I/O. Messages of clients
 * (one per node, R16) go in, messages to clients come out.
 *
 * A resource has holders, at most one per node, and two queues in order of arrival: nodes that hold it and want more
 * (*converting*), and nodes that do not hold it (*waiting*). The head of the line is the first converting, else the first
 * waiting. Rules:
 *
 * 1. Any two holders are compatible.
 * 2. Only the head of the line is granted, so nobody overtakes; then the next is looked at.
 * 3. A holder in the way of the head gets a BAST with the mode the head wants, and again only when that mode changes.
 * 4. A client obeys a BAST once its users are done, also while it waits for a conversion itself. So two holders of PR that
 *    both want EX do not block each other for ever: the later one is told, drops to NL, and its request moves to the
 *    waiting queue, at the place of its arrival.
 * 5. A grant is known by the sequence number of its request. A DOWN that names an older grant crossed with a newer one: its
 *    vector counts, its mode does not.
 * 6. The lock value block (LVB) is the maximum of the vectors that surrenders brought. A resource that nobody holds or
 *    wants is remembered for its LVB, up to a limit; the LVBs of the forgotten are merged into the *floor*, with which
 *    every unknown resource starts. Vectors handed out are never changed afterwards.
 * 7. Nothing is granted or denied between `freeze` and `resume` (R53); requests queue up.
 *
 * There are two ways from `freeze` to `resume`. `reset` forgets everything, and the nodes say what they hold. `reopen` is for the time
 * between the death of a node and its fence, when nobody knows what that node still does:
 *
 * 8. Of the resources that this master was already answerable for (*open*), it keeps its table, which is the truth: nobody else
 *    can have granted them. Holders in the view are silent until they report; what a node did not report by the end of its report it
 *    no longer has, and it reports nothing that the table does not know. Until then the old entry counts: the node may leave the
 *    view in the middle of it. LVBs and floor are kept, and rise with all the ENDs. Of other resources (*closed*) nothing is known.
 * 9. A holder that is not in the view is *absent*. It is not reachable and gives up nothing before the next `reset`. A request that it is
 *    in the way of, or for a closed resource, is *parked* until then: it does not stand in the line, so others pass it, and
 *    nobody gives up a lock for it. Without queueing it is denied.
 */

import { assert, InvariantError, unreachable } from '../base/assert.ts'
import { brokenRules } from '../base/broken-rules.ts'
import { MatrixError } from '../base/errors.ts'
import type { Slot } from '../base/ids.ts'
import { covers, emptyVector, maximum, type Vector } from '../base/vector.ts'
import { HotResources } from './hot-resources.ts'
import {
  BAST,
  CANCEL,
  CANCELLED,
  DENIED,
  DOWN,
  END,
  GRANT,
  HELD,
  type LockMessage,
  lockMessage,
  lockMessageNames,
  REQUEST,
} from './lock-message.ts'
import {
  describe,
  dropWaiter,
  type Holder,
  headOf,
  holderOf,
  inTheWay,
  isWanted,
  type Mastered,
  newHolder,
  newMastered,
  nobody,
  type ResourceStatus,
  type Waiter,
  waiterOf,
  without,
} from './mastered.ts'
import { compatible, coversMode, type Mode, modeNames, NL } from './modes.ts'
import { type ResourceId, resourceName } from './resource.ts'

/** Resources nobody holds that are remembered for their LVB (about 200 bytes each). */
export const IDLE_RESOURCES_MAX = 65_536

export type Effect = { readonly to: Slot; readonly message: LockMessage }

const nothing: readonly Effect[] = []

export class LockMaster {
  #resources = new Map<ResourceId, Mastered>()
  /** Of those, the ones without holders and waiters, longest idle first. */
  readonly #idle = new Set<Mastered>()
  #idleHand = this.#idle.values()
  /** No-queue requests that came while nothing may be granted. */
  #undecided: { readonly from: Slot; readonly message: LockMessage }[] = []
  #floor: Vector = emptyVector
  #granting = false
  /** Which resources are open, since `reopen`; undefined since `reset`: all. */
  #isOpen: ((rid: ResourceId) => boolean) | undefined
  #arrivals = 0
  readonly #hot = new HotResources()
  readonly #idleMax: number

  constructor(options: { readonly idleMax?: number } = {}) {
    this.#idleMax = options.idleMax ?? IDLE_RESOURCES_MAX
  }

  get floor(): Vector {
    return this.#floor
  }

  freeze(): void {
    this.#granting = false
  }

  /** Forgets everything; holders report next, then `resume`. */
  reset(floor: Vector): void {
    this.#granting = false
    this.#resources.clear()
    this.#idle.clear()
    this.#undecided = []
    this.#isOpen = undefined
    this.#floor = maximum(floor)
  }

  /** Goes on with what it knows of the open resources (rule 8); holders that are members report next, then `resume`. */
  reopen(isMember: (slot: Slot) => boolean, isOpen: (rid: ResourceId) => boolean): void {
    this.#granting = false
    this.#undecided = []
    this.#isOpen = isOpen
    for (const resource of this.#resources.values()) {
      resource.converting = nobody
      resource.waiting = nobody
      resource.parked = nobody
      if (!isOpen(resource.rid)) {
        this.#forget(resource)
        continue
      }
      for (const holder of resource.holders) {
        if (isMember(holder.slot)) {
          if (holder.standing === 'silent' && brokenRules.silentHoldersCount) this.#dropHolder(resource, holder)
          holder.standing = 'silent'
        } else {
          if (brokenRules.absentHoldersCount) this.#dropHolder(resource, holder)
          holder.standing = 'absent'
        }
        holder.told = NL
      }
      this.#settle(resource)
    }
  }

  /** Before `resume`: no resource starts below `vector` either. */
  raiseFloor(vector: Vector): void {
    assert(!this.#granting, 'the floor rises before granting')
    if (!covers(this.#floor, vector)) this.#floor = maximum(this.#floor, vector)
  }

  /** Everybody has reported: grants what can be granted, tells who is in the way. */
  resume(now: number): readonly Effect[] {
    const effects: Effect[] = []
    this.#granting = true
    for (const resource of this.#resources.values()) {
      for (const holder of resource.holders) if (holder.standing === 'silent') this.#dropHolder(resource, holder)
      if (resource.lvb && !brokenRules.keptVectorsRise && !covers(resource.lvb, this.#floor))
        resource.lvb = maximum(resource.lvb, this.#floor)
      this.#serve(resource, effects)
      this.#settle(resource)
    }
    const undecided = this.#undecided
    this.#undecided = []
    for (const { from, message } of undecided) effects.push(...this.step(from, message, now))
    return effects
  }

  /** Handles one message of a client; `now` (ms) is only for status. Throws MatrixError 'protocol' when it makes no sense. */
  step(from: Slot, message: LockMessage, now: number): readonly Effect[] {
    switch (message.type) {
      case REQUEST:
        return this.#request(from, message, now)
      case DOWN:
        return this.#down(from, message)
      case CANCEL:
        return this.#cancel(from, message)
      case HELD:
        return this.#held(from, message)
      case END:
      case GRANT:
      case DENIED:
      case BAST:
      case CANCELLED:
        throw senseless(from, message, 'a master takes no such message')
      default:
        return unreachable(message.type)
    }
  }

  #request(from: Slot, message: LockMessage, now: number): readonly Effect[] {
    const { rid, seq, mode } = message
    if (mode === NL) throw senseless(from, message, 'nothing is asked for')
    if (message.noQueue && !this.#granting) {
      this.#undecided.push({ from, message })
      return nothing
    }
    const resource = this.#resource(rid)
    const holder = this.#reported(resource, from)
    if (waiterOf(resource, from)) throw senseless(from, message, 'a request of this node is queued already')
    if (holder && (holder.mode === mode || !coversMode[mode]![holder.mode])) {
      throw senseless(from, message, `not a raise of ${modeNames[holder.mode]}`)
    }
    const effects: Effect[] = []
    const waiter: Waiter = { slot: from, mode, seq, order: this.#arrivals++, since: now }
    if (this.#isParked(resource, mode)) {
      if (message.noQueue) effects.push({ to: from, message: lockMessage(DENIED, rid, seq) })
      else resource.parked = [...resource.parked, waiter]
    } else if (this.#granting && this.#isNext(resource, holder) && fits(resource, waiter)) {
      this.#grant(resource, waiter, effects)
      this.#serve(resource, effects) // a raised lock may be in the way of those who wait, where it was not before
    } else if (message.noQueue) {
      effects.push({ to: from, message: lockMessage(DENIED, rid, seq) })
      this.#tellHolders(resource, waiter, effects)
    } else {
      if (holder) resource.converting = [...resource.converting, waiter]
      else resource.waiting = [...resource.waiting, waiter]
      if (this.#granting && headOf(resource) === waiter) this.#tellHolders(resource, waiter, effects)
    }
    this.#settle(resource)
    return effects
  }

  /** What `slot` holds. It reports all that before it says anything else: an entry that is silent still is out of date (rule 8). */
  #reported(resource: Mastered, slot: Slot): Holder | undefined {
    const holder = holderOf(resource, slot)
    if (holder?.standing !== 'silent') return holder
    this.#dropHolder(resource, holder)
    return undefined
  }

  /** Rule 9. */
  #isParked(resource: Mastered, mode: Mode): boolean {
    if (!this.#isOpen) return false
    if (!this.#isOpen(resource.rid) && !brokenRules.closedStaysClosed) return true
    return resource.holders.some((holder) => holder.standing === 'absent' && !compatible[holder.mode]![mode])
  }

  /** Would a request that came now be the head of the line? */
  #isNext(resource: Mastered, holder: Holder | undefined): boolean {
    return (
      brokenRules.inTurn ||
      (resource.converting.length === 0 && (holder !== undefined || resource.waiting.length === 0))
    )
  }

  #down(from: Slot, message: LockMessage): readonly Effect[] {
    const resource = this.#resource(message.rid)
    const effects: Effect[] = []
    const { vector } = message
    const known = resource.lvb ?? this.#floor
    if (vector.size > 0 && !covers(known, vector)) {
      resource.lvb = covers(vector, known) || brokenRules.lvbMerged ? vector : maximum(known, vector)
    }
    const holder = this.#reported(resource, from)
    if (!holder) throw senseless(from, message, 'it does not hold this')
    if (holder.seq === message.seq) {
      if (!coversMode[holder.mode]![message.mode]) throw senseless(from, message, `above ${modeNames[holder.mode]}`)
      holder.mode = message.mode
      if (message.mode === NL) this.#dropHolder(resource, holder)
      if (this.#granting) this.#serve(resource, effects)
    }
    this.#settle(resource)
    return effects
  }

  /** A converting request of a node that now holds nothing waits with the others, at the place of its arrival. */
  #dropHolder(resource: Mastered, holder: Holder): void {
    resource.holders = without(resource.holders, holder)
    const waiter = resource.converting.find((other) => other.slot === holder.slot)
    if (!waiter) return
    resource.converting = without(resource.converting, waiter)
    resource.waiting = [...resource.waiting, waiter].sort((a, b) => a.order - b.order)
  }

  #cancel(from: Slot, message: LockMessage): readonly Effect[] {
    const { rid, seq } = message
    const resource = this.#resource(rid)
    const waiter = waiterOf(resource, from)
    const undecided = this.#undecided.findIndex((entry) => entry.from === from && entry.message.seq === seq)
    const effects: Effect[] = []
    if (undecided >= 0) {
      this.#undecided.splice(undecided, 1)
      effects.push({ to: from, message: lockMessage(CANCELLED, rid, seq) })
    } else if (waiter?.seq === seq) {
      dropWaiter(resource, waiter)
      effects.push({ to: from, message: lockMessage(CANCELLED, rid, seq) })
      if (this.#granting) this.#serve(resource, effects)
    } // else it crossed with the grant or the denial, which is the answer
    this.#settle(resource)
    return effects
  }

  #held(from: Slot, message: LockMessage): readonly Effect[] {
    const { rid, seq, mode } = message
    if (this.#granting) throw senseless(from, message, 'nothing is being rebuilt')
    const resource = this.#resource(rid)
    const known = holderOf(resource, from)
    if (mode === NL || (known && known.standing !== 'silent'))
      throw senseless(from, message, 'held twice, or not at all')
    const other = inTheWay(resource, from, mode)
    if (other) {
      const both = `${modeNames[other.mode]} at ${other.slot} and ${modeNames[mode]} at ${from}`
      throw new InvariantError(`rule 1: ${resourceName(rid)} is held ${both}`)
    }
    if (this.#isOpen?.(rid)) {
      if (!known || !coversMode[known.mode]![mode]) {
        const both = `${modeNames[mode]} at ${from}, as far as known ${modeNames[known?.mode ?? NL]}`
        throw new InvariantError(`rule 8: ${resourceName(rid)} is held ${both}`)
      }
      known.mode = mode
      known.seq = seq
      known.standing = 'member'
    } else resource.holders = [...resource.holders, newHolder(from, mode, seq)]
    return nothing
  }

  /** Grants from the head of the line as far as it goes. */
  #serve(resource: Mastered, effects: Effect[]): void {
    for (let head = headOf(resource); head; head = headOf(resource)) {
      if (!fits(resource, head)) {
        this.#tellHolders(resource, head, effects)
        return
      }
      if (resource.converting.length > 0) resource.converting = without(resource.converting, head)
      else resource.waiting = without(resource.waiting, head)
      this.#grant(resource, head, effects)
    }
  }

  #grant(resource: Mastered, waiter: Waiter, effects: Effect[]): void {
    const { slot, mode, seq } = waiter
    const holder = holderOf(resource, slot)
    if (holder) {
      holder.mode = mode
      holder.seq = seq
      holder.told = NL
    } else {
      const fresh = newHolder(slot, mode, seq)
      resource.holders = resource.holders.length === 0 ? [fresh] : [...resource.holders, fresh]
    }
    effects.push({ to: slot, message: lockMessage(GRANT, resource.rid, seq, mode, resource.lvb ?? this.#floor) })
  }

  #resource(rid: ResourceId): Mastered {
    let resource = this.#resources.get(rid)
    if (!resource) {
      resource = newMastered(rid)
      this.#resources.set(rid, resource)
    }
    return resource
  }

  /** Files a resource as idle or busy, and forgets the longest idle beyond the limit. */
  #settle(resource: Mastered): void {
    if (resource.holders.length > 0 || isWanted(resource)) {
      this.#idle.delete(resource)
      return
    }
    if (resource.lvb && !covers(this.#floor, resource.lvb)) this.#idle.add(resource)
    else this.#forget(resource)
    if (this.#idle.size <= this.#idleMax) return
    const oldest = this.#longestIdle()
    if (!brokenRules.forgottenRaiseFloor) this.#floor = maximum(this.#floor, oldest.lvb as Vector)
    this.#forget(oldest)
  }

  /** The iterator is kept: a new one would first pass over everything that was deleted at the set's beginning. */
  #longestIdle(): Mastered {
    let next = this.#idleHand.next()
    if (next.done) {
      this.#idleHand = this.#idle.values()
      next = this.#idleHand.next()
    }
    assert(!next.done, 'there are idle resources')
    return next.value
  }

  #forget(resource: Mastered): void {
    this.#idle.delete(resource)
    this.#resources.delete(resource.rid)
  }

  /** Resources held or waited for; at most `limit`: those somebody waits for, then the hottest, then others. One pass over all. */
  status(now: number, limit: number): ResourceStatus[] {
    const shown = new Set<Mastered>()
    for (const resource of this.#resources.values()) if (isWanted(resource) && shown.size < limit) shown.add(resource)
    const add = (resource: Mastered | undefined): void => {
      if (resource && shown.size < limit && !this.#idle.has(resource)) shown.add(resource)
    }
    for (const rid of this.#hot.hottest()) add(this.#resources.get(rid))
    for (const resource of this.#resources.values()) {
      if (shown.size >= limit) break
      add(resource)
    }
    return [...shown].map((resource) => describe(resource, this.#hot.heatOf(resource.rid), now))
  }

  get size(): number {
    return this.#resources.size
  }

  /** Rule 3. */
  #tellHolders(resource: Mastered, waiter: Waiter, effects: Effect[]): void {
    for (const holder of resource.holders) {
      if (
        brokenRules.holdersTold ||
        holder.slot === waiter.slot ||
        holder.told === waiter.mode ||
        compatible[holder.mode]![waiter.mode]
      )
        continue
      holder.told = waiter.mode
      this.#hot.note(resource.rid)
      effects.push({ to: holder.slot, message: lockMessage(BAST, resource.rid, holder.seq, waiter.mode) })
    }
  }
}

/** Rule 1 would hold with `waiter` granted. */
function fits(resource: Mastered, { slot, mode }: Waiter): boolean {
  return brokenRules.compatibleGrants || !inTheWay(resource, slot, mode)
}

function senseless(from: Slot, message: LockMessage, why: string): MatrixError {
  const { type, rid, mode, seq } = message
  const what = `${lockMessageNames[type]} ${resourceName(rid)} ${modeNames[mode]} #${seq}`
  return new MatrixError('protocol', `lock message of slot ${from} makes no sense (${why}): ${what}`)
}
