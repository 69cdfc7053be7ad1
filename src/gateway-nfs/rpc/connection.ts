/**
 * One TCP connection. All requests in one received chunk are handled in one pass; the replies of a pass leave in one write:
 *
 *     chunk → records → calls → programs ┬→ replies ───────────────→ socket      end of the pass
 *                                        └→ replies after changes ─→ socket      when the filesystem says durable
 *
 * Invariants:
 *  1. Every request taken is answered once, or the connection is dropped.
 *  2. Above a limit (requests in flight, bytes of replies not yet written) nothing more is taken: what was received already
 *     waits in the record reader, the rest in the client's TCP window.
 *  3. TLS begins only when nothing is under way, and what was said before it in the clear is answered (rpc/tls.ts).
 *  4. A buffer goes back to the pool only when the socket is done with it.
 */
import type { Socket } from 'node:net'
import type { MatrixFs } from '../../metadata/index.ts'
import type { Clock } from '../../platform/clock.ts'
import type { Log } from '../../platform/log.ts'
import type { NfsLimits } from '../limits.ts'
import { XdrReader } from '../xdr/reader.ts'
import type { BufferPool } from './buffer-pool.ts'
import type { Client } from './client.ts'
import { CallHeader, putStartTls } from './message.ts'
import type { Programs } from './programs.ts'
import { receiveInPlace } from './receiving.ts'
import { RecordError, RecordReader } from './record-marking.ts'
import { type Batch, ReplyWriter } from './reply-writer.ts'
import type { Session } from './session.ts'
import { type TlsOffer, tlsProbe } from './tls.ts'

export type ConnectionOptions = {
  /** Accepted and paused: nothing has been read from it. */
  readonly socket: Socket
  readonly client: Client
  readonly programs: Programs
  readonly pool: BufferPool
  readonly clock: Clock
  readonly log: Log
  readonly limits: NfsLimits
  /** When TLS is offered. */
  readonly tls: TlsOffer | undefined
  readonly onClose: () => void
}

export class Connection implements Session {
  readonly client: Client
  readonly replies: ReplyWriter
  #socket: Socket
  readonly #tls: TlsOffer | undefined
  /** 'asked': the client wants TLS, and no more is read in the clear. */
  #securing: 'no' | 'asked' | 'under way' = 'no'
  readonly #programs: Programs
  readonly #pool: BufferPool
  readonly #clock: Clock
  readonly #log: Log
  readonly #limits: NfsLimits
  readonly #records = new RecordReader((bytes, start, end) => this.#record(bytes, start, end))
  readonly #from = new XdrReader()
  readonly #header = new CallHeader()
  /** Replies of this pass that wait for a filesystem, by filesystem. */
  readonly #held = new Map<MatrixFs, ReplyWriter>()
  #inFlight = 0
  #queuedBytes = 0
  #inPass = false
  #flushing = false
  #paused = false
  #ended = false
  /** Nothing more is taken; whoever waits until what was taken is answered. */
  #resting: (() => void)[] | undefined
  #lastHeard: number

