/** What all verbs of one mounted filesystem share. Put together by matrix-filesystem.ts. */

import type { Ino } from '../../base/ids.ts'
import type { Prng } from '../../base/prng.ts'
import type { Hold, LockCache } from '../../locking/index.ts'
import type { Clock, Log } from '../../platform/index.ts'
import type { Reclaimer } from '../alloc/reclaimer.ts'
import type { Space } from '../alloc/space.ts'
import type { Cleaner } from '../cache/cleaner.ts'
import type { DataCache } from '../cache/data-cache.ts'
import type { InodeCache } from '../cache/inode-cache.ts'
import type { Loader } from '../cache/loader.ts'
import type { VolumeApi } from '../volume-api.ts'
import type { DoneCells } from './done-cells.ts'
import type { InodeNumbers } from './inode-numbers.ts'

/** An inode that is open on this node: `O:<ino>` is held in PR as long. */
export type OpenFile = { count: number; readonly hold: Hold }

export type Mount = {
  readonly volume: VolumeApi
  readonly locks: LockCache
  readonly inodes: InodeCache
  readonly data: DataCache
  readonly loader: Loader
  readonly cleaner: Cleaner
  readonly space: Space
  readonly reclaimer: Reclaimer
  readonly numbers: InodeNumbers
  readonly done: DoneCells
  readonly open: Map<Ino, OpenFile>
  readonly clock: Clock
  readonly prng: Prng
  readonly log: Log
  /** Inodes that the filesystem may hold. */
  readonly maxFiles: number
  /** An orphan was recorded: the reaper looks at it. */
  noteOrphan(ino: Ino): void
}
