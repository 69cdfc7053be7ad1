/**
 * What agents that cut a node off have in common: they ask it first, for as long as it shows life, and afterwards they watch its lease until that is
 * over, since a node that cannot write may still serve what it has cached.
 */
import type { Timings } from '../base/timings.ts'
import { type Clock, sleep } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { NodeLease } from './disk-lease.ts'
import type { LeaseSector } from './lease-sector.ts'
import type { LeaseWatch } from './lease-watch.ts'

/** Who has not written its lease for so many renewal periods is not about to answer. */
const SILENT_RENEWALS = 2
/** Who is alive finds a request before its next renewal, and ends: so many renewal periods are enough. */
const ANSWER_RENEWALS = 3

export type VictimWatchOptions = {
  readonly clock: Clock
  /** Must be watching. */
  readonly watch: Pick<LeaseWatch, 'scan' | 'sectors' | 'stillMs' | 'certainlyDead'>
  readonly lease: Pick<NodeLease, 'requestFence'>
  readonly timings: Pick<Timings, 'ioTimeoutMs' | 'ioLifeMs' | 'renewMs' | 'leaseOverMs'>
  readonly log: Log
}

/** A life was cut off from the LUNs. */
export type Cut = {
  /** When, own clock, ms. */
  readonly at: number
  /** From then on nothing of it lands any more that was under way. */
  readonly settledAt: number
  /** The victim's record as first seen after that; undefined until it has been read. */
  seen?: LeaseSector | undefined
}

export class VictimWatch {
  readonly #options: VictimWatchOptions

  constructor(options: VictimWatchOptions) {
    this.#options = options
  }

  /** Asks the victim to die, for as long as it shows life and may be about to answer. */
  async endsByItself(victim: LeaseSector, abort: AbortSignal | undefined): Promise<boolean> {
    const { clock, watch, lease, timings, log } = this.#options
    const { renewMs } = timings
    const until = clock.now() + ANSWER_RENEWALS * renewMs
    try {
      await lease.requestFence([victim])
      while (clock.now() < until && watch.stillMs(victim) < SILENT_RENEWALS * renewMs && !abort?.aborted) {
        await sleep(clock, renewMs / 4)
        await watch.scan()
        if (watch.certainlyDead(victim)) return true
      }
    } catch (error) {
      log.warn({ node: victim.nodeName, error: String(error) }, 'a node could not be asked to die: it is cut off')
    }
    return false
  }

  /**
   * Waits for the end of the lease of a victim that is cut off. 'over': it is, and nothing of the victim is under way any more; 'renewed': the victim
   * goes on, so it is not cut off; 'unknown': it could not be watched for long enough.
   */
  async leaseEnds(
    victim: LeaseSector,
    cut: Cut,
    abort: AbortSignal | undefined,
  ): Promise<'over' | 'renewed' | 'unknown'> {
    const { clock, watch, timings, log } = this.#options
    const { renewMs, leaseOverMs } = timings
    const until = clock.now() + 2 * leaseOverMs
    while (clock.now() < until && !abort?.aborted) {
      const read = await watch.scan().then(
        () => true,
        (error) => {
          log.warn({ node: victim.nodeName, error }, 'the lease of a node that is cut off cannot be read')
          return false
        },
      )
      if (watch.certainlyDead(victim)) return 'over'
      const found = watch.sectors.find(({ slot }) => slot === victim.slot)
      if (read && cut.seen && (cut.seen.counter !== found?.counter || cut.seen.nonce !== found.nonce)) return 'renewed'
      if (read) cut.seen ??= found
      const leftMs = Math.max(leaseOverMs - watch.stillMs(victim), cut.settledAt - clock.now())
      if (read && leftMs <= 0) return 'over'
      await sleep(clock, read ? Math.min(leftMs, renewMs) : renewMs)
    }
    return 'unknown'
  }
}
