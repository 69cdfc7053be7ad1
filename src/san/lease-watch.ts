/**
 * The observer of all disk leases (the Shared Disk Monitor Probe's disk half, R25, R26): reads every lease sector on a majority of the
 * partitions once per renewal period and remembers since when, by its own clock, the newest record of each has stood still. No time of
 * another machine is ever looked at.
 *
 * A life is certainly dead when its sector has been seen unchanged for `observedDeadMs` from the *end* of the read that saw
 * the last change to the *begin* of the latest read: whatever phase the watching began in, its lease is over and its I/O with
 * it (base/timings.ts). A watch that has just begun knows nothing. A newer incarnation in the sector, or `clean`, proves the same: a claim is written only after the former life is surely dead, and
 * `clean` only after its I/O has ended.
 */

import { brokenRules } from '../base/broken-rules.ts'
import type { Slot } from '../base/ids.ts'
import type { Life } from '../base/life.ts'
import { MAX_SLOTS, SECTOR_SIZE } from '../base/limits.ts'
import type { Timings } from '../base/timings.ts'
import type { Clock, Timer } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { type LeaseSector, recordsOf } from './lease-sector.ts'
import { LEASE_OFFSET } from './lun-layout.ts'
import type { Partitions } from './partitions.ts'
import { Sightings } from './sightings.ts'

export type LeaseWatchOptions = {
  readonly partitions: Partitions
  readonly clock: Clock
  readonly timings: Timings
  readonly log: Log
}

type Watched = {
  /** Older copies, and damage, show no life. */
  readonly sightings: Sightings
  /** End of the last read that showed life, own clock, ms. */
  changedAt: number
}

export class LeaseWatch {
  /** Called after every successful read. */
  onRead: () => void = () => {}
  readonly #options: LeaseWatchOptions
  readonly #watched = new Map<Slot, Watched>()
  /** Begin of the latest successful read, own clock, ms. */
  #readAt = Number.NEGATIVE_INFINITY
  /** End of the first successful read: what cannot be read since then shows no life. */
  #firstReadEnd = Number.POSITIVE_INFINITY
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
    return [...this.#watched.values()]
      .flatMap(({ sightings }) => sightings.newest ?? [])
      .sort((a, b) => a.slot - b.slot)
  }

  /** True when `life` can neither write to the LUNs nor believe that it may serve. */
  certainlyDead(life: Life): boolean {
    const sector = this.#watched.get(life.slot)?.sightings.newest
    if (sector && sector.incarnation !== life.incarnation) return sector.incarnation > life.incarnation
    return (
      sector?.state === 'clean' ||
      this.stillMs(life) >= this.#options.timings[brokenRules.lastWriteIsDead ? 'leaseMs' : 'observedDeadMs']
    )
  }

  /** For how long no sign of `life` was seen while this watch was looking, ms. A slot whose record cannot be read shows none. */
  stillMs({ slot, incarnation }: Life): number {
    const watched = this.#watched.get(slot)
    if ((watched?.sightings.newest?.incarnation ?? incarnation) < incarnation) return 0 // it is just about to write
    return Math.max(0, this.#readAt - (watched?.changedAt ?? this.#firstReadEnd))
  }

  #read(): Promise<void> {
    this.#scanning ??= this.#readOnce().finally(() => {
      this.#scanning = undefined
    })
    return this.#scanning
  }

  async #readOnce(): Promise<void> {
    const { partitions, clock, log } = this.#options
    const begunAt = clock.now()
    const regions = await partitions.read(LEASE_OFFSET, MAX_SLOTS * SECTOR_SIZE)
    const endedAt = clock.now()
    this.#firstReadEnd = Math.min(this.#firstReadEnd, endedAt)
    for (let slot = 0; slot < MAX_SLOTS; slot++) {
      const watched = this.#watched.get(slot)
      const sightings = watched?.sightings ?? new Sightings()
      if (!sightings.meet(recordsOf(slot, regions, log))) continue
      const changedAt = !watched && brokenRules.watchKnowsNothing ? Number.NEGATIVE_INFINITY : endedAt
      this.#watched.set(slot, { sightings, changedAt })
    }
    this.#readAt = begunAt
    this.onRead()
  }
}
