/**
 * Block devices on Linux: O_DIRECT through the thread pool. What is no aligned memory goes through a buffer that is (aligned-memory.ts): a copy
 * of 4 KiB costs a hundredth of the system call. Durable is what fdatasync makes so: with O_DSYNC the kernel sets FUA on the request and flushes
 * the device after every one all the same, where flushes that are asked for can be shared.
 *
 * Sectors of 4096 bytes: whoever writes 512 of them has the rest read and written back. That undoes nothing of anybody else, since every
 * 4096 bytes of a LUN have one writer at a time (san/lun-layout.ts); those of this process in one sector go one after another.
 *
 * A device is never opened exclusively for longer than a look at whether somebody else has it so (a mounted filesystem, device mapper, swap):
 * the nodes and tools of one host may share it.
 */
import * as fs from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { MatrixError } from '../../base/errors.ts'
import { Lanes } from '../../base/lanes.ts'
import type { BlockDevice, BlockDevices, DeviceWrite } from '../block-devices.ts'
import { giveAligned, isAligned, MAX_ALIGNED, takeAligned } from './aligned-memory.ts'
import { type DeviceFacts, readDeviceFacts, usersOf } from './device-facts.ts'

const { O_DIRECT, O_EXCL, O_RDWR } = fs.constants
const open = promisify(fs.open)
const fstat = promisify(fs.fstat)
const close = promisify(fs.close)
const fdatasync = promisify(fs.fdatasync)

/** Sizes of sectors that a LUN may have: everything written in place is in whole ones of 4096 bytes. */
const SECTOR_SIZES = [512, 1024, 2048, 4096]
/** Most I/Os of a device at a time; others wait here, without memory. */
const MAX_UNDER_WAY = 64
/** Another process may be having its look right now: so often, and so long between, ms. */
const LOOKS = 10
const LOOK_PAUSE_MS = 15
/** Linux: the device answered a reservation conflict. Node knows no name for it. */
const EBADE = -52

/** Where a transfer begins and ends, in bytes of the device. */
type Range = { readonly from: number; readonly to: number }

class DirectDevice implements BlockDevice {
  readonly identity: string
  readonly size: number
  readonly sectorSize: number
  readonly #path: string
  readonly #rdev: number
  readonly #fd: number
  readonly #lanes = new Lanes(MAX_UNDER_WAY)
  /** The last write of each sector that was written in part: the next waits for it. */
  readonly #shared = new Map<number, Promise<unknown>>()

  constructor(path: string, rdev: number, facts: DeviceFacts, fd: number) {
    this.#path = path
    this.#rdev = rdev
    this.identity = facts.identity
    this.size = facts.size
    this.sectorSize = facts.sectorSize
    this.#fd = fd
  }

