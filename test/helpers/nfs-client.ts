/**
 * An NFS client for tests: RPC over TCP, every procedure by the tables, any number of calls under way. It knows nothing of
 * the server's hand-written codecs, so that it checks them.
 */
import { connect, type Socket } from 'node:net'
import { MOUNT_PROGRAM, MOUNT_V3, mountProcedures } from '../../src/gateway-nfs/mount/tables.ts'
import { NFS_PROGRAM, NFS_V3 } from '../../src/gateway-nfs/v3/constants.ts'
import {
  type ArgsOf,
  type OkOf,
  type ProcedureName,
  procedures,
  type ResultOf,
} from '../../src/gateway-nfs/v3/tables.ts'
import { XdrReader } from '../../src/gateway-nfs/xdr/reader.ts'
import type { Xdr } from '../../src/gateway-nfs/xdr/types.ts'
import { XdrWriter } from '../../src/gateway-nfs/xdr/writer.ts'

export type NfsUser = { readonly uid: number; readonly gid: number; readonly gids?: readonly number[] }

/** What a server answered to a call: the result's bytes, or why it was refused. */
export type RpcReply =
  | { readonly kind: 'success'; readonly from: XdrReader }
  | { readonly kind: 'accepted'; readonly status: number; readonly rest: Buffer }
  | { readonly kind: 'denied'; readonly words: readonly number[] }

/** A result other than NFS3_OK. */
export class NfsStatusError extends Error {
  readonly status: number
  readonly result: unknown
  constructor(procedure: string, status: number, result: unknown) {
    super(`${procedure} was answered with status ${status}`)
    this.status = status
    this.result = result
  }
}

/** Room for the largest call. */
const scratch = new XdrWriter(Buffer.alloc(2 * 1024 * 1024))

/** Attributes to set, none of them: the empty sattr3. */
export const unset = {
  mode: undefined,
  uid: undefined,
  gid: undefined,
  size: undefined,
  atime: { kind: 0, value: undefined },
  mtime: { kind: 0, value: undefined },
} as const

/** Bytes of a call's record without its mark. */
export function encodeCall(options: {
  xid: number
  program: number
  version: number
  procedure: number
  user?: NfsUser | undefined
  args?: Buffer
}): Buffer {
  const out = new XdrWriter(Buffer.alloc(1024 + (options.args?.length ?? 0)))
  for (const word of [options.xid, 0, 2, options.program, options.version, options.procedure]) out.uint32(word)
  if (options.user) {
    const { uid, gid, gids = [] } = options.user
    const body = new XdrWriter(Buffer.alloc(512))
    body.uint32(0)
    body.string('test')
    body.uint32(uid)
    body.uint32(gid)
    body.uint32(gids.length)
    for (const each of gids) body.uint32(each)
    out.uint32(1)
    out.opaque(body.bytes.subarray(0, body.at))
  } else for (const word of [0, 0]) out.uint32(word)
  for (const word of [0, 0]) out.uint32(word)
  if (options.args) out.fixed(options.args)
  return out.bytes.subarray(0, out.at)
}

/** A record of one fragment. */
export function marked(record: Buffer): Buffer {
  const mark = Buffer.alloc(4)
  mark.writeUInt32BE(0x80000000 + record.length)
  return Buffer.concat([mark, record])
}

export function encodeWith<T>(type: Xdr<T>, value: T): Buffer {
  scratch.at = 0
  type.encode(scratch, value)
  return Buffer.from(scratch.bytes.subarray(0, scratch.at))
}

