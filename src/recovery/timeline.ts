/** Who did what, and how long it took, at each change of membership: kept in memory, newest last, bounded. */
import type { ViewId } from '../base/ids.ts'
import type { Clock, Log } from '../platform/index.ts'

export type TimelineEntry = {
  readonly view: ViewId
  readonly step: string
  /** Wall-clock milliseconds since 1970. */
  readonly startedAt: number
  /** Undefined while under way. */
  durationMs: number | undefined
  /** 'done', or what went wrong. */
  outcome: string | undefined
}

/** Entries kept: some tens of changes. */
const TIMELINE_ENTRIES = 1000

export class Timeline {
  readonly entries: TimelineEntry[] = []
  #clock: Clock
  #log: Log

  constructor(clock: Clock, log: Log) {
    this.#clock = clock
    this.#log = log
  }

  /** Starts a step; the returned function ends it. */
  begin(view: ViewId, step: string): (outcome: string) => void {
    const start = this.#clock.now()
    const entry: TimelineEntry = {
      view,
      step,
      startedAt: this.#clock.wall(),
      durationMs: undefined,
      outcome: undefined,
    }
    this.entries.push(entry)
    if (this.entries.length > TIMELINE_ENTRIES) this.entries.shift()
    return (outcome) => {
      entry.durationMs = this.#clock.now() - start
      entry.outcome = outcome
      this.#log.info({ view, step, ms: Math.round(entry.durationMs), outcome }, 'recovery step')
    }
  }
}
