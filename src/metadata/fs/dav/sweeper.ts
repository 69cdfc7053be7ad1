/**
 * Removes the rows of locks whose time is over. They bind nobody any more, so there is no hurry: every node looks after those on inodes that
 * were born at it, whose locks it masters, and only after a long time after any that nobody has removed.
 */
import { isFsError, isMatrixError } from '../../../base/errors.ts'
import { MAX_SLOTS } from '../../../base/limits.ts'
import type { MaybePromise } from '../../../base/maybe-promise.ts'
import { EX, inodeLock } from '../../../locking/index.ts'
import type { Timer } from '../../../platform/index.ts'
import type { Mount } from '../mount.ts'
import type { Op } from '../op.ts'
import type { DavLock } from './dav-fs.ts'

const PERIOD_MS = 60_000
/** After the end of a lock at an inode of the own slot, and of others: clocks may differ. */
const OWN_DELAY_MS = 60_000
const OTHERS_DELAY_MS = 3_600_000
const MAX_PER_ROUND = 256

export class LockSweeper {
  readonly #mount: Mount
  readonly #run: <T>(verb: (op: Op) => T) => MaybePromise<T>
  #timer: Timer | undefined
  #running: Promise<void> | undefined

  constructor(mount: Mount, run: <T>(verb: (op: Op) => T) => MaybePromise<T>) {
    this.#mount = mount
    this.#run = run
  }

  start(): void {
    this.#timer = this.#mount.clock.every(PERIOD_MS, () => {
      this.#running ??= this.#round().finally(() => {
        this.#running = undefined
      })
    })
  }

  async stop(): Promise<void> {
    this.#timer?.cancel()
    await this.#running
  }

  async #round(): Promise<void> {
    const { volume, clock, log } = this.#mount
    const wall = clock.wall()
    const isDue = ({ ino, expires }: DavLock) =>
      expires < wall - (ino % MAX_SLOTS === volume.slot ? OWN_DELAY_MS : OTHERS_DELAY_MS)
    try {
      for (const lock of volume.image.expiredDavLocks(wall - OWN_DELAY_MS, MAX_PER_ROUND).filter(isDue)) {
        await this.#run((op) => removeExpired(op, lock))
      }
    } catch (error) {
      if (isMatrixError(error, 'withdrawn')) return
      if (!isFsError(error) && !isMatrixError(error)) throw error
      log.warn({ error: String(error) }, 'WebDAV locks whose time is over stay for now')
    }
  }
}

/** Unless it has been refreshed or removed meanwhile. */
function removeExpired(op: Op, { ino, token, expires }: DavLock): void {
  op.lock(inodeLock(ino), EX)
  const now = op.mount.volume.image.davLocks(ino).find((lock) => lock.token === token)
  if (now?.expires !== expires) return
  op.push({ op: 'removeDavLock', ino, token })
  op.commit()
}
