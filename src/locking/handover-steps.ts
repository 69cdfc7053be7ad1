/**
 * Where the time goes when a lock goes from node to node, as each node sees its own part:
 *
 *     asked ── granted ─▶ (caught up) usable          the node that wants it; `granted` spans what follows at the others
 *               holder:   told ── kept ─▶ surrender ── written ─▶ given up
 *
 * Only what had to be waited for counts: a lock that is granted within the call is in none of them.
 */
export type HandoverStep = {
  readonly count: number
  /** All of them together. */
  readonly ms: number
}

export type HandoverSteps = {
  /** From the request to the grant's arrival. */
  readonly granted: HandoverStep
  /** The acquire callout: peers' journals are read up to the grant's vector. */
  readonly caughtUp: HandoverStep
  /** From the BAST to the surrender: users finish, the minimum hold passes. */
  readonly kept: HandoverStep
  /** The surrender callout: data and journal become durable. */
  readonly written: HandoverStep
}

export class StepTimer implements HandoverStep {
  count = 0
  ms = 0

  add(sinceMs: number, nowMs: number): void {
    this.count++
    this.ms += nowMs - sinceMs
  }
}
