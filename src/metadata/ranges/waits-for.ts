/**
 * Deadlocks over the nodes. Every image has all lines, a little late; so a circle is looked for in this node's image first, which costs no message.
 * What looks like one is confirmed with the tables of all its inodes held exclusively at once: these are then as they are, and the one who looks is
 * the only one to break it. A circle that exists is found by the node whose waiter closes it, or, when two closed it at the same time, by any of
 * them at its next look.
 */

import { brokenRules } from '../../base/broken-rules.ts'
import type { Ino } from '../../base/ids.ts'
import {
  EX,
  findDeadlock,
  type LockCache,
  RANGE_LOCK,
  type RangeOwner,
  resourceId,
  type WaitGraph,
  type WaitingFor,
} from '../../locking/index.ts'
import type { VolumeApi } from '../volume-api.ts'
import type { MatrixTable } from './range-draft.ts'
import { type Lives, readTable } from './range-rows.ts'

type Parts = { readonly volume: VolumeApi; readonly locks: LockCache; readonly lives: Lives }

/** More inodes than that are not held at once: such a circle stays until somebody gives up by himself. */
const CIRCLE_INOS_MAX = 64

/** What was read from the image in this turn. */
export type TableCache = Map<Ino, MatrixTable>

/** The inodes of a circle through `wait`, as this image has it. */
export function seemsDeadlocked(
  { volume, lives }: Parts,
  wait: WaitingFor,
  tables: TableCache,
): readonly Ino[] | undefined {
  return circleIn({ volume, lives }, wait, (ino) => {
    let table = tables.get(ino)
    if (!table) tables.set(ino, (table = readTable(volume.image, ino, lives)))
    return table
  })
}

/** Runs `broken` with the tables of the circle held, if it is one; within the turn in which that was found. */
export async function confirmDeadlock(
  parts: Parts,
  wait: WaitingFor,
  suspected: readonly Ino[],
  tableOf: (ino: Ino) => MatrixTable,
  broken: () => void,
): Promise<void> {
  const { volume, locks, lives } = parts
  const inos = new Set([wait.ino, ...suspected])
  if (brokenRules.deadlockIsConfirmed) {
    const hold = await locks.acquire(resourceId(RANGE_LOCK, wait.ino), EX)
    broken()
    hold.release()
    return
  }
  while (inos.size <= CIRCLE_INOS_MAX) {
    const holds = await locks.acquireAll(new Map([...inos].map((ino) => [resourceId(RANGE_LOCK, ino), EX])))
    try {
      const circle = circleIn(parts, wait, (ino) =>
        inos.has(ino) ? tableOf(ino) : readTable(volume.image, ino, lives),
      )
      if (!circle) return
      if (circle.every((ino) => inos.has(ino))) {
        broken()
        return
      }
      for (const ino of circle) inos.add(ino)
    } finally {
      for (const hold of holds) hold.release()
    }
  }
}

function circleIn(
  { volume, lives }: Pick<Parts, 'volume' | 'lives'>,
  wait: WaitingFor,
  tableOf: (ino: Ino) => MatrixTable,
): readonly Ino[] | undefined {
  const graph: WaitGraph = {
    *waitsOf(owner: RangeOwner) {
      for (const ino of new Set(volume.image.inosWaitedFor(owner.client, owner.owner))) {
        for (const waiter of tableOf(ino).waiters) {
          if (waiter.client !== owner.client || waiter.owner !== owner.owner) continue
          // who waits at a node that has left the view may long have given up
          if (lives.isMember(waiter)) yield { ...waiter, ino }
        }
      }
    },
    inTheWayOf: (other) => tableOf(other.ino).ownersInTheWay(other),
  }
  return findDeadlock(graph, wait)?.map(({ ino }) => ino)
}
