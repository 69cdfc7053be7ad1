/**
 * One filesystem mounted in a directory of this machine: device, protocol and place together.
 *
 *     start ──► mounted ──stop──► unmounted
 *                  └── somebody else unmounts it ──► unmounted (`onEnd`)
 */
import { MatrixError } from '../base/errors.ts'
import type { MatrixFs } from '../metadata/index.ts'
import { type Clock, type Log, within } from '../platform/index.ts'
import { FuseDevice } from './device.ts'
import { checkHost, mountDevice, prepareDirectory, tryUnmount, unmount } from './mounting.ts'
import { Session } from './session.ts'
import { MalformedRequest, Request } from './wire/request.ts'

export type FuseMountOptions = {
  readonly fs: MatrixFs
  /** Absolute. */
  readonly directory: string
  readonly clock: Clock
  readonly log: Log
  /** It was unmounted by somebody else. */
  readonly onEnd?: () => void
}

/** The kernel says its version within this time after mounting, ms. */
const INIT_LIMIT_MS = 10_000
/** Requests under way when a mount ends are given this time, ms. */
const DRAIN_LIMIT_MS = 5_000

/** Mounts of this process so far. */
let mounts = 0

export class FuseMount {
  readonly filesystem: string
  /** Where it is: the real path. */
  readonly directory: string
  /** Where it was asked for, perhaps by way of symbolic links. */
  readonly requested: string
  readonly #options: FuseMountOptions
  readonly #device: FuseDevice
  readonly #session: Session
  readonly #log: Log
  #stopping = false
  #ended = false

  /** Rejects with a MatrixError that says what to do. */
  static async start(options: FuseMountOptions): Promise<FuseMount> {
    checkHost()
    const { path, hidden } = await prepareDirectory(options.directory)
    const device = FuseDevice.open()
    const mount = new FuseMount(options, path, device)
    try {
      await mountDevice(device.fd, `matrixfs:${options.fs.name}`, path)
    } catch (error) {
      device.close()
      throw error
    }
    await mount.#begin(hidden)
    return mount
  }

  private constructor(options: FuseMountOptions, directory: string, device: FuseDevice) {
    const { fs, clock } = options
    this.filesystem = fs.name
    this.directory = directory
    this.requested = options.directory
    this.#options = options
    this.#device = device
    this.#log = options.log.child({ gateway: 'fuse', filesystem: fs.name, directory })
    const send = (parts: readonly Buffer[]) => (device.write(parts) ? 'sent' : 'unwanted')
    this.#session = new Session({ fs, name: `${directory} ${++mounts}`, clock, log: this.#log, send })
  }

  async #begin(hidden: number): Promise<void> {
    const request = new Request(this.#device.buffer)
    this.#device.start(
      (length) => this.#serve(request, length),
      (reason) => this.#gone(reason),
    )
    if ((await within(this.#options.clock, this.#session.ready, INIT_LIMIT_MS)) === 'late') {
      await this.stop()
      throw new MatrixError('timeout', `${this.directory}: the kernel speaks no version of FUSE that is known here`)
    }
    if (hidden > 0) this.#log.warn({ hidden }, 'the directory was not empty: what is in it is hidden by the mount')
    this.#log.info({}, 'mounted')
  }

  #serve(request: Request, length: number): void {
    try {
      request.take(length)
    } catch (error) {
      if (!(error instanceof MalformedRequest)) throw error
      this.#log.error({ error: error.message }, 'a message of the kernel was dropped')
      return
    }
    this.#session.serve(request)
  }

  #gone(reason: string): void {
    this.#ended = true
    this.#session.end()
    if (this.#stopping) return
    this.#log.warn({ reason }, 'unmounted by somebody else: this mount is over, the node goes on')
    this.#options.onEnd?.()
  }

  /** The node has halted: programs get EIO, and nothing hangs until its process has gone; then the kernel says ENOTCONN. */
  abandon(): void {
    this.#session.abandon()
  }

  stats() {
    return this.#session.stats()
  }

  /** Unmounts only when nobody uses it. Throws MatrixError 'in-use'. */
  async stopIfIdle(): Promise<void> {
    this.#stopping = true
    const why = await tryUnmount(this.directory)
    if (why !== undefined) {
      this.#stopping = false
      throw new MatrixError(
        'in-use',
        `${this.directory} is in use (${why}); "fuser -vm ${this.directory}" tells by whom, --lazy unmounts all the same`,
      )
    }
    await this.#close()
  }

  /** Unmounts; from programs that still use it, it is taken away. */
  async stop(): Promise<void> {
    this.#stopping = true
    if (!this.#ended && (await unmount(this.directory)) === 'busy') {
      this.#log.warn({}, 'still in use: taken away from the programs that use it')
    }
    await this.#close()
  }

  async #close(): Promise<void> {
    await within(this.#options.clock, this.#session.idle(), DRAIN_LIMIT_MS)
    this.#session.end()
    this.#device.close()
    this.#log.info({}, 'unmounted')
  }
}
