/**
 * Fence agent 'scsi-pr': takes the victim's registration away at every LUN (SCSI persistent reservations), so that the LUNs themselves refuse its
 * writes (docs/decisions/0012-scsi-pr.md).
 *
 *   ask it to end, while it shows life ──it gives its lease back──▶ fenced
 *        │ no life, no answer
 *        ▼
 *   preempt at the first LUN, then at all others ─▶ READ KEYS and READ RESERVATION at all ─▶ watch its lease ──over──▶ fenced
 *        │ one LUN fails                                 │ its key is there, or the            │ the victim renews it
 *        └────────────────▶ fence-failed ◀───────────────┴─ reservation is not ────────────────┘
 *
 * Invariants
 *   1. All or nothing: 'fenced' only when no LUN of the matrix has a registration of the victim, and the reservation stands at every one.
 *      A LUN that this node does not reach is one that fails. What has been preempted stays so: a victim that lost one LUN ends.
 *   2. Decided once for each life: at the first LUN, the same for all nodes (the lowest UUID). Of two that preempt each other one is first there; the
 *      other meets a conflict, and ends.
 *   3. A node whose own registration is gone fences nobody: it was fenced itself, and ends.
 *   4. The lease of the victim is waited for as well, since a node that cannot write still serves what it has cached. It is no longer needed that
 *      its last write has landed: what was under way is aborted, or `ioLifeMs` have passed since the preemption where a device cannot abort.
 *
 * A crash leaves the victim preempted at some LUNs. It ends, or somebody fences it once more.
 */
import { brokenRules } from '../base/broken-rules.ts'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import type { Life } from '../base/life.ts'
import type { FenceAgent, FenceOutcome } from './fence.ts'
import type { LeaseSector } from './lease-sector.ts'
import { ALL_REGISTRANTS, lifeOfKey, type RegistrationKey, type Reservations, registrationKey } from './reservations.ts'
import { type Cut, VictimWatch, type VictimWatchOptions } from './victim-watch.ts'

/** A LUN of the matrix as this node has it open. */
export type ReservedLun = {
  readonly uuid: string
  readonly name: string
  readonly reservations: Reservations | undefined
}

/** What fencing at the storage needs of the node that does it. */
export type ReservedStorage = {
  luns(): readonly ReservedLun[]
  /** Names of LUNs of the matrix that it does not have open. */
  missing(): readonly string[]
  /** This node was fenced itself. */
  onReserved(reason: string): void
}

export type ScsiPrAgentOptions = VictimWatchOptions &
  ReservedStorage & {
    /** Of this node. */
    readonly life: Life
  }

export class ScsiPrAgent implements FenceAgent {
  readonly name = 'scsi-pr'
  readonly #options: ScsiPrAgentOptions
  readonly #victims: VictimWatch
  readonly #own: RegistrationKey
  /** By life: it is preempted everywhere. */
  readonly #cuts = new Map<string, Cut>()

  constructor(options: ScsiPrAgentOptions) {
    this.#options = options
    this.#victims = new VictimWatch(options)
    this.#own = registrationKey(options.life)
  }

