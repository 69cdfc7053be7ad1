/**
 * One node's end of the distributed lock manager (R7): routes a request to its master, which may be this node itself, and
 * a master's answers to the lock cache above; rebuilds all masters when the view changes (R8, R53).
 *
 * An *epoch* is one attempt to serve locks in one view; its number goes with every batch. Within an epoch messages of one peer to another
 * arrive in order, each once. A message to oneself takes the same way, handled before the outermost call returns: so a
 * request that this node masters and nobody contests is granted within the call.
 *
 *     frozen ──rebuild(epoch)──▶ rebuilding ──END of every member──▶ granting
 *        │  ▲                        │ freeze                          │ freeze
 *        │  └────────────────────────┴─────────────────────────────────┤
 *        │                           │ freeze                          │ freeze
 *        └──reopen(epoch)──▶ rebuilding ──ENDs that agree──▶ reopened ─┘
 *
 * The steps of a rebuild, at every member by itself:
 *  1. `freeze`: what is under way in the old epoch is lost, here and everywhere. Masters grant nothing.
 *  2. `rebuild`: the master forgets everything and starts from the floor (the end of every journal).
 *  3. The cache above reports what it holds, exclusive first, then what it waits for, each to its new master.
 *  4. An END to every member says: that was all of mine. It carries the maximum of every vector this node ever
 *     surrendered, and raises the receiver's floor.
 *  5. A master that has the ENDs of all members grants again. What came before is queued, in order of arrival.
 *
 * What was in flight when the epoch ended, and why nothing is wrong afterwards. The holder's own state is the truth:
 *  - REQUEST, or the GRANT or DENIED that answered it: the client still waits and asks again; a lost grant was never used.
 *  - DOWN: the client no longer holds it and reports nothing; the vector it brought is in its END.
 *  - a surrender under way: the client reports what it still holds, and sends the DOWN in the new epoch.
 *  - BAST: the new master finds the same holder in the same way and tells it again.
 *  - CANCEL or CANCELLED: the client does not ask again; that is the cancelling.
 *  - a GRANT that arrived while its older grant was being surrendered: the client reports the new grant; the DOWN names
 *    the older one and only its vector counts (lock-master.ts, rule 5).
 *
 * A second failure at any step means another `freeze` and `rebuild` with a higher epoch: nothing of the first one counts.
 * Peers may be ahead: a batch of a later epoch waits until that epoch is rebuilt here; one of an earlier epoch is dropped.
 *
 * Recovery may also repeat the rebuild within one view, and not every member need have been reached by the first attempt. So
 * each counts its own attempts, and who hears of a higher one joins it: steps 2–5 again, with the floor it was given. That is
 * safe at any moment, since what a member holds never grows without its master: an older report only names too much.
 *
 * *Reopening* is a rebuild that waits for no administrator and no fence, so that only what concerns a dead node waits for its fence.
 * Each resource had one master in the last *complete* epoch: the last full rebuild that came to granting. If that master is
 * a member still, it is again the resource's master (mastering.ts), and goes on by its table, in which the nodes that left the view
 * still hold what they held (lock-master.ts, rules 8 and 9); other resources are closed. So it is right on both sides of a split,
 * and even when nobody is dead: no resource has two masters, and none is taken from a node that may use it. In detail:
 *  - A full rebuild ends the tables of all its members, when it begins: from then until it grants, this node has no complete
 *    epoch and opens nothing. So a table that is out of date is never gone by: a later full epoch that grants anywhere either has this node's
 *    report, and then has ended its table, or it is without this node, and then that was fenced before.
 *  - Each END says which view the sender's last complete epoch was of. A master opens only when all say the same as its own. So all members lived
 *    in that epoch: a node that was restarted since has none, and what its life before held is not given away.
 *    (One view has one such epoch: a second attempt ends the first at all members before anybody grants in it.)
 *  - Vectors: what surrenders brought is in the table, and what was on its way is in the END, as above. The journal of the dead has no end yet; it
 *    need not: what it wrote under a lock that it gave up is named by that lock's LVB, and under others nobody looks.
 *  - A reopening that is overtaken by another change of view leaves the tables as true as before. A full rebuild in the same view has a higher
 *    epoch; who hears of one waits for its own `rebuild`, since it has no floor yet.
 */

