/** How many byte-range locks there may be, so that neither images nor checkpoints are filled with them; and what gateways hear when something is amiss. */
import { FsError, isFsError, isMatrixError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import type { RangeOwner } from '../../locking/index.ts'
import type { VolumeApi } from '../volume-api.ts'

/** Weight of the locks of one client (a lock weighs 1 unless its owner has a long name). */
export const CLIENT_RANGES_MAX = 16_384
/** Weight of all locks of a filesystem; less when its checkpoints hold few files. */
export const RANGES_MAX = 262_144
/** A filesystem for so many files may have one lock. */
const FILES_PER_RANGE = 8
/** However small it is, it may have so many. */
const RANGES_MIN = 1024
/** Waiters in the line of one inode. */
export const RANGE_WAITERS_MAX = 4096

/** Throws FsError ENOLCK when there is no room for another lock or waiter of this client. */
export function checkRoom({ image, maxFiles }: VolumeApi, { ino, client }: RangeOwner & { readonly ino: Ino }): void {
  if (image.rangeWeightOf(client) >= CLIENT_RANGES_MAX)
    throw new FsError('ENOLCK', `client ${client} has ${CLIENT_RANGES_MAX}`)
  const max = Math.max(RANGES_MIN, Math.min(RANGES_MAX, Math.floor(maxFiles / FILES_PER_RANGE)))
  if (image.totals().rangeWeight >= max) throw new FsError('ENOLCK', `the filesystem has ${max}`)
  if (image.rangeWaiters(ino) >= RANGE_WAITERS_MAX)
    throw new FsError('ENOLCK', `${RANGE_WAITERS_MAX} wait for bytes of inode ${ino}`)
}

/** A view that changes, a lock that a fence holds up, a full journal: that passes, and who asks again gets an answer. This node's trouble does not. */
export function asRangeError(error: unknown): unknown {
  if (isMatrixError(error, 'view-changed', 'timeout', 'peer-gone')) return new FsError('EAGAIN', error.message)
  if (isMatrixError(error)) return new FsError('EIO', error.message)
  if (isFsError(error, 'ENOSPC')) return new FsError('EAGAIN', 'the journal is full')
  return error
}
