/**
 * RPC over UDP (RFC 5531 10): a datagram is a record without its mark, and its reply goes back to where it came from.
 *
 * A sender's address can be forged, and whatever is answered then reaches somebody else. Hence:
 *  1. Only senders that some export admits are answered at all.
 *  2. What is no call is never answered, so that two servers cannot be made to talk to each other.
 *  3. Programs answer little to a small call; what would not fit into a datagram becomes SYSTEM_ERR.
 *
 * Nobody is held back: above the limit on calls under way a datagram is lost, and its client sends it again.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { MatrixError } from '../../base/errors.ts'
import type { MatrixFs } from '../../metadata/index.ts'
import type { Log } from '../../platform/log.ts'
import { DATAGRAM_MAX, DATAGRAMS_IN_FLIGHT } from '../limits.ts'
import { XdrReader } from '../xdr/reader.ts'
import type { BufferPool } from './buffer-pool.ts'
import type { Client } from './client.ts'
import { CallHeader, putAcceptFailure } from './message.ts'
import type { Programs } from './programs.ts'
import { type Batch, ReplyWriter } from './reply-writer.ts'
import type { Session } from './session.ts'

/** Before a record's reply, and not in a datagram. */
const MARK_BYTES = 4
/** The receive buffer asked of the system, bytes: a burst of retransmissions fits. */
const RECEIVE_BYTES = 1024 * 1024

export type DatagramOptions = {
  readonly programs: Programs
  /** Who sends from there, to that address of ours (undefined: it cannot be known). */
  readonly client: (from: RemoteInfo, localAddress: string | undefined) => Client
  readonly pool: BufferPool
  readonly log: Log
}

/** What every call of one port needs. */
type Port = DatagramOptions & {
  readonly send: (batch: Batch, to: Client) => void
  readonly over: () => void
}

export class DatagramPort {
  readonly #options: DatagramOptions
  readonly #port: Port
  readonly #from = new XdrReader()
  readonly #header = new CallHeader()
  #socket: Socket | undefined
  #localAddress: string | undefined
  #inFlight = 0
  #idle: (() => void) | undefined
  /** Datagrams lost because there were too many, and those that nobody may send. */
  readonly counters = { calls: 0, lost: 0, refused: 0 }

  constructor(options: DatagramOptions) {
    this.#options = options
    this.#port = {
      ...options,
      send: (batch, to) => this.#send(batch, to),
      over: () => {
        this.#inFlight--
        if (this.#inFlight === 0) this.#idle?.()
      },
    }
  }

  get inFlight(): number {
    return this.#inFlight
  }

  /** Rejects with MatrixError 'in-use' when the port is taken. Port 0: any free one. */
  async listen(host: string, port: number): Promise<number> {
    const socket = createSocket({ type: isIPv6(host) ? 'udp6' : 'udp4', recvBufferSize: RECEIVE_BYTES })
    await new Promise<void>((resolve, reject) => {
      socket.once('error', (error: NodeJS.ErrnoException) => {
        socket.close()
        const code = error.code === 'EADDRINUSE' ? 'in-use' : 'config'
        reject(
          new MatrixError(code, `NFS cannot listen on ${host} UDP port ${port}: ${error.message}`, { cause: error }),
        )
      })
      socket.bind({ address: host, port, exclusive: true }, resolve)
    })
    socket.removeAllListeners('error')
    socket.on('error', (error) => this.#options.log.error({ error: error.message }, 'nfs datagram socket failed'))
    socket.on('message', (bytes, from) => this.#received(bytes, from))
    this.#socket = socket
    const { address, port: bound } = socket.address()
    this.#localAddress = address === '0.0.0.0' || address === '::' ? undefined : address
    return bound
  }

  /** Takes nothing more; resolves once what was taken is answered. */
  async end(): Promise<void> {
    this.#socket?.removeAllListeners('message')
    if (this.#inFlight > 0) await new Promise<void>((resolve) => (this.#idle = resolve))
  }

  /** Nothing is answered any more. */
  destroy(): void {
    this.#socket?.close()
    this.#socket = undefined
  }

  #received(bytes: Buffer, sender: RemoteInfo): void {
    if (this.#inFlight >= DATAGRAMS_IN_FLIGHT) {
      this.counters.lost++
      return
    }
    const client = this.#options.client(sender, this.#localAddress)
    if (!client.isAdmitted || sender.port === 0) {
      this.counters.refused++
      return
    }
    this.counters.calls++
    this.#inFlight++
    const call = new DatagramCall(client, this.#port)
    call.serve(this.#header, this.#from.reset(bytes, 0, bytes.length))
  }

  #send({ parts }: Batch, to: Client): void {
    const { pool } = this.#options
    for (const { buffer, bytes } of parts) {
      const record = buffer.bytes.subarray(MARK_BYTES, bytes)
      // an error is of the one who asked, such as a network that is gone: it will ask again
      if (this.#socket) this.#socket.send(record, to.port, to.address, () => pool.release(buffer))
      else pool.release(buffer)
    }
  }
}

/** One datagram and its reply. */
class DatagramCall implements Session {
  readonly client: Client
  readonly replies: ReplyWriter
  readonly #port: Port
  #xid = 0
  #held: { readonly fs: MatrixFs; readonly writer: ReplyWriter } | undefined
  /** The turn that serves it counts, and so does everything begun. */
  #working = 1
  #dropped = false

  constructor(client: Client, port: Port) {
    this.client = client
    this.#port = port
    this.replies = new ReplyWriter(port.pool)
  }

  serve(header: CallHeader, from: XdrReader): void {
    if (!this.#port.programs.serve(this, header, from)) this.#dropped = true
    this.#xid = header.xid
    this.finished()
  }

  repliesAfter(fs: MatrixFs): ReplyWriter {
    this.#held ??= { fs, writer: new ReplyWriter(this.#port.pool) }
    return this.#held.writer
  }

  begun(): void {
    this.#working++
  }

  finished(): void {
    if (--this.#working > 0) return
    const held = this.#held
    if (held && !held.writer.isEmpty) {
      held.fs.afterDurable((error) => {
        if (error) this.drop('changes could not be made durable', error)
        this.#reply(held.writer)
      })
    } else this.#reply(this.replies)
  }

  drop(reason: string, error?: unknown): void {
    this.#dropped = true
    const why = error instanceof Error ? error.message : undefined
    this.#port.log.warn({ client: this.client.address, reason, error: why }, 'nfs datagram not answered')
  }

  report(procedure: string, error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#port.log.error({ procedure, error: text }, 'nfs request failed for a reason that no client can know')
  }

  #reply(writer: ReplyWriter): void {
    const { pool, send, over } = this.#port
    const batch = writer.take()
    const recycle = () => {
      for (const { buffer } of batch.parts) pool.release(buffer)
    }
    if (this.#dropped) recycle()
    else if (batch.bytes > DATAGRAM_MAX + MARK_BYTES) {
      recycle()
      const failure = new ReplyWriter(pool)
      putAcceptFailure(failure, this.#xid, { kind: 'system-error' })
      send(failure.take(), this.client)
    } else send(batch, this.client)
    over()
  }
}
