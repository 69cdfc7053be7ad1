/**
 * PDUs over a byte stream: sent, received, and ended once, with a reason. Nothing arrives after the end, whatever the peer goes on to send.
 *
 * What is sent waits here, not in the socket, until the system has taken what went before it; and each PDU may be sent until a time of its own, looked at
 * in the turn in which it goes. So a process that stood still does not send, when it goes on, what was due long ago: the stream ends
 * instead. What is beyond recall then is one batch, if the system had not taken it all.
 */
import { InvariantError } from '../../base/assert.ts'
import type { ByteStream } from '../../platform/byte-stream.ts'
import type { Clock } from '../../platform/clock.ts'
import { type Digests, encodePdu, type Pdu, PduReader, type Peer } from './pdu.ts'

/** Longest data segment that a peer may send, as is declared to it, bytes. */
export const MAX_RECV_BYTES = 256 * 1024
/** Handed to the system at a time, bytes, and one PDU more: so few that little is beyond recall, so many that calls do not count. */
const BATCH_BYTES = 128 * 1024

type Outgoing = { readonly buffers: readonly Uint8Array[]; readonly sendUntil: number }

export class PduStream {
  /** What it throws ends the stream. The PDU is valid only during the call. */
  onPdu: (pdu: Pdu) => void = () => {}
  /** Where the data of a PDU belongs, if anywhere; what it throws ends the stream. */
  placeOf: (bhs: Buffer, bytes: number) => Buffer | undefined = () => undefined
  /** Called exactly once. */
  onEnd: (reason: string) => void = () => {}
  readonly #stream: ByteStream
  readonly #clock: Clock
  readonly #reader: PduReader
  #outgoing: Outgoing[] = []
  /** A batch is under way, or about to be. */
  #isSending = false
  #digests: Digests = { header: false, data: false }
  #ended: string | undefined

  constructor(stream: ByteStream, clock: Clock, peer: Peer = 'target') {
    this.#stream = stream
    this.#clock = clock
    this.#reader = new PduReader(
      MAX_RECV_BYTES,
      (pdu) => {
        if (this.#ended === undefined) this.onPdu(pdu)
      },
      peer,
      (bhs, bytes) => (this.#ended === undefined ? this.placeOf(bhs, bytes) : undefined),
    )
    stream.onData = (chunk) => this.#receive(() => this.#reader.push(chunk))
    stream.place = () => (this.#ended === undefined ? this.#reader.place() : undefined)
    stream.onPlaced = (bytes) => this.#receive(() => this.#reader.placed(bytes))
    stream.onClose = (reason) => this.end(reason)
  }

  #receive(take: () => void): void {
    if (this.#ended !== undefined) return
    try {
      take()
    } catch (error) {
      if (error instanceof InvariantError) throw error
      this.end(error instanceof Error ? error.message : String(error))
    }
  }

  /** Why it has ended. */
  get ended(): string | undefined {
    return this.#ended
  }

  /** Of everything from now on, both ways. */
  useDigests(digests: Digests): void {
    this.#digests = digests
    this.#reader.digests = digests
  }

  /** `sendUntil`, in `clock.now()` milliseconds: from then on it does not begin to leave, and the stream ends. */
  send(bhs: Buffer, data: readonly Uint8Array[] = [], sendUntil = Number.POSITIVE_INFINITY): void {
    if (this.#ended !== undefined) return
    this.#outgoing.push({ buffers: encodePdu(bhs, data, this.#digests), sendUntil })
    if (this.#isSending) return
    this.#isSending = true
    this.#clock.soon(() => this.#sendBatch())
  }

  #sendBatch(): void {
    this.#isSending = false
    if (this.#ended !== undefined || this.#outgoing.length === 0) return
    const now = this.#clock.now()
    const batch: Uint8Array[] = []
    let [count, bytes] = [0, 0]
    while (count < this.#outgoing.length && bytes < BATCH_BYTES) {
      const { buffers, sendUntil } = this.#outgoing[count++] as Outgoing
      if (!(now < sendUntil)) {
        this.end('a command could not be sent before its deadline')
        return
      }
      for (const buffer of buffers) bytes += buffer.length
      batch.push(...buffers)
    }
    this.#outgoing.splice(0, count)
    this.#isSending = true
    this.#stream.write(batch, () => this.#sendBatch())
  }

  end(reason: string): void {
    if (this.#ended !== undefined) return
    this.#ended = reason
    this.#outgoing = []
    this.#stream.reset()
    this.onEnd(reason)
  }
}