  read(offset: number, buffer: Buffer): Promise<void> {
    if (buffer.length === 0) return Promise.resolve()
    return this.#lanes.run(async () => {
      const { from, to } = this.#sectors(offset, buffer.length)
      if (isAligned(buffer) && to - from === buffer.length) return this.#transfer('read', buffer, from)
      await this.#bounced(from, to, async (bounce, start) => {
        await this.#transfer('read', bounce, start)
        bounce.copy(buffer, Math.max(0, start - offset), Math.max(0, offset - start), offset + buffer.length - start)
      })
    })
  }

  write(offset: number, buffers: readonly Uint8Array[], options: DeviceWrite): Promise<void> {
    const length = buffers.reduce((sum, buffer) => sum + buffer.length, 0)
    if (length === 0) return Promise.resolve()
    const { from, to } = this.#sectors(offset, length)
    if (to - from > length) return this.#writeParts({ from: offset, to: offset + length }, buffers, options)
    const askedAt = performance.now()
    return this.#lanes.run(async () => {
      this.#refuseLate(offset, askedAt, options)
      const [only] = buffers
      if (only && buffers.length === 1 && isAligned(only)) return this.#transfer('write', only, from)
      const source = new Source(buffers)
      await this.#bounced(from, to, async (bounce, start) => {
        source.fill(bounce)
        await this.#transfer('write', bounce, start)
      })
    })
  }

  async flush(): Promise<void> {
    try {
      await fdatasync(this.#fd)
    } catch (error) {
      throw this.#failed('flush', 0, error)
    }
  }

  async close(): Promise<void> {
    await close(this.#fd)
  }

  /** A write that begins or ends within a sector: in turn with others there, and with what the sector had. */
  #writeParts(wanted: Range, buffers: readonly Uint8Array[], options: DeviceWrite): Promise<void> {
    const askedAt = performance.now()
    const { from, to } = this.#sectors(wanted.from, wanted.to - wanted.from)
    const first = wanted.from > from ? [from] : []
    const last = wanted.to < to ? [to - this.sectorSize] : []
    const shared = [...new Set([...first, ...last])]
    const before = shared.flatMap((sector) => this.#shared.get(sector) ?? [])
    const written = Promise.allSettled(before).then(() =>
      this.#lanes.run(async () => {
        const source = new Source(buffers)
        await this.#bounced(from, to, async (bounce, start) => {
          const end = start + bounce.length
          for (const sector of shared) {
            if (sector < start || sector >= end) continue
            const rest = bounce.subarray(sector - start, sector - start + this.sectorSize)
            await this.#transfer('read', rest, sector)
          }
          this.#refuseLate(wanted.from, askedAt, options)
          source.fill(bounce.subarray(Math.max(0, wanted.from - start), Math.min(bounce.length, wanted.to - start)))
          await this.#transfer('write', bounce, start)
        })
      }),
    )
    for (const sector of shared) {
      this.#shared.set(sector, written)
      const forget = () => {
        if (this.#shared.get(sector) === written) this.#shared.delete(sector)
      }
      written.then(forget, forget)
    }
    return written
  }

  #refuseLate(at: number, askedAt: number, { issuedWithinMs }: DeviceWrite): void {
    const tookMs = performance.now() - askedAt
    if (tookMs <= issuedWithinMs) return
    const why = `after ${Math.round(tookMs)} ms it had not been issued yet`
    throw new MatrixError('lun-io', `${this.#path}: write at byte ${at} was given up: ${why}`)
  }

  /** The whole sectors around. */
  #sectors(offset: number, length: number): Range {
    const { sectorSize } = this
    return {
      from: Math.floor(offset / sectorSize) * sectorSize,
      to: Math.ceil((offset + length) / sectorSize) * sectorSize,
    }
  }

  /** Piece by piece, through one aligned buffer. */
  async #bounced(from: number, to: number, piece: (bounce: Buffer, start: number) => Promise<void>): Promise<void> {
    const bounce = takeAligned(Math.min(to - from, MAX_ALIGNED))
    try {
      for (let start = from; start < to; start += bounce.length)
        await piece(bounce.subarray(0, Math.min(bounce.length, to - start)), start)
    } finally {
      giveAligned(bounce)
    }
  }

  #transfer(what: 'read' | 'write', buffer: Uint8Array, at: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let done = 0
      const next = (error: NodeJS.ErrnoException | null, count: number): void => {
        const cause = error ?? (count === 0 ? new Error('nothing was transferred') : undefined)
        if (!cause) done += count
        if (cause) reject(this.#failed(what, at + done, cause))
        else if (done === buffer.length) resolve()
        else step()
      }
      const step = (): void => {
        if (what === 'read') fs.read(this.#fd, buffer, done, buffer.length - done, at + done, next)
        else fs.write(this.#fd, buffer, done, buffer.length - done, at + done, next)
      }
      step()
    })
  }

  #failed(what: string, at: number, cause: unknown): MatrixError {
    const { message, errno } = cause as NodeJS.ErrnoException
    const where = `${this.#path}: ${what}${what === 'flush' ? '' : ` at byte ${at}`}`
    if (errno === EBADE)
      return new MatrixError(
        'lun-reserved',
        `${where}: reservation conflict: another initiator has reserved it; this node was fenced, or strangers use it`,
        { cause },
      )
    const now = readDeviceFacts(this.#rdev)
    const changed = !now
      ? '; the device is gone'
      : now.size < this.size
        ? `; the device has ${now.size} bytes now and had ${this.size} when it was opened: restore its size`
        : ''
    return new MatrixError('lun-io', `${where} failed: ${message}${changed}`, { cause })
  }
}