  async fence(victim: LeaseSector, abort?: AbortSignal): Promise<FenceOutcome> {
    const { watch, clock, log } = this.#options
    const id = `${victim.slot}/${victim.incarnation}`
    let cut = this.#cuts.get(id)
    if (!cut) {
      if (watch.certainlyDead(victim)) return 'fenced'
      if (await this.#victims.endsByItself(victim, abort)) return 'fenced'
      const settledAt = await this.#preemptEverywhere(victim)
      cut = { at: clock.now(), settledAt }
      this.#cuts.set(id, cut)
    }
    const end = await this.#victims.leaseEnds(victim, cut, abort)
    if (end !== 'renewed') return end === 'over' ? 'fenced' : 'unable'
    this.#cuts.delete(id)
    const { nodeName, slot, incarnation } = victim
    log.error({ node: nodeName, slot, incarnation }, 'a node whose registrations are gone goes on writing')
    throw new MatrixError('fence-failed', `"${nodeName}" is registered at no LUN and has renewed its lease since`)
  }

  /** Gives the time, own clock, by which nothing of the victim is under way any more. Rejects with MatrixError 'fence-failed'. */
  async #preemptEverywhere(victim: Life): Promise<number> {
    const missing = this.#options.missing()
    if (missing.length > 0)
      throw new MatrixError(
        'fence-failed',
        `this node does not reach LUN ${missing.join(', ')} and cannot preempt there`,
      )
    const [first, ...others] = [...this.#options.luns()].sort((a, b) => (a.uuid < b.uuid ? -1 : 1))
    if (!first) throw new MatrixError('fence-failed', 'this node has no LUN open')
    const settled = [await this.#preempt(first, victim)]
    const rest = brokenRules.preemptedEverywhere ? others.slice(1) : others
    settled.push(...(await this.#eachOf(rest, (lun) => this.#preempt(lun, victim))))
    if (!brokenRules.preemptionVerified) await this.#eachOf([first, ...rest], (lun) => this.#verify(lun, victim))
    return Math.max(...settled)
  }

  /** All of them are tried; rejects with the first failure. */
  async #eachOf<T>(luns: readonly ReservedLun[], work: (lun: ReservedLun) => Promise<T>): Promise<readonly T[]> {
    const outcomes = await Promise.allSettled(luns.map(work))
    return outcomes.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason
      return outcome.value
    })
  }

  #preempt(lun: ReservedLun, victim: Life): Promise<number> {
    const { clock, timings } = this.#options
    return this.#at(lun, async (reservations) => {
      const theirs = await this.#keysOf(lun, reservations, victim)
      let settledAt = clock.now()
      for (const key of theirs) {
        try {
          const how = await reservations.preempt(this.#own, key)
          settledAt = clock.now() + (how === 'aborted' ? 0 : timings.ioLifeMs)
        } catch (error) {
          if (!isMatrixError(error, 'lun-reserved')) throw error
          // somebody else has preempted it, or this node
          if ((await this.#keysOf(lun, reservations, victim)).includes(key)) throw error
          settledAt = clock.now() + timings.ioLifeMs
        }
      }
      // who is registered no more was preempted before; nobody has told how
      return theirs.length === 0 ? clock.now() + timings.ioLifeMs : settledAt
    })
  }

  #verify(lun: ReservedLun, victim: Life): Promise<void> {
    return this.#at(lun, async (reservations) => {
      const theirs = await this.#keysOf(lun, reservations, victim)
      if (theirs.length > 0) throw new Error('the victim is registered still, after it was preempted')
      const found = await reservations.readReservation()
      if (found?.type !== ALL_REGISTRANTS)
        throw new Error(found ? `a reservation of type ${found.type} stands there` : 'no reservation stands there')
    })
  }

  /** The different keys of the victim that are registered, those of lives before it included. Throws 'lun-reserved' when this node's own is not. */
  async #keysOf(lun: ReservedLun, reservations: Reservations, victim: Life): Promise<readonly RegistrationKey[]> {
    const keys = await reservations.readKeys()
    if (!keys.includes(this.#own)) {
      this.#options.onReserved(`the registration of this node at LUN ${lun.name} is gone: it was fenced`)
      throw new MatrixError('fenced', 'the registration of this node is gone')
    }
    const isTheirs = (key: RegistrationKey) => {
      const life = lifeOfKey(key)
      return life?.slot === victim.slot && life.incarnation <= victim.incarnation
    }
    return [...new Set(keys.filter(isTheirs))]
  }

  async #at<T>(lun: ReservedLun, work: (reservations: Reservations) => Promise<T>): Promise<T> {
    try {
      if (!lun.reservations) throw new Error('it has no persistent reservations')
      return await work(lun.reservations)
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      throw new MatrixError('fence-failed', `LUN ${lun.name}: ${why}`, { cause: error })
    }
  }
}
