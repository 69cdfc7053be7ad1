/**
 * RPC calls that this node makes: to a client's port mapper, lock manager and status monitor, and to an rpcbind of this machine.
 *
 * A TCP connection is kept while it is of use, so that a lock is granted to its waiter without another handshake; a call by UDP has a
 * socket of its own and is sent again until it is answered. Whoever is called is believed nothing: replies have limits, and each call a time.
 */
import { createSocket } from 'node:dgram'
import { connect, isIPv6, type Socket } from 'node:net'
import type { Clock, Timer } from '../../platform/clock.ts'
import { CALL_CONNECTIONS_MAX, CALL_IDLE_MS, CALL_RESEND_MS } from '../limits.ts'
import type { Procedure } from '../xdr/procedure.ts'
import { XdrError, XdrReader } from '../xdr/reader.ts'
import { XdrWriter } from '../xdr/writer.ts'
import { RecordError, RecordReader } from './record-marking.ts'
import type { Transport } from './transport.ts'

/** Where a program listens: on an address, `from` one of ours (undefined: any), or at a socket of this machine. */
export type Endpoint =
  | {
      readonly transport: Transport
      readonly address: string
      readonly port: number
      readonly from: string | undefined
    }
  | { readonly path: string }

/** Who calls, in AUTH_SYS: root of the machine of that name. */
export type CallCredential = { readonly machine: string } | undefined

export type OutgoingProgram = { readonly program: number; readonly version: number }

/** 'unreachable': it did not get there. 'late', 'broken': it may have, and no answer came. 'refused': an answer other than success. */
export type CallFailure = 'unreachable' | 'late' | 'broken' | 'refused'

/** Why a call has no result. */
export class CallError extends Error {
  override readonly name = 'CallError'
  readonly failure: CallFailure
  constructor(failure: CallFailure, message: string) {
    super(message)
    this.failure = failure
  }
}

type Waiting = { readonly resolve: (record: Buffer) => void; readonly reject: (error: CallError) => void }

const AUTH_BYTES = 256
const RPC_VERSION = 2
const AUTH_SYS = 1

export type CallOptions = {
  readonly limitMs: number
  /** Room for arguments; default that of a few numbers and a short text. */
  readonly argumentBytes?: number
  /** By UDP, until it is answered. False: the answer to a second one might be another. */
  readonly resend?: boolean
}

export class RpcCaller {
  readonly #clock: Clock
  readonly #streams = new Map<string, OutgoingStream>()
  readonly #credential: CallCredential
  #xid: number
  #closed = false

  /** `firstXid`: random, so that nobody guesses those of the next calls. */
  constructor(options: { readonly clock: Clock; readonly credential: CallCredential; readonly firstXid: number }) {
    this.#clock = options.clock
    this.#credential = options.credential
    this.#xid = options.firstXid >>> 0
  }

  /** Calls a procedure; rejects with CallError. */
  async call<A, R>(
    to: Endpoint,
    { program, version }: OutgoingProgram,
    procedure: Procedure<A, R>,
    args: A,
    { limitMs, argumentBytes = AUTH_BYTES, resend = true }: CallOptions,
  ): Promise<R> {
    const xid = (this.#xid = (this.#xid + 1) >>> 0)
    const out = new XdrWriter(Buffer.alloc(4 + AUTH_BYTES * 2 + argumentBytes))
    out.at = 4
    for (const word of [xid, 0, RPC_VERSION, program, version, procedure.number]) out.uint32(word)
    putCredential(out, this.#credential)
    procedure.args.encode(out, args)
    out.view.setUint32(0, 0x80000000 + out.at - 4)
    const marked = out.bytes.subarray(0, out.at)
    const record = await this.#exchange(to, xid, marked, limitMs, resend)
    return resultOf(record, procedure)
  }

  /** Makes a connection ahead of the call that will need it soon; what goes wrong is seen by that call. */
  prepare(to: Endpoint): void {
    if (!('transport' in to) || to.transport === 'tcp') this.#stream(to)
  }

  close(): void {
    this.#closed = true
    for (const stream of this.#streams.values()) stream.destroy()
    this.#streams.clear()
  }

  #exchange(to: Endpoint, xid: number, marked: Buffer, limitMs: number, resend: boolean): Promise<Buffer> {
    if (this.#closed) throw new CallError('unreachable', 'the server is closed')
    return new Promise((resolve, reject) => {
      let stop: () => void = () => {}
      const timer = this.#clock.after(limitMs, () => {
        stop()
        reject(new CallError('late', `no answer from ${nameOf(to)} within ${limitMs} ms`))
      })
      const waiting: Waiting = {
        resolve: (record) => {
          timer.cancel()
          resolve(record)
        },
        reject: (error) => {
          timer.cancel()
          reject(error)
        },
      }
      if ('transport' in to && to.transport === 'udp')
        stop = exchangeDatagrams(this.#clock, to, xid, marked.subarray(4), resend, waiting)
      else stop = this.#stream(to).exchange(xid, marked, waiting)
    })
  }

  #stream(to: Endpoint): OutgoingStream {
    const key = nameOf(to)
    const known = this.#streams.get(key)
    if (known) return known
    if (this.#streams.size >= CALL_CONNECTIONS_MAX) this.#dropOldest()
    const stream = new OutgoingStream(to, this.#clock, () => {
      if (this.#streams.get(key) === stream) this.#streams.delete(key)
    })
    this.#streams.set(key, stream)
    return stream
  }

  #dropOldest(): void {
    for (const [key, stream] of this.#streams) {
      this.#streams.delete(key)
      stream.destroy()
      return
    }
  }
}

/** A connection of ours. */
class OutgoingStream {
  readonly #socket: Socket
  readonly #to: Endpoint
  readonly #clock: Clock
  readonly #waiting = new Map<number, Waiting>()
  readonly #records = new RecordReader((bytes, start, end) => this.#take(Buffer.from(bytes.subarray(start, end))))
  #idle: Timer
  #why = 'the connection was closed'
  #connected = false

