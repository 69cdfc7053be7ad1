/**
 * Who is surely powerless, and how to make sure of it. Two questions are asked here: the administrator's, who fences everybody that
 * is active on the disk and not in its view; and that of a candidate who finds the SAN locks owned by somebody outside.
 *
 * A candidate may not fence an owner that keeps its lease: that owner is administrator of a part of the matrix which cannot
 * be reached, and it is that part which lives. One that has missed several renewals is not so sure of itself: it is fenced.
 */
import type { Life } from '../base/life.ts'
import type { Timings } from '../base/timings.ts'
import type { Clock, Log } from '../platform/index.ts'
import { type FenceAgent, fenceNode, type LeaseSector, type LeaseWatch } from '../san/index.ts'

/** Renewals that an owner of the SAN locks must have missed before a candidate fences it. */
const MISSED_RENEWALS = 3

export type FencingOptions = {
  /** In the configured order. */
  readonly agents: readonly FenceAgent[]
  readonly watch: LeaseWatch
  readonly clock: Clock
  readonly timings: Pick<Timings, 'renewMs'>
  readonly log: Log
}

export class Fencing {
  readonly #options: FencingOptions
  /** Lives that this process has fenced: that is for ever, a sector goes on saying 'active' until its slot starts again. */
  readonly #fenced = new Set<string>()

  constructor(options: FencingOptions) {
    this.#options = options
  }

  hasFenced(life: Life): boolean {
    return this.#fenced.has(keyOf(life))
  }

  /** Resolves once `victim` can neither write nor serve. Rejects with MatrixError 'fence-failed'. */
  async fence(victim: LeaseSector): Promise<void> {
    if (this.hasFenced(victim)) return
    const { agents, clock, log } = this.#options
    await fenceNode(agents, victim, { clock, log })
    this.#fenced.add(keyOf(victim))
  }

  /** Whether `owner` of the SAN locks is surely powerless; fences it when it has stopped renewing its lease. Rejects with 'lun-io'. */
  async isPowerless(owner: Life): Promise<boolean> {
    const { agents, watch, timings, log } = this.#options
    const sectors = await watch.scan()
    if (watch.certainlyDead(owner) || this.hasFenced(owner)) return true
    const sector = sectors.find(({ slot, incarnation }) => slot === owner.slot && incarnation === owner.incarnation)
    if (!sector) return false
    if (!agents.some((agent) => agent.isGone?.(sector)) && watch.stillMs(owner) < MISSED_RENEWALS * timings.renewMs)
      return false
    try {
      await this.fence(sector)
      return true
    } catch (error) {
      log.warn({ node: sector.nodeName, error: String(error) }, 'the owner of the SAN locks could not be fenced')
      return false
    }
  }
}

function keyOf({ slot, incarnation }: Life): string {
  return `${slot}/${incarnation}`
}
