/** An export at one node, by paths: what end-to-end tests need of NFS, over the tests' own client. */
import { NfsClient, NfsStatusError, unset } from '../helpers/nfs-client.ts'
import type { DemoNode } from './demo.ts'

const NFS3ERR_NOENT = 2
const NFS3ERR_EXIST = 17
const NFS3ERR_JUKEBOX = 10008
/** RFC 1813: a jukebox error means "try again later"; this often, ms. */
const JUKEBOX_WAIT_MS = 100
const ANSWER_LIMIT_MS = 15_000

export class NfsTree {
  readonly client: NfsClient
  readonly root: Buffer

  private constructor(client: NfsClient, root: Buffer) {
    this.client = client
    this.root = root
  }

  static async connect({ nfs }: DemoNode): Promise<NfsTree> {
    const client = await NfsClient.connect(nfs.port, { host: nfs.host })
    return new NfsTree(client, await answered(client.mount(nfs.export)))
  }

  close(): void {
    this.client.socket.destroy()
  }

  /** Makes every directory of a path below the root that is not there; the handle of the last. */
  async makePath(path: string): Promise<Buffer> {
    let at = this.root
    for (const name of path.split('/')) {
      const parent = at
      at =
        (await this.#lookup(parent, name)) ??
        (await tried(() => this.client.mkdir(parent, name)).catch(async (error) => {
          const made = isStatus(error, NFS3ERR_EXIST) ? await this.#lookup(parent, name) : undefined
          if (!made) throw error
          return made
        }))
    }
    return at
  }

  /** The handle of what a path below the root names. */
  async walk(path: string): Promise<Buffer> {
    let at = this.root
    for (const name of path.split('/')) at = await tried(() => this.client.lookup(at, name))
    return at
  }

  /** Replaces a file's content, stable. */
  async writeFile(dir: Buffer, name: string, data: Buffer): Promise<void> {
    const object = (await this.#lookup(dir, name)) ?? (await tried(() => this.client.create(dir, name)))
    await tried(() => this.client.write(object, 0, data))
    await tried(() =>
      this.client.ok('SETATTR', { object, attributes: { ...unset, size: data.length }, guardCtime: undefined }),
    )
  }

  /** Replaces a file by another in one step, stable: whoever reads finds the one or the other. */
  async replaceFile(dir: Buffer, name: string, data: Buffer): Promise<void> {
    const temporary = `.new-${name}`
    await this.removeIfThere(dir, temporary)
    const object = await tried(() => this.client.create(dir, temporary))
    await tried(() => this.client.write(object, 0, data))
    await tried(() => this.client.ok('RENAME', { fromDir: dir, fromName: temporary, toDir: dir, toName: name }))
  }

  /** The content (up to 1 MiB), or undefined when there is no such file. */
  async readFile(dir: Buffer, name: string): Promise<Buffer | undefined> {
    const object = await this.#lookup(dir, name)
    return object && tried(() => this.client.read(object))
  }

  async removeIfThere(dir: Buffer, name: string): Promise<void> {
    await tried(() => this.client.ok('REMOVE', { dir, name })).catch((error) => {
      if (!isStatus(error, NFS3ERR_NOENT)) throw error
    })
  }

  async setMode(object: Buffer, mode: number): Promise<void> {
    await tried(() => this.client.ok('SETATTR', { object, attributes: { ...unset, mode }, guardCtime: undefined }))
  }

  async mode(object: Buffer): Promise<number> {
    return (await tried(() => this.client.ok('GETATTR', { object }))).attributes.mode & 0o7777
  }

  async #lookup(dir: Buffer, name: string): Promise<Buffer | undefined> {
    try {
      return await tried(() => this.client.lookup(dir, name))
    } catch (error) {
      if (isStatus(error, NFS3ERR_NOENT)) return undefined
      throw error
    }
  }
}

function isStatus(error: unknown, status: number): boolean {
  return error instanceof NfsStatusError && error.status === status
}

/** Repeats a call while the server says "later", as every client does; gives up when nothing comes. */
async function tried<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await answered(call())
    } catch (error) {
      if (!isStatus(error, NFS3ERR_JUKEBOX)) throw error
      await new Promise((resolve) => setTimeout(resolve, JUKEBOX_WAIT_MS))
    }
  }
}

function answered<T>(promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${ANSWER_LIMIT_MS} ms`)), ANSWER_LIMIT_MS)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
