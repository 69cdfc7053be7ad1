/**
 * A logical unit: its medium, the commands that are under way, what each nexus has to be told, and who has reserved it.
 *
 * Invariants.
 * - Whether a command may touch the medium is asked when it arrives, and once more in the moment in which its I/O begins.
 * - PERSISTENT RESERVE OUT is answered with GOOD only once the state it made is saved (as far as it is to outlast a power loss), holds, and
 *   no I/O is under way any more of a nexus that it keeps out: nothing of a victim lands after it. This goes for PREEMPT as for PREEMPT
 *   AND ABORT; the latter also ends what waits.
 * - An abort, a reset or a power loss is over once no I/O of what it ended is under way.
 */
import { InvariantError } from '../../base/assert.ts'
import type { Clock } from '../../platform/clock.ts'
import type { Log } from '../../platform/log.ts'
import { scsiStatus } from '../scsi/command.ts'
import { type Answer, check, good, type Plan, Refused } from './answer.ts'
import { commandOf, isKnown } from './command-table.ts'
import type { Faults } from './faults.ts'
import type { Medium } from './medium.ts'
import { RangeLocks } from './range-locks.ts'
import {
  type Access,
  conflicts,
  type Nexus,
  nexusId,
  noReservations,
  type OutRequest,
  type ReservationState,
  reserveOut,
} from './reservation-state.ts'
import type { ReservationStore } from './reservation-store.ts'
import type { ScsiTask } from './scsi-task.ts'
import { type AttentionName, attentions, conditions } from './sense-data.ts'
import type { Unit, UnitIdentity } from './unit.ts'

export type LogicalUnitOptions = UnitIdentity & {
  readonly medium: Medium
  readonly store: ReservationStore
  readonly reservations: ReservationState
  readonly faults: Faults
  readonly clock: Clock
  readonly log: Log
  /** What is not answered, but ends its connection. */
  readonly drop: (task: ScsiTask) => void
}

const CONFLICT: Answer = { status: scsiStatus.reservationConflict }
const TASK_ABORTED: Answer = { status: scsiStatus.taskAborted }
/** As many are told one after another; more would say nothing new. */
const MAX_ATTENTIONS = 16

export class LogicalUnit implements Unit {
  readonly options: LogicalUnitOptions
  readonly medium: Medium
  readonly #ranges = new RangeLocks()
  readonly #tasks = new Set<ScsiTask>()
  /** By the id of each nexus that has a session. */
  readonly #attentions = new Map<string, AttentionName[]>()
  #reservations: ReservationState
  /** The last PERSISTENT RESERVE OUT: one after another. */
  #reserving: Promise<unknown> = Promise.resolve()
  /** Id of the nexus that has it by RESERVE(6). */
  legacyHolder: string | undefined
  isStopped = false

  constructor(options: LogicalUnitOptions) {
    this.options = options
    this.medium = options.medium
    this.#reservations = options.reservations
  }

  get number(): number {
    return this.options.number
  }

  get identity(): UnitIdentity {
    return this.options
  }

  get reservations(): ReservationState {
    return this.#reservations
  }

  get underWay(): number {
    return this.#tasks.size
  }

  /** A session begins: what it has to be told first. */
  attach(nexus: string, attention: AttentionName): void {
    this.#attentions.set(nexus, [attention])
  }

  /** A session has ended; its commands were aborted before. */
  detach(nexus: string): void {
    this.#attentions.delete(nexus)
    if (this.legacyHolder === nexus) this.legacyHolder = undefined
  }

