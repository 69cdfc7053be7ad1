/**
 * ONC RPC over one TCP connection (RFC 5531), the side that calls: any number of calls under way, answers in any order.
 *
 * A connection that breaks is made again, and every call without an answer is sent again with its transaction id: a node of the matrix that
 * has done it already, or whose dead neighbour has, gives the first answer again instead of doing it twice. A call
 * that stays without an answer for its time limit fails with ETIMEDOUT; whether it was done is then unknown.
 */
import { randomInt } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { XdrReader, XdrWriter } from '../gateway-nfs/index.ts'
import { failure } from './failure.ts'

/** In whose name calls are made (AUTH_SYS). */
export type User = { readonly uid: number; readonly gid: number; readonly gids?: readonly number[] }

export type ConnectionOptions = {
  readonly host: string
  readonly port: number
  readonly user: User
  /** A call without an answer fails after so long; ms. */
  readonly timeoutMs: number
}

/** Between two attempts to connect, ms. */
const RECONNECT_MS = 200
const LAST_FRAGMENT = 0x8000_0000
/** No answer is longer: twice the longest READ or listing. */
const RECORD_MAX = 4 * 1024 * 1024
/** Groups in AUTH_SYS (RFC 5531 appendix A). */
const GROUPS_MAX = 16
/** Header of a call with its credentials, bytes. */
const HEADER_BYTES = 512

type Call = {
  readonly record: Buffer
  readonly what: string
  readonly timer: NodeJS.Timeout
  resolve(reply: XdrReader): void
  reject(error: Error): void
}

export class RpcConnection {
  readonly #options: ConnectionOptions
  readonly #calls = new Map<number, Call>()
  readonly #credentials: Buffer
  #socket: Socket | undefined
  #xid = randomInt(2 ** 32)
  #received: Buffer[] = []
  #receivedBytes = 0
  #closed = false

  private constructor(options: ConnectionOptions) {
    this.#options = options
    this.#credentials = credentialsOf(options.user)
  }

  /** Rejects when nobody listens there. */
  static async open(options: ConnectionOptions): Promise<RpcConnection> {
    const connection = new RpcConnection(options)
    await connection.#connect()
    return connection
  }

  /** @param what for messages; @param args encoded; resolves with the result, to be decoded at once */
  call(program: number, version: number, procedure: number, args: Buffer, what: string): Promise<XdrReader> {
    if (this.#closed) return Promise.reject(failure('ENOTCONN', what))
    const xid = (this.#xid = (this.#xid + 1) >>> 0)
    const head = new XdrWriter(Buffer.alloc(HEADER_BYTES))
    head.at = 4
    for (const word of [xid, 0, 2, program, version, procedure, 1]) head.uint32(word)
    head.opaque(this.#credentials)
    head.uint32(0)
    head.uint32(0)
    head.view.setUint32(0, LAST_FRAGMENT + head.at - 4 + args.length)
    const record = Buffer.concat([head.bytes.subarray(0, head.at), args])
    return new Promise((resolve, reject) => {
      const { timeoutMs, host, port } = this.#options
      const timer = setTimeout(() => {
        this.#calls.delete(xid)
        reject(failure('ETIMEDOUT', `${what}: no answer from ${host}:${port} for ${timeoutMs} ms`))
      }, timeoutMs)
      this.#calls.set(xid, { record, what, timer, resolve, reject })
      this.#socket?.write(record)
    })
  }

  close(): void {
    this.#closed = true
    this.#socket?.destroy()
    for (const call of this.#calls.values()) {
      clearTimeout(call.timer)
      call.reject(failure('ENOTCONN', `${call.what}: the connection was closed`))
    }
    this.#calls.clear()
  }

  #connect(): Promise<void> {
    const { host, port } = this.#options
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, noDelay: true, keepAlive: true })
      socket.once('error', (error) => {
        reject(error)
        socket.destroy()
      })
      socket.once('connect', () => {
        this.#socket = socket
        this.#received = []
        this.#receivedBytes = 0
        socket.on('data', (chunk: Buffer) => this.#take(chunk))
        socket.on('error', () => socket.destroy())
        socket.once('close', () => this.#lost())
        if (this.#closed) socket.destroy()
        for (const { record } of this.#calls.values()) socket.write(record)
        resolve()
      })
    })
  }

  async #lost(): Promise<void> {
    this.#socket = undefined
    while (!this.#closed) {
      await sleep(RECONNECT_MS, undefined, { ref: this.#calls.size > 0 })
      if (this.#closed) return
      try {
        return await this.#connect()
      } catch {
        // the node is not back yet; calls fail by their own time limits
      }
    }
  }

  #take(chunk: Buffer): void {
    this.#received.push(chunk)
    this.#receivedBytes += chunk.length
    while (this.#receivedBytes >= 4) {
      if ((this.#received[0] as Buffer).length < 4) this.#received = [Buffer.concat(this.#received)]
      const mark = (this.#received[0] as Buffer).readUInt32BE(0)
      const length = mark & ~LAST_FRAGMENT
      if (mark < LAST_FRAGMENT || length > RECORD_MAX) {
        this.#socket?.destroy()
        return
      }
      if (this.#receivedBytes < 4 + length) return
      const all = this.#received.length === 1 ? (this.#received[0] as Buffer) : Buffer.concat(this.#received)
      const rest = all.subarray(4 + length)
      this.#received = rest.length > 0 ? [rest] : []
      this.#receivedBytes = rest.length
      this.#answered(all.subarray(4, 4 + length))
    }
  }

  #answered(record: Buffer): void {
    const from = new XdrReader().reset(record, 0, record.length)
    const xid = from.uint32()
    const call = this.#calls.get(xid)
    if (!call) return
    this.#calls.delete(xid)
    clearTimeout(call.timer)
    try {
      acceptReply(from, call.what)
      call.resolve(from)
    } catch (error) {
      call.reject(error as Error)
    }
  }
}

/** Reads on to the result of a call; throws when it was refused. */
function acceptReply(from: XdrReader, what: string): void {
  if (from.uint32() !== 1) throw failure('EPROTO', `${what}: not a reply`)
  if (from.uint32() !== 0) throw failure('EACCES', `${what}: the server denies these credentials`)
  from.uint32()
  from.opaque(400)
  const status = from.uint32()
  if (status !== 0) throw failure('EPROTO', `${what}: the server does not know this call (accept_stat ${status})`)
}

function credentialsOf({ uid, gid, gids = [] }: User): Buffer {
  const body = new XdrWriter(Buffer.alloc(256))
  body.uint32(0)
  body.string('matrixfs')
  body.uint32(uid)
  body.uint32(gid)
  const few = gids.slice(0, GROUPS_MAX)
  body.uint32(few.length)
  for (const each of few) body.uint32(each)
  return body.bytes.subarray(0, body.at)
}
