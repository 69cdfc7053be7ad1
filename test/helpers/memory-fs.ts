/**
 * A MatrixFs in a few Maps: what gateways' unit tests run against, for cases that the real filesystem only shows by luck.
 * `fault` may fail any verb; `asynchronous` makes every verb answer by promise. Checks permission as far as gateways notice.
 */
import { FsError } from '../../src/base/errors.ts'
import { isPromise, type MaybePromise } from '../../src/base/maybe-promise.ts'
import {
  type AttributeChanges,
  type Before,
  type Caller,
  type CreateHow,
  type DavPlace,
  DIR,
  type FileType,
  type Inode,
  type InodeVersion,
  isVersion,
  type ListingSeal,
  LNK,
  type MatrixFs,
  type PropertyPatch,
  REG,
  type RenameHow,
  type StoreHow,
} from '../../src/metadata/index.ts'
import { LocalRangeLocks } from './local-range-locks.ts'
import { MemoryClients } from './memory-clients.ts'

type Node = { -readonly [Key in keyof Inode]: Inode[Key] } & {
  data: Buffer
  entries: Map<string, { ino: number; cookie: number }>
  opens: number
  properties: Map<string, string>
}

export type MemoryFsOptions = {
  readonly capacity?: number
  readonly asynchronous?: boolean
  /** Called before every verb; a returned error is what the verb fails with. */
  readonly fault?: (verb: string, args: readonly unknown[]) => Error | undefined
}

const DIR_BITS = 0o777

export class MemoryFs {
  readonly #nodes = new Map<number, Node>()
  readonly #options: MemoryFsOptions
  #nextIno = 2
  #time = Date.now()
  readonly fs: MatrixFs
  /** Verbs called, by name. */
  readonly calls = new Map<string, number>()

  constructor(options: MemoryFsOptions = {}) {
    this.#options = options
    const root = this.#make(DIR, DIR_BITS, { uid: 0, gid: 0, gids: [] }, 1)
    root.parent = 1
    this.#nodes.set(1, root)
    this.fs = this.#face()
  }

  /** Bytes of all files. */
  get used(): number {
    let sum = 0
    for (const node of this.#nodes.values()) sum += node.data.length
    return sum
  }

  /** Inodes that exist, the root included. */
  get count(): number {
    return this.#nodes.size
  }

  /** Names in a directory, hidden ones too. */
  names(ino = 1): string[] {
    return [...this.#get(ino).entries.keys()]
  }

  /** Lets the clock go on. */
  pass(ms: number): void {
    this.#time += ms
  }

  #make(type: FileType, mode: number, caller: Caller, ino = this.#nextIno++): Node {
    const s = Math.floor(this.#time / 1000)
    return {
      ino,
      generation: 1,
      type,
      mode,
      nlink: type === DIR ? 2 : 1,
      uid: caller.uid,
      gid: caller.gid,
      size: 0,
      rdevMajor: 0,
      rdevMinor: 0,
      atimeS: s,
      atimeNs: 0,
      mtimeS: s,
      mtimeNs: 0,
      ctimeS: s,
      ctimeNs: 0,
      btimeS: s,
      btimeNs: 0,
      change: 1,
      parent: 0,
      nextCookie: 3,
      target: '',
      allocated: 0,
      wire: undefined,
      data: Buffer.alloc(0),
      entries: new Map(),
      opens: 0,
      properties: new Map(),
    }
  }

  #get(ino: number): Node {
    const node = this.#nodes.get(ino)
    if (!node) throw new FsError('ESTALE')
    return node
  }

  #dir(ino: number): Node {
    const node = this.#get(ino)
    if (node.type !== DIR) throw new FsError('ENOTDIR')
    return node
  }

