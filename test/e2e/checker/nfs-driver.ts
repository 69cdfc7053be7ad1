/** By NFS version 3, over the tests' own client: one procedure per operation, so every answer is of one moment. */
import type { Prng } from '../../../src/base/prng.ts'
import { NfsClient, NfsStatusError, unset } from '../../helpers/nfs-client.ts'
import type { DemoNode } from '../demo.ts'
import { type Driver, NotSent, type Plan, pickPlace, type Told, Unanswered, wait } from './driver.ts'
import type { DirectoryAnswer, DirectoryCall } from './models/directory.ts'
import {
  BLOCK_STRIDE,
  CHILD,
  fromBlock,
  fromLog,
  hasLinks,
  NAMES,
  PAIRS,
  SIDES,
  TOP,
  toBlock,
  VALUE_BYTES,
} from './objects.ts'

const errors: Readonly<Record<number, string>> = {
  1: 'EPERM',
  2: 'ENOENT',
  17: 'EEXIST',
  20: 'ENOTDIR',
  21: 'EISDIR',
  22: 'EINVAL',
  66: 'ENOTEMPTY',
  70: 'ESTALE',
}
const JUKEBOX = 10008
const GUARDED = 1
const UNCHECKED = 0
const FILE_SYNC = 2
const UNSTABLE = 0
const DIRECTORY = 2
const ANSWER_LIMIT_MS = 20_000
/** A handle that nobody asked for in a while is forgotten; so many are kept. */
const HANDLES_MAX = 64

type SeenHandle = { readonly handle: Buffer; readonly isDirectory: boolean }
type Inode = {
  readonly object?: Buffer | undefined
  readonly attributes?: { readonly type: number; readonly fileid: number; readonly nlink: number } | undefined
}

export class NfsDriver implements Driver {
  readonly durable = true
  readonly #client: NfsClient
  readonly #root: Buffer
  readonly #paths = new Map<string, Buffer>()
  /** Handles of what was seen, by pair and then by inode number. */
  readonly #seen: Map<string, SeenHandle>[] = Array.from({ length: PAIRS }, () => new Map())
  #serial = 0

  private constructor(client: NfsClient, root: Buffer) {
    this.#client = client
    this.#root = root
  }

  static async connect({ nfs }: DemoNode): Promise<NfsDriver> {
    const client = await NfsClient.connect(nfs.port, { host: nfs.host }).catch((error) => {
      throw new NotSent(String(error))
    })
    try {
      return new NfsDriver(client, await limited(client.mount(nfs.export)))
    } catch (error) {
      client.socket.destroy()
      throw new NotSent(String(error))
    }
  }

  close(): void {
    this.#client.socket.destroy()
  }

