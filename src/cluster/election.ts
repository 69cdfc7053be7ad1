/**
 * The administrator of a view: at most one in the SAN, the member that owns the SAN locks (Figs 11A–C, R84–R99).
 *
 * After every change of view its coordinator, which follows from the view alone (R89), asks who is administrator. If a member is, it
 * stays. Else:
 *
 *     coordinator                         candidate
 *     try            ───────────────▶     takes the SAN locks, reads the SAN generation, raises it, stores it
 *                    ◀───────────────     its seat: term and generation     (or why not: the next candidate is asked)
 *     commit         ───────────────▶     administrator
 *     announce       ───────────────▶     every member; the administrator last, which then begins (recovery)
 *
 * Candidates are asked by slot, those that have just failed last (R88, R93).
 *
 * Invariants
 *   1. Who holds a seat owns a term of the SAN locks, and nobody else can own them while its disk lease is good.
 *   2. A seat that is not committed is given up: on undo, when its view ends, and when the answer to 'try' came too late. So a
 *      coordinator that has died, or that has asked somebody else, leaves no seat behind (R96).
 *   3. Only a committed seat outlives its view: until this life ends.
 *   4. Every other member knows the administrator before it acts in a view.
 *
 * In a split each part has a coordinator. The part with the administrator goes on; in the other every try fails, because an owner that
 * keeps renewing its lease is alive, until the administrator has fenced this part. If the administrator is in neither, the SAN
 * locks decide.
 *
 * What a crash leaves: of the coordinator, a view that ends (see 2); of a candidate, SAN locks whose owner is dead, and a generation that
 * was raised for nothing.
 */

import { isMatrixError, MatrixError } from '../base/errors.ts'
import type { Slot } from '../base/ids.ts'
import type { Timings } from '../base/timings.ts'
import { Turns } from '../base/turns.ts'
import { type Clock, sleep } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import {
  type Administrator,
  decodeElectionRequest,
  decodeSeat,
  decodeStanding,
  type ElectionRequest,
  type Seat,
} from './election-messages.ts'
import { type Mesh, presentView } from './mesh.ts'
import { coordinatorOf, type Member, type View, type ViewListener } from './view.ts'

/** An election that found nobody is tried again after this long, ms. */
const RETRY_MS = 200

export type ElectionHost = {
  readonly mesh: Mesh
  readonly clock: Clock
  readonly log: Log
  readonly timings: Timings
  /** Takes the SAN locks and raises the SAN generation (R91–R94). Rejects with why this node could not; then it holds nothing. */
  takeSeat(): Promise<Seat>
  /** Gives back what `takeSeat` gave. */
  leaveSeat(seat: Seat): Promise<void>
  /** Begins a step of the change of membership; the returned function ends it. */
  step(view: View, name: string): (outcome: string) => void
  /** `administrator` is announced in `view`; called at every member. */
  onAdministrator(view: View, administrator: Administrator): void
}

export class Election implements ViewListener {
  readonly #host: ElectionHost
  #seat: Seat | undefined
  #committed = false
  #announced: Administrator | undefined
  /** Candidates that failed in their last try, with the time of it. */
  readonly #failures = new Map<Slot, number>()
  /** Taking and leaving a seat go one after another. */
  readonly #turns = new Turns()

