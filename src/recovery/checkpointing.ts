/**
 * Who may publish a checkpoint of a mounted filesystem, and when. Ordinarily whoever has the checkpoint lock; while the administrator has one made in
 * recovery (all members hold theirs), it alone, without the lock: a member's lock may be cached, and then is no lock that recovery could keep from it.
 */
import { assert } from '../base/assert.ts'
import { brokenRules } from '../base/broken-rules.ts'
import { MatrixError } from '../base/errors.ts'
import type { Vector } from '../base/vector.ts'
import { CHECKPOINT_LOCK, EX, type LockSpace, resourceId } from '../locking/index.ts'
import type { Volume } from '../metadata/index.ts'

export type CheckpointingOptions = {
  readonly volume: Volume
  readonly locks: LockSpace
  /** For the peers: they trim their journals by it. */
  readonly published: (sequence: number, vector: Vector) => void
}

export class Checkpointing {
  readonly #options: CheckpointingOptions
  #running: Promise<void> | undefined
  /** The part of it that writes. */
  #publishing: Promise<unknown> | undefined
  #isHeld = false

  constructor(options: CheckpointingOptions) {
    this.#options = options
  }

  /** Publishes one under the lock, so that journal space before it becomes free; concurrent callers share one. Rejects with 'view-changed' while it is held. */
  run(): Promise<void> {
    this.#running ??= this.#runLocked().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  async #runLocked(): Promise<void> {
    const hold = await this.#options.locks.cache.acquire(resourceId(CHECKPOINT_LOCK, 0), EX)
    try {
      if (this.#isHeld && !brokenRules.checkpointsAreHeld)
        throw new MatrixError('view-changed', 'no checkpoint is published while the administrator has one made')
      await this.#publish()
    } finally {
      hold.release()
    }
  }

  async #publish(damage?: 'judged'): Promise<void> {
    const publishing = this.#options.volume.checkpoint(damage)
    this.#publishing = publishing
    const { sequence, vector } = await publishing
    this.#options.published(sequence, vector)
  }

  /** Until `release` this node publishes nothing by itself. Resolves once nothing of it is under way any more. */
  async hold(): Promise<void> {
    this.#isHeld = true
    await this.#publishing?.catch(() => {})
  }

  release(): void {
    this.#isHeld = false
  }

  /** Publishes one without the lock, while all members hold theirs. Rejects, and changes nothing, when this image is no better than what is on the LUN. */
  async publishHeld(): Promise<void> {
    assert(this.#isHeld, 'publishHeld: others may publish at this time')
    await this.#publish('judged')
  }
}
