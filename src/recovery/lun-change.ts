/**
 * Adding and removing a LUN while the matrix runs, as the administrator does it (Fig 12, R100–R106; what a crash leaves at each step
 * stands in docs/decisions/0008-lun-change-crash-points.md, every state of it in test/model/lun-change.ts). And what LUNs of the list are
 * used for: a filesystem gets another one, or one is drained and then none of its own (docs/decisions/0013-luns-of-filesystems.md).
 *
 *   decide     1602         `pending` is written beside the list, with the generation that members will be told
 *   announce   1604, 1606   every member opens the LUN, or refuses; or ends its I/O and closes it; or uses it for the filesystem
 *   label                   only of a LUN that has become larger: before the list says so
 *   finish     1608         all have acknowledged: the new list is written under that generation, and `pending` is cleared
 *              1610         whoever asked is told
 *
 * What a member refuses is taken back: `pending` is written anew as the opposite (`opposites`), and goes the same way.
 *
 * Invariants
 *   1. What members are told stands on the disk as `pending`, with that generation, and stays there until all have acknowledged or the
 *      view has ended. Then the next administrator, or this one in the next view, goes on from there with a higher generation.
 *   2. The new list is written only when every member of the view has acknowledged, and in a view that has fenced whoever is not in it.
 *   3. One change at a time, and none beside a run of recovery: that finishes what is pending before the view resumes, and what is asked
 *      for waits until it has resumed.
 */

import { brokenRules } from '../base/broken-rules.ts'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import { Turns } from '../base/turns.ts'
import type { Mesh, View } from '../cluster/index.ts'
import { type Clock, type Log, sleep } from '../platform/index.ts'
import type { LunPlace, LunRecord, MembershipDatabase, PendingChange } from '../san/index.ts'
import { type Change, decodeLunAnswer, type LunWish } from './lun-protocol.ts'
import { toAdd, toDrain, toEnlarge, toExtend, toRefill, toRemove, toVacate } from './lun-wishes.ts'
import type { Timeline } from './timeline.ts'

/** A step that failed is tried again after this long, ms. */
const RETRY_MS = 500
/** A member has this long to open a LUN or to close one, ms: more than it takes, or it is gone. */
const ANSWER_LIMIT_MS = 60_000

export type LunChangesHost = {
  readonly mesh: Mesh
  readonly clock: Clock
  readonly log: Log
  readonly timeline: Timeline
  /** As its one writer has it. */
  readDatabase(): Promise<MembershipDatabase>
  /** Writes the next generation, and with it that of `pending`; returns what was written. */
  writeDatabase(next: MembershipDatabase): Promise<MembershipDatabase>
  /** Writes the list that `pending` leads to, under its generation, and clears it. */
  finishChange(database: MembershipDatabase): Promise<MembershipDatabase>
  /** A change is finished: nobody else may be left who sees to what follows from it. */
  finished(database: MembershipDatabase): void
  /** `view` has an administrator, this node, and has resumed. */
  hasResumed(view: View): boolean
  /** Whether a LUN bears a membership partition, or may. */
  mayBearPartition(uuid: string): boolean
  /** Nothing of the filesystem is left on the LUN, nor can get there: by the image of this node, under the lock that says so. */
  isEmptied(place: LunPlace): Promise<boolean>
  /** The label of the LUN, which had `before` bytes, says its new size; or why it cannot. */
  relabel(lun: LunRecord, before: number): Promise<string | undefined>
}

/** What a member may refuse, and what takes it back. */
const opposites: Partial<Record<Change['kind'], Change['kind']>> = { add: 'remove', extend: 'retract', enlarge: 'keep' }
/** How what was refused is told. */
const notDone: Partial<Record<Change['kind'], string>> = {
  add: 'was not added',
  extend: 'is not used for it',
  enlarge: 'is used as before',
}

export class LunChanges {
  readonly #host: LunChangesHost
  readonly #turns = new Turns()
  #step: string | undefined

  constructor(host: LunChangesHost) {
    this.#host = host
  }

  /** What is being done: 'decide', 'undo', 'announce', 'label' or 'finish'. */
  get step(): string | undefined {
    return this.#step
  }

