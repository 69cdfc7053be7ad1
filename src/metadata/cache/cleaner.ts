/**
 * Writes dirty data to the LUNs: for stable writes and commits, before an exclusive lock goes down (R74), and by age and
 * amount in the background, where the lock stays (R75). One cleaning per inode writes at a time; who comes meanwhile shares the next.
 *
 * Order of one cleaning, and what a crash leaves after each step:
 *  1. What is dirty is noted, the size with it; space for what is not mapped is taken in long runs.   nothing changed
 *  2. Data is written to mapped blocks in place and to taken ones.           mapped blocks: old or new; the rest unchanged
 *  3. The LUNs written to are flushed.                                       the same, on stable storage
 *  4. One transaction maps the taken blocks and records size, times and change count.   the cleaned file, once it is durable
 *
 * Blocks that are to leave a LUN that is being drained are dirty and have space promised (fs/relocate.ts): they go the way of those that are not mapped, and step 4 frees
 * their old places. Nobody reads these then, so that a block is never read after somebody else has got it.
 *
 * So no extent ever covers bytes that were not written, and no size a block that is not there (ARCHITECTURE.md 2). When all blocks
 * were mapped before and the size stays, step 3 comes last, beside the journal's own flush and the next cleaning's first steps: a
 * crash in between leaves blocks of one write old or new, as in step 2, whatever the times of the file say.
 */

import { brokenRules } from '../../base/broken-rules.ts'
import { isFsError, isMatrixError } from '../../base/errors.ts'
import { lunIndexOf } from '../../base/ids.ts'
import { BLOCK_SIZE } from '../../base/limits.ts'
import type { Clock, Log, Timer } from '../../platform/index.ts'
import type { Run } from '../alloc/run-set.ts'
import type { Space } from '../alloc/space.ts'
import type { FsLayout } from '../fs-layout.ts'
import type { Mutation } from '../image/mutation.ts'
import type { VolumeApi } from '../volume-api.ts'
import { BLOCKS_PER_CHUNK, bitCount, type Chunk } from './chunk.ts'
import type { DataCache } from './data-cache.ts'
import { ExtentMap, HOLE, type Segment } from './extent-map.ts'
import type { CachedInode } from './inode.ts'
import { type LunIo, MAX_REQUEST_BLOCKS } from './lun-io.ts'

/** Data requests of one cleaning under way at a time. */
const MAX_REQUESTS = 8
/** Files cleaned at the same time in the background. */
const MAX_FILES = 16
/** Blocks taken or written in one step of a cleaning: bounds what one transaction maps. */
const MAX_STEP_BLOCKS = 16_384
/** A file with so many dirty blocks (8 MiB) is written in the background at once. */
const WRITE_BEHIND_BLOCKS = 2048
/** A journal that is full of what no checkpoint covers yet is waited for so often (`room` has a time limit). */
const MAX_JOURNAL_RETRIES = 6

export type CleanerParts = {
  readonly volume: VolumeApi
  readonly layout: FsLayout
  readonly space: Space
  readonly cache: DataCache
  readonly io: LunIo
  readonly clock: Clock
  readonly log: Log
  readonly cleanAfterMs: number
  /** Blocks were freed. */
  noteFreed(): void
}

/** Blocks to write at consecutive addresses. */
type Piece = {
  readonly block: number
  readonly count: number
  readonly address: number
  /** What it takes of free space. */
  readonly run: Run | undefined
  /** It is mapped elsewhere until then. */
  readonly moves: boolean
}

export class Cleaner {
  readonly #parts: CleanerParts
  /** Inodes with something late, in the order in which they became so. */
  readonly #dirty = new Set<CachedInode>()
  #timer: Timer | undefined

  constructor(parts: CleanerParts) {
    this.#parts = parts
    parts.space.relieve = () => this.cleanAll()
  }

  get dirtyInodes(): number {
    return this.#dirty.size
  }

