/** Time, handed in. Nothing below the gateways asks the system what time it is. */

/** A timer under way; `cancel` after it fired is harmless. */
export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Monotonic milliseconds (fractions allowed) from an arbitrary start; never steps, never goes back. */
  now(): number
  /** Wall-clock time for what users see (file times, logs), milliseconds since 1970 with fractions; may step. */
  wall(): number
  /** Calls `run` once, not before `delayMs` from now. */
  after(delayMs: number, run: () => void): Timer
  /** Calls `run` every `periodMs` until cancelled. */
  every(periodMs: number, run: () => void): Timer
  /** Calls `run` after what is already queued in this turn of the event loop (setImmediate): how work is batched. */
  soon(run: () => void): void
}

export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => clock.after(delayMs, resolve))
}

/** What `work` comes to, or 'late' when that takes longer than `limitMs`; what becomes of it then is the caller's to know. Rejects as `work` does in time. */
export function within<T>(clock: Clock, work: Promise<T>, limitMs: number): Promise<T | 'late'> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(limitMs, () => resolve('late'))
    work.then(resolve, reject).finally(() => timer.cancel())
  })
}
