/**
 * Batches of an epoch that has not begun here: a peer was faster. They wait in order of arrival. Only those of the highest epoch that
 * was heard of: everybody goes there, and nothing of the ones before it will count.
 */
import { MatrixError } from '../base/errors.ts'
import type { Slot } from '../base/ids.ts'

/** What may wait, bytes in all: every member's report of a full lock cache fits. */
export const EARLY_BYTES_MAX = 256 * 2 ** 20

type EarlyBatch = { readonly from: Slot; readonly payload: Buffer }

export class EarlyBatches {
  #batches: EarlyBatch[] = []
  #bytes = 0
  /** Below 0: none. */
  #epoch = -1

  /** The highest epoch that somebody has begun and this node has not; below 0: none. */
  get epoch(): number {
    return this.#epoch
  }

  /** Copies the payload. Throws MatrixError 'protocol' when there is too much. */
  add(from: Slot, epoch: number, payload: Buffer): void {
    if (epoch < this.#epoch) return
    if (epoch > this.#epoch) this.clear()
    this.#epoch = epoch
    this.#bytes += payload.length
    if (this.#bytes > EARLY_BYTES_MAX) {
      throw new MatrixError('protocol', `slot ${from} sent more than ${EARLY_BYTES_MAX} bytes ahead of epoch ${epoch}`)
    }
    this.#batches.push({ from, payload: Buffer.from(payload) })
  }

  /** `epoch` begins: gives what came of it. What is older will never count. */
  take(epoch: number): readonly EarlyBatch[] {
    if (this.#epoch > epoch) return []
    const taken = this.#epoch === epoch ? this.#batches : []
    this.clear()
    return taken
  }

  clear(): void {
    this.#batches = []
    this.#bytes = 0
    this.#epoch = -1
  }
}
