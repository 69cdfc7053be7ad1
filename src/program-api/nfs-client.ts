/**
 * A matrix over NFS version 3 (RFC 1813): any program, on any machine that an export admits. It speaks by the tables that the server's
 * codecs are held against, so it works with other servers, too.
 *
 * Every WRITE is stable (FILE_SYNC): an answer means durable, and no verifier has to be watched. Large reads and writes go in
 * pieces of the server's own size, some at a time. NFS3ERR_JUKEBOX ("later": while a node recovers) is asked again until the time limit.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type ArgsOf,
  type AttributesToSet,
  MNT3_OK,
  MOUNT_PROGRAM,
  MOUNT_V3,
  mountProcedures,
  type Attributes as NfsAttributes,
  nfs3,
  type OkOf,
  type ProcedureName,
  procedures,
  type ResultOf,
  type Xdr,
  XdrWriter,
} from '../gateway-nfs/index.ts'
import { type ErrorCode, failure } from './failure.ts'
import {
  type Attributes,
  type Changes,
  type Found,
  type Listed,
  type MatrixClient,
  millisecondsOf,
  type ObjectType,
  PIPE,
  SOCKET,
  type Space,
  timeOf,
} from './matrix-client.ts'
import type { NfsPlace } from './nfs-url.ts'
import { RpcConnection, type User } from './rpc-connection.ts'

export type NfsClientOptions = NfsPlace & { readonly user: User; readonly timeoutMs: number }

/** Pieces of one read or write under way. */
const PIECES_AT_ONCE = 4
/** A piece is never larger, bytes. */
const PIECE_MAX = 1024 * 1024
/** Bytes of a listing asked for at once. */
const LISTING_BYTES = 64 * 1024
/** Before a call that was put off is made again, ms. */
const LATER_MS = 100
/** Beside the data of a call: names, handles, attributes; bytes. */
const ARGS_BYTES = 16 * 1024

const codes: Record<number, ErrorCode> = {
  [nfs3.NFS3ERR_PERM]: 'EPERM',
  [nfs3.NFS3ERR_NOENT]: 'ENOENT',
  [nfs3.NFS3ERR_IO]: 'EIO',
  [nfs3.NFS3ERR_ACCES]: 'EACCES',
  [nfs3.NFS3ERR_EXIST]: 'EEXIST',
  [nfs3.NFS3ERR_XDEV]: 'EXDEV',
  [nfs3.NFS3ERR_NOTDIR]: 'ENOTDIR',
  [nfs3.NFS3ERR_ISDIR]: 'EISDIR',
  [nfs3.NFS3ERR_INVAL]: 'EINVAL',
  [nfs3.NFS3ERR_FBIG]: 'EFBIG',
  [nfs3.NFS3ERR_NOSPC]: 'ENOSPC',
  [nfs3.NFS3ERR_ROFS]: 'EROFS',
  [nfs3.NFS3ERR_MLINK]: 'EMLINK',
  [nfs3.NFS3ERR_NAMETOOLONG]: 'ENAMETOOLONG',
  [nfs3.NFS3ERR_NOTEMPTY]: 'ENOTEMPTY',
  [nfs3.NFS3ERR_STALE]: 'ESTALE',
  [nfs3.NFS3ERR_BADHANDLE]: 'ESTALE',
  [nfs3.NFS3ERR_BAD_COOKIE]: 'ESTALE',
  [nfs3.NFS3ERR_NOTSUPP]: 'ENOTSUP',
  [nfs3.NFS3ERR_BADTYPE]: 'ENOTSUP',
}

export class NfsClient implements MatrixClient<Buffer> {
  readonly #connection: RpcConnection
  readonly #timeoutMs: number
  readonly root: Found<Buffer>
  readonly #readMax: number
  readonly #writeMax: number

  private constructor(
    connection: RpcConnection,
    timeoutMs: number,
    root: Found<Buffer>,
    readMax: number,
    writeMax: number,
  ) {
    this.#connection = connection
    this.#timeoutMs = timeoutMs
    this.root = root
    this.#readMax = readMax
    this.#writeMax = writeMax
  }

  /** Rejects when nobody listens there, or the path is not exported to this host. */
  static async connect(options: NfsClientOptions): Promise<NfsClient> {
    const { host, port, mountPort, path, timeoutMs } = options
    const handle = await mount(options, mountPort ?? port, path)
    const connection = await RpcConnection.open({ host, port, user: options.user, timeoutMs })
    try {
      const { attributes } = await call(connection, timeoutMs, 'GETATTR', { object: handle })
      const { readMax, writeMax } = await call(connection, timeoutMs, 'FSINFO', { object: handle })
      const piece = (most: number) => Math.max(4096, Math.min(most, PIECE_MAX))
      const root = { object: handle, attributes: attributesOf(attributes) }
      return new NfsClient(connection, timeoutMs, root, piece(readMax), piece(writeMax))
    } catch (error) {
      connection.close()
      throw error
    }
  }

