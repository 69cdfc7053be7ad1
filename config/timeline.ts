/** Where a node keeps its timeline and its events: a line of JSON per entry (`TimelineEntry` in src/recovery/timeline.ts, `MatrixEvent` in src/services/events.ts), oldest first. */
import { join } from 'node:path'

export function timelineFile(stateDir: string): string {
  return join(stateDir, 'timeline.jsonl')
}

/** What the notifier has yet to deliver (src/services/notifier/delivery-journal.ts). */
export function deliveriesFile(stateDir: string): string {
  return join(stateDir, 'deliveries.jsonl')
}

export function eventsFile(stateDir: string): string {
  return join(stateDir, 'events.jsonl')
}
