/**
 * A matrix as a filesystem of @zenfs/core: what stands beneath its `fs`. Everything goes to the matrix at once, data and attributes, and an
 * answer means durable.
 *
 * The layer above keeps a file's attributes while the file is open, hands them back changed (`touch`) and would keep its content, too. Here
 * - files say that they are mapped directly (DAX), so content is never kept above: memory is bounded, and a read sees what other nodes wrote;
 * - each inode handed out carries what the matrix said (`OPEN`), so that `touch` sets what a program has changed and nothing else, on the
 *   object that was opened, whatever its name is by now;
 * - a truncation that the layer above has only noted is done before the next read or write;
 * - modification times that it makes up after a write are dropped: the matrix has its own.
 *
 * Directories that have been looked up are believed for `dirTtlMs`, as a kernel does; ESTALE looks them up anew. Synchronous calls
 * are refused with ENOTSUP: nobody can wait for a network in the middle of a call.
 */
import { constants } from 'node:fs'
import { basename, dirname, join } from 'node:path/posix'
import { type CreationOptions, InodeFlags, type InodeLike, type UsageInfo } from '@zenfs/core'
import { cacheOf } from '@zenfs/core/vfs/vcache'
import { AsyncFileSystem } from './async-filesystem.ts'
import { codeOf, failure } from './failure.ts'
import type { Attributes, Changes, Found, MatrixClient, ObjectType, Space } from './matrix-client.ts'
import * as client from './matrix-client.ts'

export type MatrixFileSystemOptions = {
  /** How long it is believed that a directory still has its name; ms. */
  readonly dirTtlMs?: number
  /** Whether a relative symbolic link on the way to a name is followed; default: yes. */
  readonly follows?: boolean
}

/** "mtrx" */
const TYPE = 0x6d747278
const DIR_TTL_MS = 1000
/** Directories remembered. */
const DIRS_MAX = 4096
/** Links followed on one way. */
const LINKS_MAX = 40
const PERMISSIONS = 0o7777
const BLOCK = 4096

const formats: Record<ObjectType, number> = {
  [client.FILE]: constants.S_IFREG,
  [client.DIRECTORY]: constants.S_IFDIR,
  [client.BLOCK_DEVICE]: constants.S_IFBLK,
  [client.CHARACTER_DEVICE]: constants.S_IFCHR,
  [client.SYMLINK]: constants.S_IFLNK,
  [client.SOCKET]: constants.S_IFSOCK,
  [client.PIPE]: constants.S_IFIFO,
}

/** What an inode that was handed out belongs to. */
const OPEN = Symbol('open')
type Open<Ref> = {
  readonly object: Ref
  /** As the matrix had it when it was last asked. */
  known: Known
}
type Known = { mode: number; uid: number; gid: number; size: number; atimeMs: number; mtimeMs: number; ctimeMs: number }

export interface MatrixInode extends InodeLike {
  /** Bytes allocated. */
  allocated: number
}
type Handed<Ref> = MatrixInode & { [OPEN]?: Open<Ref> }

type Directory<Ref> = {
  readonly object: Ref
  /** Its path without links. */
  readonly real: string
  readonly until: number
}

export class MatrixFileSystem<Ref = unknown> extends AsyncFileSystem {
  readonly #client: MatrixClient<Ref>
  readonly #dirTtlMs: number
  readonly #follows: boolean
  readonly #dirs = new Map<string, Directory<Ref>>()
  #space: Space = { totalBytes: 0, freeBytes: 0, totalFiles: 0, freeFiles: 0 }

  constructor(matrix: MatrixClient<Ref>, { dirTtlMs = DIR_TTL_MS, follows = true }: MatrixFileSystemOptions = {}) {
    super(TYPE, 'matrixfs')
    this.#client = matrix
    this.#dirTtlMs = dirTtlMs
    this.#follows = follows
    this.attributes.set('no_atime')
    this.attributes.set('no_async_preload')
  }

  override async ready(): Promise<void> {
    this.#space = await this.#client.space()
  }