import { assert } from '../base/assert.ts'
import { brokenRules } from '../base/broken-rules.ts'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import type { Slot, ViewId } from '../base/ids.ts'
import { emptyVector, type MutableVector, maximum, raise, type Vector } from '../base/vector.ts'
import type { Clock } from '../platform/clock.ts'
import { EarlyBatches } from './early-batches.ts'
import { LockBatches } from './lock-batches.ts'
import { decodeBatch, epochOf } from './lock-codec.ts'
import { type Effect, LockMaster } from './lock-master.ts'
import {
  BAST,
  CANCEL,
  CANCELLED,
  DENIED,
  DOWN,
  END,
  GRANT,
  HELD,
  isForMaster,
  type LockMessage,
  lockMessage,
  lockMessageNames,
  REQUEST,
} from './lock-message.ts'
import type { ResourceStatus } from './mastered.ts'
import { Mastering } from './mastering.ts'
import type { Mode } from './modes.ts'
import type { ResourceId } from './resource.ts'

/** Epochs of one view: the first is `view × EPOCHS_PER_VIEW`. */
const EPOCHS_PER_VIEW = 2 ** 20
/** The first of a view's epochs that is a full rebuild; those before it are reopenings. */
const FIRST_FULL = EPOCHS_PER_VIEW / 2

/** The lock cache above. Called only from within calls into the Dlm; may call back. */
export interface LockClient {
  granted(rid: ResourceId, seq: number, mode: Mode, vector: Vector): void
  denied(rid: ResourceId, seq: number): void
  cancelled(rid: ResourceId, seq: number): void
  /** Another node wants `wanted`, which the grant `seq` is in the way of. */
  blocking(rid: ResourceId, seq: number, wanted: Mode): void
  /** Call `held` for all that is held, exclusive first, then `request` for all that is waited for. */
  report(): void
  /** The report is out: surrenders may go on. */
  resumed(): void
}

export type DlmOptions = {
  readonly self: Slot
  readonly clock: Clock
  send(to: Slot, payload: Buffer): void
  /** A peer broke the protocol: lock state can no longer be trusted. */
  onFatal(error: Error): void
}

/** Since the start. */
export type DlmCounters = {
  readonly messagesSent: number
  readonly batchesSent: number
  readonly messagesReceived: number
  /** Messages to this node's own master and back: no traffic. */
  readonly messagesLocal: number
  /** Full ones, and reopenings. */
  readonly rebuilds: number
  readonly reopenings: number
}

export type Phase = 'frozen' | 'rebuilding' | 'reopened' | 'granting'
type Rebuild = { readonly resolve: () => void; readonly reject: (error: Error) => void }

export class Dlm {
  readonly self: Slot
  readonly #clock: Clock
  readonly #onFatal: (error: Error) => void
  readonly #batches: LockBatches
  readonly #master = new LockMaster()
  #client: LockClient | undefined
  #phase: Phase = 'frozen'
  /** Below 0 before the first rebuild. */
  #epoch = -1
  #floor: Vector = emptyVector
  #mastering: Mastering | undefined
  /** The last complete epoch: its view, and who was master of what in it. */
  #complete: { readonly view: ViewId; readonly mastering: Mastering } | undefined
  /** Members whose report is not complete. */
  #missing = new Set<Slot>()
  /** All who have reported mean the same complete epoch. */
  #agreed = true
  /** Who waits for the rebuild under way. */
  #rebuild: Rebuild | undefined
  readonly #early = new EarlyBatches()
  /** Messages of this node to itself, in order; handled by the outermost call. */
  #local: LockMessage[] = []
  #localHandled = 0
  #handling = false
  /** The maximum of all vectors that this node gave away. */
  readonly #surrendered: MutableVector = new Map()
  #lastSurrendered: Vector = emptyVector
  #sequence = 0
  #stopped = false
  #messagesReceived = 0
  #messagesLocal = 0
  #rebuilds = 0
  #reopenings = 0

