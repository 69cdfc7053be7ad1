/**
 * One base value, and every timing derived from it. A host's death, second by second (base = ioTimeoutMs):
 *
 *     0                       the last successful lease renewal is issued
 *     renewMs                 the next one would be; it hangs, or the host is dead
 *     leaseMs - guardMs       the PSD of the host refuses writes from here on (checked right before each write)
 *     leaseMs                 the lease is over; no cached lock is used, nothing is served
 *     leaseMs + ioLifeMs      the last write handed to the device before the guard has landed or will never
 *     leaseMs + ioLifeMs + slackMs after *its own* last-seen change of the sector, an observer may act
 *
 * Safety needs  guardMs >= one write's hand-over, and observedDeadMs > leaseMs + ioLifeMs whatever phase the observer
 * watched in. No clock is ever compared with another's, only their speeds matter: the slack of one I/O time-out covers monotonic clocks
 * that run up to MAX_CLOCK_DRIFT too fast or too slow. test/unit/base/timings.test.ts holds the inequalities. Carried on the membership partition: a mismatch is refused.
 */

/** A part of one: 5 %, a thousand times what a quartz does. */
export const MAX_CLOCK_DRIFT = 0.05

export type Timings = {
  /** The base: longest time a healthy device takes for one I/O, ms. */
  readonly ioTimeoutMs: number
  /** Lease renewal period, ms. */
  readonly renewMs: number
  /** A lease ends this long after its last successful renewal was issued, ms. */
  readonly leaseMs: number
  /** The PSD refuses to write in the last part of a lease, ms. */
  readonly guardMs: number
  /** Longest life of an I/O handed to the device, ms. */
  readonly ioLifeMs: number
  /** Whoever has known a process to be gone for this long knows that commands which it had sent to a target are over, whatever its clock does, ms. */
  readonly orphanIoMs: number
  /** An observer that saw no change of a lease sector for this long knows that the lease is over; a last write may still be under way, ms. */
  readonly leaseOverMs: number
  /** An observer that saw no change of a lease sector for this long knows its owner can no longer write, ms. */
  readonly observedDeadMs: number
  /** Every LUN is probed once in this time, ms. */
  readonly probeMs: number
  /** Heartbeat period of the mesh, ms. */
  readonly heartbeatMs: number
  /** A peer silent for this long is suspected, ms. */
  readonly suspectMs: number
  /** One step of agreeing on a view may take this long before those who did not answer are left out, ms. */
  readonly viewStepMs: number
  /** After a change of view its administrator has so long to recover before members serve without it what they can, ms. */
  readonly reopenAfterMs: number
  /** A starting node looks for peers this long before it forms a view of its own, ms. */
  readonly joinPatienceMs: number
  /** A lock just granted and in use is kept this long against ping-pong, ms; one that rests goes at once. */
  readonly minHoldMs: number
  /** An idle cached lock is given back after this long, ms. */
  readonly lockIdleMs: number
  /** Dirty data is cleaned at the latest after this long, ms. */
  readonly cleanAfterMs: number
}

export function timingsFrom(ioTimeoutMs: number): Timings {
  const leaseMs = 4 * ioTimeoutMs
  const ioLifeMs = 2 * ioTimeoutMs
  return {
    ioTimeoutMs,
    renewMs: ioTimeoutMs / 2,
    leaseMs,
    guardMs: ioTimeoutMs,
    ioLifeMs,
    orphanIoMs: ioLifeMs * (1 + MAX_CLOCK_DRIFT),
    leaseOverMs: leaseMs * ((1 + MAX_CLOCK_DRIFT) / (1 - MAX_CLOCK_DRIFT)),
    observedDeadMs: leaseMs + ioLifeMs + ioTimeoutMs,
    probeMs: 2 * ioTimeoutMs,
    heartbeatMs: ioTimeoutMs / 4,
    suspectMs: 1.25 * ioTimeoutMs,
    viewStepMs: ioTimeoutMs,
    reopenAfterMs: ioTimeoutMs / 8,
    joinPatienceMs: ioTimeoutMs,
    minHoldMs: 5,
    lockIdleMs: 60_000,
    cleanAfterMs: 2_000,
  }
}

/** 2 s per I/O: lease 8 s, lease-only take-over 14 s. */
export const defaultTimings: Timings = timingsFrom(2000)
