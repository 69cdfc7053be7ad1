/** The two sectors of one slot as their owner reads and writes them; the only writer of both (lun-layout.ts). */
import type { Incarnation, Slot } from '../base/ids.ts'
import { SECTOR_SIZE } from '../base/limits.ts'
import type { Timings } from '../base/timings.ts'
import type { ProcessIdentity } from '../platform/files.ts'
import type { PeerAddress } from '../platform/transport.ts'
import {
  decodeLease,
  encodeFenceRequest,
  encodeLease,
  type LeaseSector,
  type LeaseState,
  type Life,
} from './lease-sector.ts'
import type { Lun } from './lun.ts'
import { fenceOffset, leaseOffset } from './lun-layout.ts'

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
  readonly #lun: Lun
  readonly #owner: LeaseOwner
  readonly #timings: Timings
  #counter = 0

  constructor(lun: Lun, owner: LeaseOwner, timings: Timings) {
    this.#lun = lun
    this.#owner = owner
    this.#timings = timings
  }

  /** As `decodeLease`. */
  async read(): Promise<LeaseSector | undefined> {
    const sector = Buffer.alloc(SECTOR_SIZE)
    await this.#lun.read(leaseOffset(this.#owner.slot), sector)
    return decodeLease(this.#owner.slot, sector)
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
    await this.#lun.write(leaseOffset(slot), [encodeLease(record)], { purpose: 'lease', durable: true })
  }

  /** Replaces the standing fence request; durable when it resolves. */
  async writeFenceRequest(incarnation: Incarnation, victims: readonly Life[]): Promise<void> {
    const { slot } = this.#owner
    const request = encodeFenceRequest({ slot, incarnation, victims })
    await this.#lun.write(fenceOffset(slot), [request], { purpose: 'lease', durable: true })
  }
}

/** The longest beginning of `text` that has at most `bytes` bytes. */
function cut(text: string, bytes: number): string {
  let short = text
  while (Buffer.byteLength(short) > bytes) short = short.slice(0, -1)
  return short
}
