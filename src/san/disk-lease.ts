/**
 * The disk lease of a node: its right to use the LUNs, a sector on each membership partition that only it writes and keeps writing
 * (R26). Whoever sees it unchanged for long enough knows that its owner can no longer write (lease-watch.ts, base/timings.ts).
 *
 * It is claimed by the rules of lease-claim.ts, then renewed every `renewMs`.
 *
 * Invariants
 *   1. goodUntil = time at which the last successful renewal was *issued* + leaseMs. One that completes after the lease
 *      is over does not count: a lease that is over never returns.
 *   2. Before every write the sector is read: if any copy met holds a claim of another process, the lease is lost.
 *   3. Before every renewal the fence requests are read: any copy met of a request against this life ends it, with one exception (`#isAsked`).
 *   4. Incarnations of a slot only grow, and none is used twice.
 *   5. `clean` is written last of all, after the gate: then nothing of this incarnation can reach a LUN any more.
 *   6. Right before every write of an own sector the deadline is looked at: this host may have stood still since it was read.
 *
 * Crash: the lease runs out, and observers see its sector stand still.
 */

import { assert } from '../base/assert.ts'
import { brokenRules } from '../base/broken-rules.ts'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import type { Incarnation, Slot } from '../base/ids.ts'
import { type Life, sameLife } from '../base/life.ts'
import { MAX_SLOTS, SECTOR_SIZE } from '../base/limits.ts'
import { Turns } from '../base/turns.ts'
import { type Timer, within } from '../platform/clock.ts'
import { type Claim, type ClaimOptions, claimSector } from './lease-claim.ts'
import { decodeFenceRequest, type LeaseState, sectorOf } from './lease-sector.ts'
import { FENCE_OFFSET } from './lun-layout.ts'
import { OwnSectors } from './own-sectors.ts'
import type { Lease } from './psd.ts'

/** Why a lease is over: lost (no renewal in time, or the sector was taken), another node's request, or given back. */
export type LeaseEnd =
  | { readonly kind: 'lost'; readonly reason: string }
  | { readonly kind: 'fenced'; readonly by: Life }
  | { readonly kind: 'released' }

/** A claimed lease, whichever thread renews it. */
export interface NodeLease extends Lease {
  readonly life: Life
  /** Durable when it resolves. */
  setState(state: 'active'): Promise<void>
  /** Asks these lives to die; the request stands durably when it resolves, and for as long as this life. */
  requestFence(victims: readonly Life[]): Promise<void>
  /**
   * Gives the lease back, after all I/O of this node has ended (invariant 5); durable when it resolves. Called after the lease was
   * lost or fenced it spares the others their waiting, while there is time left to say so; else it changes nothing.
   */
  release(): Promise<void>
}

/** The partitions are not behind the fence gate: the gate depends on the lease. */
export type DiskLeaseOptions = ClaimOptions & {
  /** Called once, when the lease is over for whatever reason; nothing may be written or served from then on. */
  readonly onEnd: (end: LeaseEnd) => void
  /** Called with every change of `goodUntil()`, before anything depends on it. */
  readonly publish?: (goodUntil: number) => void
}

export class DiskLease implements NodeLease {
  readonly #options: DiskLeaseOptions
  readonly #sectors: OwnSectors
  #incarnation: Incarnation = 0
  #state: LeaseState = 'joining'
  #claimed = false
  #goodUntil = Number.NEGATIVE_INFINITY
  /** The last `goodUntil` there was, also after the end. */
  #lastDeadline = Number.NEGATIVE_INFINITY
  #end: LeaseEnd | undefined
  #released = false
  #victims: readonly Life[] = []
  /** Writes of own sectors go one after another. */
  readonly #turns = new Turns()
  #renewTimer: Timer | undefined
  #deadlineTimer: Timer | undefined

  /** Claims the lease of `owner.slot`, and keeps it; rejects as `claimSector` does. */
  static async claim(options: DiskLeaseOptions): Promise<DiskLease> {
    const lease = new DiskLease(options)
    try {
      const claim = await claimSector(lease.#sectors, options)
      await lease.#begin(claim)
    } catch (error) {
      lease.#finish({ kind: 'lost', reason: 'the claim failed' })
      throw error
    }
    return lease
  }

  private constructor(options: DiskLeaseOptions) {
    assert(options.owner.slot >= 0 && options.owner.slot < MAX_SLOTS, `no slot ${options.owner.slot}`)
    this.#options = options
    this.#sectors = new OwnSectors(options.partitions, options.owner, options.timings)
  }

  get life(): Life {
    return { slot: this.#options.owner.slot, incarnation: this.#incarnation }
  }

  get end(): LeaseEnd | undefined {
    return this.#end
  }

  goodUntil(): number {
    return this.#goodUntil
  }

  setState(state: 'active'): Promise<void> {
    return this.#turns.take(async () => {
      this.#assertHeld()
      this.#state = state
      await this.#renew()
      this.#assertHeld()
    })
  }