  constructor(to: Endpoint, clock: Clock, onEnd: () => void) {
    this.#to = to
    this.#clock = clock
    const socket =
      'path' in to
        ? connect({ path: to.path })
        : connect({
            host: to.address,
            port: to.port,
            noDelay: true,
            ...(to.from !== undefined && { localAddress: to.from }),
          })
    this.#socket = socket
    this.#idle = clock.after(CALL_IDLE_MS, () => socket.destroy())
    socket.on('connect', () => (this.#connected = true))
    socket.on('data', (chunk) => this.#received(chunk))
    socket.on('error', (error) => (this.#why = error.message))
    socket.on('end', () => socket.destroy())
    socket.on('close', () => {
      this.#idle.cancel()
      onEnd()
      for (const { reject } of this.#waiting.values())
        reject(new CallError(this.#connected ? 'broken' : 'unreachable', `${nameOf(to)}: ${this.#why}`))
      this.#waiting.clear()
    })
  }

  /** Gives what ends the wait. */
  exchange(xid: number, marked: Buffer, waiting: Waiting): () => void {
    this.#restIdle()
    this.#waiting.set(xid, waiting)
    this.#socket.write(marked)
    return () => {
      this.#waiting.delete(xid)
      // a peer that is gone without a word keeps the connection for ever: the next call tries anew
      if (this.#waiting.size === 0) this.#socket.destroy()
    }
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #restIdle(): void {
    this.#idle.cancel()
    this.#idle = this.#clock.after(CALL_IDLE_MS, () => this.#socket.destroy())
  }

  #received(chunk: Buffer): void {
    try {
      this.#records.push(chunk)
    } catch (error) {
      if (!(error instanceof RecordError)) throw error
      this.#why = `${nameOf(this.#to)} does not speak RPC: ${error.message}`
      this.#socket.destroy()
    }
  }

  #take(record: Buffer): boolean {
    if (record.length < 4) return true
    const xid = record.readUInt32BE(0)
    const waiting = this.#waiting.get(xid)
    this.#waiting.delete(xid)
    waiting?.resolve(record)
    return true
  }
}

/** Sends a call until it is answered; gives what ends that. */
function exchangeDatagrams(
  clock: Clock,
  to: Extract<Endpoint, { readonly transport: Transport }>,
  xid: number,
  record: Buffer,
  resend: boolean,
  { resolve, reject }: Waiting,
): () => void {
  const socket = createSocket(isIPv6(to.address) ? 'udp6' : 'udp4')
  let over = false
  const send = () => {
    if (!over) socket.send(record, to.port, to.address)
  }
  const timer = clock.every(CALL_RESEND_MS, () => resend && send())
  const end = () => {
    if (over) return
    over = true
    timer.cancel()
    socket.close()
  }
  socket.on('error', (error) => {
    end()
    reject(new CallError('unreachable', `${nameOf(to)}: ${error.message}`))
  })
  socket.on('message', (reply, from) => {
    if (from.address !== to.address || from.port !== to.port || reply.length < 4 || reply.readUInt32BE(0) !== xid)
      return
    end()
    resolve(reply)
  })
  socket.bind({ ...(to.from !== undefined && { address: to.from }) }, send)
  return end
}

function nameOf(to: Endpoint): string {
  return 'path' in to
    ? to.path
    : `${to.transport}:${to.address}:${to.port}${to.from === undefined ? '' : ` from ${to.from}`}`
}

function putCredential(out: XdrWriter, credential: CallCredential): void {
  if (credential) {
    const body = new XdrWriter(Buffer.alloc(AUTH_BYTES))
    body.uint32(0)
    body.string(credential.machine.slice(0, 64))
    for (const word of [0, 0, 0]) body.uint32(word) // uid, gid, no more groups
    out.uint32(AUTH_SYS)
    out.opaque(body.bytes.subarray(0, body.at))
  } else for (const word of [0, 0]) out.uint32(word)
  for (const word of [0, 0]) out.uint32(word) // no verifier
}

/** Throws CallError unless the reply is a success and its result what the table says. */
function resultOf<A, R>(record: Buffer, procedure: Procedure<A, R>): R {
  const from = new XdrReader().reset(record, 4, record.length)
  try {
    if (from.uint32() !== 1) throw new CallError('refused', 'no reply')
    if (from.uint32() !== 0) throw new CallError('refused', 'the call was denied')
    from.uint32()
    from.opaque(400)
    const status = from.uint32()
    if (status !== 0) throw new CallError('refused', `the call was answered with accept status ${status}`)
    return procedure.result.decode(from)
  } catch (error) {
    if (error instanceof XdrError) throw new CallError('refused', `the reply is garbage: ${error.message}`)
    throw error
  }
}
