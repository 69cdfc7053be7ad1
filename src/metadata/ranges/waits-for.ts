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
  ownerKey,
  ownersInCircles,
  RANGE_LOCK,
  type RangeOwner,
  resourceId,
  type WaitGraph,
  type WaitingFor,
} from '../../locking/index.ts'
import type { VolumeApi } from '../volume-api.ts'
import type { MatrixTable } from './range-draft.ts'
import { type Lives, readTable } from './range-rows.ts'

type Parts = { readonly volume: VolumeApi; readonly lives: Lives }

/** More inodes than that are not held at once: such a circle stays until somebody gives up by himself. */
const CIRCLE_INOS_MAX = 64

/** The lines as this node knows them in this turn. */
export class KnownWaits {
  readonly #tables = new Map<Ino, MatrixTable>()
  readonly #graph: WaitGraph
  readonly #read: (ino: Ino) => MatrixTable

  /** `read`: the table of an inode, as it is in this turn; asked for once. */
  constructor(parts: Parts, read: (ino: Ino) => MatrixTable) {
    this.#read = read
    this.#graph = graphOf(parts, (ino) => this.table(ino))
  }

  table(ino: Ino): MatrixTable {
    let table = this.#tables.get(ino)
    if (!table) this.#tables.set(ino, (table = this.#read(ino)))
    return table
  }

  /** The inodes of a circle through `wait`. */
  circle(wait: WaitingFor): readonly Ino[] | undefined {
    return findDeadlock(this.#graph, wait)?.map(({ ino }) => ino)
  }

  /** Those of `waits` whose owners wait in some circle: found for all of them at the price of one. */
  suspects<Wait extends { readonly request: WaitingFor }>(waits: readonly Wait[]): Wait[] {
    const circling = ownersInCircles(
      this.#graph,
      waits.map(({ request }) => request),
    )
    return circling.size === 0 ? [] : waits.filter(({ request }) => circling.has(ownerKey(request)))
  }
}

/** Runs `broken` with the tables of the circle held, if it is one; within the turn in which that was found. */
export async function confirmDeadlock(
  parts: Parts & { readonly locks: LockCache },
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
      const known = new KnownWaits(parts, (ino) => (inos.has(ino) ? tableOf(ino) : readTable(volume.image, ino, lives)))
      const circle = known.circle(wait)
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

function graphOf({ volume, lives }: Parts, tableOf: (ino: Ino) => MatrixTable): WaitGraph {
  return {
    *waitsOf(owner: RangeOwner) {
      for (const ino of new Set(volume.image.inosWaitedFor(owner.client, owner.owner))) {
        for (const waiter of tableOf(ino).waitersOf(owner)) {
          // who waits at a node that has left the view may long have given up
          if (lives.isMember(waiter)) yield { ...waiter, ino }
        }
      }
    },
    inTheWayOf: (other) => tableOf(other.ino).ownersInTheWay(other),
  }
}