  #granted(caller: Caller, node: Node): number {
    if (caller.uid === 0) return 7
    const shift = caller.uid === node.uid ? 6 : caller.gid === node.gid || caller.gids.includes(node.gid) ? 3 : 0
    return (node.mode >> shift) & 7
  }

  #need(caller: Caller, node: Node, bits: number): void {
    if ((this.#granted(caller, node) & bits) !== bits) throw new FsError('EACCES')
  }

  #touch(node: Node, what: 'content' | 'attributes'): void {
    node.change++
    node.wire = undefined
    this.#time += 1
    node.ctimeS = Math.floor(this.#time / 1000)
    node.ctimeNs = (this.#time % 1000) * 1e6
    if (what === 'content') {
      node.mtimeS = node.ctimeS
      node.mtimeNs = node.ctimeNs
    }
  }

  #child(dir: Node, name: string): Node {
    if (name === '.') return dir
    if (name === '..') return this.#get(dir.parent)
    const entry = dir.entries.get(name)
    if (!entry) throw new FsError('ENOENT')
    return this.#get(entry.ino)
  }

  #add(dir: Node, name: string, node: Node): void {
    if (name.length > 255) throw new FsError('ENAMETOOLONG')
    dir.entries.set(name, { ino: node.ino, cookie: dir.nextCookie++ })
    if (node.type === DIR) {
      node.parent = dir.ino
      dir.nlink++
    }
    this.#touch(dir, 'content')
  }

  #drop(dir: Node, name: string): void {
    const node = this.#child(dir, name)
    dir.entries.delete(name)
    if (node.type === DIR) dir.nlink--
    this.#touch(dir, 'content')
    this.#touch(node, 'attributes')
    node.nlink -= node.type === DIR ? 2 : 1
    if (node.nlink === 0 && node.opens === 0) this.#nodes.delete(node.ino)
  }

  #created(caller: Caller, dirIno: number, name: string, type: FileType, changes: AttributeChanges) {
    const dir = this.#dir(dirIno)
    this.#need(caller, dir, 3)
    if (dir.entries.has(name)) throw new FsError('EEXIST')
    const node = this.#make(type, changes.mode ?? 0o644, caller)
    this.#nodes.set(node.ino, node)
    this.#add(dir, name, node)
    return { before: before(dir), dir, inode: node, created: true }
  }

  #store(caller: Caller, dirIno: number, name: string, content: Buffer, how: StoreHow) {
    const dir = this.#dir(dirIno)
    this.#need(caller, dir, 3)
    const old = dir.entries.has(name) ? this.#child(dir, name) : undefined
    how.expect?.(old)
    if (old && how.noReplace) throw new FsError('EEXIST')
    if (old?.type === DIR) throw new FsError('EISDIR')
    if (old) this.#need(caller, old, 2)
    const node = this.#make(REG, old ? old.mode & 0o1777 : how.mode, caller)
    if (old && caller.uid === 0) Object.assign(node, { uid: old.uid, gid: old.gid })
    node.properties = new Map(old?.properties)
    this.#nodes.set(node.ino, node)
    try {
      this.#write(node.ino, 0, content)
    } catch (error) {
      this.#nodes.delete(node.ino)
      throw error
    }
    if (how.mtime) this.#change(node, { mtime: how.mtime })
    if (old) this.#drop(dir, name)
    this.#add(dir, name, node)
    return { before: before(dir), dir, inode: node, created: !old }
  }

  #write(ino: number, at: number | 'end', data: Buffer): Node {
    const node = this.#get(ino)
    const offset = at === 'end' ? node.size : at
    if (offset + data.length > node.size) this.#resize(node, offset + data.length)
    data.copy(node.data, offset)
    this.#touch(node, 'content')
    return node
  }

  #resize(node: Node, size: number): void {
    const capacity = this.#options.capacity ?? Number.POSITIVE_INFINITY
    if (this.used - node.data.length + size > capacity) throw new FsError('ENOSPC')
    const data = Buffer.alloc(size)
    node.data.copy(data)
    node.data = data
    node.size = size
  }

  #change(node: Node, changes: AttributeChanges): void {
    if (changes.mode !== undefined) node.mode = changes.mode
    if (changes.uid !== undefined) node.uid = changes.uid
    if (changes.gid !== undefined) node.gid = changes.gid
    if (changes.size !== undefined) this.#resize(node, changes.size)
    if (Object.keys(changes).length > 0) this.#touch(node, changes.size === undefined ? 'attributes' : 'content')
    if (changes.mtime && changes.mtime !== 'now') {
      node.mtimeS = changes.mtime.s
      node.mtimeNs = changes.mtime.ns
    }
    if (changes.atime && changes.atime !== 'now') node.atimeS = changes.atime.s
  }

  #rename(
    caller: Caller,
    fromIno: number,
    fromName: string,
    toIno: number,
    toName: string,
    { noReplace = false, fresh }: RenameHow = {},
  ) {
    const from = this.#dir(fromIno)
    const to = this.#dir(toIno)
    this.#need(caller, from, 3)
    this.#need(caller, to, 3)
    const node = this.#child(from, fromName)
    for (let dir = to; node.type === DIR; dir = this.#get(dir.parent)) {
      if (dir === node) throw new FsError('EINVAL')
      if (dir.ino === dir.parent) break
    }
    if (noReplace && to.entries.has(toName)) throw new FsError('EEXIST')
    const old = to.entries.has(toName) ? this.#child(to, toName) : undefined
    if (fresh === 'content') node.properties = new Map(old?.properties)
    if (old && old !== node) {
      if (old.type === DIR && node.type !== DIR) throw new FsError('EISDIR')
      if (old.type !== DIR && node.type === DIR) throw new FsError('ENOTDIR')
      if (old.type === DIR && old.entries.size > 0) throw new FsError('ENOTEMPTY')
      this.#drop(to, toName)
    }
    from.entries.delete(fromName)
    if (node.type === DIR) from.nlink--
    this.#add(to, toName, node)
    this.#touch(from, 'content')
    this.#touch(node, 'attributes')
    return { from: { before: before(from), dir: from }, to: { before: before(to), dir: to } }
  }

  #list(dirIno: number, cookie: number, limit: number) {
    const dir = this.#dir(dirIno)
    const all = [
      { name: '.', cookie: 1, ino: dir.ino },
      { name: '..', cookie: 2, ino: dir.parent },
      ...[...dir.entries].map(([name, entry]) => ({ name, ...entry })),
    ]
    const rest = all.filter((entry) => entry.cookie > cookie).sort((a, b) => a.cookie - b.cookie)
    const entries = rest.slice(0, limit).map((entry) => {
      const inode = this.#get(entry.ino)
      return { ...entry, inode, type: inode.type }
    })
    return { dir, entries, eof: entries.length === rest.length }
  }

  #face(): MatrixFs {
    const verb = <Args extends unknown[], Result>(name: string, run: (...args: Args) => Result) => {
      return (...args: Args): MaybePromise<Result> => {
        this.calls.set(name, (this.calls.get(name) ?? 0) + 1)
        const attempt = () => {
          const error = this.#options.fault?.(name, args)
          if (error) throw error
          return run(...args)
        }
        if (!this.#options.asynchronous) return attempt()
        return new Promise((resolve, reject) =>
          setImmediate(() => {
            try {
              resolve(attempt())
            } catch (error) {
              reject(error)
            }
          }),
        )
      }
    }
    const store = verb('store', (caller: Caller, dir: number, name: string, content: Buffer, how: StoreHow) =>
      this.#store(caller, dir, name, content, how),
    )
    const face: MatrixFs = {
      name: 'memory',
      fsid: 7,
      writeVerifier: Buffer.alloc(8, 1),
      ranges: new LocalRangeLocks(),
      clients: new MemoryClients(),
      getattr: verb('getattr', (ino) => this.#get(ino)),
      setattr: verb('setattr', (caller: Caller, ino: number, changes: AttributeChanges) => {
        const node = this.#get(ino)
        if (caller.uid !== 0 && caller.uid !== node.uid) throw new FsError('EPERM')
        if (caller.uid !== 0 && changes.uid !== undefined && changes.uid !== node.uid) throw new FsError('EPERM')
        this.#change(node, changes)
        return { before: before(node), inode: node }
      }),
      lookup: verb('lookup', (caller: Caller, dirIno: number, name: string) => {
        const dir = this.#dir(dirIno)
        this.#need(caller, dir, 1)
        return { dir, inode: this.#child(dir, name) }
      }),
      access: verb('access', (caller: Caller, ino: number, wanted: number) => {
        const node = this.#get(ino)
        return { inode: node, granted: this.#granted(caller, node) & wanted }
      }),
      readlink: verb('readlink', (_: Caller, ino: number) => ({
        inode: this.#get(ino),
        target: this.#get(ino).target,
      })),
      read: verb('read', (caller: Caller, ino: number, offset: number, length: number, trusted?: boolean) => {
        const node = this.#get(ino)
        if (node.type === DIR) throw new FsError('EISDIR')
        if (!trusted) this.#need(caller, node, 4)
        const piece = node.data.subarray(offset, offset + length)
        return { inode: node, pieces: [piece], length: piece.length, eof: offset + piece.length >= node.size }
      }),
      write: verb('write', (_: Caller, ino: number, at: number | 'end', data: Buffer) => {
        const node = this.#write(ino, at, data)
        return { before: before(node), inode: node }
      }),
      commitFile: verb('commitFile', (ino: number) => ({ before: before(this.#get(ino)), inode: this.#get(ino) })),
      create: verb('create', (caller: Caller, dir: number, name: string, changes: AttributeChanges, _: CreateHow) =>
        this.#created(caller, dir, name, REG, changes),
      ),
      store: async (...args) => store(...args),
      mkdir: verb('mkdir', (caller: Caller, dir: number, name: string, changes: AttributeChanges) =>
        this.#created(caller, dir, name, DIR, changes),
      ),
      symlink: verb('symlink', (caller: Caller, dir: number, name: string, target: string) => {
        const made = this.#created(caller, dir, name, LNK, { mode: 0o777 })
        made.inode.target = target
        return made
      }),
      mknod: verb('mknod', (caller: Caller, dir: number, name: string, type: FileType, changes: AttributeChanges) =>
        this.#created(caller, dir, name, type, changes),
      ),
      remove: verb('remove', (caller: Caller, dirIno: number, name: string) => {
        const dir = this.#dir(dirIno)
        this.#need(caller, dir, 3)
        if (this.#child(dir, name).type === DIR) throw new FsError('EISDIR')
        this.#drop(dir, name)
        return { before: before(dir), dir }
      }),
      rmdir: verb('rmdir', (caller: Caller, dirIno: number, name: string) => {
        const dir = this.#dir(dirIno)
        this.#need(caller, dir, 3)
        const node = this.#child(dir, name)
        if (node.type !== DIR) throw new FsError('ENOTDIR')
        if (node.entries.size > 0) throw new FsError('ENOTEMPTY')
        this.#drop(dir, name)
        return { before: before(dir), dir }
      }),
      rename: verb(
        'rename',
        (caller: Caller, from: number, fromName: string, to: number, toName: string, how?: RenameHow) =>
          this.#rename(caller, from, fromName, to, toName, how),
      ),
      link: verb('link', (caller: Caller, ino: number, dirIno: number, name: string) => {
        const dir = this.#dir(dirIno)
        this.#need(caller, dir, 3)
        if (dir.entries.has(name)) throw new FsError('EEXIST')
        const node = this.#get(ino)
        node.nlink++
        this.#add(dir, name, node)
        return { before: before(dir), dir, inode: node }
      }),
      readdir: verb('readdir', (caller: Caller, dir: number, cookie: number, limit: number) => {
        this.#need(caller, this.#dir(dir), 4)
        return this.#list(dir, cookie, limit)
      }),
      readdirplus: verb('readdirplus', (caller: Caller, dir: number, cookie: number, limit: number) => {
        this.#need(caller, this.#dir(dir), 4)
        return this.#list(dir, cookie, limit)
      }),
      isUnchanged: verb('isUnchanged', (caller: Caller, dir: number, seal: ListingSeal) => {
        this.#need(caller, this.#dir(dir), 4)
        const isSame = (version: InodeVersion) => isVersion(version, this.#nodes.get(version.inode.ino))
        return isSame(seal.dir) && seal.members.every(isSame)
      }),
      statfs: verb('statfs', () => {
        const totalBytes = this.#options.capacity ?? 2 ** 40
        return { totalBytes, freeBytes: totalBytes - this.used, totalFiles: 2 ** 32, freeFiles: 2 ** 32 - this.count }
      }),
      // a filesystem in memory keeps properties, and knows no locks
      dav: {
        locks: verb('dav.locks', () => new Map()),
        check: verb('dav.check', () => undefined),
        write: verb('dav.write', (_: Caller, _dir: number, ino: number, offset: number, data: Buffer) => {
          this.#write(ino, offset, data)
        }),
        lock: verb('dav.lock', () => {
          throw new FsError('ENOTSUP')
        }),
        refresh: verb('dav.refresh', () => undefined),
        unlock: verb('dav.unlock', () => false),
        properties: verb(
          'dav.properties',
          (inos: readonly number[]) => new Map(inos.map((ino) => [ino, new Map(this.#get(ino).properties)])),
        ),
        patchProperties: verb('dav.patchProperties', (caller: Caller, place: DavPlace, patch: PropertyPatch) => {
          const node = place.name === '' ? this.#get(1) : this.#child(this.#dir(place.dir), place.name)
          if (caller.uid !== 0 && caller.uid !== node.uid) throw new FsError('EPERM')
          this.#change(node, patch.attributes)
          for (const name of patch.remove) node.properties.delete(name)
          for (const [name, value] of patch.set) node.properties.set(name, value)
        }),
        copyProperties: verb('dav.copyProperties', (_: Caller, from: number, to: number) => {
          for (const [name, value] of this.#get(from).properties) this.#get(to).properties.set(name, value)
        }),
      },
      open: verb('open', (ino: number) => {
        this.#get(ino).opens++
        return this.#get(ino)
      }),
      close: (ino) => {
        const node = this.#get(ino)
        if (--node.opens === 0 && node.nlink === 0) this.#nodes.delete(ino)
      },
      afterDurable: (done) => {
        const failed = verb('afterDurable', () => undefined)()
        if (isPromise(failed)) failed.then(() => done(), done)
        else done()
      },
      sync: async () => {},
    }
    return face
  }
}

function before(node: Node): Before {
  const { size, mtimeS, mtimeNs, ctimeS, ctimeNs } = node
  return { size, mtimeS, mtimeNs, ctimeS, ctimeNs }
}
