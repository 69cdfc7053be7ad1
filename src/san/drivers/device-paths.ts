/**
 * Several devices of this host that lead to one LUN, as one device: found to be one by the identity that they give themselves. One is in use; when it fails, or is silent, what
 * is asked for goes to the next (paths.ts), and back to the one that is wanted most once that has been well for a while.
 *
 * A command that was handed to a device cannot be called back, and one that the system has given up may be executed at the array all the same. So:
 *
 * 1. A read that fails, or is silent for a quarter of an I/O time-out, is repeated by the next path, each time into a buffer of its own.
 * 2. A write that fails is issued anew by the next path, within the time in which it may be issued at all. It is answered, or rejects, only once its first copy is over,
 *    `ioLifeMs` after it was issued: to everybody else it is one slow write, and nothing of it lands after whoever waits for it goes on.
 * 3. A write that is silent is waited for: its path is left by others, and it goes on when the system gives it up (docs/operating.md says how to have that happen in time).
 * 4. A write waits for older ones that overlap it, in whole sectors. So of two writes of a block never the older lands last, whatever paths they take.
 * 5. A flush goes to the LUN, by whichever path: all of it is flushed.
 *
 * A reservation conflict is no failure of a path, and ends a try.
 */
import { assert } from '../../base/assert.ts'
import { isMatrixError, MatrixError } from '../../base/errors.ts'
import type { Timings } from '../../base/timings.ts'
import type { BlockDevice, BlockDevices, DeviceWrite } from '../../platform/block-devices.ts'
import { type Clock, sleep, type Timer, within } from '../../platform/clock.ts'
import type { Log } from '../../platform/log.ts'
import type { LunPath } from '../lun.ts'
import { type Path, Paths } from '../paths.ts'

export type DevicePathsOptions = {
  readonly timings: Pick<Timings, 'ioTimeoutMs' | 'ioLifeMs'>
  readonly clock: Clock
  readonly log: Log
}

/** A device by its name; open, unless that has failed. */
type Way = { readonly name: string; device: BlockDevice | undefined; underWay: number }
type Pending = { readonly from: number; readonly to: number; readonly over: Promise<unknown>; isSuperseded: boolean }

export class DevicePaths implements BlockDevice {
  readonly identity: string
  readonly size: number
  readonly sectorSize: number
  readonly #paths: Paths<Way>
  readonly #devices: BlockDevices
  readonly #options: DevicePathsOptions
  readonly #writes = new Set<Pending>()
  readonly #looks: Timer
  #isLooking = false
  #isClosed = false

  /** Rejects with MatrixError 'config' when they are not one LUN, or do not say so; as `openDevice` when none can be opened. */
  static async open(
    names: readonly string[],
    devices: BlockDevices,
    options: DevicePathsOptions,
  ): Promise<DevicePaths> {
    if (new Set(names).size < names.length)
      throw new MatrixError('config', `block:${names.join()}: a device is named twice`)
    const opened = await Promise.allSettled(names.map((name) => devices.openDevice(name)))
    const ways = names.map((name, i): Way => {
      const result = opened[i] as PromiseSettledResult<BlockDevice>
      return { name, device: result.status === 'fulfilled' ? result.value : undefined, underWay: 0 }
    })
    const first = ways.find(({ device }) => device)?.device
    const failures = opened.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
    const stranger = ways.find(({ device }) => first && device && difference(first, device) !== undefined)
    const fatal = failures.find((error) => !first || !isMatrixError(error, 'lun-io', 'not-found'))
    if (first && !fatal && !stranger) return new DevicePaths(ways, first, devices, options)
    for (const { device } of ways) await device?.close()
    if (fatal) throw fatal
    const what = difference(first as BlockDevice, stranger?.device as BlockDevice)
    throw new MatrixError('config', `${stranger?.name} is not a path to the LUN that ${names[0]} leads to: ${what}`)
  }

