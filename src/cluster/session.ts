/**
 * One end of what two lives say to each other over a link: a stream of frames that outlives the connections which carry it.
 *
 * Frames are numbered by counting, at both ends; no number travels with them, because a connection keeps their order and loses
 * none while it is open. Whoever sent a frame keeps it until the other end has acknowledged it. When another connection takes
 * over, each end says how many frames it has taken, and is sent what follows:
 *
 *     lower slot                                        higher slot
 *     takes nothing more from the old connection
 *     use {session, received: n}   ─────────────────▶   takes nothing more from the old connection
 *     resends from m + 1           ◀─────────────────   ack {received: m}, resends from n + 1
 *
 * Each end states its number after it has turned away from the old connection, so the number is final: nothing is taken
 * twice, nothing is left out, and the order stays.
 *
 * Invariants
 *  1. Frames are taken in the order of sending, each once, or the session ends and takes its view along (membership.ts).
 *  2. What waits for acknowledgement is bounded by MAX_UNACKNOWLEDGED_BYTES; beyond it the session is over.
 *  3. A session belongs to two lives: it is in the memory of both processes alone, and ends with either.
 */
import { MatrixError } from '../base/errors.ts'
import { MAX_MESSAGE_BYTES } from '../base/limits.ts'
import { KiB } from '../base/units.ts'
import type { Connection } from '../platform/transport.ts'
import { encodeControl, frameKinds } from './frames.ts'
import { encodeBody } from './membership-messages.ts'

/** What may wait for acknowledgement, bytes. Less than a connection queues for a peer that does not read, so that sending it again fits. */
export const MAX_UNACKNOWLEDGED_BYTES = 3 * MAX_MESSAGE_BYTES
/** Acknowledged at the latest after so many frames or bytes, and at every tick of the links. */
const ACK_FRAMES = 64
const ACK_BYTES = 256 * KiB

export class Session {
  /** Of the `use` that began it: differs among all sessions of the life that gave it. */
  readonly number: number
  /** Where frames go; undefined while they only wait. */
  #connection: Connection | undefined
  #waiting: Uint8Array[] = []
  #waitingBytes = 0
  #sent = 0
  #received = 0
  /** Of `received`: what the other end was told of, and the bytes it was not told of. */
  #told = 0
  #untoldBytes = 0
  #overflown = false

  constructor(number: number) {
    this.number = number
  }

  /** Frames taken since the session began. */
  get received(): number {
    return this.#received
  }

  /** False: a connection is there, but it is not known yet where to go on; or there is none. */
  get isCarried(): boolean {
    return this.#connection !== undefined
  }

  /** The frame must not change afterwards. False: too much waits for acknowledgement, and the session must end. */
  send(frame: Uint8Array): boolean {
    if (this.#overflown) return false
    this.#waiting.push(frame)
    this.#waitingBytes += frame.length
    this.#sent++
    this.#connection?.send(frame)
    if (this.#waitingBytes <= MAX_UNACKNOWLEDGED_BYTES) return true
    this.#overflown = true
    this.#waiting = []
    return false
  }

  /** A frame of `length` bytes has come, and is dealt with before the next. */
  take(length: number): void {
    this.#received++
    this.#untoldBytes += length
    if (this.#received - this.#told >= ACK_FRAMES || this.#untoldBytes >= ACK_BYTES) this.acknowledge()
  }

  /** Tells the other end what has come, if it does not know. */
  acknowledge(): void {
    if (this.#received > this.#told && this.#connection) this.#tell(this.#connection)
  }

  /** The other end has taken `count` frames. Throws MatrixError 'protocol' when that cannot be. */
  acknowledged(count: number): void {
    const first = this.#sent - this.#waiting.length
    if (count < first || count > this.#sent)
      throw new MatrixError('protocol', `acknowledges ${count} frames; between ${first} and ${this.#sent} can be`)
    for (const frame of this.#waiting.splice(0, count - first)) this.#waitingBytes -= frame.length
  }

  /** Frames wait until `carryOn`. */
  pause(): void {
    this.#connection = undefined
  }

  /**
   * Goes on over `connection`, whose other end has taken `count` frames of the session; `tells`: and does not know how many
   * came here. Returns how many frames are sent again. Throws MatrixError 'protocol' when `count` cannot be.
   */
  carryOn(connection: Connection, count: number, tells: boolean): number {
    this.acknowledged(count)
    this.#connection = connection
    if (tells) this.#tell(connection)
    for (const frame of this.#waiting) connection.send(frame)
    return this.#waiting.length
  }

  #tell(connection: Connection): void {
    this.#told = this.#received
    this.#untoldBytes = 0
    connection.send(encodeControl(frameKinds.ack, encodeBody({ received: this.#received })))
  }
}
