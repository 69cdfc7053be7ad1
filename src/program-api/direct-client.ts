/**
 * A filesystem of the matrix within matrixd itself: no network and no export in between. Verbs run in the name of `caller`, and an answer
 * means durable, as it does over NFS.
 */
import { type FsError, isFsError } from '../base/errors.ts'
import { type Ino, ROOT_INO } from '../base/ids.ts'
import type { AttributeChanges, Caller, Inode, MatrixFs } from '../metadata/index.ts'
import { type ErrorCode, failure } from './failure.ts'
import {
  type Attributes,
  type Changes,
  type Found,
  type Listed,
  type MatrixClient,
  millisecondsOf,
  type ObjectType,
  type Space,
  timeOf,
} from './matrix-client.ts'

/** Bytes of one read or write of a file. */
const PIECE = 1024 * 1024
/** Entries of a listing at once. */
const PAGE = 512

const SUPERUSER: Caller = { uid: 0, gid: 0, gids: [] }

export class DirectClient implements MatrixClient<Ino> {
  readonly #fs: MatrixFs
  readonly #caller: Caller
  readonly root: Found<Ino>

  private constructor(fs: MatrixFs, caller: Caller, root: Found<Ino>) {
    this.#fs = fs
    this.#caller = caller
    this.root = root
  }

  /** @param path the directory of the filesystem that is to be the root; ENOENT, ENOTDIR */
  static async open(fs: MatrixFs, path = '/', caller = SUPERUSER): Promise<DirectClient> {
    const top = { object: ROOT_INO, attributes: attributesOf(await fs.getattr(ROOT_INO)) }
    const client = new DirectClient(fs, caller, top)
    let found: Found<Ino> = top
    for (const name of path.split('/').filter((each) => each !== '')) found = await client.lookup(found.object, name)
    return new DirectClient(fs, caller, found)
  }