  start(): void {
    const { clock, cleanAfterMs, log } = this.#parts
    this.#timer = clock.every(Math.max(1, cleanAfterMs / 4), () => {
      this.#cleanOlderThan(clock.now() - cleanAfterMs).catch((error) => {
        if (isMatrixError(error, 'withdrawn')) this.stop()
        else log.warn({ error: String(error) }, 'background cleaning failed, it is tried again')
      })
    })
  }

  stop(): void {
    this.#timer?.cancel()
  }

  /** Something of the inode is newer than LUN or image. */
  note(inode: CachedInode): void {
    if (inode.dirtySince !== 0) return
    inode.dirtySince = this.#parts.clock.now() || Number.MIN_VALUE
    this.#dirty.add(inode)
  }

  /** Nothing of the inode is late any more, or it is gone. */
  forget(inode: CachedInode): void {
    inode.dirtySince = 0
    this.#dirty.delete(inode)
  }

  /** After a write: a file with much that is dirty is written while its writer goes on, so that a commit finds little left. */
  writeBehind(inode: CachedInode): void {
    if (inode.dirtyBlocks < WRITE_BEHIND_BLOCKS || inode.cleaning) return
    this.clean(inode).catch((error) => {
      // what was not written is dirty again: whoever needs it on the LUN is told
      if (!isMatrixError(error, 'withdrawn')) this.#parts.log.warn({ error: String(error) }, 'writing behind failed')
    })
  }

  /** Everything that is dirty when this is called is stable on the LUNs and committed (not: durable) when it resolves. */
  clean(inode: CachedInode): Promise<void> {
    if (!inode.writing) return this.#start(inode)
    const next = () => {
      inode.nextCleaning = undefined
      return this.#start(inode)
    }
    inode.nextCleaning ??= inode.writing.then(next, next)
    return inode.nextCleaning
  }

  /** The same for every inode. Rejects with the first failure, after all have been tried. */
  async cleanAll(): Promise<void> {
    await this.#cleanMany([...this.#dirty])
  }

  /** Cleans the oldest dirty files until there is room for more dirty data. */
  async makeRoom(): Promise<void> {
    const some: CachedInode[] = []
    for (const inode of this.#dirty) {
      some.push(inode)
      if (some.length === MAX_FILES) break
    }
    await this.#cleanMany(some)
  }

  async #cleanOlderThan(since: number): Promise<void> {
    const old: CachedInode[] = []
    for (const inode of this.#dirty) {
      if (inode.dirtySince > since && !this.#parts.cache.tooDirty) break
      if (!inode.cleaning) old.push(inode)
    }
    await this.#cleanMany(old)
  }

  async #cleanMany(inodes: readonly CachedInode[]): Promise<void> {
    let failure: unknown
    let next = 0
    const worker = async () => {
      while (next < inodes.length) {
        const inode = inodes[next++] as CachedInode
        await this.clean(inode).catch((error) => (failure ??= error))
      }
    }
    await Promise.all(Array.from({ length: Math.min(MAX_FILES, inodes.length) }, worker))
    if (failure) throw failure
  }

  #start(inode: CachedInode): Promise<void> {
    const before = inode.cleaning
    const writing: Promise<Set<number>> = this.#clean(inode).finally(() => {
      if (inode.writing === writing) inode.writing = undefined
    })
    const cleaning: Promise<void> = writing
      .then((luns) => (luns.size > 0 ? this.#flush(inode, luns) : before))
      .finally(() => {
        if (inode.cleaning === cleaning) inode.cleaning = undefined
      })
    inode.writing = writing
    inode.cleaning = cleaning
    return cleaning
  }

  /** Steps 1, 2 and 4, and step 3 where it has to come before; gives the LUNs that are still to be flushed. */
  async #clean(inode: CachedInode): Promise<Set<number>> {
    const unflushed = new Set(inode.unflushed)
    // What becomes dirty meanwhile belongs to the next cleaning.
    let blocks = inode.dirtyBlocks
    while (inode.isBehind && !inode.dropped) {
      const done = await this.#step(inode, unflushed)
      blocks -= done
      if (done === 0 || blocks <= 0) break
    }
    this.forget(inode)
    if (inode.dirty) this.note(inode)
    return unflushed
  }

  /** The flush after an overwrite. When it fails, whoever cleans next has to try it again. */
  async #flush(inode: CachedInode, luns: Set<number>): Promise<void> {
    try {
      await this.#parts.io.flush(luns)
    } catch (error) {
      inode.unflushed = new Set([...luns, ...(inode.unflushed ?? [])])
      if (!inode.dropped) this.note(inode)
      throw error
    }
    if (!inode.unflushed) return
    inode.unflushed = undefined
    if (!inode.dirty) this.forget(inode)
  }

  /** Steps 1 … 4 for at most MAX_STEP_BLOCKS; returns how many blocks were written. */
  async #step(inode: CachedInode, unflushed: Set<number>): Promise<number> {
    const { io } = this.#parts
    const { pieces, blocks, whole } = this.#collect(inode)
    const size = whole ? inode.size : Math.max(inode.committedSize, endOf(pieces, inode.size))
    const inPlace = size <= inode.committedSize && pieces.every((piece) => !piece.run)
    const luns = new Set<number>()
    try {
      const requests = pieces.map((piece) => {
        luns.add(lunIndexOf(piece.address))
        return () => this.#write(inode, piece)
      })
      await inParallel(requests, MAX_REQUESTS)
      if (luns.size > 0 && !inPlace && !brokenRules.dataBeforeExtent) await io.flush(luns)
      await this.#commit(inode, pieces, size)
    } catch (error) {
      this.#restore(inode, pieces)
      throw error
    }
    if (inPlace) for (const lun of luns) unflushed.add(lun)
    return blocks
  }

  /** Step 1. The pieces cover dirty blocks in ascending order; `whole` when they are all there are. */
  #collect(inode: CachedInode): { pieces: Piece[]; blocks: number; whole: boolean } {
    const pieces: Piece[] = []
    const indexes = [...(inode.dirtyChunks ?? [])].sort((a, b) => a - b)
    let blocks = 0
    let whole = true
    let from = -1
    let to = -1
    for (const index of indexes) {
      const chunk = inode.chunks?.get(index)
      if (blocks >= MAX_STEP_BLOCKS && chunk && chunk.dirty !== 0) {
        whole = false
        break
      }
      inode.dirtyChunks?.delete(index)
      if (!chunk || chunk.dirty === 0) continue
      const dirty = chunk.dirty
      blocks += bitCount(dirty)
      for (let b = 0; b < BLOCKS_PER_CHUNK; b++) {
        if (((dirty >> b) & 1) === 0) continue
        const block = index * BLOCKS_PER_CHUNK + b
        if (block !== to) {
          if (to > from) this.#place(inode, from, to, pieces)
          from = block
        }
        to = block + 1
      }
    }
    if (to > from) this.#place(inode, from, to, pieces)
    this.#parts.cache.noteDirty(-blocks)
    inode.dirtyBlocks -= blocks
    return { pieces, blocks, whole }
  }

  /** Gives every block of a dirty run its address, taking space for what is not mapped; marks the blocks clean. */
  #place(inode: CachedInode, from: number, to: number, pieces: Piece[]): void {
    const { space } = this.#parts
    let block = from
    while (block < to) {
      const segment = inode.extents.segmentAt(block, to)
      const { address } = segment
      const { count, moves } = this.#movesFrom(inode, segment)
      const fresh = address === HOLE || moves
      const reserved = this.#markClean(inode, block, count, fresh)
      inode.reservedBlocks -= reserved
      if (!fresh) {
        space.unreserve(reserved)
        this.#push(inode, pieces, block, { address, count }, { fresh, moves })
      } else {
        let at = block
        for (const run of space.take(count, goalOf(inode, pieces, block))) {
          this.#push(inode, pieces, at, run, { fresh, moves })
          at += run.count
        }
      }
      block += count
    }
  }

  /** How much of a segment goes the same way: to another place, or not. */
  #movesFrom(inode: CachedInode, { block, count, address }: Segment): { count: number; moves: boolean } {
    if (address === HOLE || !this.#parts.space.isClosed(lunIndexOf(address))) return { count, moves: false }
    const moves = isReserved(inode, block)
    let same = 1
    while (same < count && isReserved(inode, block + same) === moves) same++
    return { count: same, moves }
  }

  /** Dirty blocks become clean ones under way; returns how many had a reservation. */
  #markClean(inode: CachedInode, block: number, count: number, fresh: boolean): number {
    let reserved = 0
    this.#eachChunk(inode, block, count, (chunk, mask) => {
      reserved += bitCount(chunk.reserved & mask)
      chunk.dirty &= ~mask
      chunk.reserved &= ~mask
      if (fresh) chunk.pending |= mask
    })
    return reserved
  }

  /** Adds blocks at consecutive addresses in pieces of at most one request; their chunks stay in memory until the end. */
  #push(
    inode: CachedInode,
    pieces: Piece[],
    block: number,
    run: Run,
    { fresh, moves }: { fresh: boolean; moves: boolean },
  ): void {
    for (let done = 0; done < run.count; done += MAX_REQUEST_BLOCKS) {
      const count = Math.min(run.count - done, MAX_REQUEST_BLOCKS)
      const address = run.address + done
      pieces.push({ block: block + done, count, address, run: fresh ? { address, count } : undefined, moves })
      this.#eachChunk(inode, block + done, count, (chunk) => {
        chunk.busy++
      })
    }
  }

  /** Step 2 for one piece. */
  async #write(inode: CachedInode, piece: Piece): Promise<void> {
    const buffers: Buffer[] = []
    this.#eachChunk(inode, piece.block, piece.count, (chunk, mask) => {
      const first = 31 - Math.clz32(mask & -mask)
      const last = 32 - Math.clz32(mask)
      buffers.push(chunk.buffer.subarray(first * BLOCK_SIZE, last * BLOCK_SIZE))
    })
    await this.#parts.io.write(piece.address, buffers, piece.count * BLOCK_SIZE)
  }

  /** Step 4. */
  async #commit(inode: CachedInode, pieces: readonly Piece[], size: number): Promise<void> {
    const { volume, space, layout } = this.#parts
    const runs = pieces.flatMap((piece) => piece.run ?? [])
    const moves = pieces.some((piece) => piece.moves)
    for (let attempt = 0; ; attempt++) {
      // the journal may have to wait for a checkpoint
      await volume.room()
      while (moves && inode.loading && inode.loading.size > 0) await Promise.allSettled(inode.loading.values())
      const mutations: Mutation[] = []
      const record = inode.record()
      record.size = size
      mutations.push({ op: 'putInode', inode: record })
      const joinable = (left: number, right: number) => layout.groupOf(left) === layout.groupOf(right)
      for (const piece of pieces) {
        if (!piece.run) continue
        const left = piece.moves ? inode.extents.cut(inode.ino, piece, mutations) : []
        for (const run of left) mutations.push({ op: 'putFreed', slot: volume.slot, ...run })
        inode.extents.map(inode.ino, piece, joinable, mutations)
        space.use(piece.run, mutations)
      }
      try {
        volume.commit(mutations)
      } catch (error) {
        inode.extents = ExtentMap.from(volume.image.extents(inode.ino))
        space.unuse(runs)
        if (!isFsError(error, 'ENOSPC') || attempt >= MAX_JOURNAL_RETRIES) throw error
        continue
      }
      inode.committedSize = size
      inode.late = false
      space.used(runs)
      if (moves) this.#parts.noteFreed()
      break
    }
    volume.afterDurable(() => {}) // the journal need not wait until somebody asks
    for (const piece of pieces) {
      this.#eachChunk(inode, piece.block, piece.count, (chunk, mask) => {
        chunk.pending &= ~mask
        chunk.busy--
      })
    }
  }

  /** A step failed: its blocks are dirty again, those without a place have their reservation back. */
  #restore(inode: CachedInode, pieces: readonly Piece[]): void {
    let dirtied = 0
    for (const piece of pieces) {
      if (piece.run) this.#parts.space.giveBack(piece.run)
      this.#eachChunk(inode, piece.block, piece.count, (chunk, mask) => {
        const fresh = mask & ~chunk.dirty
        dirtied += bitCount(fresh)
        chunk.dirty |= mask
        ;(inode.dirtyChunks ??= new Set()).add(chunk.index)
        if (piece.run) {
          inode.reservedBlocks += bitCount(mask & ~chunk.reserved)
          chunk.reserved |= mask
          chunk.pending &= ~mask
        }
        chunk.busy--
      })
    }
    inode.dirtyBlocks += dirtied
    this.#parts.cache.noteDirty(dirtied)
  }

  #eachChunk(inode: CachedInode, block: number, count: number, visit: (chunk: Chunk, mask: number) => void): void {
    const end = block + count
    while (block < end) {
      const index = Math.floor(block / BLOCKS_PER_CHUNK)
      const first = block - index * BLOCKS_PER_CHUNK
      const last = Math.min(BLOCKS_PER_CHUNK, end - index * BLOCKS_PER_CHUNK)
      visit(inode.chunks?.get(index) as Chunk, ((1 << (last - first)) - 1) << first)
      block = index * BLOCKS_PER_CHUNK + last
    }
  }
}

