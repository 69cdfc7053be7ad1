/** What the parts of byte-range locks share. */
import type { Ino, Slot } from '../../base/ids.ts'
import type { Life } from '../../base/life.ts'
import type { LockCache } from '../../locking/index.ts'
import type { Clock, Log } from '../../platform/index.ts'
import type { VolumeApi } from '../volume-api.ts'
import type { Lives } from './range-rows.ts'

export type RangePeers = {
  /** The other members of the view. */
  slots(): readonly Slot[]
  /** What those did who are no members is in the members' images: nobody's recovery is under way. */
  isWhole(): boolean
  /** Somebody who waits there for bytes of the inode may get them now. A hint. */
  wake(slot: Slot, ino: Ino): void
  /** The inodes of which the client holds or waits for bytes, as that node's image has it. */
  inosRangedBy(slot: Slot, client: string): Promise<readonly Ino[]>
}

export type RangeParts = {
  readonly volume: VolumeApi
  readonly locks: LockCache
  readonly clock: Clock
  readonly log: Log
  readonly self: Life
  readonly lives: Lives
  readonly peers: RangePeers
}
