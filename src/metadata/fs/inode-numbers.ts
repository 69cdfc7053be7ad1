/**
 * New inode numbers: `counter × MAX_SLOTS + slot`, the counter from 1 on, never used again. The image says below which
 * counter the slot may use numbers; that is raised in batches, within the transaction that uses the first of a batch. What
 * a crash leaves unused of a batch is lost: there are 2^47 per slot.
 */
import { assert } from '../../base/assert.ts'
import type { Ino, Slot } from '../../base/ids.ts'
import { MAX_SLOTS } from '../../base/limits.ts'
import type { Mutation } from '../image/mutation.ts'
import type { VolumeApi } from '../volume-api.ts'

/** Counters reserved at once. */
const BATCH = 4096

export class InodeNumbers {
  readonly #volume: VolumeApi
  readonly #slot: Slot
  #next = 0
  #reserved = 0

  constructor(volume: VolumeApi) {
    this.#volume = volume
    this.#slot = volume.slot
  }

  /** Reads where an earlier life of this slot stopped; under `N:<slot>` EX. */
  start(): void {
    this.#reserved = this.#volume.image.slotState(this.#slot)?.inoCounter ?? 1
    this.#next = this.#reserved
  }

  /** A number nobody has had. */
  take(): Ino {
    assert(this.#next > 0, 'inodes are numbered once the slot is known to be ours')
    return this.#next++ * MAX_SLOTS + this.#slot
  }

  /** Adds the reservation that the numbers taken so far need; call `reserved` once it is committed. */
  reserve(mutations: Mutation[]): void {
    if (this.#next <= this.#reserved) return
    mutations.push({ op: 'putSlot', slot: this.#slot, inoCounter: this.#next + BATCH })
  }

  /** The reservation as it stands: a change that changes nothing, to see whether the journal can be written. */
  unchanged(): Mutation {
    return { op: 'putSlot', slot: this.#slot, inoCounter: this.#reserved }
  }

  reserved(): void {
    if (this.#next > this.#reserved) this.#reserved = this.#next + BATCH
  }
}
