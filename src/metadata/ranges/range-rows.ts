/** From rows of the image to tables. */
import { brokenRules } from '../../base/broken-rules.ts'
import type { Ino } from '../../base/ids.ts'
import type { Life } from '../../base/life.ts'
import { lifeOf, type RangeLock, RangeTable } from '../../locking/index.ts'
import type { Image } from '../image/image.ts'
import type { RangeLockRow } from '../image/statements.ts'
import type { MatrixTable, MatrixWaiter } from './range-draft.ts'

export type Lives = {
  /** Grows with what `isGone` knows. */
  readonly version: number
  /** It can no longer do anything, for sure: what is its alone counts no more. */
  isGone(life: Life): boolean
  /** It is in the present view. What is not, and not gone, may be alive or not. */
  isMember(life: Life): boolean
}

/** The locks and the line of an inode as the image has them: true while lock L is held. Without what `lives` says is gone. */
export function readTable(image: Image, ino: Ino, lives?: Lives): MatrixTable {
  const table: MatrixTable = new RangeTable<MatrixWaiter>()
  for (const row of image.rangeLocks(ino)) {
    const lock = lockOf(row)
    if (!isVoid(lock, lives)) table.add(lock)
  }
  for (const [client, owner, start, end, exclusive, order, slot, incarnation] of image.rangeWaits(ino)) {
    const waiter = { ...lockOf([client, owner, start, end, exclusive]), order, slot, incarnation }
    if (!isVoid(waiter, lives)) table.queue(waiter)
  }
  return table
}

/** A lock of a client that went with its node, or a waiter at a node that is gone. */
export function isVoid(entry: RangeLock | MatrixWaiter, lives: Lives | undefined): boolean {
  if (!lives || brokenRules.goneIsVoid) return false
  if ('incarnation' in entry && lives.isGone(entry)) return true
  const life = lifeOf(entry.client)
  return life !== undefined && lives.isGone(life)
}

function lockOf([client, owner, start, end, exclusive]: RangeLockRow): RangeLock {
  return { client, owner, start, end, mode: exclusive === 1 ? 'exclusive' : 'shared' }
}
