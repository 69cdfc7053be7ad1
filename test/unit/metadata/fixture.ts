/** What the tests of the metadata floor share: a LUN in memory, a small filesystem record, a clock that runs by hand. */

import { MatrixError } from '../../../src/base/errors.ts'
import { KiB, MiB } from '../../../src/base/units.ts'
import { type DavLockRecord, type InodeRecord, REG } from '../../../src/metadata/index.ts'
import type { Clock } from '../../../src/platform/clock.ts'
import type { FilesystemRecord, Lun, WriteOptions, WritePurpose } from '../../../src/san/index.ts'

/** A perfect device: every write is durable at once; `failNext` makes one fail. */
export class MemoryLun implements Lun {
  readonly identity = 'memory'
  readonly size: number
  readonly bytes: Buffer
  readonly writes: { offset: number; length: number; purpose: WritePurpose; durable: boolean }[] = []
  flushes = 0
  failNext: WritePurpose | undefined
  /** Writes wait for it: to look at what is under way. */
  gate: Promise<void> | undefined

  constructor(size = 64 * MiB) {
    this.size = size
    this.bytes = Buffer.alloc(size)
  }

  async read(offset: number, buffer: Buffer): Promise<void> {
    if (offset < 0 || offset + buffer.length > this.size) throw new MatrixError('lun-io', 'read beyond the LUN')
    this.bytes.copy(buffer, 0, offset)
  }

  async write(offset: number, buffers: readonly Uint8Array[], options: WriteOptions): Promise<void> {
    const bytes = Buffer.concat(buffers)
    if (offset % 512 !== 0 || bytes.length % 512 !== 0) throw new MatrixError('lun-io', 'unaligned write')
    if (this.gate) await this.gate
    if (this.failNext === options.purpose) {
      this.failNext = undefined
      throw new MatrixError('lun-io', 'a test wants this write to fail')
    }
    bytes.copy(this.bytes, offset)
    this.writes.push({ offset, length: bytes.length, purpose: options.purpose, durable: options.durable === true })
  }

  async flush(): Promise<void> {
    this.flushes++
  }

  async close(): Promise<void> {}
}

export const smallRecord: FilesystemRecord = {
  name: 'home',
  uuid: '00000000-0000-4000-8000-000000000001',
  fsid: 0x1234_5678,
  luns: ['00000000-0000-4000-8000-0000000000aa'],
  slots: 4,
  journalBytes: 64 * KiB,
  checkpointBytes: MiB,
  groupBlocks: 1024,
  seals: [],
}

/** `soon` runs after this turn; timers only when told. */
export function handClock(): Clock & { fire(): void } {
  const timers = new Set<() => void>()
  const timer = (run: () => void) => {
    timers.add(run)
    return { cancel: () => void timers.delete(run) }
  }
  return {
    now: () => 0,
    wall: () => 1_700_000_000_000,
    after: (_delayMs, run) => timer(run),
    every: (_periodMs, run) => timer(run),
    soon: (run) => void setImmediate(run),
    fire() {
      for (const run of [...timers]) {
        timers.delete(run)
        run()
      }
    },
  }
}

export function inode(ino: number, changes: Partial<InodeRecord> = {}): InodeRecord {
  return {
    ino,
    generation: 1,
    type: REG,
    mode: 0o644,
    nlink: 1,
    uid: 1000,
    gid: 100,
    size: 0,
    rdevMajor: 0,
    rdevMinor: 0,
    atimeS: 1_700_000_000,
    atimeNs: 1,
    mtimeS: 1_700_000_000,
    mtimeNs: 2,
    ctimeS: 1_700_000_000,
    ctimeNs: 3,
    btimeS: 1_700_000_000,
    btimeNs: 4,
    change: 1,
    parent: 0,
    nextCookie: 0,
    target: '',
    ...changes,
  }
}

export function davLock(ino: number, token: string, changes: Partial<DavLockRecord> = {}): DavLockRecord {
  return {
    ...{ ino, token, dir: 1, shared: false, infinite: false, expires: 1_700_000_060_000 },
    ...{ principal: '', owner: '', root: '/home/f' },
    ...changes,
  }
}
