/**
 * What a node thinks of one LUN, from what its probes met (disk-probe.ts); a state machine without I/O or time.
 *
 *            an I/O is, or was, under way for longer than `ioTimeoutMs`
 *      up ────────────────────────▶ slow
 *      │ ◀──────────────────────────┘ │
 *      │      RECOVERED good probes   │ FAILURES in a row that failed
 *      └───────▶ failing ◀────────────┘           any ──another label is there──▶ foreign, for good
 *      ◀────────────┘
 *
 * One failure is no state, and one success does not end one: a path that changes over fails an I/O or two and is well, and one that
 * comes and goes is not. A single slow I/O is told: that is what leases and time-outs are made for.
 */

export type LunState = 'up' | 'slow' | 'failing' | 'foreign'

/** What a probe met. */
export type Finding =
  | { readonly kind: 'good' }
  | { readonly kind: 'slow' | 'failed' | 'foreign'; readonly reason: string }

export type LunTransition = { readonly from: LunState; readonly to: LunState; readonly reason: string }

/** Probes in a row that failed, until the LUN is called failing. */
export const FAILURES = 2
/** Probes in a row that were good and quick, until the LUN is called up again. */
export const RECOVERED = 3

export class LunHealth {
  #state: LunState = 'up'
  #reason = ''
  #failed = 0
  #good = 0

  get state(): LunState {
    return this.#state
  }

  /** Why it is not 'up'. */
  get reason(): string {
    return this.#reason
  }

  /** The change of state that `finding` makes; undefined when it makes none. */
  met(finding: Finding): LunTransition | undefined {
    this.#good = finding.kind === 'good' ? this.#good + 1 : 0
    this.#failed = finding.kind === 'failed' ? this.#failed + 1 : finding.kind === 'good' ? 0 : this.#failed
    if (this.#state === 'foreign') return undefined
    switch (finding.kind) {
      case 'foreign':
        return this.#go('foreign', finding.reason)
      case 'failed':
        return this.#failed >= FAILURES && this.#state !== 'failing' ? this.#go('failing', finding.reason) : undefined
      case 'slow':
        return this.#state === 'up' ? this.#go('slow', finding.reason) : undefined
      case 'good':
        return this.#state !== 'up' && this.#good >= RECOVERED ? this.#go('up', `${RECOVERED} good probes`) : undefined
    }
  }

  #go(to: LunState, reason: string): LunTransition {
    const from = this.#state
    this.#state = to
    this.#reason = to === 'up' ? '' : reason
    return { from, to, reason }
  }
}
