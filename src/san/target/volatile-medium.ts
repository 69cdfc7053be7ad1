/**
 * A medium with a write cache that a power loss empties: what was written stays in memory until it is written with FUA, or flushed. So a test finds out
 * whether somebody relies on a write that was answered, and not made durable. Any of the blocks may survive, in whatever order they
 * were written: that is what disks do.
 *
 * While blocks go from the cache to the file, nothing else is written, so that an older version never follows a newer one.
 */
import type { RandomAccessFile } from '../../platform/files.ts'
import { FileMedium, type FileMediumOptions, type Medium } from './medium.ts'

/** A cache that holds more is emptied, bytes. */
const MAX_CACHE_BYTES = 64 * 1024 * 1024

export class VolatileMedium implements Medium {
  readonly #medium: FileMedium
  /** By number. */
  #cache = new Map<number, Buffer>()
  /** The last of what changes the file. */
  #writing: Promise<void> = Promise.resolve()

  constructor(file: RandomAccessFile, options: FileMediumOptions) {
    this.#medium = new FileMedium(file, options)
  }

  get blockSize(): number {
    return this.#medium.blockSize
  }

  get blocks(): number {
    return this.#medium.blocks
  }

  get cachedBlocks(): number {
    return this.#cache.size
  }

  async read(block: number, buffer: Buffer): Promise<void> {
    const { blockSize } = this
    // taken before the file is read: what leaves the cache meanwhile is not there yet
    const cached: [number, Buffer][] = []
    for (let i = 0; i * blockSize < buffer.length; i++) {
      const found = this.#cache.get(block + i)
      if (found) cached.push([i, found])
    }
    await this.#medium.read(block, buffer)
    for (const [i, found] of cached) found.copy(buffer, i * blockSize)
  }

  async write(block: number, buffers: readonly Uint8Array[], fua: boolean): Promise<void> {
    const bytes = Buffer.concat(buffers)
    this.#put(block, bytes)
    if (fua) await this.#destage((each) => each >= block && each < block + bytes.length / this.blockSize)
    else if (this.#cache.size * this.blockSize > MAX_CACHE_BYTES) await this.flush()
  }

  async unmap(block: number, count: number): Promise<void> {
    const zeroes = Buffer.alloc(this.blockSize)
    for (let i = 0; i < count; i++) this.#cache.set(block + i, zeroes)
    if (this.#cache.size * this.blockSize > MAX_CACHE_BYTES) await this.flush()
  }

  flush(): Promise<void> {
    return this.#destage(() => true)
  }

  losePower(survives: (block: number) => boolean): Promise<void> {
    return this.#alone(async () => {
      const lost = this.#cache
      this.#cache = new Map()
      for (const [block, bytes] of lost) if (survives(block)) await this.#medium.write(block, [bytes], false)
      await this.#medium.flush()
    })
  }

  async resize(file: RandomAccessFile): Promise<void> {
    await this.flush()
    await this.#medium.resize(file)
  }

  async close(): Promise<void> {
    await this.flush()
    await this.#medium.close()
  }

  #put(block: number, bytes: Buffer): void {
    const { blockSize } = this
    for (let at = 0; at < bytes.length; at += blockSize)
      this.#cache.set(block + at / blockSize, bytes.subarray(at, at + blockSize))
  }

  /** Those of the blocks that are in the cache now, in as few writes as they allow. */
  #destage(isMeant: (block: number) => boolean): Promise<void> {
    return this.#alone(async () => {
      const going = [...this.#cache].filter(([block]) => isMeant(block)).sort(([a], [b]) => a - b)
      for (let from = 0; from < going.length; ) {
        let to = from + 1
        while (to < going.length && going[to]![0] === going[to - 1]![0] + 1) to++
        await this.#medium.write(
          going[from]![0],
          going.slice(from, to).map(([, bytes]) => bytes),
          false,
        )
        from = to
      }
      await this.#medium.flush()
      // one that was written meanwhile stays
      for (const [block, bytes] of going) if (this.#cache.get(block) === bytes) this.#cache.delete(block)
    })
  }

  #alone(work: () => Promise<void>): Promise<void> {
    const done = this.#writing.then(work)
    this.#writing = done.catch(() => {})
    return done
  }
}
