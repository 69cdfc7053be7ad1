/** The timeline and the events of a node, kept across its restarts: `timeline.jsonl` and `events.jsonl` in its state_dir. */
import { eventsFile, timelineFile } from '../../config/index.ts'
import type { Log } from '../platform/index.ts'
import { parseTimeline, type TimelineEntry } from '../recovery/index.ts'
import { type EventStore, parseEvents } from '../services/index.ts'
import { LineFile } from './line-file.ts'

/** For people (`matrix timeline`): nothing depends on it. */
export class TimelineFile {
  readonly #file: LineFile

  constructor(stateDir: string, log: Log) {
    this.#file = new LineFile(timelineFile(stateDir), 'steps of the timeline', log)
  }

  /** The last `count` entries of former lives, oldest first. */
  read(count: number): TimelineEntry[] {
    return parseTimeline(this.#file.read()).slice(-count)
  }

  add(entry: TimelineEntry): void {
    this.#file.add(entry)
  }
}

export function eventStore(stateDir: string, log: Log): EventStore {
  const file = new LineFile(eventsFile(stateDir), 'events', log)
  return { read: () => parseEvents(file.read()), add: (event) => file.add(event) }
}
