/**
 * What has happened to services, applications, devices, virtual hosts and nodes, for people and for the notifier (R33).
 *
 * Each event is published once, at one node: what a node sees of itself, that node publishes; what all see (a node has gone, a virtual host was
 * placed), the administrator alone. `EventBook` gives it an id that no other event has, writes it down, and then tells whoever has subscribed.
 * Whoever delivers events keeps the id of the last one it has done with, and asks for those `after` it when it starts.
 *
 * Invariants
 *   1. An event is in the store before a subscriber hears of it.
 *   2. Ids are unique in the matrix for ever: node, its incarnation, and a count from 1. At one node they are in the order of publishing.
 *
 * Crash: what was published is read again by the next life of the node; the last line may be cut, and is left out. The list is bounded: the oldest go.
 */
import * as v from 'valibot'
import type { Incarnation } from '../base/ids.ts'
import type { Clock, Log } from '../platform/index.ts'

export const eventKinds = [
  'service-up',
  'service-down',
  'service-restarted',
  'service-failed', // it could not be restarted here
  'service-cleared', // somebody has said that it is well again
  'application-started',
  'application-stopped',
  'application-not-stopped', // its stop script has failed: it may still run
  'device-up',
  'device-failed',
  'virtual-host-placed', // nobody had it
  'virtual-host-failed-over',
  'virtual-host-failed-back',
  'virtual-host-moved', // by hand, or because its node stops
  'node-up',
  'node-left', // it was stopped, and has given everything back
  'node-down', // it has died, or was cut off
  'filesystem-mounted',
  'filesystem-unmounted',
  'filesystem-not-mounted',
  'filesystem-error',
  'lun-up',
  'lun-failed',
  'replication-failed', // a run could not copy everything, or nothing
  'replication-recovered',
] as const
export type EventKind = (typeof eventKinds)[number]

export const objectTypes = [
  'service',
  'application',
  'device',
  'virtual-host',
  'node',
  'filesystem',
  'lun',
  'replication',
] as const
export type ObjectType = (typeof objectTypes)[number]

export const severities = ['info', 'warning', 'error'] as const
export type Severity = (typeof severities)[number]

export const matrixEvent = v.strictObject({
  id: v.string(),
  /** Wall-clock milliseconds since 1970, of `node`. */
  at: v.pipe(v.number(), v.minValue(0)),
  /** Who has published it. */
  node: v.string(),
  kind: v.picklist(eventKinds),
  object: v.strictObject({ type: v.picklist(objectTypes), name: v.string() }),
  severity: v.picklist(severities),
  /** One sentence for people. */
  text: v.string(),
  /** The same for programs: such as `from`, `to`, `reason`. */
  detail: v.record(v.string(), v.string()),
})
export type MatrixEvent = v.InferOutput<typeof matrixEvent>
/** What its publisher says. */
export type EventNews = Pick<MatrixEvent, 'kind' | 'object' | 'severity' | 'text'> &
  Partial<Pick<MatrixEvent, 'detail'>>

const eventLine = v.pipe(v.string(), v.parseJson(), matrixEvent)

/** Events of a kept list, oldest first; a line that a crash has cut is left out. */
export function parseEvents(text: string): MatrixEvent[] {
  return text.split('\n').flatMap((line) => {
    const parsed = v.safeParse(eventLine, line)
    return parsed.success ? [parsed.output] : []
  })
}

/** Where events outlive the process. Neither throws: what cannot be kept is told in the log. */
export interface EventStore {
  /** Oldest first. */
  read(): readonly MatrixEvent[]
  add(event: MatrixEvent): void
}

/** Events that are kept in memory. */
export const EVENTS_KEPT = 1000

export type EventBookOptions = {
  readonly node: string
  readonly incarnation: Incarnation
  readonly clock: Clock
  readonly log: Log
  /** Left out: events end with the process. */
  readonly store?: EventStore | undefined
}

export class EventBook {
  readonly #options: EventBookOptions
  readonly #events: MatrixEvent[]
  readonly #subscribers = new Set<(event: MatrixEvent) => void>()
  #count = 0

  constructor(options: EventBookOptions) {
    this.#options = options
    this.#events = [...(options.store?.read() ?? [])].slice(-EVENTS_KEPT)
  }

  /** Oldest first, those of former lives of this node among them. */
  get events(): readonly MatrixEvent[] {
    return this.#events
  }

  /** Those that were published at this node after the one with that id, oldest first. All that are kept when there is none, or it is not kept any more. */
  after(id: string | undefined): readonly MatrixEvent[] {
    return this.#events.slice(this.#events.findIndex((event) => event.id === id) + 1)
  }

  publish(news: EventNews): MatrixEvent {
    const { node, incarnation, clock, log, store } = this.#options
    const id = `${node}-${incarnation}-${++this.#count}`
    const event: MatrixEvent = { id, at: clock.wall(), node, ...news, detail: news.detail ?? {} }
    const { severity, kind, object, text } = event
    const level = { info: 'info', warning: 'warn', error: 'error' } as const
    log[level[severity]]({ event: id, kind, [object.type]: object.name }, text)
    this.#events.push(event)
    if (this.#events.length > EVENTS_KEPT) this.#events.shift()
    store?.add(event)
    for (const told of this.#subscribers) told(event)
    return event
  }

  /** Every event from now on, in order, within the call that publishes it: nothing may be thrown. Gives the end of it. */
  subscribe(told: (event: MatrixEvent) => void): () => void {
    this.#subscribers.add(told)
    return () => void this.#subscribers.delete(told)
  }
}
