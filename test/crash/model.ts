/**
 * What a POSIX tree is, in a few Maps: names, objects, attributes, and what is written to files, version by version. No crash, no
 * cache, no disk: the oracle's idea of what the filesystem should do.
 *
 * `run` does one operation and says with which error it should fail. A `Snapshot` is the tree after it; the content of files
 * is no part of it, since data may become durable at another time than names: it is a history per file (`events`).
 */
import { BLOCK_SIZE } from '../../src/base/limits.ts'
import { CHR, DIR, FIFO, type FileType, LNK, REG } from '../../src/metadata/index.ts'
import type { Operation } from './operation.ts'

export const CHMOD_MODE = 0o640
export const CHOWN = { uid: 1000, gid: 100 }
export const UTIMES = { s: 1_234_567_890, ns: 42 }
export const CREATE_MODE = 0o644
export const MKDIR_MODE = 0o755
export const DEVICE = { major: 4, minor: 64 }

/** Bytes of a file, and which of its blocks were ever written (the others are holes). */
export type Content = { readonly bytes: Buffer; readonly written: ReadonlySet<number> }

/** `step` numbers operations from 1; 0 is before the first. */
export type DataEvent =
  /** 'store': the file has no content before. */
  | { readonly step: number; readonly kind: 'write' | 'store'; readonly offset: number; readonly bytes: Buffer }
  | { readonly step: number; readonly kind: 'truncate'; readonly size: number }

type Node = {
  readonly id: number
  readonly type: FileType
  mode: number
  uid: number
  gid: number
  target: string
  /** The one that was set last, when nothing has changed the content since. */
  mtime: { readonly s: number; readonly ns: number } | undefined
  size: number
  readonly entries: Map<string, Node>
}

export type Entry = Readonly<Omit<Node, 'entries' | 'size'>> & { readonly nlink: number }
/** By path, without the root. */
export type Snapshot = ReadonlyMap<string, Entry>

export class Model {
  #nextId = 1
  readonly #root: Node = this.#make(DIR, 0o755)
  /** What happened to the bytes of each file, by id. */
  readonly events = new Map<number, DataEvent[]>()

  /** Does it, or gives the code of its error. Bytes written say where they came from. */
  run(operation: Operation, step: number): string | undefined {
    try {
      this.#run(operation, step)
      return undefined
    } catch (error) {
      if (error instanceof Refused) return error.code
      throw error
    }
  }

  resolve(path: string): Entry | undefined {
    const node = this.#find(path)
    return node && { ...node, nlink: 0 }
  }

