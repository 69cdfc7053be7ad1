import { assert } from '../base/assert.ts'
import type { LocalLock } from './local-lock.ts'
import type { Hold } from './lock-cache.ts'
import type { Mode } from './modes.ts'
import { type ResourceId, resourceName } from './resource.ts'

/** A pin on a lock, from its making to its release. */
export class LockHold implements Hold {
  readonly rid: ResourceId
  readonly mode: Mode
  readonly #processScope: boolean
  readonly #unpinned: (lock: LocalLock) => void
  #lock: LocalLock | undefined

  /** `unpinned` is told after the release. */
  constructor(lock: LocalLock, mode: Mode, processScope: boolean, unpinned: (lock: LocalLock) => void) {
    this.rid = lock.rid
    this.mode = mode
    this.#processScope = processScope
    this.#unpinned = unpinned
    this.#lock = lock
    lock.pin(mode, processScope)
  }

  release(): void {
    const lock = this.#lock
    assert(lock, `a hold of ${resourceName(this.rid)} is released once`)
    this.#lock = undefined
    lock.unpin(this.mode, this.#processScope)
    this.#unpinned(lock)
  }
}