  constructor(options: DlmOptions) {
    this.self = options.self
    this.#clock = options.clock
    this.#onFatal = options.onFatal
    this.#batches = new LockBatches(options.clock, (to, payload) => options.send(to, payload))
  }

  attach(client: LockClient): void {
    this.#client = client
  }

  /** True from `freeze` until this node has reported in the next epoch: no message may be sent. */
  get frozen(): boolean {
    return this.#phase === 'frozen'
  }

  get phase(): Phase {
    return this.#phase
  }

  get view(): ViewId | undefined {
    return this.#epoch < 0 ? undefined : viewOf(this.#epoch)
  }

  /** Not everything is served here: some of it waits for the next full rebuild. */
  get isReopening(): boolean {
    return isReopening(this.#epoch)
  }

  nextSequence(): number {
    return ++this.#sequence
  }

  /** Asks for `mode`, answered by `granted` or `denied`, perhaps within the call. While frozen, the report will ask. */
  request(rid: ResourceId, seq: number, mode: Mode, noQueue: boolean): void {
    if (!this.frozen) this.#send(this.#masterOf(rid), lockMessage(REQUEST, rid, seq, mode, emptyVector, noQueue))
  }

  /** Gives up grant `seq` down to `mode`. Not while frozen: the caller keeps it until `resumed`. */
  down(rid: ResourceId, seq: number, mode: Mode, vector: Vector): void {
    assert(!this.frozen, 'no lock goes down while frozen')
    if (vector !== this.#lastSurrendered) raise(this.#surrendered, vector)
    this.#lastSurrendered = vector
    this.#send(this.#masterOf(rid), lockMessage(DOWN, rid, seq, mode, vector))
  }

  /** Answered by `cancelled`, or by the grant or denial it crosses with. While frozen, the report leaves the request out. */
  cancel(rid: ResourceId, seq: number): void {
    if (!this.frozen) this.#send(this.#masterOf(rid), lockMessage(CANCEL, rid, seq))
  }

  /** Only from within `report`. */
  held(rid: ResourceId, seq: number, mode: Mode): void {
    this.#send(this.#masterOf(rid), lockMessage(HELD, rid, seq, mode))
  }

  /** Step 1. What of this epoch is still on its way no longer counts. */
  freeze(): void {
    if (brokenRules.frozenGrantsNothing) return
    this.#phase = 'frozen'
    this.#master.freeze()
    this.#local = []
    this.#localHandled = 0
    this.#batches.begin(this.#epoch)
    this.#abandonRebuild()
  }

  /** Steps 2–5. Resolves when this node's master grants again; rejects with MatrixError 'view-changed' when frozen before. */
  rebuild(members: readonly Slot[], floor: Vector, view: ViewId): Promise<void> {
    this.#floor = floor
    return this.#start(members, view, view * EPOCHS_PER_VIEW + FIRST_FULL)
  }

  /**
   * Steps 2–5 without a floor, and without having read the journals of those who left: serves what concerns only members of the last complete
   * epoch that are members still. Not after a `rebuild` in the same view. Resolves when this node's master grants some resources again; rejects with MatrixError
   * 'view-changed' when frozen before, which happens at the latest for the full rebuild.
   */
  reopen(members: readonly Slot[], view: ViewId): Promise<void> {
    assert(isReopening(this.#epoch) || view > viewOf(this.#epoch), `locks of view ${view} are being rebuilt in full`)
    return this.#start(members, view, view * EPOCHS_PER_VIEW)
  }

  #start(members: readonly Slot[], view: ViewId, first: number): Promise<void> {
    assert(!this.#stopped, 'a withdrawn lock space is not rebuilt')
    assert(this.#epoch < 0 || view >= viewOf(this.#epoch), `view ${view} follows that of epoch ${this.#epoch}`)
    assert(view > 0 && Number.isSafeInteger((view + 1) * EPOCHS_PER_VIEW), `view ${view} has epochs`)
    assert(members.includes(this.self), `slot ${this.self} is a member of view ${view}`)
    this.freeze()
    this.#mastering = new Mastering(members)
    const done = new Promise<void>((resolve, reject) => {
      this.#rebuild = { resolve, reject }
    })
    done.catch(() => {}) // who froze knows; a caller that waits is told all the same
    const heardOf = isSameKind(this.#early.epoch, first) ? this.#early.epoch : first
    this.#begin(Math.max(first, this.#epoch + 1, heardOf))
    return done
  }

  /** Takes part in `epoch`, with the members and the floor of the last call of `rebuild` or `reopen`. */
  #begin(epoch: number): void {
    const { members } = this.#mastering as Mastering
    this.#epoch = epoch
    this.#local = []
    this.#localHandled = 0
    this.#missing = new Set(members)
    this.#agreed = true
    this.#batches.begin(epoch)
    if (isReopening(epoch)) this.#keepTables()
    else this.#forgetTables()
    const complete = this.#complete?.view ?? 0
    this.#phase = 'rebuilding'
    this.#together(() => {
      this.#client?.report()
      const surrendered = maximum(this.#surrendered)
      for (const slot of members) this.#send(slot, lockMessage(END, 0, complete, 0, surrendered))
      this.#client?.resumed()
    })
    for (const { from, payload } of this.#early.take(epoch)) this.receive(from, payload)
  }

  #forgetTables(): void {
    this.#rebuilds++
    this.#complete = undefined
    this.#master.reset(this.#floor)
  }

  #keepTables(): void {
    this.#reopenings++
    const now = this.#mastering as Mastering
    const before = this.#complete?.mastering
    this.#master.reopen(
      (slot) => now.has(slot),
      (rid) => before?.masterOf(rid) === this.self,
    )
  }

  #abandonRebuild(): void {
    const rebuild = this.#rebuild
    this.#rebuild = undefined
    rebuild?.reject(
      new MatrixError('view-changed', `the view changed while locks of epoch ${this.#epoch} were rebuilt`),
    )
  }

  /** One batch of a peer; the payload is copied when it has to wait. */
  receive(from: Slot, payload: Buffer): void {
    if (this.#stopped) return
    try {
      const epoch = epochOf(payload)
      if (epoch > this.#epoch) {
        this.#early.add(from, epoch, payload)
        // to the full rebuild of its view, a node that has only reopened brings no floor: `rebuild` will
        const joins =
          isSameKind(epoch, this.#epoch) || (brokenRules.fullRebuildNeedsFloor && viewOf(epoch) === this.view)
        if (joins && !this.frozen) this.#begin(epoch)
      } else if (epoch === this.#epoch && !this.frozen) this.#handleBatch(from, payload)
    } catch (error) {
      if (!isMatrixError(error, 'protocol')) throw error
      this.#onFatal(error)
    }
  }

  #handleBatch(from: Slot, payload: Buffer): void {
    const { epoch, messages } = decodeBatch(payload)
    if (!this.#mastering?.has(from)) throw new MatrixError('protocol', `slot ${from} is no member of epoch ${epoch}`)
    this.#messagesReceived += messages.length
    this.#together(() => {
      for (const message of messages) {
        if (this.frozen || this.#stopped || epoch !== this.#epoch) return
        this.#handle(from, message)
        this.#drain()
      }
    })
  }

  #handle(from: Slot, message: LockMessage): void {
    if (message.type === END) this.#ended(from, message)
    else if (isForMaster(message.type)) {
      if (this.#masterOf(message.rid) !== this.self) {
        throw new MatrixError('protocol', `slot ${from} sent a ${lockMessageNames[message.type]} to the wrong master`)
      }
      this.#carryOut(this.#master.step(from, message, this.#clock.now()))
    } else this.#answer(from, message)
  }

  #answer(from: Slot, message: LockMessage): void {
    const { rid, seq, mode } = message
    if (this.#masterOf(rid) !== from) {
      throw new MatrixError('protocol', `slot ${from} answered (${lockMessageNames[message.type]}) for another master`)
    }
    if (message.type === GRANT) this.#client?.granted(rid, seq, mode, message.vector)
    else if (message.type === DENIED) this.#client?.denied(rid, seq)
    else if (message.type === BAST) this.#client?.blocking(rid, seq, mode)
    else if (message.type === CANCELLED) this.#client?.cancelled(rid, seq)
  }

  /** Step 5. */
  #ended(from: Slot, { seq: complete, vector: surrendered }: LockMessage): void {
    if (!this.#missing.delete(from)) throw new MatrixError('protocol', `slot ${from} ended its report twice`)
    if (!brokenRules.surrenderedReported) this.#master.raiseFloor(surrendered)
    if (this.isReopening && complete !== this.#complete?.view) this.#agreed = false
    if (this.#missing.size > 0 && !brokenRules.allReport) return
    if (!this.#agreed && !brokenRules.lastCompleteAgreed) return
    if (this.isReopening) this.#phase = 'reopened'
    else {
      this.#phase = 'granting'
      this.#complete = { view: viewOf(this.#epoch), mastering: this.#mastering as Mastering }
    }
    this.#carryOut(this.#master.resume(this.#clock.now()))
    this.#rebuild?.resolve()
    this.#rebuild = undefined
  }

  #carryOut(effects: readonly Effect[]): void {
    for (const { to, message } of effects) this.#send(to, message)
  }

  #send(to: Slot, message: LockMessage): void {
    if (this.#stopped) return
    if (to !== this.self) {
      this.#batches.add(to, message)
      return
    }
    this.#messagesLocal++
    this.#local.push(message)
    if (!this.#handling) this.#together(() => {})
  }

  /** Runs `work`, then handles what this node told itself meanwhile; nested calls leave that to the outermost. */
  #together(work: () => void): void {
    const outermost = !this.#handling
    this.#handling = true
    try {
      work()
      if (outermost) this.#drain()
    } finally {
      if (outermost) this.#handling = false
    }
  }

  #drain(): void {
    while (this.#localHandled < this.#local.length) {
      this.#handle(this.self, this.#local[this.#localHandled++] as LockMessage)
    }
    this.#local.length = 0
    this.#localHandled = 0
  }

  #masterOf(rid: ResourceId): Slot {
    assert(this.#mastering, 'there is a view')
    return this.#mastering.masterOf(rid)
  }

  /** Sends at once what is collected. */
  flush(): void {
    this.#batches.flush()
  }

  /** For good: nothing is sent, received or granted any more. */
  stop(): void {
    this.freeze()
    this.#stopped = true
    this.#early.clear()
  }

  /** Resources mastered here, contended ones first. */
  resources(limit: number): ResourceStatus[] {
    return this.#master.status(this.#clock.now(), limit)
  }

  counters(): DlmCounters {
    return {
      messagesSent: this.#batches.messagesSent,
      batchesSent: this.#batches.batchesSent,
      messagesReceived: this.#messagesReceived,
      messagesLocal: this.#messagesLocal,
      rebuilds: this.#rebuilds,
      reopenings: this.#reopenings,
    }
  }
}

function viewOf(epoch: number): ViewId {
  return Math.floor(epoch / EPOCHS_PER_VIEW)
}

function isReopening(epoch: number): boolean {
  return epoch >= 0 && epoch % EPOCHS_PER_VIEW < FIRST_FULL
}

/** Attempts at the same thing in the same view: whoever is in the lower one goes on to the higher. */
function isSameKind(a: number, b: number): boolean {
  return viewOf(a) === viewOf(b) && isReopening(a) === isReopening(b)
}
