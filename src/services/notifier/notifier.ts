/**
 * The notifier of a node (R33): what is published at this node (events.ts) goes to the targets of the rules that it fits, in order for each rule, again and again with
 * growing pauses while a target does not take it, and to the list of dead deliveries in the end.
 *
 * Exactly once, as far as a target can tell: a delivery is written down before it is attempted, and crossed out after it was taken. When the process ends in
 * between, the next one makes it again, with the same id. The nodes need not agree on anything: an event is published at one node.
 *
 *     published → looked at (durable) → attempt → taken: crossed out
 *                                          ↳ failed: wait, again … → dead;  refused: dead → by hand: again
 */
import { MatrixError } from '../../base/errors.ts'
import { type Clock, type Log, type Sent, within } from '../../platform/index.ts'
import type { EventBook, MatrixEvent } from '../events.ts'
import type { Courier } from './courier.ts'
import type { DeadDelivery, Delivery, DeliveryJournal } from './delivery-journal.ts'
import { describeNotifyTarget, matches, type NotifyRule, waitBefore } from './rule.ts'

/** A stop waits so long for attempts that are under way, ms; then scripts are ended, and so long it waits for that. What was not taken waits for the next start. */
const STOP_PATIENCE_MS = 3_000
const END_PATIENCE_MS = 1_000

export type NotifierOptions = {
  readonly rules: readonly NotifyRule[]
  readonly node: string
  readonly events: EventBook
  readonly journal: DeliveryJournal
  readonly courier: Courier
  readonly clock: Clock
  readonly log: Log
}

export type RuleReport = {
  readonly name: string
  readonly events: readonly string[]
  readonly objects: readonly string[]
  readonly severity: string
  readonly target: string
  /** Since the start. */
  readonly taken: number
  readonly waiting: number
  readonly dead: number
  /** Why the last attempt did not work; until one does. */
  readonly trouble?: string
}

type Lane = {
  readonly rule: NotifyRule
  taken: number
  trouble: string | undefined
  /** Resolves once it has nothing to do. */
  work: Promise<void> | undefined
  /** Ends a pause between attempts. */
  wake: (() => void) | undefined
}

export class Notifier {
  readonly #options: NotifierOptions
  readonly #lanes: ReadonlyMap<string, Lane>
  readonly #abort = new AbortController()
  #unsubscribe: () => void = () => {}
  #tests = 0
  /** No further attempt begins. */
  #stopping = false
  /** What an attempt comes to now is written down nowhere: the next life makes it again. */
  #isStopped = false

  constructor(options: NotifierOptions) {
    this.#options = options
    const lanes = options.rules.map(
      (rule): Lane => ({ rule, taken: 0, trouble: undefined, work: undefined, wake: undefined }),
    )
    this.#lanes = new Map(lanes.map((lane) => [lane.rule.name, lane]))
  }

