/**
 * What an operation is: one object per opcode, listed in table.ts. The order of a request is decode → run → encode; session.ts
 * drives it and chooses the errno of failures.
 *
 * Rules that the operations keep:
 *  1. `decode` takes everything out of the buffer but data, which `run` hands to the filesystem before it returns. What may
 *     be run again later is made to last by `keep`.
 *  2. `encode` runs in the turn in which the verb answered, never later: inodes and cached data may change afterwards.
 *  3. The kernel has checked permission (`default_permissions`), with groups and capabilities that no request carries. So
 *     verbs are called as the superuser, and new objects are given to their maker.
 */
import type { Ino } from '../../base/ids.ts'
import { isPromise, type MaybePromise } from '../../base/maybe-promise.ts'
import type { Caller, CreateAttributes, MatrixFs } from '../../metadata/index.ts'
import type { LatelyFound } from '../lately-found.ts'
import type { MountLocks } from '../mount-locks.ts'
import type { Opens } from '../opens.ts'
import type { OpcodeName } from '../wire/constants.ts'
import type { Reply } from '../wire/reply.ts'
import type { Request } from '../wire/request.ts'

/** A request's surroundings. */
export type Call = {
  readonly fs: MatrixFs
  readonly opens: Opens
  readonly locks: MountLocks
  readonly found: LatelyFound
  readonly ino: Ino
  /** Of whoever asks. */
  readonly uid: number
  readonly gid: number
}

export interface Operation<A, R> {
  readonly name: OpcodeName
  /** It works on names in a directory: one that has been removed has none, and takes none (ENOENT instead of ESTALE). */
  readonly inDirectory?: true
  decode(request: Request): A
  /** Makes the arguments last beyond this turn. Absent: they do anyway. */
  keep?(args: A): void
  run(call: Call, args: A): MaybePromise<R>
  /** Absent: success has no body. */
  encode?(out: Reply, result: R, args: A): void
  /** Whoever waits for it has got a signal: it should end soon, and may fail with EINTR. */
  interrupt?(call: Call, args: A): void
  /** Takes back what the kernel would undo later, had it got the reply. */
  unanswered?(call: Call, result: R, args: A): void
}

/** Of an operation of any types: what the table holds. */
export type AnyOperation = Operation<unknown, unknown>

/** Whom verbs are called as. */
export const superuser: Caller = { uid: 0, gid: 0, gids: [] }
/** The same for writes that take set-id bits away. */
export const stranger: Caller = { uid: 65534, gid: 65534, gids: [] }

/** Whom a new object is made by: the superuser with the maker's group, which counts unless the directory gives its own. */
export function maker({ gid }: Call): Caller {
  return { uid: 0, gid, gids: [] }
}

/** What a new object begins with. The kernel has applied the umask. */
export function born({ uid }: Call, mode: number): CreateAttributes {
  return { uid, mode: mode & 0o7777 }
}

/** `next` with the value: at once when it is there. */
export function then<T, R>(value: MaybePromise<T>, next: (value: T) => MaybePromise<R>): MaybePromise<R> {
  return isPromise(value) ? value.then(next) : next(value)
}

/** An errno that the gateway itself finds. */
export class FuseFailure extends Error {
  override readonly name = 'FuseFailure'
  readonly errno: number
  constructor(errno: number) {
    const limit = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    super(`errno ${errno}`)
    Error.stackTraceLimit = limit
    this.errno = errno
  }
}