  async getattr(object: Buffer): Promise<Attributes> {
    return attributesOf((await this.#call('GETATTR', { object })).attributes)
  }

  async setattr(object: Buffer, changes: Changes): Promise<Attributes> {
    const done = await this.#call('SETATTR', { object, attributes: changesOf(changes), guardCtime: undefined })
    return this.#after(object, done.object.after)
  }

  async lookup(dir: Buffer, name: string): Promise<Found<Buffer>> {
    const { object, attributes } = await this.#call('LOOKUP', { dir, name: wire(name) })
    return { object, attributes: await this.#after(object, attributes) }
  }

  async readlink(object: Buffer): Promise<string> {
    return text((await this.#call('READLINK', { object })).target)
  }

  async read(object: Buffer, into: Uint8Array, offset: number): Promise<number> {
    let end = into.length
    await inPieces(into.length, this.#readMax, async (start, length) => {
      for (let at = start; at < Math.min(start + length, end); ) {
        const { data, eof } = await this.#call('READ', { object, offset: offset + at, count: start + length - at })
        into.set(data, at)
        at += data.length
        if (eof || data.length === 0) end = Math.min(end, at)
      }
    })
    return end
  }

  async write(object: Buffer, data: Uint8Array, offset: number): Promise<Attributes> {
    let last: NfsAttributes | undefined
    await inPieces(data.length, this.#writeMax, async (start, length) => {
      for (let at = start; at < start + length; ) {
        const piece = Buffer.from(data.buffer, data.byteOffset + at, start + length - at)
        const args = { object, offset: offset + at, count: piece.length, stable: nfs3.FILE_SYNC, data: piece }
        const done = await this.#call('WRITE', args, piece.length)
        if (done.count === 0) throw failure('EIO', 'write')
        at += done.count
        if (done.object.after && done.object.after.size >= (last?.size ?? 0)) last = done.object.after
      }
    })
    return this.#after(object, last)
  }

  async create(dir: Buffer, name: string, mode: number): Promise<Found<Buffer>> {
    const how = { kind: nfs3.GUARDED, value: changesOf({ mode }) } as ArgsOf<'CREATE'>['how']
    return this.#made(dir, name, await this.#call('CREATE', { dir, name: wire(name), how }))
  }

  async mkdir(dir: Buffer, name: string, mode: number): Promise<Found<Buffer>> {
    const args = { dir, name: wire(name), attributes: changesOf({ mode }) }
    return this.#made(dir, name, await this.#call('MKDIR', args))
  }

  async symlink(dir: Buffer, name: string, target: string): Promise<Found<Buffer>> {
    const args = { dir, name: wire(name), attributes: changesOf({ mode: 0o777 }), target: wire(target) }
    return this.#made(dir, name, await this.#call('SYMLINK', args))
  }

  async mknod(
    dir: Buffer,
    name: string,
    { type, mode, rdevMajor, rdevMinor }: Pick<Attributes, 'type' | 'mode' | 'rdevMajor' | 'rdevMinor'>,
  ): Promise<Found<Buffer>> {
    const attributes = changesOf({ mode })
    const value = type === PIPE || type === SOCKET ? { attributes } : { attributes, major: rdevMajor, minor: rdevMinor }
    const what = { kind: type, value } as ArgsOf<'MKNOD'>['what']
    return this.#made(dir, name, await this.#call('MKNOD', { dir, name: wire(name), what }))
  }

  async remove(dir: Buffer, name: string): Promise<void> {
    await this.#call('REMOVE', { dir, name: wire(name) })
  }

  async rmdir(dir: Buffer, name: string): Promise<void> {
    await this.#call('RMDIR', { dir, name: wire(name) })
  }

  async rename(fromDir: Buffer, fromName: string, toDir: Buffer, toName: string): Promise<void> {
    await this.#call('RENAME', { fromDir, fromName: wire(fromName), toDir, toName: wire(toName) })
  }

  async link(object: Buffer, dir: Buffer, name: string): Promise<void> {
    await this.#call('LINK', { object, dir, name: wire(name) })
  }

  async list(dir: Buffer): Promise<readonly Listed[]> {
    const names: Listed[] = []
    let verifier: Buffer = Buffer.alloc(nfs3.VERIFIER_BYTES)
    for (let cookie = 0; ; ) {
      const page = await this.#call('READDIR', { dir, cookie, verifier, count: LISTING_BYTES })
      for (const { name, fileid } of page.entries) {
        if (name !== '.' && name !== '..') names.push({ name: text(name), ino: fileid })
      }
      if (page.eof) return names
      const last = page.entries.at(-1)
      if (!last) throw failure('EPROTO', 'readdir: an empty page that is not the last')
      cookie = last.cookie
      verifier = page.verifier
    }
  }

  async space(): Promise<Space> {
    const { totalBytes, availableBytes, totalFiles, availableFiles } = await this.#call('FSSTAT', {
      object: this.root.object,
    })
    return { totalBytes, freeBytes: availableBytes, totalFiles, freeFiles: availableFiles }
  }

  async close(): Promise<void> {
    this.#connection.close()
  }

  #call<N extends ProcedureName>(name: N, args: ArgsOf<N>, dataBytes = 0): Promise<OkOf<N>> {
    return call(this.#connection, this.#timeoutMs, name, args, dataBytes)
  }

  /** The attributes that came with an answer, which may leave them out. */
  async #after(object: Buffer, attributes: NfsAttributes | undefined): Promise<Attributes> {
    return attributes ? attributesOf(attributes) : this.getattr(object)
  }

