/**
 * One TCP connection. All requests in one received chunk are handled in one pass; the replies of a pass leave in one write:
 *
 *     chunk → records → calls → programs ┬→ replies ───────────────→ socket      end of the pass
 *                                        └→ replies after changes ─→ socket      when the filesystem says durable
 *
 * Invariants:
 *  1. Every request taken is answered once, or the connection is dropped.
 *  2. Above a limit (requests in flight, bytes that they will be answered with, bytes of replies not yet written) nothing more is taken: what was received already
 *     waits in the record reader, the rest in the client's TCP window.
 *  3. A buffer goes back to the pool only when the socket is done with it.
 */
import type { Socket } from 'node:net'
import type { MatrixFs } from '../../metadata/index.ts'
import type { Clock } from '../../platform/clock.ts'
import type { Log } from '../../platform/log.ts'
import type { NfsLimits } from '../limits.ts'
import { XdrReader } from '../xdr/reader.ts'
import type { BufferPool } from './buffer-pool.ts'
import type { Client } from './client.ts'
import { CallHeader } from './message.ts'
import type { Programs } from './programs.ts'
import { receiveInPlace } from './receiving.ts'
import { RecordError, RecordReader } from './record-marking.ts'
import { type Batch, ReplyWriter } from './reply-writer.ts'
import type { Session } from './session.ts'

export type ConnectionOptions = {
  /** Accepted and paused: nothing has been read from it. */
  readonly socket: Socket
  readonly client: Client
  readonly programs: Programs
  readonly pool: BufferPool
  readonly clock: Clock
  readonly log: Log
  readonly limits: NfsLimits
  readonly onClose: () => void
}

export class Connection implements Session {
  readonly client: Client
  readonly replies: ReplyWriter
  readonly #socket: Socket
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
  /** Of replies to requests in flight. */
  #expectedBytes = 0
  #inPass = false
  #flushing = false
  #paused = false
  #ended = false
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
    this.#lastHeard = options.clock.now()
    const socket = this.#socket
    socket.on('end', () => {
      this.#ended = true
      this.#endWhenIdle()
    })
    socket.on('error', (error) => this.#log.debug({ reason: error.message }, 'nfs connection broke'))
    socket.on('close', () => options.onClose())
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

  begun(replyBytes = 0): void {
    this.#inFlight++
    this.#expectedBytes += replyBytes
  }

  finished(replyBytes = 0): void {
    this.#inFlight--
    this.#expectedBytes -= replyBytes
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

  destroy(): void {
    this.#socket.destroy()
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
      this.#inFlight >= this.#limits.inFlight ||
      this.#expectedBytes >= this.#limits.expectedBytes ||
      this.#queuedBytes + this.replies.pendingBytes >= this.#limits.queuedBytes
    )
  }

  /** Goes on with what was left when a limit was reached. */
  #proceed(): void {
    if (!this.#paused) this.#endWhenIdle()
    else if (!this.#inPass && !this.#full && !this.#socket.destroyed) this.#resume()
  }

  #resume(): void {
    this.#paused = false
    this.#pass(() => this.#records.resume())
    if (!this.#paused) this.#socket.resume()
  }

  /** Serves one record; false when a limit is reached. */
  #record(bytes: Buffer, start: number, end: number): boolean {
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
    const done = () => {
      for (const part of parts) this.#pool.release(part.buffer)
      this.#queuedBytes -= bytes
      this.#proceed()
    }
    const socket = this.#socket
    if (!socket.writable) {
      done()
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
    if (this.#ended && this.#inFlight === 0 && this.#queuedBytes === 0) this.#socket.destroySoon()
  }
}
