/**
 * `file:` LUNs: processes of one host share a file; the host's page cache keeps them coherent, so a write that has resolved is
 * seen by every reader. Durable means fdatasync; after one that failed the kernel may have dropped the pages that it could not write
 * and marked them clean (shared-flush.ts).
 */
import { assert } from '../../base/assert.ts'
import { MatrixError } from '../../base/errors.ts'
import type { Files, RandomAccessFile } from '../../platform/files.ts'
import type { Lun, WriteOptions } from '../lun.ts'
import { SharedFlush } from './shared-flush.ts'

export class FileLun implements Lun {
  readonly identity: string
  readonly #file: RandomAccessFile
  readonly #flushes: SharedFlush

  /** Rejects with MatrixError 'not-found' or 'lun-io'. */
  static async open(path: string, files: Pick<Files, 'open'>): Promise<FileLun> {
    return new FileLun(path, await files.open(path))
  }

  private constructor(path: string, file: RandomAccessFile) {
    this.identity = path
    this.#file = file
    this.#flushes = new SharedFlush(() => file.flush())
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
    return this.#flushes.flush()
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
