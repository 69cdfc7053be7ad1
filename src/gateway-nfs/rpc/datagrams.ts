/**
 * RPC over UDP (RFC 5531 10): a datagram is a record without its mark, and its reply goes back to where it came from.
 *
 * A sender's address can be forged, and whatever is answered then reaches somebody else. Hence:
 *  1. Only senders that some export admits are answered at all.
 *  2. What is no call is never answered, so that two servers cannot be made to talk to each other.
 *  3. Programs answer little to a small call; what would not fit into a datagram becomes SYSTEM_ERR.
 *
 * A reply leaves by the socket that the call came by, so that it comes from the address that was asked: each address that comes and goes (`open`,
 * `drain`, `closeAt`) has a socket of its own, also where the first one hears all addresses.
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
  /** What has to be known of an address before anything of it is answered; undefined when that is so already. Never rejects. */
  readonly meet?: (address: string) => Promise<void> | undefined
  readonly pool: BufferPool
  readonly log: Log
}

/** What every call that came by one socket needs. */
type Port = DatagramOptions & {
  readonly socket: Socket
  isOpen: boolean
  /** Undefined: it hears all addresses. */
  readonly localAddress: string | undefined
  readonly send: (batch: Batch, to: Client) => void
  readonly over: () => void
}

export class DatagramPort {
  readonly #options: DatagramOptions
  readonly #from = new XdrReader()
  readonly #header = new CallHeader()
  #port: Port | undefined
  /** Further sockets, by their address. */
  readonly #further = new Map<string, Port>()
  #inFlight = 0
  readonly #idle: (() => void)[] = []
  /** Datagrams lost because there were too many, and those that nobody may send. */
  readonly counters = { calls: 0, lost: 0, refused: 0 }

  constructor(options: DatagramOptions) {
    this.#options = options
  }

  get inFlight(): number {
    return this.#inFlight
  }

  /** Rejects with MatrixError 'in-use' when the port is taken. Port 0: any free one. */
  async listen(host: string, port: number): Promise<number> {
    this.#port = await this.#bind(host, port)
    return this.#port.socket.address().port
  }

  /** Serves at an address of this machine that has just come, too. Rejects as `listen`. */
  async open(address: string): Promise<void> {
    if (!this.#port) throw new MatrixError('withdrawn', 'NFS is not served yet, or no more')
    if (this.#port.localAddress === address || this.#further.has(address)) return
    this.#further.set(address, await this.#bind(address, this.#port.socket.address().port))
  }

  /** Takes nothing new at an address; resolves once what was taken is answered. */
  drain(address: string): Promise<void> {
    this.#further.get(address)?.socket.removeAllListeners('message')
    return this.#answered()
  }

  /** Nothing is served at an address any more. */
  closeAt(address: string): void {
    const port = this.#further.get(address)
    if (port) shut(port)
    this.#further.delete(address)
  }

  /** Takes nothing more; resolves once what was taken is answered. */
  end(): Promise<void> {
    for (const { socket } of this.#all()) socket.removeAllListeners('message')
    return this.#answered()
  }

  /** Nothing is answered any more. */
  destroy(): void {
    for (const port of this.#all()) shut(port)
    this.#port = undefined
    this.#further.clear()
  }

  #all(): Port[] {
    return [...(this.#port ? [this.#port] : []), ...this.#further.values()]
  }

  #answered(): Promise<void> {
    if (this.#inFlight === 0) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  async #bind(host: string, port: number): Promise<Port> {
    // an address of its own beside the one that hears all of them needs `reuseAddr`; that nobody else has the port, TCP has seen to
    const type = isIPv6(host) ? 'udp6' : 'udp4'
    const socket = createSocket({ type, recvBufferSize: RECEIVE_BYTES, reuseAddr: true })
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
    const { address } = socket.address()
    const own: Port = {
      ...this.#options,
      socket,
      isOpen: true,
      localAddress: address === '0.0.0.0' || address === '::' ? undefined : address,
      send: (batch, to) => this.#send(own, batch, to),
      over: () => {
        this.#inFlight--
        if (this.#inFlight === 0) for (const resolve of this.#idle.splice(0)) resolve()
      },
    }
    socket.on('message', (bytes, from) => this.#received(own, bytes, from))
    return own
  }

  #received(port: Port, bytes: Buffer, sender: RemoteInfo): void {
    if (this.#inFlight >= DATAGRAMS_IN_FLIGHT) {
      this.counters.lost++
      return
    }
    const client = this.#options.client(sender, port.localAddress)
    if (!client.isAdmitted || sender.port === 0) {
      // one that is admitted by name is so once that is known; it asks again
      void this.#options.meet?.(sender.address)
      this.counters.refused++
      return
    }
    this.counters.calls++
    this.#inFlight++
    const call = new DatagramCall(client, port)
    call.serve(this.#header, this.#from.reset(bytes, 0, bytes.length))
  }

  #send(port: Port, { parts }: Batch, to: Client): void {
    const { pool } = this.#options
    for (const { buffer, bytes } of parts) {
      const record = buffer.bytes.subarray(MARK_BYTES, bytes)
      // an error is of the one who asked, such as a network that is gone: it will ask again
      if (port.isOpen) port.socket.send(record, to.port, to.address, () => pool.release(buffer))
      else pool.release(buffer)
    }
  }
}

/** Nothing leaves by it any more. */
function shut(port: Port): void {
  port.isOpen = false
  port.socket.close()
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
