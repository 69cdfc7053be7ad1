/**
 * Deadlocks among owners of byte ranges. An owner that waits goes on only when all who are in its way have let go; so it waits for
 * ever exactly if from it, over those in its way and those in theirs, a way leads back to it. An owner is taken for one
 * thread, as POSIX has it (fcntl, EDEADLK): while it waits it releases nothing.
 */
import type { Ino } from '../base/ids.ts'
import type { RangeLock, RangeOwner } from './range-locks.ts'
import { ownerKey } from './range-table.ts'

export type WaitingFor = RangeLock & { readonly ino: Ino }

/** Who waits for whom, over all inodes. */
export interface WaitGraph {
  /** What the owner waits for. */
  waitsOf(owner: RangeOwner): Iterable<WaitingFor>
  /** Who is in the way of that. */
  inTheWayOf(wait: WaitingFor): Iterable<RangeOwner>
}

/** How many owners one search looks at: a longer chain is no deadlock that anybody would find by hand either. */
export const DEADLOCK_OWNERS_MAX = 10_000

/** If `wait` would never be granted: the waits of a circle through its owner, itself first. */
export function findDeadlock(graph: WaitGraph, wait: WaitingFor): readonly WaitingFor[] | undefined {
  const self = ownerKey(wait)
  const seen = new Set<string>()
  function* behind(of: WaitingFor): Generator<WaitingFor | 'closed'> {
    for (const owner of graph.inTheWayOf(of)) {
      const key = ownerKey(owner)
      if (key === self) yield 'closed'
      if (seen.has(key) || seen.size >= DEADLOCK_OWNERS_MAX) continue
      seen.add(key)
      yield* graph.waitsOf(owner)
    }
  }
  const path = [{ wait, behind: behind(wait) }]
  for (let top = path.at(-1); top; top = path.at(-1)) {
    const next = top.behind.next()
    if (next.done) path.pop()
    else if (next.value === 'closed') return path.map((step) => step.wait)
    else path.push({ wait: next.value, behind: behind(next.value) })
  }
  return undefined
}

/**
 * Which of `owners`, and of those who are in their way, wait in a circle: from whom a way leads back to themselves, over whatever they wait for. One pass over all of
 * them (Tarjan's strongly connected components); as a rule it finds nobody. By `ownerKey`. Whether a certain wait is part of the circle only `findDeadlock` says.
 */
export function ownersInCircles(graph: WaitGraph, owners: Iterable<RangeOwner>): ReadonlySet<string> {
  type Visit = { readonly key: string; readonly index: number; low: number; isOpen: boolean }
  const circling = new Set<string>()
  const visits = new Map<string, Visit>()
  /** Visited, and their component is not complete. */
  const open: Visit[] = []
  function* ahead(owner: RangeOwner): Generator<RangeOwner> {
    for (const wait of graph.waitsOf(owner)) yield* graph.inTheWayOf(wait)
  }
  const begin = (owner: RangeOwner) => {
    const index = visits.size
    const visit: Visit = { key: ownerKey(owner), index, low: index, isOpen: true }
    visits.set(visit.key, visit)
    open.push(visit)
    return { visit, ahead: ahead(owner) }
  }
  const end = (visit: Visit): void => {
    if (visit.low !== visit.index) return
    const component = open.splice(open.lastIndexOf(visit))
    for (const each of component) {
      each.isOpen = false
      if (component.length > 1) circling.add(each.key) // nobody is in his own way
    }
  }
  for (const owner of owners) {
    if (visits.has(ownerKey(owner)) || visits.size >= DEADLOCK_OWNERS_MAX) continue
    const path = [begin(owner)]
    for (let top = path.at(-1); top; top = path.at(-1)) {
      const next = top.ahead.next()
      if (next.done) {
        path.pop()
        const before = path.at(-1)?.visit
        if (before) before.low = Math.min(before.low, top.visit.low)
        end(top.visit)
        continue
      }
      const seen = visits.get(ownerKey(next.value))
      if (seen?.isOpen) top.visit.low = Math.min(top.visit.low, seen.index)
      else if (!seen && visits.size < DEADLOCK_OWNERS_MAX) path.push(begin(next.value))
    }
  }
  return circling
}
