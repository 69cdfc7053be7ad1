/** The two sectors of one slot as their owner reads and writes them on the membership partitions; the only writer of both (lun-layout.ts). */

import type { Incarnation, Slot } from '../base/ids.ts'
import type { Life } from '../base/life.ts'
import { SECTOR_SIZE } from '../base/limits.ts'
import type { Timings } from '../base/timings.ts'
import type { ProcessIdentity } from '../platform/files.ts'
import type { PeerAddress } from '../platform/transport.ts'
import {
  decodeCopies,
  decodeLease,
  encodeFenceRequest,
  encodeLease,
  type LeaseSector,
  type LeaseState,
  newestFirst,
} from './lease-sector.ts'
import { fenceOffset, leaseOffset } from './lun-layout.ts'
import type { Partitions } from './partitions.ts'

/** Who claims a lease. */
export type LeaseOwner = {
  readonly slot: Slot
  readonly nodeName: string
  readonly hostName: string
  readonly address: PeerAddress
  readonly process: ProcessIdentity
  /** Random, of this claim alone. */
  readonly nonce: string
}

export class OwnSectors {
  readonly #partitions: Partitions
  readonly #owner: LeaseOwner
  readonly #timings: Timings
  #counter = 0

  constructor(partitions: Partitions, owner: LeaseOwner, timings: Timings) {
    this.#partitions = partitions
    this.#owner = owner
    this.#timings = timings
  }

  /** The lease records that a majority of the partitions holds, the newest first; none when it was never written. Rejects as `decodeLease` does when no copy is sound. */
  async read(): Promise<readonly LeaseSector[]> {
    const { slot } = this.#owner
    const copies = await this.#partitions.read(leaseOffset(slot), SECTOR_SIZE)
    return decodeCopies(copies, (copy) => decodeLease(slot, copy)).sort(newestFirst)
  }

  /** Writes the lease record, with a counter that was never used before; durable when it resolves. */
  async write(incarnation: Incarnation, state: LeaseState): Promise<void> {
    const { slot } = this.#owner
    const counter = ++this.#counter
    const record: LeaseSector = {
      ...this.#owner,
      hostName: cut(this.#owner.hostName, 64), // only for messages
      incarnation,
      state,
      counter,
      ioTimeoutMs: this.#timings.ioTimeoutMs,
    }
    await this.#partitions.write(leaseOffset(slot), encodeLease(record), 'lease')
  }

  /** Resolves once every earlier write of the lease record has landed, or never will. */
  settled(): Promise<void> {
    return this.#partitions.settled(leaseOffset(this.#owner.slot))
  }

  /** Replaces the standing fence request; durable when it resolves. */
  async writeFenceRequest(incarnation: Incarnation, victims: readonly Life[]): Promise<void> {
    const { slot } = this.#owner
    const request = encodeFenceRequest({ slot, incarnation, victims })
    await this.#partitions.write(fenceOffset(slot), request, 'lease')
  }
}

/** The longest beginning of `text` that has at most `bytes` bytes. */
function cut(text: string, bytes: number): string {
  let short = text
  while (Buffer.byteLength(short) > bytes) short = short.slice(0, -1)
  return short
}
