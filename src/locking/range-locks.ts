/**
 * Byte-range locks as gateways use them: one table per inode for the whole matrix. A lock taken through one node or protocol
 * is seen, tested, waited for and granted through every other (R129). They are advisory: reads and writes do not ask.
 *
 * Whoever holds or wants a range is a *client* (a host, or a mount of a node) and an owner within it (a process, an open file). The locks of
 * one owner never conflict with each other: a new lock replaces what the owner had in its range, and splits or joins the rest, as
 * fcntl(2) has it. A client outlives the node through which it came; its locks are parked until it is known where it went.
 */
import type { Ino } from '../base/ids.ts'

/** The last byte that a range can hold. A range that ends here goes to the end of the file, however far that grows. */
export const RANGE_END = Number.MAX_SAFE_INTEGER - 2

/**
 * What flock(2) locks: a byte that no other lock can hold, and that touches none. So a process may use both kinds on one file. Deadlocks are not
 * looked for among these: the owner is an open file, which any process that has it may let go.
 */
export const FLOCK_BYTE: ByteRange = { start: Number.MAX_SAFE_INTEGER, end: Number.MAX_SAFE_INTEGER }

/** Bytes of UTF-8 of a client's name, and of an owner's. */
export const RANGE_OWNER_MAX = 2048

/** Any number of shared locks of a byte, or one exclusive lock. */
export type RangeMode = 'shared' | 'exclusive'

/**
 * `client` and `owner` are opaque text, compared as they are, and the same at whatever node the client asks: at most RANGE_OWNER_MAX
 * bytes of UTF-8 each, so that 1,024 bytes of a protocol fit as latin1. A client's name begins with '@' only when `localClient` gave it.
 */
export type RangeOwner = { readonly client: string; readonly owner: string }

/** Bytes `start` … `end`, both included, 0 … RANGE_END; or FLOCK_BYTE. */
export type ByteRange = { readonly start: number; readonly end: number }

export type RangeRequest = ByteRange & RangeOwner & { readonly ino: Ino; readonly mode: RangeMode }

/** A lock that is held. */
export type RangeLock = ByteRange & RangeOwner & { readonly mode: RangeMode }

/** A request that waits for its range. */
export interface RangeWait {
  /** Resolves with the grant; rejects with FsError EDEADLK when it would never come, EINTR after `cancel`, EAGAIN when the node stops serving. */
  readonly granted: Promise<void>
  /** No longer wanted. True: it had not been granted and never will be. False: it was granted already and has to be unlocked. */
  cancel(): Promise<boolean>
}

/**
 * All promises reject with FsError EAGAIN while the matrix cannot say (a recovery under way for too long, a node that stops): ask again, there or elsewhere. With EIO
 * when this node has lost the filesystem, as every verb does then; with EINVAL when
 * the request makes no sense, ENOLCK when the client, or all together, have too many locks.
 *
 * Durable when answered: what a client holds survives the death of every node. Only what a local client holds goes with its node.
 */
export interface RangeLocks {
  /** The name of a client that lives no longer than this life of this node: a mount. Its locks go with it. */
  localClient(name: string): string
  /** The first lock in the way of `request`, nothing being taken; undefined when there is none. */
  test(request: RangeRequest): Promise<RangeLock | undefined>
  /** Takes the range at once and whole, or says who is in the way and changes nothing. */
  take(request: RangeRequest): Promise<RangeLock | undefined>
  /** Takes the range once it is free, in the order of arrival. An upgrade waits with what it has. */
  wait(request: RangeRequest): RangeWait
  /** Frees what the owner holds in the range; succeeds when that is nothing. */
  release(ino: Ino, owner: RangeOwner, range: ByteRange): Promise<void>
  /**
   * Frees everything that the client holds and waits for, at whatever node: it has restarted, or is gone for good. `unless` is asked file by file,
   * once everything that led to the locks of that file is known here, whether they are to stay after all.
   */
  releaseClient(client: string, unless?: () => boolean): Promise<void>
}
