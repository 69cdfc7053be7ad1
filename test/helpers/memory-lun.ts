/** A LUN in memory that does at once what it is told: for tests that are not about disks. Sparse: untouched space takes nothing. */
import { MatrixError } from '../../src/base/errors.ts'
import type { Lun, WriteOptions, WritePurpose } from '../../src/san/index.ts'
import { SparseBytes } from './sparse-bytes.ts'

export class MemoryLun implements Lun {
  readonly identity = 'memory'
  readonly size: number
  readonly #bytes = new SparseBytes()
  reads = 0
  writes = 0
  flushes = 0
  /** Called before every I/O; what it throws is the I/O's failure. */
  onIo: ((io: { op: 'read' | 'write' | 'flush'; purpose?: WritePurpose; offset: number }) => void) | undefined

  constructor(size: number) {
    this.size = size
  }

  async read(offset: number, buffer: Buffer): Promise<void> {
    this.reads++
    this.onIo?.({ op: 'read', offset })
    this.#check(offset, buffer.length)
    this.#bytes.read(offset, buffer)
  }

  async write(offset: number, buffers: readonly Uint8Array[], { purpose }: WriteOptions): Promise<void> {
    this.writes++
    this.onIo?.({ op: 'write', purpose, offset })
    const bytes = buffers.length === 1 ? (buffers[0] as Uint8Array) : Buffer.concat(buffers)
    this.#check(offset, bytes.length)
    if (offset % 512 !== 0 || bytes.length % 512 !== 0) throw new MatrixError('lun-io', 'unaligned write')
    this.#bytes.write(offset, bytes)
  }

  async flush(): Promise<void> {
    this.flushes++
    this.onIo?.({ op: 'flush', offset: 0 })
  }

  async close(): Promise<void> {}

  #check(offset: number, bytes: number): void {
    if (offset < 0 || offset + bytes > this.size) throw new MatrixError('lun-io', 'beyond the end of the LUN')
  }
}
