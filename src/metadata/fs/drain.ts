/**
 * Draining a LUN of the filesystem while it is in use, in steps: whoever is asked goes on where the image says that something is left, so a step may
 * be the last, and the next one may be another node's. Nothing new gets to the LUN since every member has been told (alloc/space.ts).
 *
 *   move     files that have extents there, inode after inode (relocate.ts); what they leave is freed, and goes back to its groups
 *   empty    groups that are wholly free are taken out of the image, the last first (alloc/new-space.ts)
 *
 * When the last group is out, nothing can get there any more, and the database may say that the LUN is none of the filesystem's.
 */
import { isFsError, MatrixError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import { BLOCK_SIZE } from '../../base/limits.ts'
import type { MaybePromise } from '../../base/maybe-promise.ts'
import { formatSize } from '../../base/units.ts'
import { blocksKnown, type NewSpace } from '../alloc/new-space.ts'
import type { CachedInode } from '../cache/inode.ts'
import { lunRange } from '../fs-layout.ts'
import type { Mount } from './mount.ts'
import type { Op } from './op.ts'
import { MAX_BLOCKS, relocate } from './relocate.ts'

/** Files that are moved at a time. */
const MAX_FILES = 8
/** Inodes asked of the image at once. */
const BATCH = 128

/** `leftBytes`: in use there, or not given back yet. */
export type DrainProgress = { readonly leftBytes: number; readonly isEmpty: boolean }

export class Drainer {
  readonly #mount: Mount
  readonly #newSpace: NewSpace
  readonly #run: <T>(verb: (op: Op) => T) => MaybePromise<T>
  /** Where the next step goes on looking, by LUN. */
  readonly #cursors = new Map<number, Ino>()

  constructor(mount: Mount, newSpace: NewSpace, run: <T>(verb: (op: Op) => T) => MaybePromise<T>) {
    this.#mount = mount
    this.#newSpace = newSpace
    this.#run = run
  }

  /** One step of about `limitMs`. Rejects with MatrixError 'no-space' when the other LUNs are full, and as locks and I/O do. */
  async step(lun: number, limitMs: number): Promise<DrainProgress> {
    const { volume, reclaimer, clock } = this.#mount
    const until = clock.now() + limitMs
    for (;;) {
      const after = this.#cursors.get(lun) ?? 0
      const inos = volume.image.inodesOn(lunRange(lun), after, BATCH)
      if (inos.length === 0) break
      const isDone = await this.#moveAll(inos, lun, until)
      if (isDone) this.#cursors.set(lun, inos.at(-1) as Ino)
      if (clock.now() >= until) return this.#progress(lun, false)
    }
    this.#cursors.delete(lun)
    await reclaimer.run()
    return this.#progress(lun, await this.#newSpace.remove(lun))
  }

  /** False when the time was over before. */
  async #moveAll(inos: readonly Ino[], lun: number, until: number): Promise<boolean> {
    const { clock } = this.#mount
    let next = 0
    let failure: unknown
    const worker = async (): Promise<void> => {
      while (next < inos.length && failure === undefined && clock.now() < until) {
        const ino = inos[next++] as Ino
        await this.#move(ino, lun, until).catch((error) => (failure ??= error))
      }
    }
    await Promise.all(Array.from({ length: Math.min(MAX_FILES, inos.length) }, worker))
    if (isFsError(failure, 'ENOSPC') && this.#freeElsewhere < MAX_FILES * MAX_BLOCKS) throw this.#noRoom(lun)
    if (failure !== undefined) throw failure
    return clock.now() < until
  }

  async #move(ino: Ino, lun: number, until: number): Promise<void> {
    const { clock, cleaner } = this.#mount
    do {
      const inode: CachedInode | undefined = await this.#run((op) => relocate(op, ino, lun))
      if (!inode) return
      await cleaner.clean(inode)
    } while (clock.now() < until)
  }

  #progress(lun: number, isEmpty: boolean): DrainProgress {
    return { leftBytes: this.#left(lun) * BLOCK_SIZE, isEmpty }
  }

  #left(lun: number): number {
    const { image } = this.#mount.volume
    return blocksKnown(image, lun) - image.spaceIn(lunRange(lun), ['free'])
  }

  /** Blocks; a journal that is full for a moment is no lack of them. */
  get #freeElsewhere(): number {
    const { space, volume } = this.#mount
    const { freeBlocks, freedBlocks } = volume.image.totals()
    return freeBlocks + freedBlocks - space.closedFree - space.reserved
  }

  #noRoom(lun: number): MatrixError {
    const left = formatSize(this.#left(lun) * BLOCK_SIZE)
    const free = formatSize(this.#freeElsewhere * BLOCK_SIZE)
    return new MatrixError(
      'no-space',
      `${left} are left on the LUN, and the others have ${free} free: delete something, or give the filesystem another LUN (matrix fs grow); then drain again`,
    )
  }
}