  /** For recovery: finishes what is pending in `database` with the members of `view`; gives the database as it is then. */
  async finishPending(view: View, database: MembershipDatabase): Promise<MembershipDatabase> {
    const { pending } = database
    if (!pending) return database
    const { kind, lun } = pending
    this.#host.log.info({ kind, lun: lun.name }, 'a change of LUNs is pending, and is finished')
    if (brokenRules.pendingFinished) return this.#host.writeDatabase({ ...database, pending: undefined })
    return (await this.#carryOut(view, database, pending)).database
  }

  /**
   * Resolves once the list is as `wish` has it. Rejects with MatrixError 'view-changed' (ask again under the next view), 'lun-refused' (and
   * the LUN was taken back), 'exists', 'in-use' or 'no-space'.
   */
  ask(view: View, wish: LunWish): Promise<void> {
    return this.#turns.take(() => this.#untilDone(view, wish))
  }

  /** `work` is done in turn with what is asked for. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    return this.#turns.take(work)
  }

  async #untilDone(view: View, wish: LunWish): Promise<void> {
    const { clock, log } = this.#host
    for (;;) {
      if (!this.#isCurrent(view)) throw new MatrixError('view-changed', `view ${view.id} has ended: ask again`)
      if (!this.#host.hasResumed(view))
        throw new MatrixError('view-changed', 'the matrix is recovering from a change of membership: ask again')
      let answer: MatrixError | undefined
      try {
        answer = await this.#once(view, wish)
      } catch (error) {
        if (!isMatrixError(error)) throw error
        log.warn({ view: view.id, error: String(error) }, 'a change of LUNs failed, trying again')
        await sleep(clock, RETRY_MS)
        continue
      }
      if (answer) throw answer
      return
    }
  }

  /** Why it is not done, for good. Rejects when it may be tried again. */
  async #once(view: View, wish: LunWish): Promise<MatrixError | undefined> {
    const database = await this.finishPending(view, await this.#host.readDatabase())
    const change = await this.#toChange(database, wish)
    if (change === undefined || change instanceof MatrixError) return change
    const { refusal } = await this.#carryOut(view, database, change)
    if (refusal === undefined) return undefined
    return new MatrixError('lun-refused', `${refusal}. LUN ${change.lun.name} ${notDone[change.kind]}`)
  }

  /** What it takes: a change, nothing, or it cannot be. */
  async #toChange(database: MembershipDatabase, wish: LunWish): Promise<Change | MatrixError | undefined> {
    switch (wish.kind) {
      case 'add':
        return toAdd(database, wish)
      case 'remove':
        return toRemove(database, wish.uuid, (uuid) => this.#host.mayBearPartition(uuid))
      case 'extend':
        return toExtend(database, wish)
      case 'enlarge':
        return toEnlarge(database, wish)
      case 'drain':
        return toDrain(database, wish.uuid)
      case 'refill':
        return toRefill(database, wish.uuid)
      case 'vacate':
        return toVacate(database, wish.uuid, (place) => this.#host.isEmptied(place))
    }
  }

  /** From 1602 to 1608. `refusal`: who refused it; it has then been taken back. Rejects when the view has ended, or with what failed. */
  async #carryOut(
    view: View,
    database: MembershipDatabase,
    change: Change,
  ): Promise<{ readonly database: MembershipDatabase; readonly refusal: string | undefined }> {
    const { writeDatabase, finishChange } = this.#host
    let refusal: string | undefined
    let written = database
    let next = change
    try {
      for (;;) {
        const from = written
        const what = refusal === undefined ? 'decide' : 'undo'
        // the store gives it its generation
        written = await this.#do(view, what, next, () =>
          writeDatabase({ ...from, pending: { ...next, generation: 0 } }),
        )
        let told = written.pending as PendingChange
        let refused = await this.#do(view, 'announce', next, () => this.#announce(view, told))
        if (refused === undefined && next.kind === 'enlarge') {
          const { lun } = next
          const before = written.luns.find(({ uuid }) => uuid === lun.uuid)?.size ?? lun.size
          refused = await this.#do(view, 'label', next, () => this.#host.relabel(lun, before))
        }
        if (refused !== undefined && brokenRules.undoIsDurable) {
          told = { ...oppositeOf(next, written), generation: told.generation + 1 }
          await this.#announce(view, told)
          refused = undefined
        }
        if (refused === undefined) {
          const done = written
          const finished = await this.#do(view, 'finish', next, () => finishChange(done))
          this.#host.finished(finished)
          return { database: finished, refusal }
        }
        refusal = refused
        next = oppositeOf(next, written)
      }
    } finally {
      this.#step = undefined
    }
  }

  /** 1606: resolves once all have acknowledged; or with who refuses it, and why. */
  async #announce(view: View, change: PendingChange): Promise<string | undefined> {
    const { mesh } = this.#host
    const body = { kind: 'change', view: view.id, change }
    const all = Promise.all(view.members.map(({ slot }) => mesh.request(slot, 'lun', body, ANSWER_LIMIT_MS)))
    if (brokenRules.allAcknowledge) {
      all.catch(() => {})
      return undefined
    }
    const answers = (await all).map(decodeLunAnswer)
    const at = opposites[change.kind] ? answers.findIndex(({ refused }) => refused !== null) : -1
    return at < 0 ? undefined : `${view.members[at]?.name}: ${answers[at]?.refused}`
  }

  #do<T>(view: View, what: string, { kind, lun }: Change, work: () => Promise<T>): Promise<T> {
    this.#step = what
    return this.#host.timeline.step(view, () => this.#isCurrent(view), `${what} ${kind} ${lun.name}`, work)
  }

  #isCurrent(view: View): boolean {
    return this.#host.mesh.view?.id === view.id
  }
}

/** `luns`: as they are before the change. */
function oppositeOf({ kind, lun, place }: Change, { luns }: MembershipDatabase): Change {
  const before = kind === 'enlarge' ? luns.find(({ uuid }) => uuid === lun.uuid) : lun
  return { kind: opposites[kind] as Change['kind'], lun: before ?? lun, ...(place && { place }) }
}