  /** As of `ready` or the last `sync`. */
  override usage(): UsageInfo {
    const { totalBytes, freeBytes, totalFiles, freeFiles } = this.#space
    return {
      totalSpace: totalBytes,
      freeSpace: freeBytes,
      blockSize: BLOCK,
      totalNodes: totalFiles,
      freeNodes: freeFiles,
    }
  }

  /** Of the object itself, also when it is a symbolic link. */
  async stat(path: string): Promise<MatrixInode> {
    return this.#handOut(await this.#find(path))
  }

  async touch(path: string, wanted: Partial<InodeLike>): Promise<void> {
    const open = (wanted as Handed<Ref>)[OPEN]
    if (wanted.mode !== undefined && (wanted.mode & constants.S_IFMT) === constants.S_IFLNK && open) {
      if ((open.known.mode & constants.S_IFMT) === constants.S_IFREG) return this.#becomeLink(path, open.object)
    }
    const changes = open ? changesSince(open.known, wanted as InodeLike) : pick(wanted)
    if (Object.keys(changes).length === 0) return
    if (!open) {
      await this.#client.setattr((await this.#find(path)).object, changes)
      return
    }
    try {
      this.#learn(wanted as Handed<Ref>, await this.#client.setattr(open.object, changes))
    } catch (error) {
      // closed after its last name was removed: there is nothing left to set
      if (codeOf(error) !== 'ESTALE') throw error
    }
  }

