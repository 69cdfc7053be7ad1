/**
 * A directory of this machine as a filesystem of @zenfs/core: for programs that treat a host's files and a matrix alike, such as the replicator. (`Passthrough` of @zenfs/core
 * writes at the start of a file whatever position it is given, and cuts what follows.)
 *
 * Nothing is kept: every call opens what it needs. A symbolic link is itself, never what it points to. Synchronous calls are refused, as by a matrix.
 */
import { constants } from 'node:fs'
import * as host from 'node:fs/promises'
import { join } from 'node:path'
import { type CreationOptions, InodeFlags, type InodeLike } from '@zenfs/core'
import { AsyncFileSystem } from './async-filesystem.ts'
import { failure } from './failure.ts'

/** "host" */
const TYPE = 0x686f7374
const PERMISSIONS = 0o7777

export class HostFileSystem extends AsyncFileSystem {
  readonly #root: string

  /** `root`: an absolute path; ENOENT and ENOTDIR come with the first call. */
  constructor(root: string) {
    super(TYPE, 'host')
    this.#root = root
    this.attributes.set('no_atime')
    this.attributes.set('no_async_preload')
  }

  /** With the device that it is on. */
  async stat(path: string): Promise<InodeLike & { readonly dev: number }> {
    const { dev, ino, mode, nlink, uid, gid, size, rdev, mtimeNs, ctimeNs, atimeNs, birthtimeNs } = await host.lstat(
      this.#at(path),
      { bigint: true },
    )
    return {
      ...{
        dev: Number(dev),
        ino: Number(ino),
        mode: Number(mode),
        nlink: Number(nlink),
        uid: Number(uid),
        gid: Number(gid),
      },
      ...{ size: Number(size), rdev: Number(rdev), data: 0, flags: InodeFlags.DAX },
      ...{ mtimeMs: milliseconds(mtimeNs), ctimeMs: milliseconds(ctimeNs) },
      ...{ atimeMs: milliseconds(atimeNs), birthtimeMs: milliseconds(birthtimeNs) },
    }
  }

  async touch(path: string, { mode, uid, gid, size, atimeMs, mtimeMs }: Partial<InodeLike>): Promise<void> {
    const at = this.#at(path)
    const isLink = (await host.lstat(at)).isSymbolicLink()
    if (size !== undefined && !isLink) await host.truncate(at, size)
    // after it, since it takes set-id bits away
    if (uid !== undefined || gid !== undefined) await host.lchown(at, uid ?? -1, gid ?? -1)
    if (mode !== undefined && !isLink) await host.chmod(at, mode & PERMISSIONS)
    if (atimeMs === undefined && mtimeMs === undefined) return
    const now = await host.lstat(at)
    await host.lutimes(at, (atimeMs ?? now.atimeMs) / 1000, (mtimeMs ?? now.mtimeMs) / 1000)
  }

  /** EEXIST when there is anything by that name. Devices and pipes cannot be made from Node: ENOTSUP. */
  async createFile(path: string, { mode }: CreationOptions): Promise<InodeLike> {
    const format = mode & constants.S_IFMT
    if (format === constants.S_IFDIR) return this.mkdir(path, { mode })
    if (format !== 0 && format !== constants.S_IFREG) throw failure('ENOTSUP', `mknod '${path}'`)
    await (await host.open(this.#at(path), 'wx', mode & PERMISSIONS)).close()
    return this.stat(path)
  }

  async mkdir(path: string, { mode }: Pick<CreationOptions, 'mode'>): Promise<InodeLike> {
    await host.mkdir(this.#at(path), mode & PERMISSIONS)
    return this.stat(path)
  }

  async symlink(target: string, path: string): Promise<void> {
    await host.symlink(target, this.#at(path))
  }

  async link(target: string, path: string): Promise<void> {
    await host.link(this.#at(target), this.#at(path))
  }

  async unlink(path: string): Promise<void> {
    await host.unlink(this.#at(path))
  }

  async rmdir(path: string): Promise<void> {
    await host.rmdir(this.#at(path))
  }

  async rename(from: string, to: string): Promise<void> {
    await host.rename(this.#at(from), this.#at(to))
  }

  /** Names that are not UTF-8 come with U+FFFD, and lead nowhere. */
  async readdir(path: string): Promise<string[]> {
    return host.readdir(this.#at(path))
  }

  /** What lies beyond the file's end reads as zeroes; of a symbolic link it is the target. */
  async read(path: string, buffer: Uint8Array, start: number, end: number): Promise<void> {
    const at = this.#at(path)
    const into = buffer.subarray(0, Math.max(0, end - start))
    const file = await host.open(at, constants.O_RDONLY | constants.O_NOFOLLOW).catch((error) => {
      if (error.code === 'ELOOP') return undefined
      throw error
    })
    if (!file) return void Buffer.from(await host.readlink(at)).copy(into, 0, start)
    try {
      let done = 0
      while (done < into.length) {
        const { bytesRead } = await file.read(into, done, into.length - done, start + done)
        if (bytesRead === 0) break
        done += bytesRead
      }
      into.fill(0, done)
    } finally {
      await file.close()
    }
  }

  async write(path: string, buffer: Uint8Array, offset: number): Promise<void> {
    const file = await host.open(this.#at(path), constants.O_WRONLY | constants.O_NOFOLLOW)
    try {
      for (let done = 0; done < buffer.length; )
        done += (await file.write(buffer, done, buffer.length - done, offset + done)).bytesWritten
    } finally {
      await file.close()
    }
  }

  /** The content of a file, or the names of a directory, are on stable storage. */
  async flush(path: string): Promise<void> {
    const file = await host.open(this.#at(path), constants.O_RDONLY | constants.O_NOFOLLOW)
    try {
      await file.sync()
    } finally {
      await file.close()
    }
  }

  async sync(): Promise<void> {}

  async close(): Promise<void> {}

  #at(path: string): string {
    return join(this.#root, path)
  }
}

/** Since 1970, with fractions. */
function milliseconds(ns: bigint): number {
  return Number(ns / 1_000_000n) + Number(ns % 1_000_000n) / 1e6
}
