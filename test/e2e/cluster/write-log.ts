/**
 * The log of all writes that reached the LUNs, in the order in which they did: fixed records of 40 bytes, little-endian.
 *
 *     0  f64 time    when it had reached the LUN, ms of the host's monotonic clock (checker/clock.ts)
 *     8  f64 offset  bytes
 *    16  u32 length  bytes
 *    20  u32 crc     CRC-32C of what was written
 *    24  u16 node    index, from 0
 *    26  u16 lun     index, from 0
 *    28  zero
 *
 * Only the switch writes it. A run that was killed leaves a last record that may be cut: it is not read.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { crc32c } from '../../../src/base/crc32c.ts'
import { now } from '../checker/clock.ts'

const RECORD = 40
/** Records collected before they go to the file. */
const BATCH = 256

export type Written = {
  readonly time: number
  readonly node: number
  readonly lun: number
  readonly offset: number
  readonly length: number
  readonly crc: number
}

export class WriteLog {
  readonly #fd: number
  readonly #batch = Buffer.alloc(BATCH * RECORD)
  #used = 0

  constructor(path: string) {
    this.#fd = openSync(path, 'w')
  }

  /** Called right after the write. */
  add(node: number, lun: number, offset: number, data: Buffer): void {
    const at = this.#used
    this.#batch.writeDoubleLE(now(), at)
    this.#batch.writeDoubleLE(offset, at + 8)
    this.#batch.writeUInt32LE(data.length, at + 16)
    this.#batch.writeUInt32LE(crc32c(data), at + 20)
    this.#batch.writeUInt16LE(node, at + 24)
    this.#batch.writeUInt16LE(lun, at + 26)
    this.#used += RECORD
    if (this.#used === this.#batch.length) this.flush()
  }

  flush(): void {
    writeSync(this.#fd, this.#batch, 0, this.#used)
    this.#used = 0
  }

  close(): void {
    this.flush()
    closeSync(this.#fd)
  }
}

export function readWriteLog(path: string): Written[] {
  const bytes = readFileSync(path)
  const out: Written[] = []
  for (let at = 0; at + RECORD <= bytes.length; at += RECORD) {
    out.push({
      time: bytes.readDoubleLE(at),
      offset: bytes.readDoubleLE(at + 8),
      length: bytes.readUInt32LE(at + 16),
      crc: bytes.readUInt32LE(at + 20),
      node: bytes.readUInt16LE(at + 24),
      lun: bytes.readUInt16LE(at + 26),
    })
  }
  return out
}