/** A block of space is promised for the block. */
function isReserved(inode: CachedInode, block: number): boolean {
  const chunk = inode.chunks?.get(Math.floor(block / BLOCKS_PER_CHUNK))
  return chunk !== undefined && ((chunk.reserved >> (block % BLOCKS_PER_CHUNK)) & 1) === 1
}

/** End of the written bytes, when they are not all of the file. */
function endOf(pieces: readonly Piece[], size: number): number {
  const last = pieces.at(-1)
  return last ? Math.min(size, (last.block + last.count) * BLOCK_SIZE) : 0
}

/** Near what lies before `block`: the piece placed last, or the extent. */
function goalOf(inode: CachedInode, pieces: readonly Piece[], block: number): number | undefined {
  const last = pieces.at(-1)
  if (last?.run && last.block < block) return last.address + last.count
  return inode.extents.goalFor(block)
}

/** Runs the tasks, at most `limit` at a time; waits for all, then throws the first failure. */
async function inParallel(tasks: readonly (() => Promise<void>)[], limit: number): Promise<void> {
  if (tasks.length === 1) return (tasks[0] as () => Promise<void>)()
  let failure: unknown
  let next = 0
  const worker = async () => {
    while (next < tasks.length && failure === undefined) {
      await (tasks[next++] as () => Promise<void>)().catch((error) => (failure ??= error))
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, tasks.length) }, worker))
  if (failure !== undefined) throw failure
}
