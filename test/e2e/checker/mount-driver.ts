/**
 * By the kernel, in a mounted directory. A call of the kernel is several requests to the node: what it decides by itself from its
 * look-ups is right at the moment of one of them, which is all that is claimed. Nothing is durable before fsync.
 *
 * Every path starts at a descriptor of the mounted tree: when the node dies and its mount is taken away, nothing is mistaken for an
 * answer of the filesystem that is one of the directory below.
 */
import { constants } from 'node:fs'
import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import type { Prng } from '../../../src/base/prng.ts'
import { type Driver, NotSent, type Plan, pickPlace, presence, Unanswered, wait } from './driver.ts'
import type { DirectoryAnswer, DirectoryCall } from './models/directory.ts'
import { BLOCK_STRIDE, fromBlock, fromLog, NAMES, SIDES, TOP, toBlock, VALUE_BYTES } from './objects.ts'

const answers = new Set(['ENOENT', 'EEXIST', 'ENOTDIR', 'EISDIR', 'ENOTEMPTY', 'EPERM'])

export class MountDriver implements Driver {
  readonly durable = false
  readonly #handle: fs.FileHandle
  readonly #top: string
  #serial = 0

  static async connect(mount: string): Promise<MountDriver> {
    try {
      return new MountDriver(await fs.open(join(mount, TOP), constants.O_RDONLY | constants.O_DIRECTORY))
    } catch (error) {
      throw new NotSent(String(error))
    }
  }

  private constructor(handle: fs.FileHandle) {
    this.#handle = handle
    this.#top = `/proc/self/fd/${handle.fd}`
  }

  close(): void {
    this.#handle.close().catch(() => {})
  }

  async readBlock(file: string, block: number): Promise<string> {
    return this.#try(async () => {
      await using handle = await fs.open(join(this.#top, 'blocks', file), 'r')
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(VALUE_BYTES), 0, VALUE_BYTES, block * BLOCK_STRIDE)
      return fromBlock(buffer.subarray(0, bytesRead))
    })
  }

  async writeBlock(file: string, block: number, value: string, stable: boolean): Promise<void> {
    await this.#try(async () => {
      await using handle = await fs.open(join(this.#top, 'blocks', file), 'r+')
      const { bytesWritten } = await handle.write(toBlock(value), 0, VALUE_BYTES, block * BLOCK_STRIDE)
      if (bytesWritten !== VALUE_BYTES) throw new Unanswered(`${bytesWritten} bytes were written`, true)
      if (stable) await certain(handle.datasync())
    })
  }

  readDocument(name: string): Promise<string> {
    return this.#content('documents', name).then((bytes) => bytes?.toString() ?? '')
  }

  async prepareDocument(name: string, value: string): Promise<() => Promise<void>> {
    const temporary = join(this.#top, 'documents', `new-${value}-${++this.#serial}`)
    await this.#try(() => fs.writeFile(temporary, value))
    return () => this.#try(() => fs.rename(temporary, join(this.#top, 'documents', name)))
  }

  async removeDocument(name: string): Promise<boolean> {
    const { error } = await this.#answer(async () => {
      await fs.unlink(join(this.#top, 'documents', name))
      return {}
    })
    if (error && error !== 'ENOENT') throw new Error(`unlink of a document: ${error}`)
    return !error
  }

  readLog(name: string): Promise<readonly string[]> {
    return this.#content('logs', name).then((bytes) => fromLog(bytes))
  }

  async append(name: string, record: string): Promise<void> {
    await this.#try(async () => {
      await using handle = await fs.open(join(this.#top, 'logs', name), 'a')
      await handle.write(`${record};`)
    })
  }

  async plan(pair: number, token: string, prng: Prng): Promise<Plan> {
    const [from, to] = [pickPlace(prng, SIDES, NAMES), pickPlace(prng, SIDES, NAMES)]
    const path = join(this.#top, `pair${pair}`, from.path)
    const { path: name } = from
    const simple = (call: DirectoryCall, run: () => Promise<DirectoryAnswer | undefined>): Plan => ({
      call,
      make: async () => [{ call, answer: await this.#answer(run) }],
    })
    const quiet = (run: () => Promise<unknown>) => async () => void (await run())
    switch (
      prng.pick([
        'create',
        'mkdir',
        'unlink',
        'unlink',
        'rmdir',
        'rename',
        'rename',
        'lookup',
        'lookup',
        'list',
      ] as const)
    ) {
      case 'create':
        return simple({ kind: 'create', name, exclusive: true, token }, async (): Promise<DirectoryAnswer> => {
          // made and then opened: ENOENT is said of a file that another client removed in between
          await using handle = await fs.open(path, 'wx').catch((error) => {
            throw error.code === 'ENOENT' ? new Unanswered('create: ENOENT', true) : error
          })
          return { id: `${(await certain(handle.stat())).ino}` }
        })
      case 'mkdir':
        return simple(
          { kind: 'mkdir', name, token },
          quiet(() => fs.mkdir(path)),
        )
      case 'unlink':
        return simple(
          { kind: 'unlink', name },
          quiet(() => fs.unlink(path)),
        )
      case 'rmdir':
        return simple(
          { kind: 'rmdir', name },
          quiet(() => fs.rmdir(path)),
        )
      case 'rename':
        return simple(
          { kind: 'rename', name, to: to.path, lookedUp: 'kernel' },
          quiet(() => fs.rename(path, join(this.#top, `pair${pair}`, to.path))),
        )
      case 'lookup':
        return simple({ kind: 'lookup', name }, async () => {
          const found = await fs.lstat(path)
          return { id: `${found.ino}`, type: found.isDirectory() ? 'dir' : 'file' }
        })
      case 'list':
        return {
          call: { kind: 'list', directory: from.side },
          make: async () => {
            const entries = await this.#try(() =>
              fs.readdir(join(this.#top, `pair${pair}`, from.side), { withFileTypes: true }),
            )
            const seen = entries.map(
              (entry) => ({ name: entry.name, type: entry.isDirectory() ? 'dir' : 'file' }) as const,
            )
            return presence(from.side, NAMES, seen)
          },
        }
    }
  }

  async #content(directory: string, name: string): Promise<Buffer | undefined> {
    try {
      return await this.#try(() => fs.readFile(join(this.#top, directory, name)))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  async #answer(run: () => Promise<DirectoryAnswer | undefined>): Promise<DirectoryAnswer> {
    try {
      return (await this.#try(run)) ?? {}
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === undefined || !answers.has(code)) throw error
      return { error: code }
    }
  }

  async #try<T>(run: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await run()
      } catch (error) {
        if (error instanceof Unanswered || error instanceof NotSent) throw error
        const { code } = error as NodeJS.ErrnoException
        if (code === 'EAGAIN') await wait(20)
        else if (code !== undefined && answers.has(code)) throw error
        else if (code === 'ENOTCONN') throw new NotSent(String(error))
        else throw new Unanswered(reasonOf(error), true)
      }
    }
  }
}

/** What follows a change that was made: if it fails, the change was made all the same. */
async function certain<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise
  } catch (error) {
    throw new Unanswered(reasonOf(error), true)
  }
}

/**
 * Node has no name for ESTALE. The kernel gives it when a directory has come to another name while another call of this machine holds
 * what it would have to move: the call was not made, or not to its end.
 */
function reasonOf(error: unknown): string {
  const { code, errno, syscall } = error as NodeJS.ErrnoException
  return `${syscall}: ${errno === -116 ? 'ESTALE' : (code ?? String(error))}`
}
