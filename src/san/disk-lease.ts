/**
 * The disk lease of a node: its right to use the LUNs, a sector on the membership partition that only it writes and keeps writing
 * (R26). Whoever sees it unchanged for long enough knows that its owner can no longer write (lease-watch.ts, base/timings.ts).
 *
 * Claim (a delta lease, Chockler and Malkhi 2002; there is no compare-and-write on a plain file)
 *   1. Read the sector. A former owner that did not leave cleanly must surely be dead: its process is gone from this host, or
 *      its sector has not changed for `observedDeadMs` of own watching. Else 'node-in-use'.
 *      Let t0 be the time at which the last read of it was issued.
 *   2. Write our record, incarnation + 1, state claiming; complete at t1.
 *   3. If t1 - t0 > settleMs, start over. Else wait settleMs, and read: still our record → the lease is ours; it is joining.
 *
 *   Two claims never both succeed: say B's write landed before A's. B succeeds only if it reads its record settleMs after its
 *   write was complete, so A's landed later than that; but then A's t0, at most settleMs before, came after B's write, and A
 *   would have seen it in step 1. A write that was too slow may have hidden B's record, though: so nobody trusts a record in
 *   state claiming, not even its writer, before B has had the time to notice or to die (step 1, always by watching).
 *
 * Invariants
 *   1. goodUntil = time at which the last successful renewal was *issued* + leaseMs. One that completes after the lease
 *      is over does not count: a lease that is over never returns.
 *   2. Before every write the sector is read: if it holds a claim of another process, the lease is lost.
 *   3. Before every renewal the fence requests are read: a request against this life ends it, with one exception (`#isAsked`).
 *   4. Incarnations of a slot only grow, and none is used twice.
 *   5. `clean` is written last of all, after the gate: then nothing of this incarnation can reach a LUN any more.
 *
 * Crash: during the claim → the next claim has to watch. Later → the lease runs out, and observers see its sector stand still.
 */
import { assert } from '../base/assert.ts'
import { MatrixError } from '../base/errors.ts'
import type { Incarnation, Slot } from '../base/ids.ts'
import { MAX_SLOTS, SECTOR_SIZE } from '../base/limits.ts'
import type { Timings } from '../base/timings.ts'
import { type Clock, sleep, type Timer } from '../platform/clock.ts'
import type { Processes, ProcessIdentity } from '../platform/files.ts'
import type { Log } from '../platform/log.ts'
import type { PeerAddress } from '../platform/transport.ts'
import {
  decodeFenceRequest,
  decodeLease,
  encodeFenceRequest,
  encodeLease,
  type LeaseSector,
  type LeaseState,
  type Life,
} from './lease-sector.ts'
import type { Lun } from './lun.ts'
import { FENCE_OFFSET, fenceOffset, LEASE_OFFSET, leaseOffset } from './lun-layout.ts'
import type { Lease } from './psd.ts'

/** Attempts of a claim whose I/O was too slow to be sure, before it is given up. */
const MAX_CLAIM_ATTEMPTS = 5

/** Who claims. */
export type LeaseOwner = {
  readonly slot: Slot
  readonly nodeName: string
  readonly hostName: string
  readonly address: PeerAddress
  readonly process: ProcessIdentity
  /** Random, of this claim alone. */
  readonly nonce: string
}

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
  /** Gives the lease back, after all I/O of this node has ended (see invariant 5). Resolves when that is durable. */
  release(): Promise<void>
}

export type DiskLeaseOptions = {
  /** The LUN with the membership partition, not behind the fence gate: the gate depends on the lease. */
  readonly lun: Lun
  readonly clock: Clock
  readonly processes: Pick<Processes, 'state'>
  readonly timings: Timings
  readonly log: Log
  readonly owner: LeaseOwner
  /** Called once, when the lease is over for whatever reason; nothing may be written or served from then on. */
  readonly onEnd: (end: LeaseEnd) => void
  /** Called with every change of `goodUntil()`, before anything depends on it. */
  readonly publish?: (goodUntil: number) => void
}

export class DiskLease implements NodeLease {
  readonly #options: DiskLeaseOptions
  #incarnation: Incarnation = 0
  #counter = 0
  #state: LeaseState = 'claiming'
  #claimed = false
  #goodUntil = Number.NEGATIVE_INFINITY
  #end: LeaseEnd | undefined
  #victims: readonly Life[] = []
  /** Writes of own sectors go one after another. */
  #queue: Promise<unknown> = Promise.resolve()
  #renewTimer: Timer | undefined
  #deadlineTimer: Timer | undefined

  /** Claims the lease of `owner.slot`; rejects with 'node-in-use', 'in-use' (slot of another node), 'config' (timings), 'lun-damaged', 'timeout', 'lun-io'. */
  static async claim(options: DiskLeaseOptions): Promise<DiskLease> {
    const lease = new DiskLease(options)
    try {
      await lease.#claim()
    } catch (error) {
      lease.#finish({ kind: 'lost', reason: 'the claim failed' })
      throw error
    }
    return lease
  }

