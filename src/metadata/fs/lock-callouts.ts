/**
 * What happens when a lock comes or goes (R13–R15). Coming: the image catches up with everything that was done under the
 * lock (the vector in its value block). Going: what is dirty under it is written, the journal made durable, and the vector
 * handed on names durable frames only. Groups have their own table (alloc/space.ts).
 */
import { assert } from '../../base/assert.ts'
import { brokenRules } from '../../base/broken-rules.ts'
import { isFsError } from '../../base/errors.ts'
import type { MaybePromise } from '../../base/maybe-promise.ts'
import type { Vector } from '../../base/vector.ts'
import {
  CHECKPOINT_LOCK,
  INODE_LOCK,
  type LockCache,
  type LockCallouts,
  type Mode,
  NL,
  OPEN_LOCK,
  RENAME_LOCK,
  type ResourceId,
  resourceNumber,
  SETTINGS_LOCK,
  SLOT_LOCK,
} from '../../locking/index.ts'
import { type Clock, type Log, sleep } from '../../platform/index.ts'
import type { Cleaner } from '../cache/cleaner.ts'
import type { InodeCache } from '../cache/inode-cache.ts'
import { durable, journalCallouts, mayChange } from '../journal-callouts.ts'
import type { VolumeApi } from '../volume-api.ts'

type Parts = {
  readonly volume: VolumeApi
  readonly inodes: InodeCache
  readonly cleaner: Cleaner
  readonly clock: Clock
  readonly log: Log
}

/** A lock whose data finds no room in a full journal stays; it is tried again after so long, ms. */
const FULL_JOURNAL_PAUSE_MS = 1000

export function registerCallouts(locks: LockCache, parts: Parts): void {
  locks.registerCallouts(INODE_LOCK, inodeCallouts(parts))
  const plain = journalCallouts(parts.volume)
  for (const type of [SLOT_LOCK, SETTINGS_LOCK, RENAME_LOCK, OPEN_LOCK, CHECKPOINT_LOCK]) {
    locks.registerCallouts(type, plain)
  }
}

function inodeCallouts({ volume, inodes, cleaner, clock, log }: Parts): LockCallouts {
  const purge = (rid: ResourceId) => {
    const inode = inodes.cached(resourceNumber(rid))
    assert(!inode?.dirty && !inode?.cleaning, 'nothing dirty is dropped with its lock')
    inodes.purge(resourceNumber(rid))
  }
  const gone = (rid: ResourceId, from: Mode, to: Mode): MaybePromise<Vector> => {
    if (to === NL && !brokenRules.cacheGoesWithLock) purge(rid)
    return mayChange(from) ? durable(volume) : volume.durableVector()
  }
  /** `then`, once nothing of the inode is late or on its way: others may have begun cleanings of their own meanwhile, with nothing left to write. */
  const clean = <T>(rid: ResourceId, then: () => MaybePromise<T>): MaybePromise<T> => {
    const inode = inodes.cached(resourceNumber(rid))
    if (!inode || !(inode.dirty || inode.cleaning) || brokenRules.dirtyDataGoesFirst) return then()
    const again = () => clean(rid, then)
    return cleaner.clean(inode).then(again, (error) => {
      if (!isFsError(error, 'ENOSPC')) throw error
      log.warn(
        { ino: inode.ino },
        'the journal is full: a lock that others want stays until a checkpoint has made room',
      )
      return sleep(clock, FULL_JOURNAL_PAUSE_MS).then(again)
    })
  }
  return {
    acquired: (rid, _mode, vector) => {
      if (volume.hasApplied(vector)) return
      return volume.applyTo(vector).then(() => {
        // somebody has changed it since: nothing remembered from before counts
        if (!inodes.cached(resourceNumber(rid))?.dirty) inodes.purge(resourceNumber(rid))
      })
    },
    surrender: (rid, from, to) => clean(rid, () => gone(rid, from, to)),
  }
}
