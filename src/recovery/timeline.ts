/**
 * Who did what, and how long it took, at each change of membership. Every node notes the views it installs; whoever does a step (the
 * coordinator, the administrator) tells all members, so that each has the whole story. Kept in memory, newest last, bounded; a node
 * that wants it for longer takes `onEntry`.
 */

import * as v from 'valibot'
import { MatrixError } from '../base/errors.ts'
import type { ViewId } from '../base/ids.ts'
import { sameLife } from '../base/life.ts'
import { parseBody, type View, type ViewListener } from '../cluster/index.ts'
import type { Clock, Log } from '../platform/index.ts'

const count = v.pipe(v.number(), v.minValue(0))
const timelineEntry = v.strictObject({
  view: v.pipe(count, v.safeInteger()),
  /** Who did it. */
  node: v.string(),
  /** 'view' for a view that was installed; 'LUN' or 'virtual host' and its name for what became of it meanwhile; else what was done for the view. */
  step: v.string(),
  /** Wall-clock milliseconds since 1970, of that node. */
  startedAt: v.number(),
  durationMs: count,
  /** 'done', more about it, or what went wrong. */
  outcome: v.string(),
})
/** An entry as a line of JSON. */
export const timelineLine = v.pipe(v.string(), v.parseJson(), timelineEntry)
export type TimelineEntry = v.InferOutput<typeof timelineEntry>

/** The entries of a kept timeline, oldest first; a line that a crash has cut is left out. */
export function parseTimeline(text: string): TimelineEntry[] {
  return text.split('\n').flatMap((line) => {
    const parsed = v.safeParse(timelineLine, line)
    return parsed.success ? [parsed.output] : []
  })
}

/** No step of a change of membership: something that has happened while a view lasted. */
export function isNews({ step }: TimelineEntry): boolean {
  return step.startsWith('LUN ') || step.startsWith('virtual host ')
}

/** Entries kept in memory: some tens of changes. */
const TIMELINE_ENTRIES = 1000

export type TimelineOptions = {
  readonly node: string
  readonly clock: Clock
  readonly log: Log
  /** A step of this node is over: for the others. */
  readonly tell: (entry: TimelineEntry) => void
  /** Any entry, own or told. */
  readonly onEntry?: ((entry: TimelineEntry) => void) | undefined
}

export class Timeline implements ViewListener {
  readonly entries: TimelineEntry[] = []
  #view: View | undefined
  readonly #options: TimelineOptions

  constructor(options: TimelineOptions) {
    this.#options = options
  }

  /** Starts a step; the returned function ends it. */
  begin(view: ViewId, step: string): (outcome: string) => void {
    const { node, clock, log, tell } = this.#options
    const start = clock.now()
    const startedAt = clock.wall()
    return (outcome) => {
      const durationMs = Math.max(0, clock.now() - start)
      const entry: TimelineEntry = { view, node, step, startedAt, durationMs, outcome }
      log.info({ view, step, ms: Math.round(durationMs), outcome }, 'membership step')
      this.#add(entry)
      tell(entry)
    }
  }

  /** Something has happened to a LUN or a virtual host, as this node sees it: told as a step is. */
  note(what: 'LUN' | 'virtual host', name: string, outcome: string): void {
    const { node, clock, tell } = this.#options
    const view = this.#view?.id ?? 0
    const step = `${what} ${name}`
    const entry: TimelineEntry = { view, node, step, startedAt: clock.wall(), durationMs: 0, outcome }
    this.#add(entry)
    tell(entry)
  }

  /** Does `work` as a step of `view`; rejects with 'view-changed' when that is not `current` any more at its end. */
  async step<T>(view: View, current: () => boolean, name: string, work: () => Promise<T>): Promise<T> {
    const end = this.begin(view.id, name)
    try {
      const result = await work()
      if (!current()) throw new MatrixError('view-changed', `view ${view.id} has ended`)
      end('done')
      return result
    } catch (error) {
      end(String(error))
      throw error
    }
  }

  blocked(): void {}

  installed(view: View): void {
    const { node, clock } = this.#options
    const outcome = describeView(view, this.#view)
    this.#view = view
    this.#add({ view: view.id, node, step: 'view', startedAt: clock.wall(), durationMs: 0, outcome })
  }

  /** What another node has told. Throws MatrixError 'protocol'. */
  told(payload: Buffer): void {
    this.#add(parseBody(timelineLine, payload.toString(), 'timeline entry'))
  }

  #add(entry: TimelineEntry): void {
    this.entries.push(entry)
    if (this.entries.length > TIMELINE_ENTRIES) this.entries.shift()
    this.#options.onEntry?.(entry)
  }
}

/** The members of a view, and who has come and gone since the one before. */
function describeView(view: View, before: View | undefined): string {
  const missingIn = (a: View, b: View) => a.members.filter((life) => !b.members.some((other) => sameLife(life, other)))
  const names = (members: View['members']) => members.map(({ name }) => name).join(', ')
  const came = before ? missingIn(view, before) : []
  const gone = before ? missingIn(before, view) : []
  const changes = [came.length > 0 && `${names(came)} came`, gone.length > 0 && `${names(gone)} gone`].filter(Boolean)
  return [names(view.members), ...changes].join('; ')
}
