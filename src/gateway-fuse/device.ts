/**
 * /dev/fuse of one mount: requests are read through the event loop, replies written at once.
 *
 * The descriptor is given to a pipe handle of libuv, which does no more with it than read when there is something: so no
 * thread of the pool is blocked in a read, and nothing waits when the mount has gone. Whatever is read lies in one buffer
 * until the next read. The device is readable only once it is mounted (EPERM before).
 */
import { closeSync, openSync, readSync, writevSync } from 'node:fs'
import { Socket } from 'node:net'
import { MatrixError } from '../base/errors.ts'
import { MAX_TRANSFER } from './negotiate.ts'

const PATH = '/dev/fuse'
/** A request is read whole or not at all: room for the longest WRITE with its head. */
const BUFFER_BYTES = MAX_TRANSFER + 4096
/** Requests handled in one go before other work of the node has its turn. */
const MAX_AT_ONCE = 16

type PipeHandle = { open(fd: number): number }
type PipeBinding = {
  readonly Pipe: new (type: number) => PipeHandle
  readonly constants: { readonly SOCKET: number }
}

export class FuseDevice {
  /** For the process that mounts. */
  readonly fd: number
  /** Where requests are read to. */
  readonly buffer = Buffer.alloc(BUFFER_BYTES)
  #socket: Socket | undefined
  #closed = false

  private constructor(fd: number) {
    this.fd = fd
  }

  /** Throws MatrixError that says what to do when this machine has no FUSE. */
  static open(): FuseDevice {
    try {
      return new FuseDevice(openSync(PATH, 'r+'))
    } catch (cause) {
      throw new MatrixError('not-found', explain((cause as NodeJS.ErrnoException).code ?? String(cause)), { cause })
    }
  }

  /** `onRequest(length)` for every request in `buffer`; `onEnd` once, when the mount is gone. */
  start(onRequest: (length: number) => void, onEnd: (reason: string) => void): void {
    const { Pipe, constants } = (process as unknown as { binding(name: string): PipeBinding }).binding('pipe_wrap')
    const handle = new Pipe(constants.SOCKET)
    const code = handle.open(this.fd)
    if (code !== 0) throw new MatrixError('lun-io', `${PATH} cannot be watched (libuv error ${code})`)
    const callback = (length: number): boolean => {
      for (let served = 1; ; served++) {
        onRequest(length)
        if (this.#closed || served >= MAX_AT_ONCE) return true
        const next = this.#readNow()
        if (next === 0) return true
        length = next
      }
    }
    const options = { handle, readable: true, writable: false, onread: { buffer: this.buffer, callback } }
    const socket = new Socket(options as unknown as ConstructorParameters<typeof Socket>[0])
    socket.on('error', (error: NodeJS.ErrnoException) => this.#end(error.code ?? error.message, onEnd))
    socket.on('close', () => this.#end('closed', onEnd))
    this.#socket = socket
    socket.read(0)
  }

  /** The next request's length; 0 when there is none now (or the mount is gone, which the handle will tell). */
  #readNow(): number {
    try {
      return readSync(this.fd, this.buffer)
    } catch {
      return 0
    }
  }

  /** False when nobody waits for it any more. */
  write(parts: readonly Buffer[]): boolean {
    if (this.#closed) return false
    try {
      writevSync(this.fd, parts)
      return true
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT' || code === 'ENODEV' || code === 'ECONNABORTED') return false
      throw error
    }
  }

  /** Ends the mount, wherever it is still used: every request fails with ENOTCONN from now on. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    if (this.#socket) this.#socket.destroy()
    else closeSync(this.fd)
  }

  #end(reason: string, onEnd: (reason: string) => void): void {
    if (this.#closed) return
    this.close()
    onEnd(reason)
  }
}

function explain(code: string): string {
  const container = 'in a container, start it with --device /dev/fuse --cap-add SYS_ADMIN'
  if (code === 'ENOENT') return `${PATH} is missing: load the kernel module with "modprobe fuse"; ${container}`
  if (code === 'ENODEV' || code === 'ENXIO') return `the kernel has no FUSE: "modprobe fuse"; ${container}`
  if (code === 'EPERM' || code === 'EACCES') return `${PATH} may not be opened (${code}): run as root; ${container}`
  return `${PATH} cannot be opened: ${code}`
}
