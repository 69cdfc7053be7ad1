/**
 * One resource as its master keeps it: who holds it, who waits for it, and its lock value block. Pure state; the rules are
 * lock-master.ts. Its lists are replaced when they change: nearly all resources have one holder and nobody who waits, and there
 * may be a million of them.
 */
import type { Slot } from '../base/ids.ts'
import type { Vector } from '../base/vector.ts'
import { compatible, type Mode, modeNames, NL } from './modes.ts'
import { type ResourceId, resourceName } from './resource.ts'

/**
 * `told`: of the mode that the head of the line wants. `standing`: how sure the master is of it (rules 8 and 9):
 *   member   the node is in the view, and holds this
 *   silent   the node is in the view, held this in an earlier one, and has not finished its report in this one
 *   absent   the node is not in the view, and held this when it left: it may hold it still, as may nobody ever again
 */
export type Holder = {
  readonly slot: Slot
  mode: Mode
  seq: number
  told: Mode
  standing: 'member' | 'silent' | 'absent'
}

export type Waiter = {
  readonly slot: Slot
  readonly mode: Mode
  readonly seq: number
  readonly order: number
  readonly since: number
}

export type Mastered = {
  readonly rid: ResourceId
  holders: readonly Holder[]
  converting: readonly Waiter[]
  waiting: readonly Waiter[]
  /** Not in line: these wait for the next full rebuild. */
  parked: readonly Waiter[]
  /** Undefined while no surrender brought more than the floor. */
  lvb: Vector | undefined
}

/** One resource as status shows it; ages in milliseconds. */
export type ResourceStatus = {
  readonly rid: ResourceId
  readonly name: string
  /** How often nodes lately took it from each other; 0 for all but the hottest (hot-resources.ts). */
  readonly heat: number
  readonly holders: readonly { readonly slot: Slot; readonly mode: string; readonly absent: boolean }[]
  readonly waiters: readonly {
    readonly slot: Slot
    readonly mode: string
    readonly converting: boolean
    readonly parked: boolean
    readonly ageMs: number
  }[]
}

export const nobody: readonly never[] = []

export function newMastered(rid: ResourceId): Mastered {
  return { rid, holders: nobody, converting: nobody, waiting: nobody, parked: nobody, lvb: undefined }
}

export function newHolder(slot: Slot, mode: Mode, seq: number): Holder {
  return { slot, mode, seq, told: NL, standing: 'member' }
}

export function describe(resource: Mastered, heat: number, now: number): ResourceStatus {
  const waiter = (kind: 'converting' | 'waiting' | 'parked') => (entry: Waiter) => ({
    slot: entry.slot,
    mode: modeNames[entry.mode],
    converting: kind === 'converting',
    parked: kind === 'parked',
    ageMs: now - entry.since,
  })
  return {
    rid: resource.rid,
    name: resourceName(resource.rid),
    heat,
    holders: resource.holders.map(({ slot, mode, standing }) => ({
      slot,
      mode: modeNames[mode],
      absent: standing === 'absent',
    })),
    waiters: (['converting', 'waiting', 'parked'] as const).flatMap((kind) => resource[kind].map(waiter(kind))),
  }
}

/** The first converting, else the first waiting. */
export function headOf(resource: Mastered): Waiter | undefined {
  return resource.converting[0] ?? resource.waiting[0]
}

export function isWanted(resource: Mastered): boolean {
  return resource.converting.length > 0 || resource.waiting.length > 0 || resource.parked.length > 0
}

export function holderOf(resource: Mastered, slot: Slot): Holder | undefined {
  for (const holder of resource.holders) if (holder.slot === slot) return holder
  return undefined
}

export function waiterOf(resource: Mastered, slot: Slot): Waiter | undefined {
  for (const waiter of resource.converting) if (waiter.slot === slot) return waiter
  for (const waiter of resource.waiting) if (waiter.slot === slot) return waiter
  for (const waiter of resource.parked) if (waiter.slot === slot) return waiter
  return undefined
}

/** The first holder in the way of `slot` having `mode`. */
export function inTheWay(resource: Mastered, slot: Slot, mode: Mode): Holder | undefined {
  for (const holder of resource.holders) {
    if (holder.slot !== slot && !compatible[holder.mode]![mode]) return holder
  }
  return undefined
}

export function dropWaiter(resource: Mastered, waiter: Waiter): void {
  resource.converting = without(resource.converting, waiter)
  resource.waiting = without(resource.waiting, waiter)
  resource.parked = without(resource.parked, waiter)
}

export function without<T>(list: readonly T[], item: T): readonly T[] {
  const rest = list.filter((other) => other !== item)
  return rest.length === 0 ? nobody : rest
}
