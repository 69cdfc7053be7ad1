/**
 * PseudoStorageDriver: all I/O of a node to one LUN passes here (R41). It has the shape of a `Lun` and adds the fence gate, the
 * lease check, and counters by purpose.
 *
 * 1. Once `fence` was called nothing more reaches the device, and everything pending rejects with 'fenced' at once (R42).
 * 2. A write is handed to the device only while more than `guardMs` of the lease is left, by the monotonic clock, checked right
 *    before the hand-over: so its last possible moment on the device is known to observers (base/timings.ts).
 * 3. What completes after the lease is over rejects with 'fenced': a write may or may not count (others may have read the
 *    place already), a flush promises nothing any more, a read may be stale.
 *
 * A reservation conflict says that this node was fenced at the storage: the gate closes by itself.
 *
 * After a rejection with 'fenced' the device may still read from the buffers handed over: do not use them again before `drained`.
 */
import { brokenRules } from '../base/broken-rules.ts'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import type { Clock } from '../platform/clock.ts'
import type { Lun, LunPath, WriteOptions, WritePurpose } from './lun.ts'

/** Until when this node may write, in `clock.now()` milliseconds; -Infinity once it is lost. */
export interface Lease {
  goodUntil(): number
}

/** For tools that work on LUNs no node uses, and for what happens before a node claims its lease. */
export const alwaysGoodLease: Lease = { goodUntil: () => Number.POSITIVE_INFINITY }

export type IoKind = 'read' | 'flush' | WritePurpose

export type IoCounters = {
  ops: number
  /** Of those that succeeded. */
  bytes: number
  errors: number
  /** All of them together. */
  ms: number
}

/** One I/O that is over: for traces and oracles. */
export type IoTrace = {
  readonly lun: string
  readonly kind: IoKind
  readonly offset: number
  readonly bytes: number
  readonly tookMs: number
  readonly error?: unknown
}

export type PsdOptions = {
  readonly clock: Clock
  readonly lease: Lease
  /** See `Timings.guardMs`. */
  readonly guardMs: number
  /** How much of the device is used, bytes; all of it unless told otherwise. One that has grown is used as its label says. */
  readonly size?: number
  readonly trace?: (io: IoTrace) => void
  /** The device has answered a reservation conflict. */
  readonly onReserved?: (reason: string) => void
}

type Pending = { readonly reject: (error: MatrixError) => void }

export class PseudoStorageDriver implements Lun {
  readonly #device: Lun
  readonly #options: PsdOptions
  readonly #counters = new Map<IoKind, IoCounters>()
  readonly #pending = new Set<Pending>()
  #underWay = 0
  #drainWaiters: (() => void)[] = []
  #closedBy: string | undefined
  #size: number | undefined

  constructor(device: Lun, options: PsdOptions) {
    this.#device = device
    this.#options = options
    this.#size = options.size
  }

  get identity(): string {
    return this.#device.identity
  }

  get size(): number {
    return this.#size ?? this.#device.size
  }

  /** From now on so much of the device is used. */
  resize(bytes: number): void {
    this.#size = bytes
  }

  get paths(): readonly LunPath[] | undefined {
    return this.#device.paths
  }

  /** Why the gate is closed; undefined while it is open. */
  get closedBy(): string | undefined {
    return this.#closedBy
  }

  /** Operations that passed, by kind; bytes of those that succeeded. */
  get counters(): ReadonlyMap<IoKind, Readonly<IoCounters>> {
    return this.#counters
  }

  read(offset: number, buffer: Buffer): Promise<void> {
    return this.#pass('read', offset, buffer.length, 0, () => this.#device.read(offset, buffer))
  }

  write(offset: number, buffers: readonly Uint8Array[], options: WriteOptions): Promise<void> {
    let bytes = 0
    for (const buffer of buffers) bytes += buffer.length
    return this.#pass(options.purpose, offset, bytes, this.#options.guardMs, () =>
      this.#device.write(offset, buffers, options),
    )
  }

  flush(): Promise<void> {
    return this.#pass('flush', 0, 0, 0, () => this.#device.flush())
  }

  /** The fence gate: nothing passes from now on, and what is pending rejects. Closing again changes nothing. */
  fence(reason: string): void {
    if (this.#closedBy !== undefined) return
    this.#closedBy = reason
    const error = this.#fenced()
    for (const pending of this.#pending) pending.reject(error)
    this.#pending.clear()
  }

  /** Resolves once nothing that was handed to the device is under way any more. */
  drained(): Promise<void> {
    if (this.#underWay === 0) return Promise.resolve()
    return new Promise((resolve) => this.#drainWaiters.push(resolve))
  }

  /** Closes gate and device: for good, once everything under way is over. */
  async close(): Promise<void> {
    this.fence('the LUN was closed')
    await this.drained()
    await this.#device.close()
  }

  #pass(kind: IoKind, offset: number, bytes: number, guardMs: number, run: () => Promise<void>): Promise<void> {
    const { clock, lease } = this.#options
    if (this.#closedBy !== undefined && !brokenRules.gate) return Promise.reject(this.#fenced())
    const startedAt = clock.now()
    const leftMs = lease.goodUntil() - startedAt
    if (!(leftMs > guardMs) && !brokenRules.leaseBeforeIo) return Promise.reject(this.#leaseOver(leftMs))

    return new Promise((resolve, reject) => {
      const pending: Pending = { reject }
      const settle = (error?: unknown): void => {
        this.#pending.delete(pending)
        this.#count(kind, offset, bytes, startedAt, error)
        const leftNow = lease.goodUntil() - clock.now()
        if (isMatrixError(error, 'lun-reserved')) this.#reserved(error.message)
        if (error !== undefined) reject(error)
        else if (!(leftNow > 0) && !brokenRules.leaseAfterIo) reject(this.#leaseOver(leftNow))
        else resolve()
        if (--this.#underWay === 0) for (const waiter of this.#drainWaiters.splice(0)) waiter()
      }
      this.#pending.add(pending)
      this.#underWay++
      run().then(() => settle(), settle)
    })
  }

  #reserved(reason: string): void {
    if (!brokenRules.conflictIsTheEnd) this.fence(reason)
    this.#options.onReserved?.(reason)
  }

  #count(kind: IoKind, offset: number, bytes: number, startedAt: number, error: unknown): void {
    let counters = this.#counters.get(kind)
    if (!counters) this.#counters.set(kind, (counters = { ops: 0, bytes: 0, errors: 0, ms: 0 }))
    const tookMs = this.#options.clock.now() - startedAt
    counters.ops++
    counters.ms += tookMs
    if (error === undefined) counters.bytes += bytes
    else counters.errors++
    this.#options.trace?.({ lun: this.identity, kind, offset, bytes, tookMs, error })
  }

  #fenced(): MatrixError {
    return new MatrixError('fenced', `${this.identity}: the gate is closed: ${this.#closedBy}`)
  }

  #leaseOver(leftMs: number): MatrixError {
    const state = leftMs > 0 ? `ends in ${leftMs.toFixed(0)} ms` : 'is over'
    return new MatrixError('fenced', `${this.identity}: the disk lease of this node ${state}; nothing is written`)
  }
}
