/**
 * The reaper: removes inodes without a name once nobody on the matrix has them open. Each is an `orphan` row of this node's
 * slot. It asks for `O:<ino>` EX without waiting; when it is refused the file is open somewhere, and it asks again later, less
 * and less often. A large file goes in several transactions; a crash between them leaves a shorter orphan.
 */
import { isFsError, isMatrixError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import type { MaybePromise } from '../../base/maybe-promise.ts'
import { EX, inodeLock, OPEN_LOCK, resourceId } from '../../locking/index.ts'
import type { Timer } from '../../platform/index.ts'
import { MAX_EXTENTS_PER_TRANSACTION } from './drop-link.ts'
import type { Mount } from './mount.ts'
import type { Op } from './op.ts'

const FIRST_RETRY_MS = 250
const MAX_RETRY_MS = 30_000
/** Orphans looked at in one round. */
const MAX_PER_ROUND = 256

export class Reaper {
  readonly #mount: Mount
  readonly #run: <T>(verb: (op: Op) => T) => MaybePromise<T>
  #timer: Timer | undefined
  #running: Promise<void> | undefined
  #delayMs = FIRST_RETRY_MS
  #stopped = false

  constructor(mount: Mount, run: <T>(verb: (op: Op) => T) => MaybePromise<T>) {
    this.#mount = mount
    this.#run = run
  }

  /** There is a new orphan, or one was closed: look soon. */
  note(): void {
    this.#delayMs = FIRST_RETRY_MS
    this.#timer?.cancel()
    this.#schedule()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    await this.#running
  }

  #schedule(): void {
    if (this.#stopped) return
    this.#timer = this.#mount.clock.after(this.#delayMs, () => {
      this.#running ??= this.#round().finally(() => {
        this.#running = undefined
      })
    })
  }

  async #round(): Promise<void> {
    const { volume, log } = this.#mount
    try {
      for (const ino of volume.image.orphans(volume.slot, MAX_PER_ROUND)) {
        if (this.#stopped) return
        await this.#reap(ino)
      }
      if (volume.image.orphans(volume.slot, 1).length === 0) return
    } catch (error) {
      if (isMatrixError(error, 'withdrawn')) return
      log.warn({ error: String(error) }, 'reaping orphans failed, it is tried again')
    }
    this.#delayMs = Math.min(MAX_RETRY_MS, this.#delayMs * 2)
    this.#schedule()
  }

  async #reap(ino: Ino): Promise<void> {
    try {
      while (!(await this.#run((op) => reapStep(op, ino)))) if (this.#stopped) return
    } catch (error) {
      if (!isFsError(error, 'EAGAIN')) throw error
    }
  }
}

/** One transaction; true when there is nothing more to do now. */
function reapStep(op: Op, ino: Ino): boolean {
  const { mount } = op
  if (mount.open.has(ino)) return true
  const inode = op.inode(ino, EX)
  if (!op.tryLock(resourceId(OPEN_LOCK, ino), EX)) return true
  op.lock(inodeLock(ino), EX)
  op.quiet(inode)
  const done = op.unmap(inode, 0, MAX_EXTENTS_PER_TRANSACTION)
  if (done) {
    op.push({ op: 'removeOrphan', slot: mount.volume.slot, ino })
    op.removeInode(inode)
  } else {
    op.edit(inode).size = 0
  }
  op.commit()
  return done
}