  snapshot(): Snapshot {
    const out = new Map<string, Entry>()
    const links = new Map<number, number>()
    const visit = (directory: Node, prefix: string): void => {
      for (const [name, node] of directory.entries) {
        links.set(node.id, (links.get(node.id) ?? 0) + 1)
        out.set(prefix + name, { ...node, nlink: 0 })
        if (node.type === DIR) visit(node, `${prefix}${name}/`)
      }
    }
    visit(this.#root, '')
    for (const [path, node] of out) {
      const subdirectories = [...(this.#find(path)?.entries.values() ?? [])].filter(({ type }) => type === DIR).length
      out.set(path, { ...node, nlink: node.type === DIR ? 2 + subdirectories : (links.get(node.id) as number) })
    }
    return out
  }

  /** What an operation of this step writes; nothing when there is no such file. */
  bytesOf(operation: Operation, step: number): Buffer {
    if (operation.op === 'store') return stamped(operation.path, step, 0, operation.bytes)
    const node = operation.op === 'write' ? this.#find(operation.path) : undefined
    if (operation.op !== 'write' || node?.type !== REG) return Buffer.alloc(0)
    return stamped(operation.path, step, offsetOf(operation.at, node), operation.bytes)
  }

  #run(operation: Operation, step: number): void {
    switch (operation.op) {
      case 'create':
        this.#add(operation.path, this.#make(REG, CREATE_MODE))
        return
      case 'recreate': {
        const node = this.#find(operation.path)
        if (!node) return void this.#add(operation.path, this.#make(REG, CREATE_MODE))
        if (node.type !== REG) throw new Refused(node.type === DIR ? 'EISDIR' : 'EEXIST')
        return void this.#resize(node, 0, step)
      }
      case 'mkdir':
        return void this.#add(operation.path, this.#make(DIR, MKDIR_MODE))
      case 'fifo':
        return void this.#add(operation.path, this.#make(FIFO, CREATE_MODE))
      case 'device':
        return void this.#add(operation.path, this.#make(CHR, CREATE_MODE))
      case 'symlink':
        return void (this.#add(operation.path, this.#make(LNK, 0o777)).target = operation.target)
      case 'unlink':
      case 'unlink-open': {
        const { directory, name } = this.#place(operation.path)
        if (this.#mustFind(operation.path).type === DIR) throw new Refused('EISDIR')
        return void directory.entries.delete(name)
      }
      case 'rmdir': {
        const { directory, name } = this.#place(operation.path)
        const node = this.#mustFind(operation.path)
        if (node.type !== DIR) throw new Refused('ENOTDIR')
        if (node.entries.size > 0) throw new Refused('ENOTEMPTY')
        return void directory.entries.delete(name)
      }
      case 'link': {
        const node = this.#mustFind(operation.path)
        if (node.type === DIR) throw new Refused('EPERM')
        return void this.#add(operation.to, node)
      }
      case 'rename':
        return void this.#rename(operation.path, operation.to)
      case 'write': {
        const node = this.#file(operation.path)
        const offset = offsetOf(operation.at, node)
        const bytes = this.bytesOf(operation, step)
        node.size = Math.max(node.size, offset + bytes.length)
        node.mtime = undefined
        return void this.#note(node, { step, kind: 'write', offset, bytes })
      }
      case 'store':
        return void this.#store(operation.path, this.bytesOf(operation, step), step)
      case 'truncate':
        return void this.#resize(this.#file(operation.path), operation.size, step)
      case 'chmod':
        return void (this.#mustFind(operation.path).mode = CHMOD_MODE)
      case 'chown':
        return void Object.assign(this.#mustFind(operation.path), CHOWN)
      case 'utimes':
        return void (this.#mustFind(operation.path).mtime = UTIMES)
      case 'commit':
        return void this.#file(operation.path)
    }
  }

  #rename(path: string, to: string): void {
    const source = this.#place(path)
    const target = this.#place(to)
    const node = this.#mustFind(path)
    const old = target.directory.entries.get(target.name)
    if (old === node) return
    if (node.type === DIR && `${to}/`.startsWith(`${path}/`)) throw new Refused('EINVAL')
    if (old) {
      if (old.type === DIR && node.type !== DIR) throw new Refused('EISDIR')
      if (old.type !== DIR && node.type === DIR) throw new Refused('ENOTDIR')
      if (old.entries.size > 0) throw new Refused('ENOTEMPTY')
    }
    source.directory.entries.delete(source.name)
    target.directory.entries.set(target.name, node)
    this.#changed(source.directory)
    this.#changed(target.directory)
  }

  /** A new file in the place of whatever file has the name, with its mode and owner. */
  #store(path: string, bytes: Buffer, step: number): void {
    const { directory, name } = this.#place(path)
    const old = directory.entries.get(name)
    if (old?.type === DIR) throw new Refused('EISDIR')
    if (old && old.type !== REG) throw new Refused('EINVAL')
    const node = this.#make(REG, old ? old.mode & 0o1777 : CREATE_MODE)
    if (old) Object.assign(node, { uid: old.uid, gid: old.gid })
    node.size = bytes.length
    directory.entries.set(name, node)
    this.#changed(directory)
    this.#note(node, { step, kind: 'store', offset: 0, bytes })
  }

  #resize(node: Node, size: number, step: number): void {
    node.size = size
    node.mtime = undefined
    this.#note(node, { step, kind: 'truncate', size })
  }

  #note(node: Node, event: DataEvent): void {
    const events = this.events.get(node.id)
    if (events) events.push(event)
    else this.events.set(node.id, [event])
  }

  #make(type: FileType, mode: number): Node {
    return { id: this.#nextId++, type, mode, uid: 0, gid: 0, target: '', mtime: undefined, size: 0, entries: new Map() }
  }

  #add(path: string, node: Node): Node {
    const { directory, name } = this.#place(path)
    if (directory.entries.has(name)) throw new Refused('EEXIST')
    directory.entries.set(name, node)
    return node
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#root
    for (const name of path.split('/').filter(Boolean)) node = node?.entries.get(name)
    return node
  }

  #mustFind(path: string): Node {
    this.#place(path)
    const node = this.#find(path)
    if (!node) throw new Refused('ENOENT')
    return node
  }

  #file(path: string): Node {
    const node = this.#mustFind(path)
    if (node.type === DIR) throw new Refused('EISDIR')
    if (node.type !== REG) throw new Refused('EINVAL')
    return node
  }

  #place(path: string): { directory: Node; name: string } {
    const names = path.split('/')
    const name = names.pop() as string
    let directory = this.#root
    for (const each of names) {
      const next = directory.entries.get(each)
      if (!next) throw new Refused('ENOENT')
      if (next.type !== DIR) throw new Refused('ENOTDIR')
      directory = next
    }
    this.#changed(directory)
    return { directory, name }
  }

  /** Whatever is done in a directory may set its times. */
  #changed(directory: Node): void {
    directory.mtime = undefined
  }
}

class Refused extends Error {
  readonly code: string
  constructor(code: string) {
    super(code)
    this.code = code
  }
}

function offsetOf(at: number | 'end', { size }: Node): number {
  return at === 'end' ? size : at
}

/** Bytes that say, sector by sector, whose they are: no other operation writes the same, and none is zero. */
function stamped(path: string, step: number, offset: number, count: number): Buffer {
  const out = Buffer.alloc(count)
  for (let done = 0; done < count; ) {
    const at = offset + done
    const length = Math.min(512 - (at % 512), count - done)
    out.fill(`${path}@${step}#${Math.floor(at / 512)};`, done, done + length)
    done += length
  }
  return out
}

export const NOTHING: Content = { bytes: Buffer.alloc(0), written: new Set() }

/** `content` after one event. */
export function changed(content: Content, event: DataEvent): Content {
  if (event.kind === 'truncate') {
    const bytes = Buffer.alloc(event.size)
    content.bytes.copy(bytes)
    const written = new Set([...content.written].filter((block) => block * BLOCK_SIZE < event.size))
    return { bytes, written }
  }
  const end = event.offset + event.bytes.length
  const bytes = Buffer.alloc(Math.max(content.bytes.length, end))
  content.bytes.copy(bytes)
  event.bytes.copy(bytes, event.offset)
  const written = new Set(content.written)
  for (let block = Math.floor(event.offset / BLOCK_SIZE); block * BLOCK_SIZE < end; block++) written.add(block)
  return { bytes, written }
}
