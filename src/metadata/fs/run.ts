/**
 * Runs verbs (op.ts says what one is). When everything is cached the verb runs straight through and its result is returned
 * at once: no promise, no lock traffic, the `Op` is used again. Else, until it gets through:
 *
 *     run ──RESTART──► locks missing: unpin all, acquire all that are known to be needed ──► run
 *         ──RESTART──► waits for content or I/O, locks stay pinned ──► run
 *         ──RESTART──► waits for space or cleaning, unpinned ──► acquire again ──► run
 *
 * The answer shows what the verb found and did, also when it reaches the caller in a later turn (cache/inode-snapshot.ts).
 */
import { brokenRules } from '../../base/broken-rules.ts'
import { FsError, isMatrixError } from '../../base/errors.ts'
import { isPromise, type MaybePromise } from '../../base/maybe-promise.ts'
import type { Hold } from '../../locking/index.ts'
import { asOfNow } from '../cache/inode-snapshot.ts'
import type { RequestId } from '../image/done-requests.ts'
import type { Mount } from './mount.ts'
import { Op, RESTART } from './op.ts'

/** A verb that did not get through after so many runs is answered "try again": others keep taking what it needs. */
const MAX_RUNS = 200
/** Idle `Op`s kept. */
const MAX_POOLED = 32

export class Runner {
  readonly #mount: Mount
  readonly #pool: Op[] = []

  constructor(mount: Mount) {
    this.#mount = mount
  }

  /** With a `request` that may come again: fails with DoneAlready when it has been done before. */
  run<T>(verb: (op: Op) => T, request?: RequestId): MaybePromise<T> {
    const op = this.#pool.pop() ?? new Op(this.#mount)
    op.request = request
    try {
      const result = verb(op)
      this.#end(op)
      return result
    } catch (error) {
      if (error !== RESTART) {
        this.#end(op)
        throw asFsError(error)
      }
    }
    return this.#again(op, verb)
  }

  /** As long as everything comes at once, so does the result. */
  #again<T>(op: Op, verb: (op: Op) => T): MaybePromise<T> {
    try {
      for (let runs = 1; runs < MAX_RUNS; runs++) {
        const next = this.#next(op)
        if (next) return this.#later(op, verb, next, runs)
        try {
          const result = verb(op)
          this.#end(op)
          return result
        } catch (error) {
          if (error !== RESTART) throw error
        }
      }
      throw new FsError('EAGAIN')
    } catch (error) {
      this.#end(op)
      throw asFsError(error)
    }
  }

  async #later<T>(op: Op, verb: (op: Op) => T, first: Promise<void>, runs: number): Promise<T> {
    try {
      await first
      for (; runs < MAX_RUNS; runs++) {
        try {
          // others may run before the caller's turn
          return brokenRules.answerOfItsTurn ? verb(op) : asOfNow(verb(op))
        } catch (error) {
          if (error !== RESTART) throw error
        }
        const next = this.#next(op)
        if (next) await next
      }
      throw new FsError('EAGAIN')
    } catch (error) {
      throw asFsError(error)
    } finally {
      this.#end(op)
    }
  }

  /** Gets what the interrupted run lacked: undefined when that is there at once. */
  #next(op: Op): Promise<void> | undefined {
    const locksMissing = op.rewind()
    const { wait } = op
    op.wait = undefined
    if (wait) {
      if (op.waitPinned && !locksMissing) return this.#pinnedWait(op, wait)
      op.unpin()
      return this.#unpinnedWait(op, wait)
    }
    op.unpin()
    const holds = this.#mount.locks.acquireAll(op.wanted)
    if (isPromise(holds)) return holds.then((got) => op.pin(got))
    op.pin(holds)
    return undefined
  }

  async #pinnedWait(op: Op, wait: () => Promise<unknown>): Promise<void> {
    if (!op.isPinned) {
      // The run got so far on cached locks: they must not go while it waits.
      const holds: MaybePromise<readonly Hold[]> = this.#mount.locks.acquireAll(op.wanted)
      if (isPromise(holds)) {
        op.unpin() // they went already: what it wanted to wait for may no longer be what it needs
        return op.pin(await holds)
      }
      op.pin(holds)
    }
    await wait()
  }

  async #unpinnedWait(op: Op, wait: () => Promise<unknown>): Promise<void> {
    await wait()
    const holds: MaybePromise<readonly Hold[]> = this.#mount.locks.acquireAll(op.wanted)
    op.pin(isPromise(holds) ? await holds : holds)
  }

  #end(op: Op): void {
    op.reset()
    if (this.#pool.length < MAX_POOLED) this.#pool.push(op)
  }
}

/** What a caller of the filesystem may see: trouble below is an I/O error (R66), trouble that passes asks to try again. */
export function asFsError(error: unknown): unknown {
  if (isMatrixError(error, 'view-changed', 'timeout', 'peer-gone')) return new FsError('EAGAIN', error.message)
  if (isMatrixError(error)) return new FsError('EIO', error.message)
  return error
}
