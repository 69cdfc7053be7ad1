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