  getattr(object: Ino): Promise<Attributes> {
    return attempt('getattr', async () => attributesOf(await this.#fs.getattr(object)))
  }

  setattr(object: Ino, { mode, uid, gid, size, atimeMs, mtimeMs }: Changes): Promise<Attributes> {
    const changes: AttributeChanges = {
      ...(mode !== undefined && { mode }),
      ...(uid !== undefined && { uid }),
      ...(gid !== undefined && { gid }),
      ...(size !== undefined && { size }),
      ...(atimeMs !== undefined && { atime: timeOf(atimeMs) }),
      ...(mtimeMs !== undefined && { mtime: timeOf(mtimeMs) }),
    }
    return this.#change('setattr', async () =>
      attributesOf((await this.#fs.setattr(this.#caller, object, changes)).inode),
    )
  }

  lookup(dir: Ino, name: string): Promise<Found<Ino>> {
    return attempt('lookup', async () => found((await this.#fs.lookup(this.#caller, dir, bytes(name))).inode))
  }

  readlink(object: Ino): Promise<string> {
    return attempt('readlink', async () => text((await this.#fs.readlink(this.#caller, object)).target))
  }

  read(object: Ino, into: Uint8Array, offset: number): Promise<number> {
    return attempt('read', async () => {
      let at = 0
      while (at < into.length) {
        const length = Math.min(PIECE, into.length - at)
        const { pieces, eof, length: got } = await this.#fs.read(this.#caller, object, offset + at, length)
        for (const piece of pieces) {
          into.set(piece, at)
          at += piece.length
        }
        if (eof || got === 0) break
      }
      return at
    })
  }

  write(object: Ino, data: Uint8Array, offset: number): Promise<Attributes> {
    return attempt('write', async () => {
      let attributes = data.length === 0 ? await this.getattr(object) : undefined
      for (let at = 0; at < data.length; at += PIECE) {
        const length = Math.min(PIECE, data.length - at)
        const piece = Buffer.from(data.buffer, data.byteOffset + at, length)
        const { inode } = await this.#fs.write(this.#caller, object, offset + at, piece, true)
        attributes = attributesOf(inode)
      }
      return attributes as Attributes
    })
  }

  create(dir: Ino, name: string, mode: number): Promise<Found<Ino>> {
    return this.#change('create', async () =>
      found((await this.#fs.create(this.#caller, dir, bytes(name), { mode }, 'guarded')).inode),
    )
  }

  mkdir(dir: Ino, name: string, mode: number): Promise<Found<Ino>> {
    return this.#change('mkdir', async () =>
      found((await this.#fs.mkdir(this.#caller, dir, bytes(name), { mode })).inode),
    )
  }

  symlink(dir: Ino, name: string, target: string): Promise<Found<Ino>> {
    return this.#change('symlink', async () =>
      found((await this.#fs.symlink(this.#caller, dir, bytes(name), bytes(target), { mode: 0o777 })).inode),
    )
  }

  mknod(
    dir: Ino,
    name: string,
    { type, mode, rdevMajor, rdevMinor }: Pick<Attributes, 'type' | 'mode' | 'rdevMajor' | 'rdevMinor'>,
  ): Promise<Found<Ino>> {
    return this.#change('mknod', async () => {
      const made = await this.#fs.mknod(this.#caller, dir, bytes(name), type, { mode }, rdevMajor, rdevMinor)
      return found(made.inode)
    })
  }

  async remove(dir: Ino, name: string): Promise<void> {
    await this.#change('unlink', async () => this.#fs.remove(this.#caller, dir, bytes(name)))
  }

  async rmdir(dir: Ino, name: string): Promise<void> {
    await this.#change('rmdir', async () => this.#fs.rmdir(this.#caller, dir, bytes(name)))
  }

  async rename(fromDir: Ino, fromName: string, toDir: Ino, toName: string): Promise<void> {
    await this.#change('rename', async () =>
      this.#fs.rename(this.#caller, fromDir, bytes(fromName), toDir, bytes(toName)),
    )
  }

  async link(object: Ino, dir: Ino, name: string): Promise<void> {
    await this.#change('link', async () => this.#fs.link(this.#caller, object, dir, bytes(name)))
  }

  list(dir: Ino): Promise<readonly Listed[]> {
    return attempt('readdir', async () => {
      const names: Listed[] = []
      for (let cookie = 0; ; ) {
        const { entries, eof } = await this.#fs.readdir(this.#caller, dir, cookie, PAGE)
        for (const { name, ino } of entries) if (name !== '.' && name !== '..') names.push({ name: text(name), ino })
        const last = entries.at(-1)
        if (eof || !last) return names
        cookie = last.cookie
      }
    })
  }

  async space(): Promise<Space> {
    return this.#fs.statfs()
  }

  async close(): Promise<void> {}

  /** The answer of a verb once what it changed is durable. */
  #change<T>(what: string, verb: () => Promise<T>): Promise<T> {
    return attempt(what, async () => {
      const done = await verb()
      await new Promise<void>((resolve, reject) =>
        this.#fs.afterDurable((error) => (error ? reject(error) : resolve())),
      )
      return done
    })
  }
}

async function attempt<T>(what: string, verb: () => Promise<T>): Promise<T> {
  try {
    return await verb()
  } catch (error) {
    if (!isFsError(error)) throw error
    throw failure(codeFor(error), what, error)
  }
}

/** Failures of the filesystem that POSIX has no name for are EIO. */
function codeFor({ code }: FsError): ErrorCode {
  if (code === 'ELOCKED') return 'EACCES'
  if (code === 'EDOUBT' || code === 'EBADCOOKIE') return 'EIO'
  return code
}

function found(inode: Inode): Found<Ino> {
  return { object: inode.ino, attributes: attributesOf(inode) }
}

function attributesOf(inode: Inode): Attributes {
  const { mode, nlink, uid, gid, size, allocated, rdevMajor, rdevMinor, ino } = inode
  return {
    ...{ mode, nlink, uid, gid, size, allocated, rdevMajor, rdevMinor, ino },
    type: inode.type as ObjectType,
    atimeMs: millisecondsOf(inode.atimeS, inode.atimeNs),
    mtimeMs: millisecondsOf(inode.mtimeS, inode.mtimeNs),
    ctimeMs: millisecondsOf(inode.ctimeS, inode.ctimeNs),
  }
}

function bytes(name: string): string {
  return Buffer.from(name, 'utf8').toString('latin1')
}

function text(name: string): string {
  return Buffer.from(name, 'latin1').toString('utf8')
}