  async #made(dir: Buffer, name: string, made: OkOf<'CREATE'>): Promise<Found<Buffer>> {
    if (!made.object) return this.lookup(dir, name)
    return { object: made.object, attributes: await this.#after(made.object, made.attributes) }
  }
}

async function mount(options: NfsClientOptions, port: number, path: string): Promise<Buffer> {
  const { host, user, timeoutMs } = options
  const connection = await RpcConnection.open({ host, port, user, timeoutMs })
  try {
    const { number, args, result } = mountProcedures.MNT
    const from = await connection.call(
      MOUNT_PROGRAM,
      MOUNT_V3,
      number,
      encode(args as Xdr<unknown>, wire(path), 0),
      'MNT',
    )
    const mounted = result.decode(from)
    if (mounted.status === MNT3_OK && mounted.ok) return mounted.ok.object
    throw failure(codes[mounted.status] ?? 'EIO', `mount of ${path} at ${host}:${port}`)
  } finally {
    connection.close()
  }
}

async function call<N extends ProcedureName>(
  connection: RpcConnection,
  timeoutMs: number,
  name: N,
  args: ArgsOf<N>,
  dataBytes = 0,
): Promise<OkOf<N>> {
  const { number, args: argsType, result: resultType } = procedures[name]
  const record = encode(argsType as Xdr<unknown>, args, dataBytes)
  const what = name.toLowerCase()
  for (let waited = 0; ; waited += LATER_MS) {
    const from = await connection.call(nfs3.NFS_PROGRAM, nfs3.NFS_V3, number, record, what)
    const result = (resultType as Xdr<ResultOf<N>>).decode(from) as { status: number; ok?: OkOf<N> }
    if (result.status === nfs3.NFS3_OK) return result.ok as OkOf<N>
    if (result.status !== nfs3.NFS3ERR_JUKEBOX) throw failure(codes[result.status] ?? 'EIO', what)
    if (waited >= timeoutMs) throw failure('ETIMEDOUT', what)
    await sleep(LATER_MS)
  }
}

function encode(type: Xdr<unknown>, value: unknown, dataBytes: number): Buffer {
  const out = new XdrWriter(Buffer.allocUnsafe(ARGS_BYTES + dataBytes))
  type.encode(out, value)
  return out.bytes.subarray(0, out.at)
}

/** `work` on every piece of `total` bytes, a few at a time. */
async function inPieces(
  total: number,
  most: number,
  work: (start: number, length: number) => Promise<void>,
): Promise<void> {
  let next = 0
  const worker = async () => {
    while (next < total) {
      const start = next
      next = Math.min(total, start + most)
      await work(start, next - start)
    }
  }
  await Promise.all(Array.from({ length: Math.min(PIECES_AT_ONCE, Math.ceil(total / most)) }, worker))
}

function attributesOf(from: NfsAttributes): Attributes {
  const { mode, nlink, uid, gid, size, rdevMajor, rdevMinor, atime, mtime, ctime } = from
  return {
    ...{ mode, nlink, uid, gid, size, rdevMajor, rdevMinor },
    type: from.type as ObjectType,
    allocated: from.used,
    ino: from.fileid,
    atimeMs: millisecondsOf(atime.s, atime.ns),
    mtimeMs: millisecondsOf(mtime.s, mtime.ns),
    ctimeMs: millisecondsOf(ctime.s, ctime.ns),
  }
}

function changesOf({ mode, uid, gid, size, atimeMs, mtimeMs }: Changes): AttributesToSet {
  const time = (ms: number | undefined) =>
    ms === undefined
      ? { kind: nfs3.DONT_CHANGE, value: undefined }
      : { kind: nfs3.SET_TO_CLIENT_TIME, value: timeOf(ms) }
  return { mode, uid, gid, size, atime: time(atimeMs), mtime: time(mtimeMs) } as AttributesToSet
}

/** Names travel as bytes, a character each. */
function wire(name: string): string {
  return Buffer.from(name, 'utf8').toString('latin1')
}

function text(name: string): string {
  return Buffer.from(name, 'latin1').toString('utf8')
}
