/**
 * A fence drill (`matrix fence test`): a member that is well is fenced as if it had failed, by the agents that would do it. What follows is no drill:
 * the others notice, recover its journal, and take it in again once it is started. Nothing is lost by it, as by any fence.
 */
import { MatrixError } from '../base/errors.ts'
import type { Incarnation, Slot } from '../base/ids.ts'
import type { View } from '../cluster/index.ts'
import type { Clock, Log } from '../platform/index.ts'
import { type FenceAgent, fenceNode, type LeaseSector, type LeaseWatch, type Rehearsal } from '../san/index.ts'

export type FenceDrillHost = {
  readonly self: Slot
  readonly agents: readonly FenceAgent[]
  readonly watch: Pick<LeaseWatch, 'scan'>
  readonly clock: Clock
  readonly log: Log
  view(): View | undefined
}

export type DrillPlan = {
  readonly slot: Slot
  readonly incarnation: number
  /** In the order in which they are tried. */
  readonly agents: readonly string[]
  /** Of those that can be tried without doing anything. */
  readonly rehearsals: readonly (Rehearsal & { readonly agent: string })[]
}

export class FenceDrill {
  readonly #host: FenceDrillHost

  constructor(host: FenceDrillHost) {
    this.#host = host
  }

  /** What would be done, and what the agents say of it; does nothing. Rejects with 'not-found' (no member), 'in-use' (this node itself) or 'lun-io'. */
  async plan(node: string): Promise<DrillPlan> {
    const victim = await this.#victim(node)
    const { slot, incarnation } = victim
    const { agents } = this.#host
    const rehearsals: (Rehearsal & { agent: string })[] = []
    for (const agent of agents)
      if (agent.rehearse) rehearsals.push({ agent: agent.name, ...(await agent.rehearse(victim)) })
    return { slot, incarnation, agents: agents.map(({ name }) => name), rehearsals }
  }

  /** Gives the agent that has done it. With `incarnation`, that life of the node and no other. Rejects as `plan`, and with 'fence-failed'. */
  async run(node: string, incarnation?: Incarnation): Promise<{ readonly agent: string; readonly ms: number }> {
    const { agents, clock, log } = this.#host
    const victim = await this.#victim(node)
    if (incarnation !== undefined && victim.incarnation !== incarnation)
      throw new MatrixError('not-found', `life ${incarnation} of ${node} is over; it is in life ${victim.incarnation}`)
    log.warn({ node, slot: victim.slot, incarnation: victim.incarnation }, 'drill: a member is fenced')
    const startedAt = clock.now()
    const agent = await fenceNode(agents, victim, { clock, log })
    return { agent, ms: Math.round(clock.now() - startedAt) }
  }

  async #victim(node: string): Promise<LeaseSector> {
    const { self, watch, view } = this.#host
    const members = view()?.members ?? []
    const member = members.find(({ name }) => name === node)
    if (!member) {
      const others = members.filter(({ slot }) => slot !== self).map(({ name }) => name)
      throw new MatrixError(
        'not-found',
        `${node} is no member now; members beside this node: ${others.join(', ') || 'none'}`,
      )
    }
    if (member.slot === self)
      throw new MatrixError(
        'in-use',
        `${node} is the node that was asked: ask another one to fence it (--config of that node)`,
      )
    const sectors = await watch.scan()
    const sector = sectors.find(({ slot, incarnation }) => slot === member.slot && incarnation === member.incarnation)
    if (!sector) throw new MatrixError('not-found', `the lease of ${node} cannot be found on the membership partitions`)
    return sector
  }
}
