/** A dead slot's unfinished business comes to this node: space it had freed, inodes it had to reap, clients it watched over (after its journal was read). */
import type { Slot } from '../../base/ids.ts'
import { EX, resourceId, SLOT_LOCK } from '../../locking/index.ts'
import type { Mutation } from '../image/mutation.ts'
import type { WatchedClient } from '../ranges/index.ts'
import type { Mount } from './mount.ts'

/** Rows moved in one transaction. */
const MAX_ROWS = 1024
/** Of clients: they may be long. */
const MAX_CLIENTS = 4

/**
 * Under `N:<dead>` EX. A slot that came back in between keeps its lock, and its rows: then this waits until it leaves. Gives the clients that
 * this node watches over from now on, once that is durable.
 */
export async function adoptSlot({ volume, locks, reclaimer, noteOrphan }: Mount, dead: Slot): Promise<WatchedClient[]> {
  const { slot } = volume
  const adopted: WatchedClient[] = []
  if (dead === slot) return adopted
  const hold = await locks.acquire(resourceId(SLOT_LOCK, dead), EX, { noQueue: true })
  if (!hold) return adopted
  try {
    for (;;) {
      const mutations: Mutation[] = []
      for (const { address, count } of volume.image.freed(dead, MAX_ROWS)) {
        mutations.push({ op: 'removeFreed', slot: dead, address }, { op: 'putFreed', slot, address, count })
      }
      const orphans = volume.image.orphans(dead, MAX_ROWS)
      for (const ino of orphans) {
        mutations.push({ op: 'removeOrphan', slot: dead, ino }, { op: 'putOrphan', slot, ino })
      }
      if (mutations.length === 0) break
      volume.commit(mutations)
      reclaimer.note()
      if (orphans.length > 0) noteOrphan(orphans[0] as number)
    }
    for (let some = clientsOf(volume.image, dead); some.length > 0; some = clientsOf(volume.image, dead)) {
      const known = new Set(volume.image.nfsClients(slot).map(({ name }) => name))
      volume.commit(
        some.flatMap((client): Mutation[] => [
          { op: 'removeNfsClient', slot: dead, name: client.name },
          // what this node knows of it is newer
          ...(known.has(client.name) ? [] : [{ op: 'putNfsClient' as const, slot, ...client }]),
        ]),
      )
      adopted.push(...some)
    }
    if (adopted.length > 0) await volume.flush()
    return adopted
  } finally {
    hold.release()
  }
}

function clientsOf(image: Mount['volume']['image'], slot: Slot): WatchedClient[] {
  return image.nfsClients(slot).slice(0, MAX_CLIENTS)
}
