/** Where a node keeps its timeline: a line of JSON per entry (`TimelineEntry` in src/recovery/timeline.ts), oldest first. */
import { join } from 'node:path'

export function timelineFile(stateDir: string): string {
  return join(stateDir, 'timeline.jsonl')
}