  /** Symbolic links are made by `symlink`; the owner is whoever this client speaks for. */
  async createFile(path: string, { mode, rdev = 0 }: CreationOptions): Promise<MatrixInode> {
    const format = mode & constants.S_IFMT
    const permissions = mode & PERMISSIONS
    if (format === constants.S_IFLNK) throw failure('EINVAL', `create '${path}'`)
    if (format === constants.S_IFDIR) return this.mkdir(path, { mode: permissions })
    const type = Object.entries(formats).find(([, each]) => each === format)?.[0]
    const made = await this.#at(path, (dir, name) => {
      if (format === 0 || format === constants.S_IFREG) return this.#client.create(dir, name, permissions)
      const what = {
        type: Number(type) as ObjectType,
        mode: permissions,
        rdevMajor: rdev >>> 8,
        rdevMinor: rdev & 0xff,
      }
      return this.#client.mknod(dir, name, what)
    })
    return this.#handOut(made)
  }

  async mkdir(path: string, { mode }: Pick<CreationOptions, 'mode'>): Promise<MatrixInode> {
    return this.#handOut(await this.#at(path, (dir, name) => this.#client.mkdir(dir, name, mode & PERMISSIONS)))
  }

  /** In one step, unlike the layer above. */
  async symlink(target: string, path: string): Promise<void> {
    await this.#at(path, (dir, name) => this.#client.symlink(dir, name, target))
  }

  /** The path of a directory, without the relative links that `lookup` has followed. */
  async realDirectory(path: string): Promise<string> {
    return (await this.#directory(path)).real
  }

  async readlink(path: string): Promise<string> {
    const { object, attributes } = await this.#find(path)
    if (attributes.type !== client.SYMLINK) throw failure('EINVAL', `readlink '${path}'`)
    return this.#client.readlink(object)
  }

  async link(target: string, path: string): Promise<void> {
    const { object } = await this.#find(target)
    await this.#at(path, (dir, name) => this.#client.link(object, dir, name))
    const node = cacheOf(this).get(target)
    if (node) node.inode.nlink++
  }

  async unlink(path: string): Promise<void> {
    await this.#at(path, (dir, name) => this.#client.remove(dir, name))
    const node = cacheOf(this).get(path)
    if (node) node.inode.nlink--
  }

  async rmdir(path: string): Promise<void> {
    await this.#at(path, (dir, name) => this.#client.rmdir(dir, name))
    this.#forget(path)
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#at(from, (fromDir, fromName) =>
      this.#at(to, (toDir, toName) => this.#client.rename(fromDir, fromName, toDir, toName)),
    )
    this.#forget(from)
    this.#forget(to)
  }

  async readdir(path: string): Promise<string[]> {
    const { object, attributes } = await this.#find(path)
    if (attributes.type !== client.DIRECTORY) throw failure('ENOTDIR', `scandir '${path}'`)
    return (await this.#client.list(object)).map(({ name }) => name)
  }

  /** What lies beyond the file's end reads as zeroes. */
  async read(path: string, buffer: Uint8Array, start: number, end: number): Promise<void> {
    const open = await this.#settled(path)
    const object = open ? open.object : await this.#ofContent(path)
    const into = buffer.subarray(0, Math.max(0, end - start))
    if (typeof object === 'string') Buffer.from(object).copy(into, 0, start)
    else into.fill(0, await this.#client.read(object, into, start))
  }

  async write(path: string, buffer: Uint8Array, offset: number): Promise<void> {
    const open = await this.#settled(path)
    const object = open ? open.object : (await this.#find(path)).object
    const attributes = await this.#client.write(object, buffer, offset)
    const inode = cacheOf(this).get(path)?.inode as Handed<Ref> | undefined
    if (!open || !inode) return
    inode.size = Math.max(inode.size, attributes.size)
    open.known.size = attributes.size
    open.known.mtimeMs = inode.mtimeMs = attributes.mtimeMs
    open.known.ctimeMs = inode.ctimeMs = attributes.ctimeMs
    // the set-id bits go when others write
    if ((open.known.mode & PERMISSIONS) !== attributes.mode) this.#learn(inode, attributes)
  }

  /** All is durable already. */
  async sync(): Promise<void> {
    this.#space = await this.#client.space()
  }

  async close(): Promise<void> {
    await this.#client.close()
  }

  /** The object of an open file, with a truncation that the layer above has noted done first. */
  async #settled(path: string): Promise<Open<Ref> | undefined> {
    const node = cacheOf(this).get(path)
    const inode = node?.inode as Handed<Ref> | undefined
    const open = inode?.[OPEN]
    if (!node || !inode || !open || node.refs === 0) return undefined
    // protected above, by its name alone: nothing else tells of a truncation that is to come
    const shrinks = node['truncatedTo'] !== undefined && node['truncatedTo'] < open.known.size
    if (shrinks) open.known.size = (await this.#client.setattr(open.object, { size: node['truncatedTo'] })).size
    node['truncatedTo'] = undefined
    return open
  }

  /** A file to be read, or what a symbolic link says. */
  async #ofContent(path: string): Promise<Ref | string> {
    const { object, attributes } = await this.#find(path)
    return attributes.type === client.SYMLINK ? this.#client.readlink(object) : object
  }

  /** The layer above makes a link by writing its target into a file and calling that a link; other clients see the file until the rename. */
  async #becomeLink(path: string, file: Ref): Promise<void> {
    const { size } = await this.#client.getattr(file)
    const target = Buffer.alloc(size)
    await this.#client.read(file, target, 0)
    await this.#at(path, async (dir, name) => {
      const temporary = `.${name.slice(0, 200)}.${process.pid}.link`
      await this.#client.symlink(dir, temporary, target.toString())
      await this.#client.rename(dir, temporary, dir, name)
    })
  }

  #find(path: string): Promise<Found<Ref>> {
    if (path === '/') {
      const { object } = this.#client.root
      return this.#client.getattr(object).then((attributes) => ({ object, attributes }))
    }
    return this.#at(path, (dir, name) => this.#client.lookup(dir, name))
  }

  /** `work` in the directory that holds `path`; once more from the root when a directory has been removed or moved meanwhile. */
  async #at<T>(path: string, work: (dir: Ref, name: string) => Promise<T>): Promise<T> {
    const name = basename(path)
    if (name === '') throw failure('EBUSY', `'${path}' is the root`)
    try {
      return await work((await this.#directory(dirname(path))).object, name)
    } catch (error) {
      if (codeOf(error) !== 'ESTALE' || this.#dirs.size === 0) throw error
      this.#dirs.clear()
      return work((await this.#directory(dirname(path))).object, name)
    }
  }

  async #directory(path: string, links = 0): Promise<Directory<Ref>> {
    if (path === '/') return { object: this.#client.root.object, real: '/', until: Number.POSITIVE_INFINITY }
    const known = this.#dirs.get(path)
    if (known && performance.now() < known.until) return known
    const parent = await this.#directory(dirname(path), links)
    const name = basename(path)
    const { object, attributes } = await this.#client.lookup(parent.object, name)
    let found = { object, real: join(parent.real, name) }
    if (attributes.type === client.SYMLINK && this.#follows) {
      const target = await this.#client.readlink(object)
      if (links === LINKS_MAX) throw failure('ELOOP', `lookup '${path}'`)
      // one that leads to the root of the program is for the layer above, which knows what is mounted there
      if (target.startsWith('/')) throw failure('ENOTDIR', `lookup '${path}'`)
      found = await this.#directory(join(parent.real, target.replace(/(?<=.)\/+$/, '')), links + 1)
    } else if (attributes.type !== client.DIRECTORY) throw failure('ENOTDIR', `lookup '${path}'`)
    if (this.#dirs.size >= DIRS_MAX) this.#dirs.clear()
    const directory = { object: found.object, real: found.real, until: performance.now() + this.#dirTtlMs }
    this.#dirs.set(path, directory)
    return directory
  }

  /** A directory has another name, or none. */
  #forget(path: string): void {
    if (!this.#dirs.has(path)) return
    for (const each of this.#dirs.keys()) if (each === path || each.startsWith(`${path}/`)) this.#dirs.delete(each)
  }

  #handOut({ object, attributes }: Found<Ref>): Handed<Ref> {
    const { type, allocated, rdevMajor, rdevMinor, ...rest } = attributes
    const inode: Handed<Ref> = {
      ...rest,
      mode: formats[type] | attributes.mode,
      birthtimeMs: attributes.ctimeMs,
      rdev: rdevMajor * 256 + rdevMinor,
      flags: type === client.FILE ? InodeFlags.DAX : 0,
      allocated,
    }
    inode[OPEN] = { object, known: knownOf(inode) }
    return inode
  }

  #learn(inode: Handed<Ref>, { mode, uid, gid, size, atimeMs, mtimeMs, ctimeMs, allocated }: Attributes): void {
    const format = inode.mode & constants.S_IFMT
    Object.assign(inode, { mode: format | mode, uid, gid, size, atimeMs, mtimeMs, ctimeMs, allocated })
    const open = inode[OPEN]
    if (open) open.known = knownOf(inode)
  }
}

function knownOf({ mode, uid, gid, size, atimeMs, mtimeMs, ctimeMs }: InodeLike): Known {
  return { mode, uid, gid, size, atimeMs, mtimeMs, ctimeMs }
}

/** What a program has changed of an inode that it was given. */
function changesSince(known: Known, { mode, uid, gid, size, atimeMs, mtimeMs, ctimeMs }: InodeLike): Changes {
  // utimes sets both times and leaves ctime alone; a write makes up an mtime and a ctime
  const explicit = atimeMs !== known.atimeMs || (mtimeMs !== known.mtimeMs && ctimeMs === known.ctimeMs)
  return {
    ...((mode & PERMISSIONS) !== (known.mode & PERMISSIONS) && { mode: mode & PERMISSIONS }),
    ...(uid !== known.uid && { uid }),
    ...(gid !== known.gid && { gid }),
    ...(size !== known.size && { size }),
    ...(explicit && { atimeMs, mtimeMs }),
  }
}

function pick({ mode, uid, gid, size, atimeMs, mtimeMs }: Partial<InodeLike>): Changes {
  return {
    ...(mode !== undefined && { mode: mode & PERMISSIONS }),
    ...(uid !== undefined && { uid }),
    ...(gid !== undefined && { gid }),
    ...(size !== undefined && { size }),
    ...(atimeMs !== undefined && { atimeMs }),
    ...(mtimeMs !== undefined && { mtimeMs }),
  }
}
