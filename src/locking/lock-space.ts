/**
 * All locks of one filesystem at one node: its end of the DLM and the lock cache above it, wired together. The owner hands
 * in what peers send, freezes and rebuilds it when the view changes, and withdraws it when this node must stop.
 */
import { MatrixError } from '../base/errors.ts'
import type { Slot, ViewId } from '../base/ids.ts'
import type { Timings } from '../base/timings.ts'
import type { Vector } from '../base/vector.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { Dlm, type DlmCounters, type Phase } from './dlm.ts'
import { Lcl, type LclCounters } from './lcl.ts'
import type { UsableObserver } from './local-lock.ts'
import type { LockCache } from './lock-cache.ts'
import type { ResourceStatus } from './mastered.ts'
import type { Mode } from './modes.ts'
import type { ResourceId } from './resource.ts'

/** Resources that one status lists at most. */
export const STATUS_RESOURCES_MAX = 1000

export type LockSpaceOptions = {
  readonly self: Slot
  readonly clock: Clock
  readonly timings: Timings
  readonly log: Log
  /** Hands a message to the peer's lock space of this filesystem; the buffer is given away. Never called with `self`. */
  send(to: Slot, payload: Buffer): void
  /** While false no cached lock is used and none is acquired. Asked on every fast path: cheap. */
  leaseGood(): boolean
  /** The lock space has withdrawn by itself: a callout failed, or a peer broke the protocol. */
  onFatal(error: Error): void
  readonly cachedLocksMax?: number
}

export type LockSpaceStatus = {
  readonly phase: Phase | 'withdrawn'
  /** Of the last rebuild. */
  readonly view: ViewId | undefined
  /** Mastered here, contended first. */
  readonly resources: readonly ResourceStatus[]
  readonly counters: DlmCounters & LclCounters
}

export class LockSpace {
  readonly #dlm: Dlm
  readonly #lcl: Lcl
  readonly #log: Log
  readonly #onFatal: (error: Error) => void
  #withdrawn = false

  constructor(options: LockSpaceOptions) {
    const { self, clock, timings, cachedLocksMax } = options
    this.#log = options.log
    this.#onFatal = (error) => options.onFatal(error)
    const onFatal = (error: Error) => this.#fatal(error)
    this.#dlm = new Dlm({ self, clock, send: (to, payload) => options.send(to, payload), onFatal })
    this.#lcl = new Lcl({
      dlm: this.#dlm,
      clock,
      timings,
      leaseGood: () => options.leaseGood(),
      onFatal,
      cachedLocksMax,
    })
  }

  /** The only door to locks (R9). */
  get cache(): LockCache {
    return this.#lcl
  }

  /** A message that the peer's lock space gave to `send`; copied when it has to be kept. */
  receive(from: Slot, payload: Buffer): void {
    this.#dlm.receive(from, payload)
  }

  /** The view is changing: no lock is granted from here on, none is surrendered; what is cached stays usable. */
  freeze(): void {
    if (!this.#withdrawn) this.#dlm.freeze()
  }

  /**
   * Rebuilds lock service among `members` for view `viewId`, never less than before; may be repeated within a view, after a
   * `freeze` at all members. Call when the journals of the failed have been read to their end into this node's image; `floor`
   * is the end of every journal. Resolves when this node, as a master, grants again; rejects with MatrixError 'view-changed' when frozen before that, 'withdrawn' when this node has withdrawn.
   */
  async rebuild(members: readonly Slot[], floor: Vector, viewId: ViewId): Promise<void> {
    if (this.#withdrawn) throw new MatrixError('withdrawn', `locks are not rebuilt for view ${viewId}: withdrawn`)
    const start = this.#dlm.rebuild(members, floor, viewId)
    this.#log.debug({ view: viewId, members }, 'locks are being rebuilt')
    await start
    this.#log.info({ view: viewId, members, resources: this.#dlm.resources(0).length }, 'locks are granted again')
  }

  /**
   * Rebuilds lock service among `members` for view `viewId` as far as that can be done before the nodes that left are fenced and their
   * journals read: for resources that these neither hold nor mastered. The rest waits for `rebuild`. Once per view at most, before its
   * `rebuild`. Resolves when this node, as a master, grants such resources, which is never when a member was not in the last complete epoch; rejects as `rebuild` does.
   */
  async reopen(members: readonly Slot[], viewId: ViewId): Promise<void> {
    if (this.#withdrawn) throw new MatrixError('withdrawn', `locks are not reopened for view ${viewId}: withdrawn`)
    await this.#dlm.reopen(members, viewId)
    this.#log.info({ view: viewId, members }, 'locks that no absent node holds or mastered are granted again')
  }

  /** Stops for good, at once and without a word to anybody: peers notice through the view. */
  withdraw(): void {
    if (this.#withdrawn) return
    this.#withdrawn = true
    this.#dlm.stop()
    this.#lcl.withdraw()
  }

  #fatal(error: Error): void {
    if (this.#withdrawn) return
    this.#log.error({ error: error.message }, 'locks can no longer be trusted: withdrawing')
    this.withdraw()
    this.#onFatal(error)
  }

  /** What this node may use right now, by lock: for the oracle that holds all nodes' against each other. */
  *usableLocks(): IterableIterator<{ readonly rid: ResourceId; readonly mode: Mode }> {
    if (!this.#withdrawn) yield* this.#lcl.usableLocks()
  }

  /** Tells an oracle of every change of what this node may use, as it happens; of a withdrawal's only by its end. */
  observe(changed: UsableObserver): void {
    this.#lcl.observe(changed)
  }

  /** What users here pin right now: at rest, only what is pinned for the mount's whole life. */
  *pinnedLocks(): IterableIterator<{ readonly rid: ResourceId; readonly pins: number }> {
    if (!this.#withdrawn) yield* this.#lcl.pinnedLocks()
  }

  counters(): LockSpaceStatus['counters'] {
    return { ...this.#dlm.counters(), ...this.#lcl.counters() }
  }

  get phase(): LockSpaceStatus['phase'] {
    return this.#withdrawn ? 'withdrawn' : this.#dlm.phase
  }

  /** With at most so many resources. */
  status(most = STATUS_RESOURCES_MAX): LockSpaceStatus {
    return {
      phase: this.phase,
      view: this.#dlm.view,
      resources: this.#dlm.resources(most),
      counters: this.counters(),
    }
  }
}
