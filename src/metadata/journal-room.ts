/**
 * Room in the own journal. Its ring is trimmed by the older of the two newest checkpoints, so that a damaged newest one can be passed over; when much of the
 * ring is in use another checkpoint is asked for, again and again until one is published, and whoever would fill the rest waits for it.
 */
import { brokenRules } from '../base/broken-rules.ts'
import type { Lsn, Slot } from '../base/ids.ts'
import type { MaybePromise } from '../base/maybe-promise.ts'
import type { Vector } from '../base/vector.ts'
import type { Clock } from '../platform/clock.ts'
import type { Published } from './checkpoint/store.ts'
import type { JournalWriter } from './journal/writer.ts'

/** A checkpoint is due when this part of the ring has been written since the newest one, or this part is in use at all. */
const DUE_SINCE_NEWEST = 1 / 4
const DUE_IN_USE = 1 / 2
/** A checkpoint that was asked for and has not come is asked for again after this, ms. */
const ASK_AGAIN_MS = 5_000
/** `wait` waits while more than this part of the ring is in use, at most PATIENCE_MS. */
const CROWDED_IN_USE = 3 / 4
const PATIENCE_MS = 10_000

export type JournalRoomOptions = {
  readonly slot: Slot
  readonly ringBytes: number
  readonly clock: Clock
  /** A checkpoint is due. */
  readonly request: () => void
}

export class JournalRoom {
  readonly #options: JournalRoomOptions
  #writer: JournalWriter | undefined
  /** The two newest known, newest first. */
  #published: readonly Published[] = []
  #askedAt = Number.NEGATIVE_INFINITY
  #waiters: (() => void)[] = []
  #isStopped = false

  constructor(options: JournalRoomOptions) {
    this.#options = options
  }

  /** The newest published checkpoint that is known. */
  get newest(): Published | undefined {
    return this.#published[0]
  }

  /** What lies before it is in the two newest checkpoints (or in the only one there is). */
  get trimLsn(): Lsn {
    const { slot } = this.#options
    return (this.#published[brokenRules.trimBySecond ? 0 : 1] ?? this.#published[0])?.vector.get(slot) ?? 0
  }

  /** True when a checkpoint would give the journal room. */
  get isDue(): boolean {
    if (!this.#writer) return false
    const { slot, ringBytes } = this.#options
    const since = this.#writer.next - (this.newest?.vector.get(slot) ?? 0)
    return since > ringBytes * DUE_SINCE_NEWEST || this.#writer.used > ringBytes * DUE_IN_USE
  }

  /** The journal is written from now on. */
  start(writer: JournalWriter): void {
    this.#writer = writer
  }

  /** Nobody waits any more, and nothing is asked for. */
  stop(): void {
    this.#isStopped = true
    this.#wakeAll()
  }

  /** The image was loaded from the first of these, newest first. */
  loaded(published: readonly Published[]): void {
    this.#published = published.slice(0, 2)
  }

  /** Somebody published a checkpoint: the journal may be trimmed further. */
  note(sequence: number, vector: Vector): void {
    if (this.#published.some((known) => known.sequence === sequence)) return
    this.#published = [...this.#published, { sequence, vector }].sort((a, b) => b.sequence - a.sequence).slice(0, 2)
    this.#writer?.trim(this.trimLsn)
    this.forgetAsking()
    // the journal is trimmed by the older of two checkpoints: it may take another one
    if (!this.#isCrowded) this.#wakeAll()
    this.askWhenDue()
  }

  /** Waits, if need be, until there is room for ordinary transactions again; not for ever. */
  wait(): MaybePromise<void> {
    if (!this.#isCrowded) return
    this.forgetAsking()
    this.askWhenDue()
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(PATIENCE_MS, resolve)
      this.#waiters.push(() => {
        timer.cancel()
        resolve()
      })
    })
  }

  askWhenDue(): void {
    const { clock, request } = this.#options
    if (this.#isStopped || !this.isDue || clock.now() < this.#askedAt + ASK_AGAIN_MS) return
    this.#askedAt = clock.now()
    request()
  }

  /** What was asked for has come, or will not: the next one may be asked for at once. */
  forgetAsking(): void {
    this.#askedAt = Number.NEGATIVE_INFINITY
  }

  get #isCrowded(): boolean {
    return this.#writer !== undefined && this.#writer.used > this.#options.ringBytes * CROWDED_IN_USE
  }

  #wakeAll(): void {
    for (const wake of this.#waiters.splice(0)) wake()
  }
}
