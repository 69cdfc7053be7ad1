/**
 * What WebDAV keeps in the filesystem beside inodes (RFC 4918): dead properties, and write locks. Both are rows of the image under the
 * lock of their inode (`I:<ino>`): journaled, the same at every node, surviving any of them.
 *
 * A WebDAV lock binds callers with a `DavGuard`, the clients of WebDAV and HTTP. Of theirs, every verb that changes a name, a file's
 * content or its properties looks, in the same transaction, at the locks on what it changes and on all directories above (covering.ts),
 * and fails with `LockedError` unless one of their tokens was submitted. Callers without a guard (NFS, the local mount) are not bound.
 */
import { FsError } from '../../../base/errors.ts'
import type { Ino } from '../../../base/ids.ts'
import type { MaybePromise } from '../../../base/maybe-promise.ts'
import type { DavLockRecord, FileName } from '../../image/mutation.ts'
import type { AttributeChanges } from '../attributes.ts'
import type { Caller } from '../caller.ts'

export type DavLock = DavLockRecord

/** Dead properties of one inode; more is ENOSPC. */
export const MAX_DEAD_PROPERTIES = 128
/** Names and values of all dead properties of one inode, and texts of all locks on one, bytes each: they are handed on in one transaction. */
export const MAX_ATTACHED_BYTES = 65_536
/** Locks on one inode (shared ones), and in a filesystem; more is ENOSPC. */
export const MAX_LOCKS_PER_INODE = 16
export const MAX_LOCKS = 10_000
/** Wall clocks of nodes may differ by so much, ms: a lock is kept for so long beyond the time that its owner was told. */
export const CLOCK_SKEW_MS = 5_000

/** The refusal of a locked resource: fails like any other, and says which locks are in the way. */
export class LockedError extends FsError {
  readonly locks: readonly DavLock[]
  /** The precondition that failed (RFC 4918 16). */
  readonly condition: 'lock-token-submitted' | 'no-conflicting-lock'
  /** They are on members below the resource, not on itself or above. */
  readonly below: boolean

  constructor(locks: readonly DavLock[], condition: LockedError['condition'], below = false) {
    super('ELOCKED')
    this.locks = locks
    this.condition = condition
    this.below = below
  }
}

/** A name in a directory; '' is the root directory itself. */
export type DavPlace = { readonly dir: Ino; readonly name: FileName }

export type DavLockRequest = {
  /** Unguessable, and never used before. */
  readonly token: string
  readonly shared: boolean
  readonly infinite: boolean
  readonly timeoutMs: number
  /** XML; with `root` at most MAX_ATTACHED_BYTES. */
  readonly owner: string
  /** The path of the URL. */
  readonly root: string
  /** Mode of the empty file that is made when there is nothing (RFC 4918 7.3). */
  readonly mode: number
}

/** `created`: there was nothing. */
export type DavLocked = { readonly lock: DavLock; readonly created: boolean }

/** Changes of one resource's properties, all or none. */
export type PropertyPatch = {
  readonly set: ReadonlyMap<string, string>
  /** Those that are not there are no error. */
  readonly remove: readonly string[]
  /** No size. */
  readonly attributes: AttributeChanges
}

/**
 * What is about to happen to a place. 'content': the object gets other content or properties, or is made when it is not there. 'tree': it goes,
 * with everything below.
 */
export type DavChange = 'content' | 'tree'

export interface DavFs {
  /** The locks that cover each of `inos`, which are entries of `dir`: its own, and those of infinite depth above. The root is in no directory. */
  locks(dir: Ino, inos: readonly Ino[]): MaybePromise<ReadonlyMap<Ino, readonly DavLock[]>>
  /** Fails with LockedError when the change would, as things are now. */
  check(caller: Caller, place: DavPlace, change: DavChange): MaybePromise<void>
  /**
   * Writes into a file that was found in `dir`, and may be written (as `MatrixFs.write`, unstable and trusted), in one transaction with the look at
   * its locks: LockedError. `data` is the filesystem's until this has returned, or its promise is settled.
   */
  write(caller: Caller, dir: Ino, ino: Ino, offset: number, data: Buffer): MaybePromise<void>
  /** LockedError; ENOSPC. */
  lock(caller: Caller, place: DavPlace, request: DavLockRequest): MaybePromise<DavLocked>
  /** The lock from now on; undefined when none with this token covers the place. EACCES when it is another's. */
  refresh(caller: Caller, place: DavPlace, token: string, timeoutMs: number): MaybePromise<DavLock | undefined>
  /** False when no lock with this token covers the place. EACCES when it is another's. */
  unlock(caller: Caller, place: DavPlace, token: string): MaybePromise<boolean>
  /** The dead properties of each of `inos`, by name. */
  properties(inos: readonly Ino[]): MaybePromise<ReadonlyMap<Ino, ReadonlyMap<string, string>>>
  patchProperties(caller: Caller, place: DavPlace, patch: PropertyPatch): MaybePromise<void>
  /** Gives the dead properties of `from` to `to`, which has none. */
  copyProperties(caller: Caller, from: Ino, to: Ino): MaybePromise<void>
}
