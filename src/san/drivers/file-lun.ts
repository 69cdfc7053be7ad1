/**
 * `file:` LUNs: processes of one host share a file; the host's page cache keeps them coherent, so a write that has resolved is
 * seen by every reader. Durable means fdatasync. Two may be under way, so that data and journal do not wait for each other; flushes that are
 * asked for meanwhile share the next one.
 *
 * A flush that failed is final: the kernel may have dropped the pages that it could not write and marked them clean, so that the
 * next fdatasync would succeed and lie. Every later flush and durable write of this LUN rejects with the same failure.
 */
import { assert } from '../../base/assert.ts'
import { MatrixError } from '../../base/errors.ts'
import type { Files, RandomAccessFile } from '../../platform/files.ts'
import type { Lun, WriteOptions } from '../lun.ts'

const MAX_FLUSHES = 2

export class FileLun implements Lun {
  readonly identity: string
  readonly #file: RandomAccessFile
  #flushing = 0
  /** The flush that begins as soon as one may: whoever asks meanwhile shares it. */
  #next: Promise<void> | undefined
  #flushEnded: (() => void) | undefined
  #flushFailure: unknown

  /** Rejects with MatrixError 'not-found' or 'lun-io'. */
  static async open(path: string, files: Files): Promise<FileLun> {
    return new FileLun(path, await files.open(path))
  }

  private constructor(path: string, file: RandomAccessFile) {
    this.identity = path
    this.#file = file
  }

  get size(): number {
    return this.#file.size
  }

  measure(): Promise<number> {
    return this.#file.measure()
  }

  async read(offset: number, buffer: Buffer): Promise<void> {
    this.#checkRange('read', offset, buffer.length)
    await this.#file.read(offset, buffer)
  }

  async write(offset: number, buffers: readonly Uint8Array[], { durable }: WriteOptions): Promise<void> {
    const length = buffers.reduce((sum, buffer) => sum + buffer.length, 0)
    assert(offset % 512 === 0 && length % 512 === 0, `write of ${length} bytes at ${offset} is not in whole sectors`)
    this.#checkRange('write', offset, length)
    await this.#file.write(offset, buffers)
    if (durable) await this.flush()
  }

  flush(): Promise<void> {
    if (this.#flushFailure) return Promise.reject(this.#flushFailure)
    // those under way may have begun before the caller's write had ended: only a later one covers it
    this.#next ??= this.#mayFlush().then(() => {
      this.#next = undefined
      return this.#flush()
    })
    return this.#next
  }

  #mayFlush(): Promise<void> {
    if (this.#flushing < MAX_FLUSHES) return Promise.resolve()
    return new Promise((resolve) => {
      this.#flushEnded = resolve
    })
  }

  async #flush(): Promise<void> {
    this.#flushing++
    try {
      if (!this.#flushFailure) await this.#file.flush()
    } catch (error) {
      this.#flushFailure ??= error
    } finally {
      this.#flushing--
      this.#flushEnded?.()
      this.#flushEnded = undefined
    }
    if (this.#flushFailure) throw this.#flushFailure
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  #checkRange(what: string, offset: number, length: number): void {
    if (offset >= 0 && Number.isSafeInteger(offset) && offset + length <= this.size) return
    throw new MatrixError(
      'lun-io',
      `${this.identity}: ${what} of ${length} bytes at ${offset} exceeds its ${this.size} bytes`,
    )
  }
}
