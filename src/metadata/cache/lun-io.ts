/**
 * Data blocks to and from the LUNs: addresses become LUN and byte offset.
 */
import { lunIndexOf } from '../../base/ids.ts'
import { BLOCK_SIZE } from '../../base/limits.ts'
import { MiB } from '../../base/units.ts'
import type { Lun } from '../../san/index.ts'
import type { FsLayout } from '../fs-layout.ts'

/** Largest single data request, bytes: large enough for full speed, small enough to share the device. */
export const MAX_REQUEST_BYTES = MiB
export const MAX_REQUEST_BLOCKS = MAX_REQUEST_BYTES / BLOCK_SIZE

const writeData = { purpose: 'data' } as const

export class LunIo {
  /** In the order of the filesystem's record, with its holes. */
  luns: readonly (Lun | undefined)[]
  readonly #layout: FsLayout
  reads = 0
  writes = 0
  bytesRead = 0
  bytesWritten = 0

  constructor(luns: readonly (Lun | undefined)[], layout: FsLayout) {
    this.luns = luns
    this.#layout = layout
  }

  /** Fills `buffer` (whole blocks) from `address` on. */
  read(address: number, buffer: Buffer): Promise<void> {
    this.reads++
    this.bytesRead += buffer.length
    return (this.luns[lunIndexOf(address)] as Lun).read(this.#layout.byteOffset(address), buffer)
  }

  /** Writes whole blocks from `address` on; on stable storage only after a `flush`. */
  write(address: number, buffers: readonly Uint8Array[], bytes: number): Promise<void> {
    this.writes++
    this.bytesWritten += bytes
    return (this.luns[lunIndexOf(address)] as Lun).write(this.#layout.byteOffset(address), buffers, writeData)
  }

  /** What was written to these LUNs before is on stable storage when this resolves. */
  async flush(lunIndexes: ReadonlySet<number>): Promise<void> {
    // what was on a LUN that is none of the filesystem's any more has been moved, and is stable elsewhere
    await Promise.all([...lunIndexes].map((index) => this.luns[index]?.flush()))
  }
}
