/** A dead slot's unfinished business comes to this node: space it had freed, inodes it had to reap (after its journal was read). */
import type { Slot } from '../../base/ids.ts'
import { EX, resourceId, SLOT_LOCK } from '../../locking/index.ts'
import type { Mutation } from '../image/mutation.ts'
import type { Mount } from './mount.ts'

/** Rows moved in one transaction. */
const MAX_ROWS = 1024

/** Under `N:<dead>` EX. A slot that came back in between keeps its lock, and its rows: then this waits until it leaves. */
export async function adoptSlot({ volume, locks, reclaimer, noteOrphan }: Mount, dead: Slot): Promise<void> {
  const { slot } = volume
  if (dead === slot) return
  const hold = await locks.acquire(resourceId(SLOT_LOCK, dead), EX, { noQueue: true })
  if (!hold) return
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
      if (mutations.length === 0) return
      volume.commit(mutations)
      reclaimer.note()
      if (orphans.length > 0) noteOrphan(orphans[0] as number)
    }
  } finally {
    hold.release()
  }
}
