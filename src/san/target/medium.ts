/**
 * Where the blocks of a logical unit lie: a file. A write that has resolved is in the cache of the operating system, which is the write cache that
 * the logical unit tells of; with FUA, or after `flush`, it is on the medium. Those who wait for that at the same time share one fdatasync.
 *
 * `unmapped` blocks read as zeroes. They are written only where they are not zeroes yet, so that a sparse file stays sparse.
 */
import { assert } from '../../base/assert.ts'
import type { RandomAccessFile } from '../../platform/files.ts'

export interface Medium {
  readonly blockSize: number
  readonly blocks: number
  read(block: number, buffer: Buffer): Promise<void>
  /** Whole blocks. */
  write(block: number, buffers: readonly Uint8Array[], fua: boolean): Promise<void>
  unmap(block: number, count: number): Promise<void>
  flush(): Promise<void>
  /** What a power loss leaves: nothing that was in the write cache, but the blocks for which `survives` says so. */
  losePower(survives: (block: number) => boolean): Promise<void>
  /** The file has another size now. */
  resize(file: RandomAccessFile): Promise<void>
  close(): Promise<void>
}

/** Zeroes are looked for, and written, in pieces of so many bytes. */
const PIECE_BYTES = 1024 * 1024

export type FileMediumOptions = {
  readonly blockSize: number
  /** Without it, nothing waits for the disk of this machine: fast, for tests. */
  readonly sync: boolean
}

export class FileMedium implements Medium {
  readonly blockSize: number
  #file: RandomAccessFile
  readonly #sync: boolean
  #flushing: Promise<void> | undefined
  #nextFlush: Promise<void> | undefined

  constructor(file: RandomAccessFile, { blockSize, sync }: FileMediumOptions) {
    this.#file = file
    this.blockSize = blockSize
    this.#sync = sync
  }

  get blocks(): number {
    return Math.floor(this.#file.size / this.blockSize)
  }

  read(block: number, buffer: Buffer): Promise<void> {
    return this.#file.read(block * this.blockSize, buffer)
  }

  async write(block: number, buffers: readonly Uint8Array[], fua: boolean): Promise<void> {
    await this.#file.write(block * this.blockSize, buffers)
    if (fua) await this.flush()
  }

  async unmap(block: number, count: number): Promise<void> {
    const [start, end] = [block * this.blockSize, (block + count) * this.blockSize]
    const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, end - start))
    for (let at = start; at < end; at += PIECE_BYTES) {
      const part = piece.subarray(0, Math.min(PIECE_BYTES, end - at))
      await this.#file.read(at, part)
      if (isZero(part)) continue
      part.fill(0)
      await this.#file.write(at, [part])
    }
  }

  flush(): Promise<void> {
    if (!this.#sync) return Promise.resolve()
    if (!this.#flushing) return this.#startFlush()
    // the one under way may have begun before what the caller wrote
    this.#nextFlush ??= this.#flushing.then(
      () => this.#startFlush(),
      () => this.#startFlush(),
    )
    return this.#nextFlush
  }

  #startFlush(): Promise<void> {
    this.#nextFlush = undefined
    const flush = this.#file.flush().finally(() => {
      if (this.#flushing === flush) this.#flushing = undefined
    })
    this.#flushing = flush
    return flush
  }

  /** The file is on this machine, which goes on. */
  async losePower(): Promise<void> {}

  async resize(file: RandomAccessFile): Promise<void> {
    const before = this.#file
    this.#file = file
    await before.close()
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

export function isZero(bytes: Buffer): boolean {
  assert(bytes.length > 0, 'no bytes')
  // the first byte is zero, and each is the same as the one before it
  return bytes[0] === 0 && bytes.compare(bytes, 1, bytes.length, 0, bytes.length - 1) === 0
}
