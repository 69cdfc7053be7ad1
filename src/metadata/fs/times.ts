/** File times: the wall clock in seconds and nanoseconds; the ctime of an inode grows with every change of it. */
import { FsError } from '../../base/errors.ts'
import type { Clock } from '../../platform/index.ts'
import type { MutableRecord } from '../cache/inode.ts'
import type { AttributeChanges } from './matrix-fs.ts'

export type Time = { s: number; ns: number }

const NS_MAX = 999_999_999
const scratch: Time = { s: 0, ns: 0 }

/** Now. The object is used again by the next call. */
export function now(clock: Clock): Readonly<Time> {
  const ms = clock.wall()
  scratch.s = Math.floor(ms / 1000)
  scratch.ns = Math.min(NS_MAX, Math.floor((ms - scratch.s * 1000) * 1e6))
  return scratch
}

/** Times that a client sets are times: its nanoseconds may be any number on the wire. Throws FsError EINVAL. */
export function needTimes({ atime, mtime }: AttributeChanges): void {
  for (const time of [atime, mtime]) {
    if (time === undefined || time === 'now') continue
    if (!Number.isSafeInteger(time.s) || !Number.isInteger(time.ns) || time.ns < 0 || time.ns > NS_MAX)
      throw new FsError('EINVAL', `a time has ${time.ns} nanoseconds`)
  }
}

type Times = Pick<MutableRecord, 'ctimeS' | 'ctimeNs' | 'mtimeS' | 'mtimeNs' | 'change'>

/**
 * Attributes changed: ctime is now, or a nanosecond later than it was when the clock has not moved on since (its ticks are long, and it may step back). So whoever knows
 * an inode by its ctime, as a guarded SETATTR and the caches of NFS clients do, notices each change. The change count grows.
 */
export function touchAttributes(inode: Times, clock: Clock): void {
  const { s, ns } = now(clock)
  if (s > inode.ctimeS || (s === inode.ctimeS && ns > inode.ctimeNs)) {
    inode.ctimeS = s
    inode.ctimeNs = ns
  } else if (inode.ctimeNs < NS_MAX) inode.ctimeNs++
  else {
    inode.ctimeS++
    inode.ctimeNs = 0
  }
  inode.change++
}

/** Content or entries changed: mtime and ctime. */
export function touchContent(inode: Times, clock: Clock): void {
  touchAttributes(inode, clock)
  inode.mtimeS = inode.ctimeS
  inode.mtimeNs = inode.ctimeNs
}
