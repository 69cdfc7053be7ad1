/**
 * Scrubbing file data: every extent on a LUN is read once, to find what the device cannot read any more while there is still a copy of it elsewhere. In
 * steps, in the order of inodes, so that it goes on after an interruption, here or at another node.
 *
 * An inode's extents are read under its shared lock, as this node's image has them then: they are in use, and nobody gives them to another file meanwhile.
 * What is read is not looked at, since data carries no checksums of its own, and is not kept, so that caches stay what they are.
 */
import type { Ino } from '../../base/ids.ts'
import { BLOCK_SIZE } from '../../base/limits.ts'
import { inodeLock, type LockCache, PR } from '../../locking/index.ts'
import type { Clock } from '../../platform/index.ts'
import { type LunIo, MAX_REQUEST_BLOCKS } from '../cache/lun-io.ts'
import { type BlockRange, lunRange } from '../fs-layout.ts'
import type { VolumeApi } from '../volume-api.ts'

/** Inodes asked of the image at once. */
const BATCH = 128

/** Bytes of a file that could not be read. */
export type Unreadable = { readonly ino: Ino; readonly offset: number; readonly bytes: number; readonly reason: string }

export type ScrubProgress = {
  /** The next step begins after it; undefined: nothing is left on the LUN. */
  readonly next: Ino | undefined
  /** That begin on the LUN. */
  readonly files: number
  readonly bytes: number
  readonly unreadable: readonly Unreadable[]
}

export class Scrubber {
  readonly #volume: VolumeApi
  readonly #locks: LockCache
  readonly #io: LunIo
  readonly #clock: Clock
  readonly #buffer = Buffer.allocUnsafe(MAX_REQUEST_BLOCKS * BLOCK_SIZE)

  constructor(parts: {
    readonly volume: VolumeApi
    readonly locks: LockCache
    readonly io: LunIo
    readonly clock: Clock
  }) {
    this.#volume = parts.volume
    this.#locks = parts.locks
    this.#io = parts.io
    this.#clock = parts.clock
  }

  /** One step of about `limitMs`, of inodes above `after`, whole ones. Rejects as locks do. */
  async step(lun: number, after: Ino, limitMs: number): Promise<ScrubProgress> {
    const range = lunRange(lun)
    const until = this.#clock.now() + limitMs
    const unreadable: Unreadable[] = []
    let [next, files, bytes] = [after, 0, 0]
    for (;;) {
      const inos = this.#volume.image.inodesOn(range, next, BATCH)
      if (inos.length === 0) return { next: undefined, files, bytes, unreadable }
      for (const ino of inos) {
        const read = await this.#read(ino, range, unreadable)
        bytes += read.bytes
        if (read.isFirst) files++
        next = ino
        if (this.#clock.now() >= until) return { next, files, bytes, unreadable }
      }
    }
  }

  async #read(ino: Ino, { from, to }: BlockRange, unreadable: Unreadable[]) {
    const hold = await this.#locks.acquire(inodeLock(ino), PR)
    try {
      let blocks = 0
      const extents = this.#volume.image.extents(ino)
      for (const { block, count, address } of extents) {
        if (address < from || address >= to) continue
        for (let done = 0; done < count; done += MAX_REQUEST_BLOCKS) {
          const length = Math.min(MAX_REQUEST_BLOCKS, count - done) * BLOCK_SIZE
          try {
            await this.#io.read(address + done, this.#buffer.subarray(0, length))
          } catch (error) {
            unreadable.push({ ino, offset: (block + done) * BLOCK_SIZE, bytes: length, reason: String(error) })
          }
        }
        blocks += count
      }
      const first = extents[0]?.address ?? 0
      return { bytes: blocks * BLOCK_SIZE, isFirst: first >= from && first < to }
    } finally {
      hold.release()
    }
  }
}