export class NfsClient {
  readonly socket: Socket
  user: NfsUser | undefined = { uid: 0, gid: 0 }
  #xid = Math.floor(Math.random() * 2 ** 31)
  #received: Buffer = Buffer.alloc(0)
  readonly #waiting = new Map<number, { resolve: (reply: RpcReply) => void; reject: (error: Error) => void }>()
  /** Resolves when the connection is closed, whoever did it. */
  readonly closed: Promise<void>
  /** Replies that nobody waited for. */
  strays = 0

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk) => this.#take(chunk as Buffer))
    socket.on('error', () => {})
    this.closed = new Promise((resolve) =>
      socket.on('close', () => {
        for (const { reject } of this.#waiting.values()) reject(new Error('the connection was closed'))
        this.#waiting.clear()
        resolve()
      }),
    )
  }

  static connect(
    port: number,
    options: { host?: string; localPort?: number; localAddress?: string } = {},
  ): Promise<NfsClient> {
    return new Promise((resolve, reject) => {
      const { host = '127.0.0.1', localPort, localAddress } = options
      const socket = connect({ port, host, localPort, localAddress, noDelay: true })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new NfsClient(socket))
      })
    })
  }

  async close(): Promise<void> {
    this.socket.destroy()
    await this.closed
  }

  nextXid(): number {
    return (this.#xid = (this.#xid + 1) >>> 0)
  }

  /** Waits for the reply to `xid`, which the caller has sent or will send. */
  reply(xid: number): Promise<RpcReply> {
    return new Promise((resolve, reject) => this.#waiting.set(xid, { resolve, reject }))
  }

  /** One call; resolves with whatever the server says. */
  rpc(program: number, version: number, procedure: number, args?: Buffer, xid = this.nextXid()): Promise<RpcReply> {
    const reply = this.reply(xid)
    this.socket.write(marked(encodeCall({ xid, program, version, procedure, user: this.user, args })))
    return reply
  }

  /** One call of NFS version 3; the result as the protocol has it. */
  async call<N extends ProcedureName>(name: N, args: ArgsOf<N>, xid?: number): Promise<ResultOf<N>> {
    const { number, args: argsType, result } = procedures[name]
    const reply = await this.rpc(NFS_PROGRAM, NFS_V3, number, encodeWith(argsType as Xdr<ArgsOf<N>>, args), xid)
    return decodeWhole(name, reply, result as Xdr<ResultOf<N>>)
  }

  /** The same; rejects with NfsStatusError unless it is OK. */
  async ok<N extends ProcedureName>(name: N, args: ArgsOf<N>): Promise<OkOf<N>> {
    const result = (await this.call(name, args)) as { status: number; ok?: OkOf<N> }
    if (result.status !== 0) throw new NfsStatusError(name, result.status, result)
    return result.ok as OkOf<N>
  }

  /** The status alone. */
  async status<N extends ProcedureName>(name: N, args: ArgsOf<N>): Promise<number> {
    return ((await this.call(name, args)) as { status: number }).status
  }

  async mountCall<N extends keyof typeof mountProcedures>(name: N, path = '') {
    const { number, args, result } = mountProcedures[name]
    const bytes = encodeWith(args as Xdr<unknown>, path)
    const reply = await this.rpc(MOUNT_PROGRAM, MOUNT_V3, number, bytes)
    return decodeWhole(name, reply, result as Xdr<unknown>) as ReturnType<
      (typeof mountProcedures)[N]['result']['decode']
    >
  }

  /** The handle of an exported directory. */
  async mount(path: string): Promise<Buffer> {
    const result = await this.mountCall('MNT', path)
    if (!result.ok) throw new NfsStatusError('MNT', result.status, result)
    return result.ok.object
  }

  async create(dir: Buffer, name: string, mode = 0o644): Promise<Buffer> {
    const made = await this.ok('CREATE', { dir, name, how: { kind: 0, value: { ...unset, mode } } })
    return made.object as Buffer
  }

  async mkdir(dir: Buffer, name: string, mode = 0o755): Promise<Buffer> {
    return (await this.ok('MKDIR', { dir, name, attributes: { ...unset, mode } })).object as Buffer
  }

  async lookup(dir: Buffer, name: string): Promise<Buffer> {
    return (await this.ok('LOOKUP', { dir, name })).object
  }

  write(object: Buffer, offset: number, data: Buffer, stable = 2) {
    return this.ok('WRITE', { object, offset, count: data.length, stable, data })
  }

  async read(object: Buffer, offset = 0, count = 1024 * 1024): Promise<Buffer> {
    return (await this.ok('READ', { object, offset, count })).data
  }

  /** All names of a directory by READDIR, `count` bytes at a time. */
  async list(dir: Buffer, count = 4096): Promise<string[]> {
    const names: string[] = []
    let cookie = 0
    let verifier: Buffer = Buffer.alloc(8)
    for (;;) {
      const page = await this.ok('READDIR', { dir, cookie, verifier, count })
      names.push(...page.entries.map((entry) => entry.name))
      if (page.eof) return names
      cookie = page.entries.at(-1)?.cookie as number
      verifier = page.verifier
    }
  }

  #take(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    while (this.#received.length >= 4) {
      const length = this.#received.readUInt32BE(0) & 0x7fffffff
      if (this.#received.length < 4 + length) return
      const record = this.#received.subarray(4, 4 + length)
      this.#received = this.#received.subarray(4 + length)
      const waiting = this.#waiting.get(record.readUInt32BE(0))
      if (waiting) {
        this.#waiting.delete(record.readUInt32BE(0))
        waiting.resolve(parseReply(record))
      } else this.strays++
    }
  }
}

export function parseReply(record: Buffer): RpcReply {
  const from = new XdrReader().reset(record, 4, record.length)
  if (from.uint32() !== 1) throw new Error('not a reply')
  if (from.uint32() === 1) {
    return { kind: 'denied', words: Array.from({ length: from.remaining / 4 }, () => from.uint32()) }
  }
  from.uint32()
  from.opaque(400)
  const status = from.uint32()
  if (status !== 0) return { kind: 'accepted', status, rest: Buffer.from(record.subarray(from.at)) }
  return { kind: 'success', from }
}

/** The value of a successful reply; throws unless it is all of it. */
export function decodeWhole<T>(name: string, reply: RpcReply, type: Xdr<T>): T {
  if (reply.kind !== 'success') throw new Error(`${name} was refused: ${JSON.stringify(reply)}`)
  const result = type.decode(reply.from)
  if (reply.from.remaining !== 0) throw new Error(`${name}: ${reply.from.remaining} bytes after the result`)
  return result
}