  constructor(options: ConnectionOptions) {
    this.client = options.client
    this.replies = new ReplyWriter(options.pool)
    this.#socket = receiveInPlace(options.socket, (chunk) => this.#received(chunk))
    this.#programs = options.programs
    this.#pool = options.pool
    this.#clock = options.clock
    this.#log = options.log
    this.#limits = options.limits
    this.#tls = options.tls
    this.#lastHeard = options.clock.now()
    this.#watch(this.#socket)
    this.#socket.on('close', () => {
      this.#rested()
      options.onClose()
    })
  }

  #watch(socket: Socket): void {
    socket.on('end', () => {
      this.#ended = true
      this.#endWhenIdle()
    })
    socket.on('error', (error) => this.#log.debug({ reason: error.message }, 'nfs connection broke'))
  }

  /** The end of the connection at this machine. */
  get localAddress(): string | undefined {
    return this.#socket.localAddress
  }

  /** Requests taken whose replies are not made yet. */
  get inFlight(): number {
    return this.#inFlight
  }

  // --- what programs call ---

  repliesAfter(fs: MatrixFs): ReplyWriter {
    let writer = this.#held.get(fs)
    if (!writer) this.#held.set(fs, (writer = new ReplyWriter(this.#pool)))
    return writer
  }

  begun(): void {
    this.#inFlight++
  }

  finished(): void {
    this.#inFlight--
    if (this.#inPass || this.#flushing) return
    // verbs that waited for one lock or one flush settle together: their replies leave together
    this.#flushing = true
    this.#clock.soon(() => {
      this.#flushing = false
      this.#flush()
      this.#proceed()
    })
  }

  drop(reason: string, error?: unknown): void {
    if (this.#socket.destroyed) return
    const why = error instanceof Error ? error.message : undefined
    this.#log.warn({ reason, error: why }, 'nfs connection closed by the gateway')
    this.#socket.destroy()
  }

  report(procedure: string, error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#log.error({ procedure, error: text }, 'nfs request failed for a reason that no client can know')
  }

  // --- what the server calls ---

  /** Closes the connection when the client left a record unfinished, or has been silent for too long. */
  checkSilence(now: number): void {
    const silentMs = now - this.#lastHeard
    if (this.#inFlight > 0 || this.#queuedBytes > 0 || this.#paused) return
    if (this.#records.halfway && silentMs > this.#limits.halfRecordMs) this.drop('half a record, then silence')
    else if (silentMs > this.#limits.idleMs) this.#socket.destroy()
  }

  /** Takes no more requests; closes once those taken are answered. */
  end(): void {
    this.#socket.pause()
    this.#ended = true
    this.#endWhenIdle()
  }

  /** Takes no more requests, for good; resolves once those taken are answered, and the answers are with the system. */
  rest(): Promise<void> {
    this.#resting ??= []
    this.#pause()
    return new Promise((resolve) => {
      this.#resting?.push(resolve)
      this.#endWhenIdle()
    })
  }

  #rested(): void {
    for (const resolve of this.#resting?.splice(0) ?? []) resolve()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** The client learns at once that this connection is over, whatever of it is still under way. */
  reset(): void {
    if (this.client.security === 'none') this.#socket.resetAndDestroy()
    else this.#socket.destroy() // one of TLS cannot be reset
  }

  // --- receiving ---

  #received(chunk: Buffer): void {
    this.#lastHeard = this.#clock.now()
    this.#pass(() => this.#records.push(chunk))
  }

  /** One pass over what was received: `take` is true when it took all of it. */
  #pass(take: () => boolean): void {
    this.#inPass = true
    try {
      if (!take()) this.#pause()
    } catch (error) {
      if (!(error instanceof RecordError)) throw error
      this.drop(error.message)
    } finally {
      this.#inPass = false
    }
    this.#flush()
  }

  #pause(): void {
    this.#paused = true
    this.#socket.pause()
  }

  get #full(): boolean {
    return (
      this.#resting !== undefined ||
      this.#inFlight >= this.#limits.inFlight ||
      this.#queuedBytes + this.replies.pendingBytes >= this.#limits.queuedBytes
    )
  }

  /** Goes on with what was left when a limit was reached. */
  #proceed(): void {
    if (this.#securing !== 'no' && !this.#resting) this.#handshakeWhenIdle()
    else if (!this.#paused || this.#resting) this.#endWhenIdle()
    else if (!this.#inPass && !this.#full && !this.#socket.destroyed) this.#resume()
  }

  #resume(): void {
    this.#paused = false
    this.#pass(() => this.#records.resume())
    if (!this.#paused) this.#socket.resume()
  }

  // --- TLS ---

  #startTls(xid: number): void {
    putStartTls(this.replies, xid)
    this.#securing = 'asked'
  }

  #handshakeWhenIdle(): void {
    if (this.#securing !== 'asked' || this.#inFlight > 0 || this.#queuedBytes > 0 || this.#socket.destroyed) return
    if (this.#records.waiting > 0) {
      this.drop('clear text after the question for TLS')
      return
    }
    const tls = this.#tls as TlsOffer
    this.#securing = 'under way'
    tls.secure(this.#socket).then(
      ({ socket, security }) => {
        this.client.security = security
        this.#socket = socket
        this.#securing = 'no'
        this.#watch(socket)
        socket.on('data', (chunk) => this.#received(chunk))
        if (this.#ended) this.#endWhenIdle()
        else this.#resume()
      },
      (error) => this.drop('the TLS handshake failed', error),
    )
  }

  /** Serves one record; false when a limit is reached. */
  #record(bytes: Buffer, start: number, end: number): boolean {
    const probe = this.#tls && this.client.security === 'none' ? tlsProbe(bytes, start, end) : undefined
    if (probe !== undefined && this.#inFlight === 0) {
      this.#startTls(probe)
      return false
    }
    const isCall = this.#programs.serve(this, this.#header, this.#from.reset(bytes, start, end))
    if (!isCall) this.drop('a record that is not an RPC call')
    return !this.#full && !this.#socket.destroyed
  }

  // --- sending ---

  #flush(): void {
    if (!this.replies.isEmpty) {
      const batch = this.replies.take()
      this.#queuedBytes += batch.bytes
      this.#send(batch)
    }
    for (const [fs, writer] of this.#held) {
      if (writer.isEmpty) continue
      const batch = writer.take()
      this.#queuedBytes += batch.bytes
      fs.afterDurable((error) => {
        if (error) this.drop('changes could not be made durable', error)
        this.#send(batch)
      })
    }
  }

  #send({ parts, bytes }: Batch): void {
    const release = () => {
      for (const part of parts) this.#pool.release(part.buffer)
      this.#queuedBytes -= bytes
    }
    const done = () => {
      release()
      this.#proceed()
    }
    const socket = this.#socket
    if (!socket.writable) {
      // nobody will read this answer: what else the client has sent is not worth serving
      release()
      socket.destroy()
      this.#endWhenIdle()
      return
    }
    if (parts.length > 1) socket.cork()
    for (const [index, part] of parts.entries()) {
      const view = part.buffer.bytes.subarray(0, part.bytes)
      if (index === parts.length - 1) socket.write(view, done)
      else socket.write(view)
    }
    if (parts.length > 1) socket.uncork()
  }

  #endWhenIdle(): void {
    if (this.#inFlight > 0 || this.#queuedBytes > 0 || this.#flushing) return
    if (this.#resting) this.#rested()
    else if (this.#ended) this.#socket.destroySoon()
  }
}