  /** `except`: id of a nexus. */
  tellAll(attention: AttentionName, except?: string): void {
    for (const nexus of this.#attentions.keys()) if (nexus !== except) this.tell(nexus, attention)
  }

  tell(nexus: string, attention: AttentionName): void {
    const queue = this.#attentions.get(nexus)
    if (queue && queue.length < MAX_ATTENTIONS && !queue.includes(attention)) queue.push(attention)
  }

  /** For REQUEST SENSE. */
  takeAttention(nexus: string): AttentionName | undefined {
    return this.#attentions.get(nexus)?.shift()
  }

  /** The beginning of a command: the answer, when there is nothing to be done; otherwise what it takes. */
  begin(task: ScsiTask): Answer | Plan {
    const { nexus } = task.origin
    const command = commandOf(task.cdb)
    if (!command?.ignoresAttention) {
      const attention = this.takeAttention(nexus)
      if (attention) return check(attentions[attention])
    }
    if (!command) return check(isKnown(task.cdb[0]!) ? conditions.invalidCdb : conditions.invalidOpcode)
    const access = typeof command.access === 'function' ? command.access(task.cdb) : command.access
    if (this.#isKeptOut(nexus, access, command.ignoresLegacy === true)) return CONFLICT
    if (access === 'write' && this.options.isReadOnly && command.changes) return check(conditions.writeProtected)
    if (this.isStopped && command.needsMedium) return check(conditions.notReady)
    try {
      const plan = command.plan(this, task)
      if ('run' in plan) {
        this.#tasks.add(task)
        task.onOver = () => this.#tasks.delete(task)
      }
      return plan
    } catch (error) {
      if (error instanceof Refused) return error.answer
      throw error
    }
  }

  /** Its data has arrived. Ends the task, in one way or another. */
  async run(task: ScsiTask, plan: Plan, data: readonly Uint8Array[]): Promise<void> {
    task.isRunning = true
    let answer: Answer | undefined
    try {
      answer = await this.#carryOut(task, plan, data)
    } catch (error) {
      if (error instanceof InvariantError) throw error
      if (error instanceof Refused) answer = error.answer
      else {
        const { number: lun, log } = { ...this.options }
        log.error({ lun, error: error instanceof Error ? error.message : String(error) }, 'a command failed')
        answer = check(conditions.internal)
      }
    }
    task.end(answer)
  }

  async #carryOut(task: ScsiTask, plan: Plan, data: readonly Uint8Array[]): Promise<Answer | undefined> {
    const { faults, clock } = this.options
    const operation = commandOf(task.cdb)?.operation ?? 'other'
    const fault = faults.meet({ ...task.origin, lun: this.number, operation })
    if (!fault) return plan.run(data)
    const answer = fault.after && !task.isAborted ? await plan.run(data) : undefined
    const delayMs = faults.delayOf(fault)
    if (delayMs > 0) await task.linger(clock, delayMs)
    if (fault.hang) await task.linger(clock, undefined)
    if (task.isAborted) return undefined
    if (fault.drop) {
      this.options.drop(task)
      return undefined
    }
    if (fault.sense) return check(fault.sense)
    if (fault.status !== undefined) return { status: fault.status }
    return fault.after ? answer : plan.run(data)
  }

  /** Does I/O to blocks `from` … `to`-1 for a command, if it still may; alone there, when it writes. */
  async access<T>(task: ScsiTask, access: Access, from: number, to: number, io: () => Promise<T>): Promise<T> {
    const taken = task.isOrdered
      ? this.#ranges.acquire(0, Number.POSITIVE_INFINITY, true)
      : this.#ranges.acquire(from, to, access === 'write')
    const release = typeof taken === 'function' ? taken : await taken
    try {
      if (task.isAborted) throw new Refused(TASK_ABORTED)
      if (this.#isKeptOut(task.origin.nexus, access, false)) throw new Refused(CONFLICT)
      task.isAtWork = true
      return await io()
    } finally {
      task.isAtWork = false
      release()
    }
  }

  #isKeptOut(nexus: string, access: Access, ignoresLegacy: boolean): boolean {
    if (this.legacyHolder !== undefined && this.legacyHolder !== nexus && !ignoresLegacy) return true
    return conflicts(this.#reservations, nexus, access)
  }

  /** PERSISTENT RESERVE OUT. */
  reserve(task: ScsiTask, from: Nexus, request: OutRequest): Promise<Answer> {
    const answer = this.#reserving.then(() => this.#reserve(task, from, request))
    this.#reserving = answer.catch(() => {})
    return answer
  }

  async #reserve(task: ScsiTask, from: Nexus, request: OutRequest): Promise<Answer> {
    if (task.isAborted) return TASK_ABORTED
    const { verdict, state, attentions: told, abort } = reserveOut(this.#reservations, from, request)
    if (verdict === 'conflict') return CONFLICT
    if (verdict === 'invalid-parameter') return check(conditions.invalidParameter)
    if (verdict === 'invalid-release') return check(conditions.invalidRelease)
    if (state.aptpl || this.#reservations.aptpl) await this.options.store.save(state.aptpl ? state : noReservations)
    this.#reservations = state
    for (const [nexus, attention] of told) this.tell(nexus, attention)
    const own = nexusId(from)
    const ending = abort.length > 0 ? this.abort((each) => abort.includes(each.origin.nexus), own) : undefined
    const keptOut = [...this.#tasks].filter(
      (each) => each.isAtWork && each.origin.nexus !== own && conflicts(state, each.origin.nexus, 'write'),
    )
    await Promise.all([ending, ...keptOut.map((each) => each.settled())])
    return good
  }

  /** Aborts commands, and waits until nothing of them is under way. `by`: id of the nexus that wants it: others are told by status. */
  async abort(isMeant: (task: ScsiTask) => boolean, by: string | undefined): Promise<number> {
    const meant = [...this.#tasks].filter(isMeant)
    for (const task of meant) task.abort(by === undefined || task.origin.nexus === by ? undefined : TASK_ABORTED)
    await Promise.all(meant.map((task) => task.settled()))
    return meant.length
  }

  /** LUN RESET. Persistent reservations stay. */
  async reset(by: string): Promise<void> {
    await this.abort(() => true, by)
    this.legacyHolder = undefined
    this.isStopped = false
    this.tellAll('reset')
  }

  /** Everything that is volatile is gone; commands have been aborted before. */
  async losePower(survives: (block: number) => boolean): Promise<void> {
    await this.#reserving
    await this.medium.losePower(survives)
    if (!this.#reservations.aptpl) this.#reservations = noReservations
    this.legacyHolder = undefined
    this.isStopped = false
    this.#attentions.clear()
  }
}