  constructor(host: ElectionHost) {
    this.#host = host
    host.mesh.onRequest('admin', (from, body) => this.#answer(from, decodeElectionRequest(body)))
  }

  /** As announced in the present view. */
  get administrator(): Administrator | undefined {
    return this.#announced
  }

  /** The seat of this node while it is administrator. */
  get seat(): Seat | undefined {
    return this.#committed ? this.#seat : undefined
  }

  blocked(): void {
    this.#announced = undefined
    if (!this.#committed) void this.#undo()
  }

  installed(view: View): void {
    if (coordinatorOf(view) === this.#host.mesh.self) void this.#run(view)
  }

  // ── coordinator ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Until `view` has an administrator or has ended. Never rejects. */
  async #run(view: View): Promise<void> {
    const { clock, log } = this.#host
    while (this.#isCurrent(view)) {
      const end = this.#host.step(view, 'administrator')
      try {
        const administrator = (await this.#sitting(view)) ?? (await this.#elect(view))
        if (!this.#isCurrent(view)) return end('the view has ended')
        await this.#announce(view, administrator)
        return end(
          `${nameOf(view, administrator.slot)}, term ${administrator.term}, SAN generation ${administrator.generation}`,
        )
      } catch (error) {
        end(messageOf(error))
        if (!this.#isCurrent(view)) return
        log.warn({ view: view.id, error: messageOf(error) }, 'no administrator yet, trying again')
        await sleep(clock, RETRY_MS)
      }
    }
  }

  /** The member that is administrator already; the owner of the latest term should two believe it. */
  async #sitting(view: View): Promise<Administrator | undefined> {
    const answers = await this.#askAll(view.members, { kind: 'stand', view: view.id })
    let found: Administrator | undefined
    answers.forEach((answer, i) => {
      const seat = decodeStanding(answer)
      const { slot, incarnation } = view.members[i] as Member
      if (seat && seat.term > (found?.term ?? 0)) found = { ...seat, slot, incarnation }
    })
    return found
  }

  async #elect(view: View): Promise<Administrator> {
    const reasons: string[] = []
    for (const member of this.#candidates(view)) {
      if (!this.#isCurrent(view)) break
      try {
        const seat = decodeSeat(await this.#ask(member.slot, { kind: 'try', view: view.id }, this.#tryLimitMs))
        await this.#ask(member.slot, { kind: 'commit', view: view.id, term: seat.term })
        this.#failures.delete(member.slot)
        return { ...seat, slot: member.slot, incarnation: member.incarnation }
      } catch (error) {
        this.#failures.set(member.slot, this.#host.clock.now())
        reasons.push(`${member.name}: ${messageOf(error)}`)
        // it may have succeeded without our knowing
        await this.#ask(member.slot, { kind: 'undo', view: view.id }).catch(() => {})
      }
    }
    throw new MatrixError('timeout', `nobody could become administrator: ${reasons.join('; ')}`)
  }

  #candidates(view: View): Member[] {
    const failedAt = (member: Member) => this.#failures.get(member.slot) ?? Number.NEGATIVE_INFINITY
    return [...view.members].sort((a, b) => failedAt(a) - failedAt(b) || a.slot - b.slot)
  }

  async #announce(view: View, administrator: Administrator): Promise<void> {
    const message: ElectionRequest = { kind: 'announce', view: view.id, administrator }
    const others = view.members.filter(({ slot }) => slot !== administrator.slot)
    await this.#askAll(others, message) // invariant 4
    await this.#ask(administrator.slot, message)
  }

  /** Taking the seat may take as long as its last owner takes to be surely dead. */
  get #tryLimitMs(): number {
    return 5 * this.#host.timings.observedDeadMs
  }

  #ask(to: Slot, message: ElectionRequest, limitMs = 4 * this.#host.timings.leaseMs): Promise<unknown> {
    return this.#host.mesh.request(to, 'admin', message, limitMs)
  }

  #askAll(members: readonly Member[], message: ElectionRequest): Promise<unknown[]> {
    return Promise.all(members.map(({ slot }) => this.#ask(slot, message)))
  }

  // ── member ───────────────────────────────────────────────────────────────────────────────────────────────────────

  async #answer(from: Slot, message: ElectionRequest): Promise<unknown> {
    const view = presentView(this.#host.mesh, message.view)
    if (from !== coordinatorOf(view))
      throw new MatrixError('protocol', `slot ${from} does not coordinate view ${view.id}`)
    switch (message.kind) {
      case 'stand':
        return this.seat ?? null
      case 'try':
        return this.#try(view)
      case 'commit':
        if (this.#seat?.term !== message.term)
          throw new MatrixError('view-changed', `term ${message.term} is not this node's any more`)
        this.#committed = true
        return true
      case 'undo':
        await this.#undo()
        return true
      case 'announce':
        this.#announced = message.administrator
        this.#host.onAdministrator(view, message.administrator)
        return true
    }
  }

  #try(view: View): Promise<Seat> {
    return this.#turns.take(async () => {
      if (this.#seat) return this.#seat
      presentView(this.#host.mesh, view.id)
      const seat = await this.#host.takeSeat()
      if (this.#isCurrent(view)) {
        this.#seat = seat
        return seat
      }
      await this.#host.leaveSeat(seat) // invariant 2
      throw new MatrixError('view-changed', `view ${view.id} has ended`)
    })
  }

  #undo(): Promise<void> {
    return this.#turns
      .take(async () => {
        if (!this.#seat || this.#committed) return
        const seat = this.#seat
        this.#seat = undefined
        await this.#host.leaveSeat(seat)
      })
      .catch((error) => {
        this.#host.log.warn(
          { error: messageOf(error) },
          'the SAN locks could not be given back; they end with this life',
        )
      })
  }

  #isCurrent(view: View): boolean {
    return this.#host.mesh.view?.id === view.id
  }
}

function nameOf(view: View, slot: Slot): string {
  return view.members.find((member) => member.slot === slot)?.name ?? `slot ${slot}`
}

function messageOf(error: unknown): string {
  return isMatrixError(error) ? error.message : String(error)
}
