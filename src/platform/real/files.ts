/** Files of the host on node:fs: positional I/O through the thread pool, short reads and writes carried on to their end. */
import * as fs from 'node:fs'
import { promisify } from 'node:util'
import { MatrixError } from '../../base/errors.ts'
import type { Files, RandomAccessFile } from '../files.ts'
import { realBlockDevices } from './block-device.ts'

const open = promisify(fs.open)
const fstat = promisify(fs.fstat)
const close = promisify(fs.close)
const fdatasync = promisify(fs.fdatasync)

/**
 * Writes up to so many bytes are made at once, on this thread: they go to the page cache in less time than the thread pool takes to
 * wake up (4 KiB: 5 µs against 60).
 */
const DIRECT_BYTES = 64 * 1024
/** Most buffers that one pwritev takes (IOV_MAX of Linux and macOS). */
const MAX_VECTOR = 1024

class RealFile implements RandomAccessFile {
  size: number
  readonly #path: string
  readonly #fd: number

  constructor(path: string, fd: number, size: number) {
    this.#path = path
    this.#fd = fd
    this.size = size
  }

  read(offset: number, buffer: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      let done = 0
      const next = (): void => {
        fs.read(this.#fd, buffer, done, buffer.length - done, offset + done, (cause, count) => {
          if (cause) return reject(this.#failed('read', offset, cause))
          done += count
          if (done === buffer.length) return resolve()
          if (count === 0) return reject(this.#failed('read', offset, new Error(`end of file after ${done} bytes`)))
          next()
        })
      }
      if (buffer.length === 0) resolve()
      else next()
    })
  }

  async write(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    let rest = buffers.filter((buffer) => buffer.length > 0)
    let at = offset
    if (rest.length <= MAX_VECTOR && rest.reduce((sum, buffer) => sum + buffer.length, 0) <= DIRECT_BYTES) {
      try {
        while (rest.length > 0) {
          const count = fs.writevSync(this.#fd, rest, at)
          if (count === 0) throw new Error('nothing was written')
          at += count
          rest = after(rest, count)
        }
      } catch (cause) {
        throw this.#failed('write', offset, cause)
      }
      return
    }
    return new Promise((resolve, reject) => {
      const next = (): void => {
        if (rest.length === 0) {
          resolve()
          return
        }
        fs.writev(this.#fd, rest.slice(0, MAX_VECTOR), at, (cause, count) => {
          if (cause) return reject(this.#failed('write', offset, cause))
          if (count === 0) return reject(this.#failed('write', offset, new Error('nothing was written')))
          at += count
          rest = after(rest, count)
          next()
        })
      }
      next()
    })
  }

  async flush(): Promise<void> {
    try {
      await fdatasync(this.#fd)
    } catch (cause) {
      throw this.#failed('flush', 0, cause)
    }
  }

  async measure(): Promise<number> {
    try {
      this.size = (await fstat(this.#fd)).size
    } catch (cause) {
      throw this.#failed('stat', 0, cause)
    }
    return this.size
  }

  async close(): Promise<void> {
    await close(this.#fd)
  }

  #failed(what: string, offset: number, cause: unknown): MatrixError {
    const message = cause instanceof Error ? cause.message : String(cause)
    return new MatrixError('lun-io', `${this.#path}: ${what} at byte ${offset} failed: ${message}`, { cause })
  }
}

/** What is left of `buffers` after their first `count` bytes. */
function after(buffers: readonly Uint8Array[], count: number): Uint8Array[] {
  let i = 0
  while (i < buffers.length && count >= buffers[i].length) count -= buffers[i++].length
  const rest = buffers.slice(i)
  if (count > 0) rest[0] = rest[0].subarray(count)
  return rest
}

export const realFiles: Files = {
  ...realBlockDevices,
  async open(path) {
    let fd: number
    try {
      fd = await open(path, 'r+')
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code
      if (code === 'ENOENT') throw new MatrixError('not-found', `${path}: there is no such file`, { cause })
      if (code === 'EISDIR') {
        throw new MatrixError('lun-io', `${path} is a directory; a LUN is a file or a device`, { cause })
      }
      throw new MatrixError('lun-io', `${path} cannot be opened: ${(cause as Error).message}`, { cause })
    }
    try {
      const stat = await fstat(fd)
      if (!stat.isFile()) {
        const instead = stat.isBlockDevice() ? `; name it as block:${path}` : ''
        throw new MatrixError('lun-io', `${path} is not a regular file${instead}`)
      }
      return new RealFile(path, fd, stat.size)
    } catch (error) {
      await close(fd)
      throw error
    }
  },
}