  private constructor(ways: readonly Way[], first: BlockDevice, devices: BlockDevices, options: DevicePathsOptions) {
    const { clock, timings } = options
    this.identity = first.identity
    this.size = first.size
    this.sectorSize = first.sectorSize
    this.#devices = devices
    this.#options = options
    this.#paths = new Paths(ways, ({ name }) => name, clock)
    for (const path of this.#paths.all)
      path.become(path.to.device ? 'ready' : 'failed', path.to.device ? undefined : 'it could not be opened')
    this.#active().become('active')
    this.#looks = clock.every(2 * timings.ioTimeoutMs, () => void this.#look())
  }

  get paths(): readonly LunPath[] {
    return this.#paths.all
  }

  async read(offset: number, buffer: Buffer): Promise<void> {
    await this.#try(async (device, isLast) => {
      const own = Buffer.allocUnsafe(buffer.length)
      const reading = device.read(offset, own)
      const outcome = isLast ? await reading : await within(this.#options.clock, reading, this.#silentMs)
      if (outcome === 'late') {
        reading.catch(() => {})
        throw new MatrixError('lun-io', `a read has had no answer for ${this.#silentMs} ms`)
      }
      own.copy(buffer)
    })
  }

  write(offset: number, buffers: readonly Uint8Array[], options: DeviceWrite): Promise<void> {
    const { sectorSize } = this
    const length = buffers.reduce((sum, each) => sum + each.length, 0)
    const from = offset - (offset % sectorSize)
    const to = Math.ceil((offset + length) / sectorSize) * sectorSize
    const older = [...this.#writes].filter((each) => each.from < to && from < each.to)
    for (const each of older) each.isSuperseded = true
    const own: Pending = { from, to, isSuperseded: false, over: Promise.resolve() }
    const over = this.#write(own, older, offset, buffers, options).finally(() => this.#writes.delete(pending))
    const pending: Pending = Object.assign(own, { over })
    this.#writes.add(pending)
    return over
  }

  async #write(
    own: Pending,
    older: readonly Pending[],
    offset: number,
    buffers: readonly Uint8Array[],
    { issuedWithinMs }: DeviceWrite,
  ): Promise<void> {
    const { clock, timings } = this.#options
    const askedAt = clock.now()
    await Promise.allSettled(older.map(({ over }) => over))
    /** Until when a copy that has failed may land. */
    let landsUntil = 0
    try {
      await this.#try(async (device, _isLast, path) => {
        const leftMs = issuedWithinMs - (clock.now() - askedAt)
        if (!(leftMs > 0)) throw new MatrixError('timeout', 'it had not been issued in time')
        if (landsUntil > 0 && own.isSuperseded) throw new MatrixError('timeout', 'a newer write overlaps it')
        const silent = clock.after(this.#silentMs, () =>
          this.#lost(path, `a write has had no answer for ${this.#silentMs} ms`),
        )
        const issuedAt = clock.now()
        try {
          await device.write(offset, buffers, { issuedWithinMs: leftMs })
        } catch (error) {
          landsUntil = Math.max(landsUntil, issuedAt + timings.ioLifeMs)
          throw error
        } finally {
          silent.cancel()
        }
      })
    } catch (error) {
      if (!isMatrixError(error, 'timeout')) throw error
      throw new MatrixError('lun-io', `write at byte ${offset} was given up: ${error.message}`, { cause: error })
    } finally {
      // answered or not: it is over then
      const waitMs = landsUntil - clock.now()
      if (waitMs > 0) await sleep(clock, waitMs)
    }
  }

  flush(): Promise<void> {
    return this.#try((device) => device.flush())
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#looks.cancel()
    for (const { to } of this.#paths.all) await to.device?.close()
  }

  /** By the active path, and when that fails by the others. */
  async #try(run: (device: BlockDevice, isLast: boolean, path: Path<Way>) => Promise<void>): Promise<void> {
    const tried = new Set<Path<Way>>()
    for (;;) {
      const path = this.#active(tried)
      tried.add(path)
      const { to } = path
      const device = to.device as BlockDevice
      const isLast = !this.#paths.all.some((each) => each.to.device && !tried.has(each))
      to.underWay++
      try {
        await run(device, isLast, path)
        return
      } catch (error) {
        if (!isMatrixError(error, 'lun-io')) throw error
        this.#lost(path, error.message)
        if (isLast) throw error
      } finally {
        to.underWay--
      }
    }
  }

  /** The path in use, or the next that is worth a try. One that is open there always is. */
  #active(tried: ReadonlySet<Path<Way>> = new Set()): Path<Way> {
    const usable = (path: Path<Way> | undefined) => path?.to.device !== undefined && !tried.has(path)
    const { active } = this.#paths
    if (active && usable(active)) return active
    const next = this.#paths.toTry().find(usable) as Path<Way>
    assert(next, 'a LUN has a path that is open')
    return next
  }

  #lost(path: Path<Way>, reason: string): void {
    const { log } = this.#options
    const wasActive = path.state === 'active'
    if (!path.become('failed', reason)) return
    log.warn({ lun: this.identity, path: path.name, reason }, 'a path to a LUN has failed')
    if (!wasActive) return
    const next = this.#paths.toTry(path).find(({ to, state }) => to.device && state !== 'failed')
    if (next?.become('active')) log.info({ lun: this.identity, path: next.name }, 'another path to a LUN is in use')
  }

  get #silentMs(): number {
    return this.#options.timings.ioTimeoutMs / 4
  }

  /** Which paths that are not in use lead to the LUN; and back to the one that is wanted more, when it does again. */
  async #look(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    const { log } = this.#options
    try {
      for (const path of this.#paths.all) {
        if (path.state === 'active') continue
        const failure = await this.#lookAt(path.to)
        if (this.#isClosed) return
        if (path.become(failure === undefined ? 'ready' : 'failed', failure))
          log.info({ lun: this.identity, path: path.name, state: path.state, reason: failure }, 'a path to a LUN')
      }
      const { active } = this.#paths
      const better = active ? this.#paths.better() : this.#paths.all.find(({ state }) => state === 'ready')
      if (!better) return
      active?.become('ready')
      better.become('active')
      log.info({ lun: this.identity, path: better.name }, 'a path to a LUN is in use again')
    } finally {
      this.#isLooking = false
    }
  }

  /** Why it does not lead there; undefined when it does. A device that was away for a while is another to the system, and opened anew. */
  async #lookAt(way: Way): Promise<string | undefined> {
    const reading = async (device: BlockDevice): Promise<string | undefined> => {
      const outcome = await within(
        this.#options.clock,
        device.read(0, Buffer.allocUnsafe(this.sectorSize)),
        4 * this.#silentMs,
      )
      return outcome === 'late' ? 'it does not answer' : undefined
    }
    const said = async (work: Promise<string | undefined>): Promise<string | undefined> =>
      work.catch((error: unknown) => (error instanceof Error ? error.message : String(error)))
    const { device } = way
    const failure = device ? await said(reading(device)) : 'it could not be opened'
    if (failure === undefined || way.underWay > 0) return failure
    return said(
      this.#devices.openDevice(way.name).then(async (fresh) => {
        const differs = difference(this, fresh)
        const why = this.#isClosed || way.underWay > 0 ? failure : (differs ?? (await said(reading(fresh))))
        if (why !== undefined) {
          await fresh.close()
          return why
        }
        way.device = fresh
        await device?.close()
        return undefined
      }),
    )
  }
}

/** Why two devices are not one LUN. */
function difference(one: BlockDevice, other: BlockDevice): string | undefined {
  if (one === other) return undefined
  if (one.identity === '' || other.identity === '') return 'the devices do not say what they are'
  if (one.identity !== other.identity) return `it is ${other.identity}, not ${one.identity}`
  if (one.size !== other.size || one.sectorSize !== other.sectorSize) return 'it has another size'
  return undefined
}