  /** Goes on where the last life of this node ended; the first one begins with what happens from now on. */
  start(): void {
    const { events, journal, clock } = this.#options
    for (const name of journal.rules)
      if (!this.#lanes.has(name))
        for (const delivery of [...journal.waiting(name)])
          journal.bury(delivery, { at: clock.wall(), reason: 'no rule has this name any more', attempts: 0 })
    const last = events.events.at(-1)
    if (journal.seen !== undefined) for (const event of events.after(journal.seen)) this.#take(event)
    else if (last) journal.begin(last.id)
    this.#unsubscribe = events.subscribe((event) => this.#take(event))
    for (const lane of this.#lanes.values()) this.#go(lane)
  }

  async stop(): Promise<void> {
    const { clock, journal } = this.#options
    this.#unsubscribe()
    this.#stopping = true
    const lanes = [...this.#lanes.values()]
    for (const { wake } of lanes) wake?.()
    const done = Promise.all(lanes.map(({ work }) => work))
    if ((await within(clock, done, STOP_PATIENCE_MS)) === 'late') {
      this.#abort.abort()
      await within(clock, done, END_PATIENCE_MS)
    }
    this.#isStopped = true
    await journal.sync()
    journal.close()
  }

  /** `failure`: deliveries are not kept any more, and why. */
  list(): { readonly rules: readonly RuleReport[]; readonly failure: string | undefined } {
    const { journal } = this.#options
    const rules = [...this.#lanes.values()].map(({ rule, taken, trouble }) => ({
      ...{ name: rule.name, events: rule.events, objects: rule.objects, severity: rule.severity },
      ...{ target: describeNotifyTarget(rule.target), taken, waiting: journal.waiting(rule.name).length },
      dead: journal.dead.filter(({ rule: name }) => name === rule.name).length,
      ...(trouble !== undefined && { trouble }),
    }))
    return { rules, failure: journal.failure }
  }

  get dead(): readonly DeadDelivery[] {
    return this.#options.journal.dead
  }

  /** Sends a notice of kind `test` now, once, past those that wait. Rejects with MatrixError 'not-found'. */
  async test(name: string): Promise<Sent> {
    const { node, clock } = this.#options
    const { rule } = this.#lane(name)
    const id = `${node}-test-${Math.floor(clock.wall())}-${++this.#tests}`
    const text = `Rule ${name} is tried; nothing has happened`
    const about = { object: { type: 'node' as const, name: node }, severity: 'info' as const, text, detail: {} }
    return this.#options.courier.deliver(rule, { id, at: clock.wall(), node, kind: 'test', ...about })
  }

  /** Dead deliveries are tried again: of one rule, of one event, or all. Gives how many. Rejects with 'not-found' for an unknown rule. */
  retry({ rule, event }: { readonly rule?: string | undefined; readonly event?: string | undefined }): number {
    if (rule !== undefined) this.#lane(rule)
    const { journal } = this.#options
    const chosen = journal.dead.filter(
      (dead) =>
        this.#lanes.has(dead.rule) &&
        (rule === undefined || dead.rule === rule) &&
        (event === undefined || dead.event.id === event),
    )
    for (const dead of chosen) journal.retry(dead)
    for (const lane of this.#lanes.values()) this.#go(lane)
    return chosen.length
  }

  #lane(name: string): Lane {
    const lane = this.#lanes.get(name)
    if (lane) return lane
    const known = [...this.#lanes.keys()].join(', ') || 'none'
    throw new MatrixError('not-found', `no [[notify]] has the name ${name}; this node has ${known}`)
  }

  #take(event: MatrixEvent): void {
    const { journal, clock } = this.#options
    const lanes = [...this.#lanes.values()].filter(({ rule }) => matches(rule, event))
    const names = lanes.map(({ rule }) => rule.name)
    journal.queue(event, names, clock.wall())
    for (const lane of lanes) this.#go(lane)
  }

  #go(lane: Lane): void {
    if (lane.work || this.#stopping) return
    lane.work = this.#work(lane).finally(() => {
      lane.work = undefined
      if (this.#options.journal.waiting(lane.rule.name).length > 0) this.#go(lane)
    })
  }

  async #work(lane: Lane): Promise<void> {
    const { journal } = this.#options
    for (let next = this.#next(lane); next; next = this.#next(lane)) {
      await journal.sync()
      await this.#bring(lane, next)
    }
  }

  #next({ rule }: Lane): Delivery | undefined {
    return this.#stopping ? undefined : this.#options.journal.waiting(rule.name)[0]
  }

  /** Until it is taken or dead, or the node stops. */
  async #bring(lane: Lane, delivery: Delivery): Promise<void> {
    const { journal, courier, clock, log } = this.#options
    const { rule } = lane
    for (let attempts = 1; !this.#stopping; attempts++) {
      const sent = await courier.deliver(rule, delivery.event, this.#abort.signal)
      if (this.#isStopped) return
      if (sent.how === 'taken') {
        lane.taken++
        lane.trouble = undefined
        journal.done(delivery)
        return journal.sync()
      }
      lane.trouble = sent.why
      // too many wait: it was the oldest
      if (!journal.waiting(rule.name).includes(delivery)) return
      if (this.#abort.signal.aborted) return
      const fields = { rule: rule.name, event: delivery.event.id, attempts, why: sent.why }
      if (sent.how === 'refused' || attempts > rule.retries) {
        journal.bury(delivery, { at: clock.wall(), reason: sent.why, attempts })
        log.error(fields, 'an event could not be delivered (matrix notify dead)')
        return journal.sync()
      }
      log.warn(fields, 'an event could not be delivered yet')
      await this.#pause(lane, waitBefore(rule, attempts))
    }
  }

  #pause(lane: Lane, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(ms, () => resolve())
      lane.wake = () => {
        timer.cancel()
        resolve()
      }
    })
  }
}
