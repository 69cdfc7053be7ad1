/**
 * What the notifier has to deliver, and what it could not: in memory, and in a file of the node's state_dir that is written ahead of every delivery.
 *
 * Layout: a line of JSON per change (`journalLine`), appended. Opening the file writes it anew with what counts, and so does growing to twice that.
 *
 * Invariants
 *   1. A delivery is attempted only once its `queue` line is durable (`sync`).
 *   2. A delivery is in exactly one state: it waits, it is dead, or it is forgotten (done, or dropped from a full list).
 *   3. Bounded: at most WAITING_MAX wait for a rule, and at most DEAD_MAX are dead; what is too much goes oldest first, and is told in the log.
 *
 * Crash: a last line that was cut is left out. A delivery whose `done` line is lost waits again, and is made again with the same id. After the file
 * cannot be written any more, everything goes on in memory, and `failure` says so.
 */
import { closeSync, fdatasync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import * as v from 'valibot'
import type { Log } from '../../platform/index.ts'
import { type MatrixEvent, matrixEvent } from '../events.ts'

/** Of one rule. */
export const WAITING_MAX = 1000
/** Of all rules. */
export const DEAD_MAX = 1000
/** The file is written anew once it has more than this, and more than twice what counts. */
const COMPACT_BYTES = 1024 * 1024

const which = { id: v.string(), rule: v.string() }
const death = { at: v.number(), reason: v.string(), attempts: v.number() }
const journalLine = v.variant('op', [
  /** An event has been looked at; `rules` it goes to. */
  v.strictObject({ op: v.literal('queue'), event: matrixEvent, rules: v.array(v.string()) }),
  /** Up to this event all have been looked at. */
  v.strictObject({ op: v.literal('seen'), id: v.string() }),
  v.strictObject({ op: v.literal('done'), ...which }),
  v.strictObject({ op: v.literal('dead'), ...which, ...death }),
  /** One that is dead, when the file is written anew. */
  v.strictObject({ op: v.literal('buried'), event: matrixEvent, rule: v.string(), ...death }),
  v.strictObject({ op: v.picklist(['retry', 'drop']), ...which }),
])
type JournalLine = v.InferOutput<typeof journalLine>

export type Delivery = { readonly event: MatrixEvent; readonly rule: string }
export type DeadDelivery = Delivery & {
  /** Wall clock, ms. */
  readonly at: number
  readonly reason: string
  readonly attempts: number
}

export class DeliveryJournal {
  /** The file cannot be written any more, and why. */
  failure: string | undefined
  readonly #path: string
  readonly #log: Log
  readonly #waiting = new Map<string, Delivery[]>()
  #dead: DeadDelivery[] = []
  #seen: string | undefined
  #fd: number | undefined
  #size = 0
  #compactAt = COMPACT_BYTES

  /** Throws what the file system does when the file cannot be made. */
  constructor(path: string, log: Log) {
    this.#path = path
    this.#log = log
    this.#read()
    this.#rewrite()
  }

  /** The last event that was looked at, here or in a former life; undefined when there has never been one. */
  get seen(): string | undefined {
    return this.#seen
  }

  get dead(): readonly DeadDelivery[] {
    return this.#dead
  }

  /** Rules that something waits for. */
  get rules(): readonly string[] {
    return [...this.#waiting.keys()]
  }

  /** Oldest first. */
  waiting(rule: string): readonly Delivery[] {
    return this.#waiting.get(rule) ?? []
  }

  /** Within the call; durable after `sync`. */
  queue(event: MatrixEvent, rules: readonly string[], now: number): void {
    this.#note(rules.length === 0 ? { op: 'seen', id: event.id } : { op: 'queue', event, rules: [...rules] })
    for (const rule of rules) {
      const [oldest] = this.waiting(rule)
      if (oldest && this.waiting(rule).length > WAITING_MAX)
        this.bury(oldest, { at: now, reason: `more than ${WAITING_MAX} events wait for this rule`, attempts: 0 })
    }
  }

  /** Nothing is looked at that was published before this event. */
  begin(id: string): void {
    this.#note({ op: 'seen', id })
  }

  done({ event, rule }: Delivery): void {
    this.#note({ op: 'done', id: event.id, rule })
  }

  bury({ event, rule }: Delivery, how: Omit<DeadDelivery, 'event' | 'rule'>): void {
    this.#note({ op: 'dead', id: event.id, rule, ...how })
    const [oldest] = this.#dead
    if (!oldest || this.#dead.length <= DEAD_MAX) return
    this.#note({ op: 'drop', id: oldest.event.id, rule: oldest.rule })
    this.#log.warn(
      { event: oldest.event.id, rule: oldest.rule },
      'the list of dead deliveries is full: its oldest is forgotten',
    )
  }

  /** It waits again, behind the others. */
  retry({ event, rule }: Delivery): void {
    this.#note({ op: 'retry', id: event.id, rule })
  }

  /** Resolves once everything noted before is on stable storage, or cannot be (`failure`). */
  sync(): Promise<void> {
    const fd = this.#fd
    if (fd === undefined) return Promise.resolve()
    return new Promise((resolve) =>
      fdatasync(fd, (error) => {
        // a file that was written anew meanwhile is durable already
        if (error && fd === this.#fd) this.#fail(error)
        resolve()
      }),
    )
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }

  #read(): void {
    let text: string
    try {
      text = readFileSync(this.#path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
      throw error
    }
    for (const line of text.split('\n')) {
      if (line === '') continue
      const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), journalLine), line)
      if (parsed.success) this.#apply(parsed.output)
      else
        this.#log.warn({ path: this.#path, line: line.slice(0, 80) }, 'a line of the deliveries is cut, and left out')
    }
  }

  /** The one way in which anything changes. */
  #apply(line: JournalLine): void {
    switch (line.op) {
      case 'seen':
        this.#seen = line.id
        return
      case 'queue':
        this.#seen = line.event.id
        for (const rule of line.rules) this.#add({ event: line.event, rule })
        return
      case 'done':
        this.#take(line)
        return
      case 'dead': {
        const { op: _, id, rule, ...how } = line
        const delivery = this.#take({ id, rule })
        if (delivery) this.#dead.push({ ...delivery, ...how })
        return
      }
      case 'buried': {
        const { op: _, ...dead } = line
        this.#dead.push(dead)
        return
      }
      case 'retry':
      case 'drop': {
        const found = this.#dead.find(({ event, rule }) => event.id === line.id && rule === line.rule)
        if (!found) return
        this.#dead = this.#dead.filter((each) => each !== found)
        const { event, rule } = found
        if (line.op === 'retry') this.#add({ event, rule })
        return
      }
    }
  }

  #take({ id, rule }: { readonly id: string; readonly rule: string }): Delivery | undefined {
    const all = this.#waiting.get(rule) ?? []
    const at = all.findIndex(({ event }) => event.id === id)
    const [taken] = at < 0 ? [] : all.splice(at, 1)
    if (all.length === 0) this.#waiting.delete(rule)
    return taken
  }

  #add(delivery: Delivery): void {
    const all = this.#waiting.get(delivery.rule)
    if (all) all.push(delivery)
    else this.#waiting.set(delivery.rule, [delivery])
  }

  #note(line: JournalLine): void {
    this.#apply(line)
    if (this.#fd === undefined) return
    try {
      this.#size += append(this.#fd, [line])
      if (this.#size > this.#compactAt) this.#rewrite()
    } catch (error) {
      this.#fail(error)
    }
  }

  /** The new file is durable before it takes the place of the old one. */
  #rewrite(): void {
    const beside = `${this.#path}.new`
    const fd = openSync(beside, 'w', 0o600)
    const events = new Map<string, { readonly event: MatrixEvent; readonly rules: string[] }>()
    for (const { event, rule } of [...this.#waiting.values()].flat()) {
      const known = events.get(event.id)
      if (known) known.rules.push(rule)
      else events.set(event.id, { event, rules: [rule] })
    }
    const lines: JournalLine[] = [
      ...this.#dead.map((dead) => ({ op: 'buried' as const, ...dead })),
      ...[...events.values()].map((each) => ({ op: 'queue' as const, ...each })),
      ...(this.#seen === undefined ? [] : [{ op: 'seen' as const, id: this.#seen }]),
    ]
    this.#size = append(fd, lines)
    this.#compactAt = Math.max(COMPACT_BYTES, 2 * this.#size)
    fsyncSync(fd)
    renameSync(beside, this.#path)
    const folder = openSync(dirname(this.#path), 'r')
    fsyncSync(folder)
    closeSync(folder)
    this.close()
    this.#fd = fd
  }

  #fail(error: unknown): void {
    this.failure = String(error)
    this.close()
    this.#log.error(
      { path: this.#path, error: this.failure },
      'deliveries of events are not kept any more: those that wait are lost with the process',
    )
  }
}

/** Gives the bytes written. */
function append(fd: number, lines: readonly JournalLine[]): number {
  const bytes = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
  return bytes.length
}