  async readBlock(file: string, block: number): Promise<string> {
    const object = await this.#path(`blocks/${file}`)
    return fromBlock(await this.#try(() => this.#client.read(object, block * BLOCK_STRIDE, VALUE_BYTES)))
  }

  async writeBlock(file: string, block: number, value: string, stable: boolean): Promise<void> {
    const object = await this.#path(`blocks/${file}`)
    const how = stable ? FILE_SYNC : UNSTABLE
    await this.#try(() => this.#client.write(object, block * BLOCK_STRIDE, toBlock(value), how))
  }

  readDocument(name: string): Promise<string> {
    return this.#content('documents', name).then((bytes) => bytes?.toString() ?? '')
  }

  async prepareDocument(name: string, value: string): Promise<() => Promise<void>> {
    const dir = await this.#path('documents')
    const temporary = `new-${value}-${++this.#serial}`
    const object = await this.#try(() => this.#client.create(dir, temporary))
    await this.#try(() => this.#client.write(object, 0, Buffer.from(value)))
    return async () => {
      await this.#try(() => this.#client.ok('RENAME', { fromDir: dir, fromName: temporary, toDir: dir, toName: name }))
    }
  }

  async removeDocument(name: string): Promise<boolean> {
    const dir = await this.#path('documents')
    const { error } = await this.#answer(() => this.#client.ok('REMOVE', { dir, name }))
    if (error && error !== 'ENOENT') throw new Error(`REMOVE of a document: ${error}`)
    return !error
  }

  readLog(name: string): Promise<readonly string[]> {
    return this.#content('logs', name).then((bytes) => fromLog(bytes))
  }

  async plan(pair: number, token: string, prng: Prng): Promise<Plan> {
    const [from, to] = [pickPlace(prng, SIDES, NAMES), pickPlace(prng, SIDES, NAMES)]
    const dir = await this.#path(`pair${pair}/${from.side}`)
    const toDir = await this.#path(`pair${pair}/${to.side}`)
    const { name } = from
    const client = this.#client
    const simple = (call: DirectoryCall, run: () => Promise<DirectoryAnswer | undefined>): Plan => ({
      call,
      make: async () => [{ call, answer: await this.#answer(run) }],
    })
    const kinds = [
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
      'link',
      'child',
    ] as const
    let kind: (typeof kinds)[number] = prng.pick(kinds)
    if (kind === 'link' && !hasLinks(pair)) kind = 'lookup'
    const seen = this.#seen[pair] as Map<string, SeenHandle>
    const note = (inode: Inode) => noteIn(seen, inode, false)
    const some = [...seen].filter(([, { isDirectory }]) => isDirectory === (kind === 'child'))
    if ((kind === 'link' || kind === 'child') && some.length === 0) kind = 'lookup'
    switch (kind) {
      case 'create': {
        const exclusive = prng.chance(0.6)
        const how = { kind: exclusive ? GUARDED : UNCHECKED, value: { ...unset, mode: 0o644 } } as const
        return simple({ kind: 'create', name: from.path, exclusive, token }, async () =>
          note(await client.ok('CREATE', { dir, name, how })),
        )
      }
      case 'mkdir':
        return simple({ kind: 'mkdir', name: from.path, token }, async () =>
          note(await client.ok('MKDIR', { dir, name, attributes: { ...unset, mode: 0o755 } })),
        )
      case 'unlink':
      case 'rmdir':
        return simple({ kind, name: from.path }, async () => {
          await client.ok(kind === 'unlink' ? 'REMOVE' : 'RMDIR', { dir, name })
          return {}
        })
      case 'rename':
        return simple({ kind: 'rename', name: from.path, to: to.path }, async () => {
          await client.ok('RENAME', { fromDir: dir, fromName: name, toDir, toName: to.name })
          return {}
        })
      case 'lookup':
        return simple({ kind: 'lookup', name: from.path }, async () =>
          noteIn(seen, await client.ok('LOOKUP', { dir, name }), hasLinks(pair)),
        )
      case 'list':
        return {
          call: { kind: 'list', directory: from.side },
          make: () => this.#list(from.side, dir),
        }
      case 'link': {
        const [id, { handle }] = prng.pick(some)
        return simple({ kind: 'link', id, to: to.path }, async () => {
          await client.ok('LINK', { object: handle, dir: toDir, name: to.name })
          return {}
        })
      }
      case 'child': {
        const [id, { handle }] = prng.pick(some)
        const make = prng.pick(['createIn', 'removeIn'] as const)
        return simple({ kind: make, id, child: CHILD }, async () => {
          const how = { kind: GUARDED, value: { ...unset, mode: 0o644 } } as const
          if (make === 'createIn') await client.ok('CREATE', { dir: handle, name: CHILD, how })
          else await client.ok('REMOVE', { dir: handle, name: CHILD })
          return {}
        })
      }
    }
  }

  /** Four names fit into one answer, so it is of one moment. */
  async #list(side: string, dir: Buffer): Promise<readonly Told[]> {
    const page = await this.#try(() =>
      this.#client.ok('READDIR', { dir, cookie: 0, verifier: Buffer.alloc(8), count: 8192 }),
    )
    if (!page.eof) throw new Error('a directory of a few names was listed in several parts')
    const known: readonly string[] = NAMES
    const entries = page.entries
      .filter(({ name }) => known.includes(name))
      .map(({ name, fileid }) => [name, { id: `${fileid}` }])
    return [{ call: { kind: 'list', directory: side }, answer: { entries: Object.fromEntries(entries) } }]
  }

  /** A file by name; a file replaced between look-up and read is looked up again. */
  async #content(directory: string, name: string): Promise<Buffer | undefined> {
    const dir = await this.#path(directory)
    for (;;) {
      try {
        const object = await this.#try(() => this.#client.lookup(dir, name))
        return await this.#try(() => this.#client.read(object, 0))
      } catch (error) {
        const code = error instanceof NfsStatusError ? errors[error.status] : undefined
        if (code === 'ENOENT') return undefined
        if (code !== 'ESTALE') throw error
      }
    }
  }

  async #path(path: string): Promise<Buffer> {
    const known = this.#paths.get(path)
    if (known) return known
    let at = this.#root
    for (const name of [TOP, ...path.split('/')]) {
      const dir = at
      at = await this.#try(() => this.#client.lookup(dir, name))
    }
    this.#paths.set(path, at)
    return at
  }

  async #answer(run: () => Promise<DirectoryAnswer | undefined | object>): Promise<DirectoryAnswer> {
    try {
      return ((await this.#try(run)) as DirectoryAnswer | undefined) ?? {}
    } catch (error) {
      const code = error instanceof NfsStatusError ? errors[error.status] : undefined
      if (!code) throw error
      return { error: code }
    }
  }

  async #try<T>(run: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await limited(run())
      } catch (error) {
        if (!(error instanceof NfsStatusError)) throw new Unanswered(String(error), false)
        if (error.status === JUKEBOX) await wait(20)
        else if (errors[error.status]) throw error
        else throw new Unanswered(error.message, true)
      }
    }
  }
}

function limited<T>(promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${ANSWER_LIMIT_MS} ms`)), ANSWER_LIMIT_MS)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/** What an answer tells about an inode, whose handle is kept. */
function noteIn(seen: Map<string, SeenHandle>, { object, attributes }: Inode, countsLinks: boolean): DirectoryAnswer {
  if (!attributes) return {}
  const id = `${attributes.fileid}`
  const isDirectory = attributes.type === DIRECTORY
  if (object) {
    seen.set(id, { handle: object, isDirectory })
    const [oldest] = seen.keys()
    if (seen.size > HANDLES_MAX && oldest !== undefined) seen.delete(oldest)
  }
  return { id, type: isDirectory ? 'dir' : 'file', ...(countsLinks && { links: attributes.nlink }) }
}