/** Buffers one after another, from which pieces are taken. */
class Source {
  readonly #buffers: readonly Uint8Array[]
  #index = 0
  #done = 0

  constructor(buffers: readonly Uint8Array[]) {
    this.#buffers = buffers
  }

  /** With what comes next; there is as much. */
  fill(target: Uint8Array): void {
    let at = 0
    while (at < target.length) {
      const buffer = this.#buffers[this.#index] as Uint8Array
      const part = buffer.subarray(this.#done, this.#done + target.length - at)
      target.set(part, at)
      at += part.length
      this.#done += part.length
      if (this.#done < buffer.length) continue
      this.#index++
      this.#done = 0
    }
  }
}

export const realBlockDevices: BlockDevices = {
  async openDevice(path) {
    if (process.platform !== 'linux')
      throw new MatrixError(
        'config',
        `block:${path}: devices of ${process.platform} cannot be used, their size and sectors are not known; use a file: or iscsi: URL there`,
      )
    const rdev = await lookAt(path)
    const facts = readDeviceFacts(rdev)
    if (!facts)
      throw new MatrixError('lun-io', `${path}: /sys/dev/block does not tell its size and sectors: is it gone?`)
    const { size, sectorSize, readOnly } = facts
    if (readOnly) throw new MatrixError('config', `${path} is read-only (blockdev --setrw makes it writable)`)
    if (size === 0)
      throw new MatrixError('config', `${path} has 0 bytes: nothing is attached to it, or no medium is in it`)
    if (!SECTOR_SIZES.includes(sectorSize))
      throw new MatrixError(
        'config',
        `${path} has sectors of ${sectorSize} bytes; allowed are ${SECTOR_SIZES.join(', ')}`,
      )
    await refuseUsed(path, rdev)
    const fd = await openDirect(path, O_RDWR | O_DIRECT)
    try {
      if ((await fstat(fd)).rdev === rdev) return new DirectDevice(path, rdev, facts, fd)
      throw new MatrixError('lun-io', `${path} became another device while it was opened; try again`)
    } catch (error) {
      await close(fd)
      throw error
    }
  },
}

/** The number of the device. */
async function lookAt(path: string): Promise<number> {
  let stat: fs.Stats
  try {
    stat = await promisify(fs.stat)(path)
  } catch (error) {
    throw explained(path, error)
  }
  if (stat.isBlockDevice()) return stat.rdev
  if (stat.isFile()) throw new MatrixError('config', `${path} is a regular file; name it as file:${path}`)
  const kind = stat.isDirectory() ? 'a directory' : stat.isCharacterDevice() ? 'a character device' : 'no device'
  throw new MatrixError('config', `${path} is ${kind}; block: URLs name block devices, such as block:/dev/disk/by-id/…`)
}

/** Who mounts a device, or makes it part of another, has it exclusively. */
async function refuseUsed(path: string, rdev: number): Promise<void> {
  for (let look = 1; ; look++) {
    try {
      await close(await open(path, O_RDWR | O_EXCL))
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw explained(path, error)
      if (look < LOOKS) {
        await sleep(LOOK_PAUSE_MS)
        continue
      }
      const [user = 'somebody has it exclusively (a filesystem, device mapper, RAID, or swap)'] = usersOf(rdev)
      throw new MatrixError('in-use', `${path} is in use: ${user}; it is left alone`, { cause: error })
    }
  }
}

async function openDirect(path: string, flags: number): Promise<number> {
  try {
    return await open(path, flags)
  } catch (error) {
    throw explained(path, error)
  }
}

function explained(path: string, cause: unknown): MatrixError {
  const { code, message } = cause as NodeJS.ErrnoException
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new MatrixError('not-found', `${path}: there is no such device`, { cause })
    case 'ENXIO':
    case 'ENODEV':
    case 'ENOMEDIUM':
      return new MatrixError('not-found', `${path}: there is no device behind it (any more)`, { cause })
    case 'EACCES':
    case 'EPERM':
      return new MatrixError(
        'config',
        `${path} may not be read and written by user ${process.geteuid?.()}: run this as root, or in the group of the device; a container has to be given the device`,
        { cause },
      )
    default:
      return new MatrixError('lun-io', `${path} cannot be opened: ${message}`, { cause })
  }
}
