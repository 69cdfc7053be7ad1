/** What two looks at an object say about what happened in between. */
import { constants } from 'node:fs'
import type { InodeLike } from '@zenfs/core'
import type { Row } from './journal.ts'

export const FORMAT = constants.S_IFMT
/** Times are compared to the microsecond: milliseconds in a number of JavaScript have no more. */
const TIME_MS = 0.001

export function isDirectory({ mode }: InodeLike): boolean {
  return (mode & FORMAT) === constants.S_IFDIR
}

export function isFile({ mode }: InodeLike): boolean {
  return (mode & FORMAT) === constants.S_IFREG
}

export function near(a: number, b: number): boolean {
  return Math.abs(a - b) <= TIME_MS
}

export function isSame(row: Row, inode: InodeLike): boolean {
  return (
    row.ino === inode.ino && row.size === inode.size && row.mtimeMs === inode.mtimeMs && row.ctimeMs === inode.ctimeMs
  )
}

/** Nothing has been done to the file between the two. */
export function isUnmoved(before: InodeLike, now: InodeLike): boolean {
  return (
    before.ino === now.ino &&
    before.size === now.size &&
    before.mtimeMs === now.mtimeMs &&
    before.ctimeMs === now.ctimeMs
  )
}

/**
 * The same for all names of one file, and for no two files. Its number alone is not: another filesystem may be mounted within a tree of a machine, and have the same
 * numbers. So its device counts where it is known, and its size and times.
 */
export function fileId({ ino, size, mtimeMs, ctimeMs, ...rest }: InodeLike & { readonly dev?: number }): string {
  return [rest.dev ?? '', ino, size, mtimeMs, ctimeMs].join(' ')
}
