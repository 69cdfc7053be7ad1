/**
 * Content on its way to a file that is not there yet: written to the LUNs and stable there, at places that no extent maps (fs/store.ts).
 *
 *     stage ─► space taken ─► written ─► flushed ─┬─ placed: one transaction makes the file and maps the places
 *                                                 └─ discarded: the places are free again
 *
 * A crash before the transaction leaves nothing: in the image the blocks are free. Whoever stages ends it in one of the two ways.
 */
import { allEnded } from '../../base/all-ended.ts'
import { assert } from '../../base/assert.ts'
import { brokenRules } from '../../base/broken-rules.ts'
import { lunIndexOf } from '../../base/ids.ts'
import { BLOCK_SIZE } from '../../base/limits.ts'
import type { Run } from '../alloc/run-set.ts'
import type { Space } from '../alloc/space.ts'
import type { Mutation } from '../image/mutation.ts'
import { bits, CHUNK_BYTES } from './chunk.ts'
import type { DataCache } from './data-cache.ts'
import type { CachedInode } from './inode.ts'
import type { LunIo } from './lun-io.ts'

export type StageParts = { readonly space: Space; readonly io: LunIo; readonly data: DataCache }

export class StagedContent {
  readonly size: number
  readonly #parts: StageParts
  /** Whole blocks, zero behind the content. */
  readonly #buffer: Buffer
  readonly #runs: readonly Run[]

  private constructor(parts: StageParts, size: number, buffer: Buffer, runs: readonly Run[]) {
    this.#parts = parts
    this.size = size
    this.#buffer = buffer
    this.#runs = runs
  }

  /** Copies `content`, at most one chunk of the cache, before it returns. Rejects with FsError ENOSPC, or as LUNs fail; nothing is taken then. */
  static async stage(parts: StageParts, content: Buffer): Promise<StagedContent> {
    assert(content.length <= CHUNK_BYTES, 'only small content is staged')
    const { space, io } = parts
    const count = Math.ceil(content.length / BLOCK_SIZE)
    const buffer = Buffer.allocUnsafeSlow(count * BLOCK_SIZE)
    content.copy(buffer)
    buffer.fill(0, content.length)
    while (!space.reserve(count)) await space.grow(count)
    const runs = space.take(count, undefined)
    const staged = new StagedContent(parts, content.length, buffer, runs)
    try {
      const luns = new Set<number>()
      let offset = 0
      const writes = runs.map(({ address, count: blocks }) => {
        luns.add(lunIndexOf(address))
        const bytes = blocks * BLOCK_SIZE
        return io.write(address, [buffer.subarray(offset, (offset += bytes))], bytes)
      })
      // the places may be given to others then
      await allEnded(writes)
      if (!brokenRules.dataBeforeExtent) await io.flush(luns)
    } catch (error) {
      staged.discard()
      throw error
    }
    return staged
  }

  /** Adds what maps the content to `inode`, which has none. Then the transaction's commit, and `placed` or `notPlaced`. */
  place(inode: CachedInode, mutations: Mutation[]): void {
    let block = 0
    for (const run of this.#runs) {
      inode.extents.map(inode.ino, { block, ...run }, () => false, mutations)
      this.#parts.space.use(run, mutations)
      block += run.count
    }
  }

  /** The inode is in the cache, and its content with it. */
  placed(inode: CachedInode): void {
    const { space, data } = this.#parts
    space.used(this.#runs)
    if (this.#buffer.length === 0) return
    const chunk = data.adopt(inode, 0, this.#buffer)
    chunk.valid = bits(0, this.#buffer.length / BLOCK_SIZE)
  }

  notPlaced(): void {
    this.#parts.space.unuse(this.#runs)
  }

  discard(): void {
    const { space } = this.#parts
    for (const run of this.#runs) {
      space.giveBack(run)
      space.unreserve(run.count)
    }
  }
}
