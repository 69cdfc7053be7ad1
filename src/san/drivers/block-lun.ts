/**
 * `block:` LUNs: disks and LUNs that the host reaches by a driver of its own, past its page cache (platform/block-devices.ts), so that hosts
 * that share one see what is on it. Durable means on the medium: a flush of the device, shared by those who ask at a time (shared-flush.ts).
 *
 * What was handed to the device counts for others as landed `ioLifeMs` later at the latest. So a write that has to wait here (for
 * the rest of its sector, for its turn) is given up once it would be issued too late.
 */
import { assert } from '../../base/assert.ts'
import { MatrixError } from '../../base/errors.ts'
import type { Timings } from '../../base/timings.ts'
import type { BlockDevice, BlockDevices } from '../../platform/block-devices.ts'
import type { Clock } from '../../platform/clock.ts'
import type { Log } from '../../platform/log.ts'
import type { Programs } from '../../platform/programs.ts'
import type { Lun, LunPath, WriteOptions } from '../lun.ts'
import type { Reservations } from '../reservations.ts'
import { DevicePaths } from './device-paths.ts'
import { SgPersist } from './sg-persist.ts'
import { SharedFlush } from './shared-flush.ts'

export type BlockLunOptions = {
  readonly timings: Pick<Timings, 'ioTimeoutMs' | 'ioLifeMs'>
  readonly clock: Clock
  readonly log: Log
  /** To ask for reservations; without them it has none. */
  readonly programs?: Programs | undefined
}

export class BlockLun implements Lun {
  readonly identity: string
  readonly reservations?: Reservations
  readonly paths?: readonly LunPath[]
  readonly #device: BlockDevice
  readonly #issuedWithinMs: number
  readonly #flushes: SharedFlush

  /**
   * `place`: the path of the device, absolute; or those of several that lead to one LUN, with commas between. Rejects as `BlockDevices.openDevice`
   * does, or as `DevicePaths.open`.
   */
  static async open(place: string, devices: BlockDevices, options: BlockLunOptions): Promise<BlockLun> {
    const names = place.split(/,(?=\/)/)
    if (!place.startsWith('/'))
      throw new MatrixError(
        'config',
        `block:${place}: the path of a device is absolute, such as block:/dev/disk/by-id/…`,
      )
    if (names.length === 1) return new BlockLun(place, await devices.openDevice(place), options)
    const device = await DevicePaths.open(names, devices, options)
    return new BlockLun(place, device, options, device.paths)
  }

  private constructor(
    path: string,
    device: BlockDevice,
    { timings, programs }: BlockLunOptions,
    paths?: readonly LunPath[],
  ) {
    this.identity = device.identity === '' ? path : `${path} (${device.identity})`
    this.#device = device
    this.#issuedWithinMs = timings.ioTimeoutMs
    this.#flushes = new SharedFlush(() => device.flush())
    if (paths) this.paths = paths
    // where there are many ways to the LUN, each has a registration: sg_persist would make one of them, and for a multipath device not say of which
    if (programs && !paths && !device.identity.startsWith('mpath-'))
      this.reservations = new SgPersist({ path, programs, timeoutMs: timings.ioTimeoutMs })
  }

  get size(): number {
    return this.#device.size
  }

  async read(offset: number, buffer: Buffer): Promise<void> {
    this.#checkRange('read', offset, buffer.length)
    await this.#device.read(offset, buffer)
  }

  async write(offset: number, buffers: readonly Uint8Array[], { durable = false }: WriteOptions): Promise<void> {
    const length = buffers.reduce((sum, buffer) => sum + buffer.length, 0)
    assert(offset % 512 === 0 && length % 512 === 0, `write of ${length} bytes at ${offset} is not in whole sectors`)
    this.#checkRange('write', offset, length)
    await this.#device.write(offset, buffers, { issuedWithinMs: this.#issuedWithinMs })
    if (durable) await this.flush()
  }

  flush(): Promise<void> {
    return this.#flushes.flush()
  }

  close(): Promise<void> {
    return this.#device.close()
  }

  #checkRange(what: string, offset: number, length: number): void {
    if (offset >= 0 && Number.isSafeInteger(offset) && offset + length <= this.size) return
    throw new MatrixError(
      'lun-io',
      `${this.identity}: ${what} of ${length} bytes at ${offset} exceeds its ${this.size} bytes`,
    )
  }
}