  private constructor(options: DiskLeaseOptions) {
    assert(options.owner.slot >= 0 && options.owner.slot < MAX_SLOTS, `no slot ${options.owner.slot}`)
    this.#options = options
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
    return this.#enqueue(async () => {
      this.#assertHeld()
      this.#state = state
      await this.#renew()
      this.#assertHeld()
    })
  }

  requestFence(victims: readonly Life[]): Promise<void> {
    return this.#enqueue(async () => {
      this.#assertHeld()
      // one standing request per slot: its latest incarnation
      const others = this.#victims.filter((old) => !victims.some((victim) => victim.slot === old.slot))
      this.#victims = [...others, ...victims]
      await this.#writeFenceSector()
    })
  }

  async release(): Promise<void> {
    if (this.#end) return
    this.#finish({ kind: 'released' })
    await this.#enqueue(async () => {
      this.#state = 'clean'
      await this.#checkOwner()
      await this.#writeSector()
    })
  }

  // ---- claim ----

  async #claim(): Promise<void> {
    const { clock, timings, owner, log } = this.#options
    const settleMs = timings.ioTimeoutMs
    await this.#checkTimings()
    for (let attempt = 1; attempt <= MAX_CLAIM_ATTEMPTS; attempt++) {
      const { former, readAt } = await this.#awaitFormerOwner()
      this.#incarnation = (former?.incarnation ?? 0) + 1
      const issuedAt = clock.now()
      await this.#writeSector()
      const tookMs = clock.now() - readAt
      if (tookMs > settleMs) {
        log.warn(
          { slot: owner.slot, tookMs, attempt },
          'claiming the disk lease took too long to be sure, starting over',
        )
        continue
      }
      await sleep(clock, settleMs)
      const settled = await this.#readOwn()
      if (settled?.nonce !== owner.nonce || settled.incarnation !== this.#incarnation) throw this.#inUse(settled)
      if (clock.now() > issuedAt + timings.leaseMs) continue // this host was paused
      await this.#begin(issuedAt)
      return
    }
    throw new MatrixError('timeout', `the LUN ${this.#options.lun.identity} is too slow to claim a disk lease on it`)
  }

  /** The claim has succeeded: leave no request of a former life standing, say so on the disk, and keep renewing. */
  async #begin(issuedAt: number): Promise<void> {
    const { timings, owner, log } = this.#options
    this.#extend(issuedAt)
    await this.#writeFenceSector()
    this.#state = 'joining'
    await this.#renew()
    this.#assertHeld()
    this.#claimed = true
    log.info({ slot: owner.slot, incarnation: this.#incarnation }, 'disk lease claimed')
    this.#scheduleRenewal(timings.renewMs)
  }

  /** All nodes of a matrix reckon with one base; a sector that is in use, or whose owner died, with another one is refused. */
  async #checkTimings(): Promise<void> {
    const { lun, timings, owner } = this.#options
    const region = Buffer.alloc(MAX_SLOTS * SECTOR_SIZE)
    await lun.read(LEASE_OFFSET, region)
    for (let slot = 0; slot < MAX_SLOTS; slot++) {
      const sector = this.#tryDecode(slot, region.subarray(slot * SECTOR_SIZE, (slot + 1) * SECTOR_SIZE))
      if (!sector) continue
      if (slot !== owner.slot && sector.nodeName === owner.nodeName) {
        throw new MatrixError(
          'config',
          `node "${owner.nodeName}" has slot ${slot}, not ${owner.slot}; correct its configuration`,
        )
      }
      if (sector.state === 'clean' || sector.ioTimeoutMs === timings.ioTimeoutMs) continue
      throw new MatrixError(
        'config',
        `the timings differ: node "${sector.nodeName}" uses an I/O time-out of ${sector.ioTimeoutMs} ms, this node is configured with ${timings.ioTimeoutMs} ms; all nodes need the same one, and it changes only while all are stopped cleanly`,
      )
    }
  }

  /** The former record of the own sector, once its owner is surely dead, and when the last read of it was issued. */
  async #awaitFormerOwner(): Promise<{ former: LeaseSector | undefined; readAt: number }> {
    const { clock, timings, processes, owner, log } = this.#options
    const firstReadAt = clock.now()
    const former = await this.#readOwn()
    const seenAt = clock.now()
    if (!former) return { former, readAt: firstReadAt }
    if (former.nodeName !== owner.nodeName) {
      throw new MatrixError(
        'in-use',
        `slot ${owner.slot} belongs to node "${former.nodeName}" (host ${former.hostName}), not to "${owner.nodeName}"; correct the slot in its configuration`,
      )
    }
    if (former.state === 'clean') return { former, readAt: firstReadAt }
    // an earlier lease of this very process may have I/O under way, and a claim may have hidden another's: only time tells
    const onlyTimeTells = former.state === 'claiming' || sameIdentity(former.process, owner.process)
    const state = processes.state(former.process)
    if (state === 'running' && !sameIdentity(former.process, owner.process)) throw this.#inUse(former)
    if (!onlyTimeTells && state === 'gone') return { former, readAt: firstReadAt }
    log.info(
      { slot: owner.slot, host: former.hostName, pid: former.process.pid },
      'watching whether the former owner lives',
    )
    for (;;) {
      await sleep(clock, timings.renewMs)
      const readAt = clock.now()
      if (!sameWriting(former, await this.#readOwn())) throw this.#inUse(former)
      if (readAt - seenAt >= timings.observedDeadMs) return { former, readAt }
    }
  }

  #inUse(sector: LeaseSector | undefined): MatrixError {
    const { owner } = this.#options
    const who = sector ? `process ${sector.process.pid} on host ${sector.hostName}` : 'another process'
    return new MatrixError('node-in-use', `node "${owner.nodeName}" (slot ${owner.slot}) is already running: ${who}`)
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
      await this.#enqueue(() => this.#renew())
    } catch (error) {
      ok = false
      if (!this.#end)
        log.warn({ slot: owner.slot, error, leftMs: this.#goodUntil - clock.now() }, 'lease renewal failed')
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
    const issuedAt = this.#options.clock.now()
    await this.#writeSector()
    this.#extend(issuedAt)
  }

  #extend(issuedAt: number): void {
    const { clock, timings } = this.#options
    const first = this.#goodUntil === Number.NEGATIVE_INFINITY
    if (this.#end) return
    if (!first && clock.now() > this.#goodUntil) {
      this.#finish({ kind: 'lost', reason: 'a renewal came too late' })
      return
    }
    this.#publish(issuedAt + timings.leaseMs)
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

  #assertHeld(): void {
    if (this.#end) throw new MatrixError('fenced', `the disk lease of this node is over: ${describeEnd(this.#end)}`)
  }

  // ---- the sectors ----

  /** Invariant 2. A record of an earlier incarnation is a late write of its last moments and is simply written over. */
  async #checkOwner(): Promise<void> {
    const { owner, log } = this.#options
    const found = await this.#readOwn(true)
    if (found?.nonce === owner.nonce) return
    if (!found || found.incarnation < this.#incarnation) {
      log.warn({ slot: owner.slot, found: found?.incarnation }, 'the own lease sector was changed, writing it again')
      return
    }
    const reason = `slot ${owner.slot} was taken by process ${found.process.pid} on host ${found.hostName}`
    this.#finish({ kind: 'lost', reason })
    throw new MatrixError('fenced', reason)
  }

  async #checkFenceRequests(): Promise<void> {
    const region = Buffer.alloc(MAX_SLOTS * SECTOR_SIZE)
    await this.#options.lun.read(FENCE_OFFSET, region)
    for (let slot = 0; slot < MAX_SLOTS && !this.#end; slot++) {
      const sector = region.subarray(slot * SECTOR_SIZE, (slot + 1) * SECTOR_SIZE)
      if (slot === this.#options.owner.slot || sector.readUInt32LE(0) === 0) continue
      if (this.#isAsked(slot, sector)) return
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
      if (!request?.victims.some((victim) => sameLife(victim, this.life))) return false
      const by: Life = { slot, incarnation: request.incarnation }
      if (this.life.slot < slot && this.#victims.some((victim) => sameLife(victim, by))) {
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

  async #readOwn(tolerant = false): Promise<LeaseSector | undefined> {
    const { lun, owner } = this.#options
    const sector = Buffer.alloc(SECTOR_SIZE)
    await lun.read(leaseOffset(owner.slot), sector)
    return tolerant ? this.#tryDecode(owner.slot, sector) : decodeLease(owner.slot, sector)
  }

  #tryDecode(slot: Slot, sector: Buffer): LeaseSector | undefined {
    try {
      return decodeLease(slot, sector)
    } catch (error) {
      this.#options.log.warn({ slot, error }, 'a lease sector is damaged')
      return undefined
    }
  }

  async #writeSector(): Promise<void> {
    const { lun, owner, timings } = this.#options
    this.#counter++
    const record: LeaseSector = {
      ...owner,
      ...this.life,
      state: this.#state,
      counter: this.#counter,
      ioTimeoutMs: timings.ioTimeoutMs,
    }
    await lun.write(leaseOffset(owner.slot), [encodeLease(record)], { purpose: 'lease', durable: true })
  }

  async #writeFenceSector(): Promise<void> {
    const { lun, owner } = this.#options
    const request = encodeFenceRequest({ ...this.life, victims: this.#victims })
    await lun.write(fenceOffset(owner.slot), [request], { purpose: 'lease', durable: true })
  }

  #enqueue<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(run)
    this.#queue = result.catch(() => {})
    return result
  }
}

export function sameLife(a: Life, b: Life): boolean {
  return a.slot === b.slot && a.incarnation === b.incarnation
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

function sameIdentity(a: ProcessIdentity, b: ProcessIdentity): boolean {
  return a.bootId === b.bootId && a.pid === b.pid && a.startTime === b.startTime
}

function sameWriting(a: LeaseSector | undefined, b: LeaseSector | undefined): boolean {
  return a?.incarnation === b?.incarnation && a?.counter === b?.counter && a?.nonce === b?.nonce
}
