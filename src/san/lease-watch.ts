/**
 * The observer of all disk leases (the Shared Disk Monitor Probe's disk half, R25, R26): reads every lease sector once per renewal
 * period and remembers since when, by its own clock, each has stood still. No time of another machine is ever looked at.
 *
 * A life is certainly dead when its sector has been seen unchanged for `observedDeadMs` from the *end* of the read that saw
 * the last change to the *begin* of the latest read: whatever phase the watching began in, its lease is over and its I/O with
 * it (base/timings.ts). A watch that has just begun knows nothing. A newer incarnation in the sector, or `clean`, proves the same: a claim is written only after the former life is surely dead, and
 * `clean` only after its I/O has ended.
 */
import type { Slot } from '../base/ids.ts'
import { MAX_SLOTS, SECTOR_SIZE } from '../base/limits.ts'
import type { Timings } from '../base/timings.ts'
import type { Clock, Timer } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { type LeaseSector, type Life, tryDecodeLease } from './lease-sector.ts'
import type { Lun } from './lun.ts'
import { LEASE_OFFSET } from './lun-layout.ts'

/** Bytes of a sector that are compared: a lease record fits into them. */
const RECORD_BYTES = 512

export type LeaseWatchOptions = {
  readonly lun: Lun
  readonly clock: Clock
  readonly timings: Timings
  readonly log: Log
}

type Watched = {
  readonly bytes: Buffer
  /** The latest record that could be read: damage is a change, but does not make the life unknown. */
  readonly sector: LeaseSector
  /** End of the read that saw the last change, own clock, ms. */
  readonly changedAt: number
}

export class LeaseWatch {
  readonly #options: LeaseWatchOptions
  readonly #watched = new Map<Slot, Watched>()
  /** Begin of the latest successful read, own clock, ms. */
  #readAt = Number.NEGATIVE_INFINITY
  #timer: Timer | undefined
  #scanning: Promise<void> | undefined

  constructor(options: LeaseWatchOptions) {
    this.#options = options
  }

  /** Begins to watch, every renewal period, until `stop`. */
  start(): void {
    if (this.#timer) return
    const { clock, timings, log } = this.#options
    const look = (): void => {
      this.#read().catch((error) => log.warn({ error }, 'the lease sectors could not be read'))
    }
    this.#timer = clock.every(timings.renewMs, look)
    look()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  /** Every slot's record as of now, read from the LUN; slots that were never used are missing. Rejects with 'lun-io'. */
  async scan(): Promise<LeaseSector[]> {
    // a read that is under way may have begun before the caller's question
    await this.#scanning?.catch(() => {})
    await this.#read()
    return this.sectors
  }

  /** As of the latest read, ascending by slot. */
  get sectors(): LeaseSector[] {
    return [...this.#watched.values()].map((watched) => watched.sector).sort((a, b) => a.slot - b.slot)
  }

  /** True when `life` can neither write to the LUNs nor believe that it may serve. */
  certainlyDead({ slot, incarnation }: Life): boolean {
    const watched = this.#watched.get(slot)
    if (!watched) return false
    const { sector, changedAt } = watched
    if (sector.incarnation !== incarnation) return sector.incarnation > incarnation
    return sector.state === 'clean' || this.#readAt - changedAt >= this.#options.timings.observedDeadMs
  }

  #read(): Promise<void> {
    this.#scanning ??= this.#readOnce().finally(() => {
      this.#scanning = undefined
    })
    return this.#scanning
  }

  async #readOnce(): Promise<void> {
    const { lun, clock } = this.#options
    const region = Buffer.alloc(MAX_SLOTS * SECTOR_SIZE)
    const begunAt = clock.now()
    await lun.read(LEASE_OFFSET, region)
    const endedAt = clock.now()
    for (let slot = 0; slot < MAX_SLOTS; slot++) {
      this.#compare(slot, region.subarray(slot * SECTOR_SIZE, (slot + 1) * SECTOR_SIZE), endedAt)
    }
    this.#readAt = begunAt
  }

  #compare(slot: Slot, bytes: Buffer, changedAt: number): void {
    const former = this.#watched.get(slot)
    const record = bytes.subarray(0, RECORD_BYTES)
    if (former ? former.bytes.equals(record) : record.readUInt32LE(0) === 0) return
    const sector = tryDecodeLease(slot, bytes, this.#options.log) ?? former?.sector
    if (sector) this.#watched.set(slot, { bytes: Buffer.from(record), sector, changedAt })
  }
}
