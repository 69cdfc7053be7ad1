/**
 * Outgoing lock messages, collected per peer and sent together at the end of the turn of the event loop: a create that
 * takes three locks at one master costs one message of the mesh. Order per peer is kept.
 */
import type { Slot } from '../base/ids.ts'
import type { Clock } from '../platform/clock.ts'
import { BATCH_HEADER_BYTES, encodeBatchHeader, encodeMessage, MESSAGE_BYTES_MAX } from './lock-codec.ts'
import type { LockMessage } from './lock-message.ts'

/** A batch leaves at once when it has grown to this, bytes: a rebuild tells hundreds of thousands of locks. */
export const BATCH_BYTES_MAX = 65_536
const FIRST_BYTES = 256

type Batch = { buffer: Buffer; end: number; messages: number }

export class LockBatches {
  readonly #clock: Clock
  readonly #send: (to: Slot, payload: Buffer) => void
  #epoch = 0
  #open = new Map<Slot, Batch>()
  #scheduled = false
  messagesSent = 0
  batchesSent = 0

  constructor(clock: Clock, send: (to: Slot, payload: Buffer) => void) {
    this.#clock = clock
    this.#send = send
  }

  /** What was collected belongs to the old epoch and is dropped. */
  begin(epoch: number): void {
    this.#epoch = epoch
    this.#open.clear()
  }

  add(to: Slot, message: LockMessage): void {
    let batch = this.#open.get(to)
    if (!batch) {
      batch = { buffer: Buffer.allocUnsafe(FIRST_BYTES), end: BATCH_HEADER_BYTES, messages: 0 }
      this.#open.set(to, batch)
    }
    // an ordinary message is far shorter than the longest: room is made for what this one needs at most
    const room = message.vector.size === 0 ? 32 : MESSAGE_BYTES_MAX
    if (batch.end + room > batch.buffer.length) {
      batch.buffer = Buffer.concat([batch.buffer], Math.max(batch.buffer.length * 2, batch.end + room))
    }
    batch.end = encodeMessage(batch.buffer, batch.end, message)
    batch.messages++
    this.messagesSent++
    if (batch.end >= BATCH_BYTES_MAX) this.#leave(to, batch)
    else this.#schedule()
  }

  /** Sends what is collected now instead of at the end of the turn. */
  flush(): void {
    for (const [to, batch] of this.#open) this.#leave(to, batch)
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#clock.soon(() => {
      this.#scheduled = false
      this.flush()
    })
  }

  #leave(to: Slot, batch: Batch): void {
    this.#open.delete(to)
    encodeBatchHeader(batch.buffer, this.#epoch, batch.messages)
    this.batchesSent++
    this.#send(to, batch.buffer.subarray(0, batch.end))
  }
}
