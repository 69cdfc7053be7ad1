/**
 * The lock-caching layer (LCL) as the filesystem uses it: the only door to locks (R9). One instance per mounted filesystem.
 *
 * A lock, once granted, stays with the node after its users are done (R10), until another node wants it (BAST) or it ages.
 * `holds` answers synchronously; the fast path of every verb is nothing but `holds`. `acquire` pins: while pinned, a lock
 * is not surrendered. Whoever waits for one lock while pinning others acquires in ascending ResourceId order; nobody waits
 * for a lock that it pins itself, in whatever mode: once another node wants the lock, new pins wait until the old are gone.
 */

import type { MaybePromise } from '../base/maybe-promise.ts'
import type { Vector } from '../base/vector.ts'
import type { Mode } from './modes.ts'
import type { ResourceId } from './resource.ts'

/** What the floor above does when a lock comes or goes (R13–R15); one table per lock type. */
export interface LockCallouts {
  /** The lock was granted (or raised) with `vector` in its LVB: apply peers' journals at least that far. The lock is usable once this is done. */
  acquired(rid: ResourceId, mode: Mode, vector: Vector): MaybePromise<void>
  /**
   * The lock is about to go down from `from` to `to`: nobody pins it above `to`, and new users of more than `to` wait (readers go on when it goes down to PR). Leaving EX: write dirty data, flush the
   * journal up to the last change under the lock. Going to NL: drop what was cached under it. Returns the vector for the LVB: durable LSNs only.
   */
  surrender(rid: ResourceId, from: Mode, to: Mode): MaybePromise<Vector>
}

/** A user's claim on a cached lock; `release` exactly once. */
export interface Hold {
  readonly rid: ResourceId
  readonly mode: Mode
  release(): void
}

export type AcquireOptions = {
  /** 'server' (default) only keeps the lock here (R12); 'process' also excludes conflicting local holders of process scope (R11). */
  readonly scope?: 'server' | 'process'
  /** Give up at once (resolve undefined) when another node holds a conflicting lock, after telling it (BAST). */
  readonly noQueue?: boolean
  /** Reject with MatrixError 'timeout' when the lock was not obtained within this, ms; the request is cancelled. */
  readonly timeoutMs?: number
}

/** A lock as the cache keeps it. An inode cache may keep it too: once the lock has left the node for good it is never usable again, so ask `peek` anew then. */
export interface CachedLock {
  readonly rid: ResourceId
  /** What `LockCache.holds` answers, without looking the lock up. */
  usable(mode: Mode): boolean
}

export interface LockCache {
  registerCallouts(type: number, callouts: LockCallouts): void
  /** True when the lock is cached in a covering mode, usable now, not about to be surrendered, and the node's lease is good. */
  holds(rid: ResourceId, mode: Mode): boolean
  /** The lock's entry in the cache, if it has one. */
  peek(rid: ResourceId): CachedLock | undefined
  /** Pins the lock in at least `mode`: at once when cached (or when this node masters it and nobody conflicts), else a promise. Rejects with MatrixError 'withdrawn' or 'fenced'. */
  acquire(rid: ResourceId, mode: Mode): MaybePromise<Hold>
  acquire(rid: ResourceId, mode: Mode, options: AcquireOptions): MaybePromise<Hold | undefined>
  /** Many at once, in canonical order, requests to one master in one message; releases all when one fails. */
  acquireAll(wanted: ReadonlyMap<ResourceId, Mode>): MaybePromise<readonly Hold[]>
  /** Asks for a lock that will probably be acquired soon. Nobody waits; granted, it stays for its user as any lock just granted. */
  askAhead(rid: ResourceId, mode: Mode): void
  /** True while another node waits for this lock: its holder should finish soon. */
  wanted(rid: ResourceId): boolean
  /** Gives up every unpinned lock (clean leave); resolves when the last is released. */
  surrenderAll(): Promise<void>
}