  requestFence(victims: readonly Life[]): Promise<void> {
    return this.#turns.take(async () => {
      this.#mayWrite()
      // one standing request per slot: its latest incarnation
      const others = this.#victims.filter((old) => !victims.some((victim) => victim.slot === old.slot))
      this.#victims = [...others, ...victims]
      await this.#sectors.writeFenceRequest(this.#incarnation, this.#victims)
    })
  }

  release(): Promise<void> {
    this.#finish({ kind: 'released' })
    return this.#turns.take(async () => {
      // until then nobody else can have claimed the slot, so this write, even a late one, hides no claim
      if (this.#released || this.#options.clock.now() > this.#lastDeadline) return
      this.#released = true
      await this.#settled()
      await this.#checkOwner()
      if (this.#options.clock.now() <= this.#lastDeadline) await this.#sectors.write(this.#incarnation, 'clean')
      await this.#options.registration?.leave()
    })
  }

  /** A renewal that a slow partition has yet to write would outlive the word that all is over. Waits no longer than that may be said. */
  async #settled(): Promise<void> {
    const { clock } = this.#options
    await within(clock, this.#sectors.settled(), Math.max(0, this.#lastDeadline - clock.now()) + 1)
  }

  /** The claim has succeeded: leave no request of a former life standing, say so on the disk, and keep renewing. */
  async #begin({ incarnation, issuedAt }: Claim): Promise<void> {
    const { timings, owner, log } = this.#options
    this.#incarnation = incarnation
    this.#extend(issuedAt)
    await this.#sectors.writeFenceRequest(incarnation, [])
    await this.#renew()
    this.#assertHeld()
    this.#claimed = true
    log.info({ slot: owner.slot, incarnation: this.#incarnation }, 'disk lease claimed')
    this.#scheduleRenewal(timings.renewMs)
  }

  // ---- renewal ----

  #scheduleRenewal(delayMs: number): void {
    this.#renewTimer = this.#options.clock.after(delayMs, () => void this.#renewInTurn())
  }

  async #renewInTurn(): Promise<void> {
    const { clock, timings, log, owner } = this.#options
    const startedAt = clock.now()
    let ok = true
    try {
      await this.#turns.take(() => this.#renew())
    } catch (error) {
      ok = false
      const leftMs = this.#goodUntil - clock.now()
      if (!this.#end) log.warn({ slot: owner.slot, error, leftMs }, 'lease renewal failed')
      if (isMatrixError(error, 'lun-reserved') && !brokenRules.conflictIsTheEnd)
        this.#finish({ kind: 'lost', reason: 'fenced at the storage: the LUN refuses the writes of this node' })
    }
    if (this.#end) return
    const pauseMs = ok ? timings.renewMs : timings.renewMs / 4
    this.#scheduleRenewal(Math.max(0, startedAt + pauseMs - clock.now()))
  }

  /** One renewal; ends the lease when it finds it taken, or itself asked to die. */
  async #renew(): Promise<void> {
    await this.#checkOwner()
    await this.#checkFenceRequests()
    if (this.#end) return
    this.#mayWrite()
    const issuedAt = this.#options.clock.now()
    await this.#sectors.write(this.#incarnation, this.#state)
    this.#extend(brokenRules.leaseFromIssue ? this.#options.clock.now() : issuedAt)
  }

  #extend(issuedAt: number): void {
    const { clock, timings } = this.#options
    const first = this.#goodUntil === Number.NEGATIVE_INFINITY
    if (this.#end) return
    if (!first && clock.now() > this.#goodUntil && !brokenRules.leaseNeverReturns) {
      this.#finish({ kind: 'lost', reason: 'a renewal came too late' })
      return
    }
    this.#lastDeadline = issuedAt + timings.leaseMs
    this.#publish(this.#lastDeadline)
    this.#deadlineTimer?.cancel()
    this.#deadlineTimer = clock.after(this.#goodUntil - clock.now(), () => {
      if (clock.now() < this.#goodUntil) return // renewed while this host stood still
      this.#finish({ kind: 'lost', reason: `no renewal succeeded for ${timings.leaseMs} ms` })
    })
  }

  #finish(end: LeaseEnd): void {
    if (this.#end) return
    this.#end = end
    this.#publish(Number.NEGATIVE_INFINITY)
    this.#renewTimer?.cancel()
    this.#deadlineTimer?.cancel()
    const { log, owner, onEnd } = this.#options
    if (!this.#claimed) return // the claim rejects
    log[end.kind === 'released' ? 'info' : 'error']({ slot: owner.slot, ...end }, 'the disk lease is over')
    onEnd(end)
  }

  #publish(goodUntil: number): void {
    this.#goodUntil = goodUntil
    this.#options.publish?.(goodUntil)
  }

  /** Invariant 6. Throws MatrixError 'fenced'. */
  #mayWrite(): void {
    const { clock, timings } = this.#options
    if (!this.#end && clock.now() >= this.#goodUntil && !brokenRules.deadlineBeforeRenewal) {
      this.#finish({ kind: 'lost', reason: `no renewal succeeded for ${timings.leaseMs} ms` })
    }
    this.#assertHeld()
  }

  #assertHeld(): void {
    if (this.#end) throw new MatrixError('fenced', `the disk lease of this node is over: ${describeEnd(this.#end)}`)
  }

  // ---- the sectors ----

  /** Invariant 2. A record of an earlier incarnation is a late write of its last moments and is simply written over. */
  async #checkOwner(): Promise<void> {
    const { owner, log } = this.#options
    const found = await this.#sectors.read().catch((error) => {
      if (!isMatrixError(error, 'lun-damaged')) throw error
      return []
    })
    const taker = found.find(({ nonce, incarnation }) => nonce !== owner.nonce && incarnation >= this.#incarnation)
    if (!taker || brokenRules.takenSectorEndsLease) {
      if (found[0]?.nonce === owner.nonce) return
      log.warn(
        { slot: owner.slot, found: found[0]?.incarnation },
        'the own lease sector was changed or damaged, writing it again',
      )
      return
    }
    const reason = `slot ${owner.slot} was taken by process ${taker.process.pid} on host ${taker.hostName}`
    this.#finish({ kind: 'lost', reason })
    throw new MatrixError('fenced', reason)
  }

  async #checkFenceRequests(): Promise<void> {
    for (const region of await this.#options.partitions.read(FENCE_OFFSET, MAX_SLOTS * SECTOR_SIZE)) {
      for (let slot = 0; slot < MAX_SLOTS && !this.#end; slot++) {
        const sector = sectorOf(slot, region)
        if (slot === this.#options.owner.slot || sector.readUInt32LE(0) === 0) continue
        if (this.#isAsked(slot, sector)) return
      }
    }
  }

  /**
   * Ends the lease when `slot` asks this life to die, except when this life asks that one, too, and has the lower slot: then the
   * other yields. Ignoring the request is safe because the one who asked acts only once it has seen our sector stand still
   * for `observedDeadMs`, and it does not while we renew; it will read our request before its next renewal, or lose its own lease.
   */
  #isAsked(slot: Slot, sector: Buffer): boolean {
    const { log } = this.#options
    try {
      const request = decodeFenceRequest(slot, sector)
      if (!request?.victims.some((victim) => sameLife(victim, this.life)) || brokenRules.fenceRequestHeeded)
        return false
      const by: Life = { slot, incarnation: request.incarnation }
      if (
        (this.life.slot < slot || brokenRules.higherSlotYields) &&
        this.#victims.some((victim) => sameLife(victim, by))
      ) {
        log.warn({ by }, 'asked to die by a node that this one asked, too; the higher slot yields')
        return false
      }
      this.#finish({ kind: 'fenced', by })
      return true
    } catch (error) {
      // torn: it asks nothing until it is whole, and whoever wrote it has not been told that it stands
      log.warn({ slot, error }, 'a fence request sector is damaged')
      return false
    }
  }
}

export function describeEnd(end: LeaseEnd): string {
  switch (end.kind) {
    case 'lost':
      return end.reason
    case 'fenced':
      return `fenced at the request of slot ${end.by.slot}, incarnation ${end.by.incarnation}`
    case 'released':
      return 'given back'
  }
}
