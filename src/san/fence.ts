/**
 * Fence agents: ways to make sure that a node can neither write to the LUNs nor serve stale data, before its locks are given to
 * anybody. They are tried in the configured order; 'fenced' is certainty, never hope.
 *
 *   kill   the victim's process is on this host: SIGKILL of exactly that process. Once it is gone, so is its I/O: that holds for LUNs
 *          reached by system calls, in which a process that is killed stays until they are over. What it has sent to an iSCSI target
 *          is waited for (orphan-io.ts).
 *   script a program of the operator cuts the victim off; how far it is believed: script-agent.ts.
 *   lease  ask the victim to die through the disk, and wait until its lease is surely over and its I/O surely dead.
 */
import { brokenRules } from '../base/broken-rules.ts'
import { MatrixError } from '../base/errors.ts'
import { type Clock, sleep } from '../platform/clock.ts'
import type { Processes } from '../platform/files.ts'
import type { Log } from '../platform/log.ts'
import type { NodeLease } from './disk-lease.ts'
import type { LeaseSector } from './lease-sector.ts'
import type { LeaseWatch } from './lease-watch.ts'
import { orphansOver } from './orphan-io.ts'

export type FenceOutcome = 'fenced' | 'unable'

export type Rehearsal = { readonly able: boolean; readonly said: string }

export interface FenceAgent {
  /** As in the configuration. */
  readonly name: string
  /** 'fenced': `victim`, this life of it, is surely powerless. 'unable': it may not be; try another agent. Gives up when `abort` is. */
  fence(victim: LeaseSector, abort?: AbortSignal): Promise<FenceOutcome>
  /** Whether it could, as far as can be told while nothing is done to `victim`, and what is to be said of it. Left out where there is nothing to try. */
  rehearse?(victim: LeaseSector): Promise<Rehearsal>
  /** Whether it knows at once, without doing anything, that this life has ended. */
  isGone?(life: LeaseSector): boolean
}

export type KillOptions = {
  readonly clock: Clock
  /** How long commands to the LUNs of now may outlive their process, ms (orphan-io.ts). */
  readonly orphanIoMs: () => number
}

export class KillAgent implements FenceAgent {
  readonly name = 'kill'
  readonly #processes: Pick<Processes, 'state' | 'kill'>
  readonly #options: KillOptions

  constructor(processes: Pick<Processes, 'state' | 'kill'>, options: KillOptions) {
    this.#processes = processes
    this.#options = options
  }

  isGone(life: LeaseSector): boolean {
    return this.#processes.state(life.process) === 'gone'
  }

  async fence(victim: LeaseSector): Promise<FenceOutcome> {
    const state = this.#processes.state(victim.process)
    if (state === 'running') await this.#processes.kill(victim.process)
    if (!this.isGone(victim) && !brokenRules.fencedIsCertain) return 'unable'
    const { clock, orphanIoMs } = this.#options
    await orphansOver(clock, orphanIoMs())
    return 'fenced'
  }
}

export type LeaseAgentOptions = {
  readonly clock: Clock
  /** Must be watching. */
  readonly watch: Pick<LeaseWatch, 'scan' | 'certainlyDead'>
  readonly lease: Pick<NodeLease, 'requestFence' | 'goodUntil'>
  /** How often it looks, ms: the renewal period. */
  readonly pollMs: number
  /** Longest wait, ms. A victim that renews for so long although it was asked to die is beyond this agent. */
  readonly limitMs: number
}

export class LeaseAgent implements FenceAgent {
  readonly name = 'lease'
  readonly #options: LeaseAgentOptions

  constructor(options: LeaseAgentOptions) {
    this.#options = options
  }

  async fence(victim: LeaseSector, abort?: AbortSignal): Promise<FenceOutcome> {
    const { clock, watch, lease, pollMs, limitMs } = this.#options
    const startedAt = clock.now()
    if (watch.certainlyDead(victim)) return 'fenced'
    await lease.requestFence([victim])
    while (clock.now() - startedAt < limitMs && !abort?.aborted) {
      // two nodes may have asked each other: who lost its own lease has lost this argument
      if (!(lease.goodUntil() > clock.now())) return 'unable'
      await watch.scan()
      if (watch.certainlyDead(victim)) return 'fenced'
      await sleep(clock, pollMs)
    }
    return 'unable'
  }
}

/** Fences `victim` by the first agent that can, gives its name. Rejects with MatrixError 'fence-failed' when none can. */
export async function fenceNode(
  agents: readonly FenceAgent[],
  victim: LeaseSector,
  { clock, log, abort }: { readonly clock: Clock; readonly log: Log; readonly abort?: AbortSignal },
): Promise<string> {
  const startedAt = clock.now()
  const who = { node: victim.nodeName, slot: victim.slot, incarnation: victim.incarnation }
  const tried: string[] = []
  for (const agent of agents) {
    if (abort?.aborted) break
    const begunAt = clock.now()
    let outcome: FenceOutcome = 'unable'
    let error: unknown
    try {
      outcome = await agent.fence(victim, abort)
    } catch (caught) {
      error = caught
    }
    const tookMs = Math.round(clock.now() - begunAt)
    const level = outcome === 'fenced' ? 'info' : 'warn'
    log[level]({ ...who, agent: agent.name, outcome, tookMs, error }, 'fence agent has answered')
    if (outcome === 'fenced') return agent.name
    tried.push(`${agent.name} (${error instanceof Error ? error.message : 'unable'}, ${tookMs} ms)`)
  }
  const tookMs = Math.round(clock.now() - startedAt)
  throw new MatrixError(
    'fence-failed',
    `node "${victim.nodeName}" (slot ${victim.slot}, incarnation ${victim.incarnation}) could not be fenced in ${tookMs} ms by ${tried.join(', ') || 'any agent'}; nothing it held is given to others until it is`,
  )
}
