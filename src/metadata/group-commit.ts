/**
 * The own side of the journal: transactions collect in a frame while the one before is under way to the LUN, and share its
 * flush (group commit).
 *
 *     commit ─► collecting frame (an open SQLite transaction) ─ hand-over ─► under way ─ durable ─► callbacks
 *
 * A hand-over happens: at the end of the turn in which somebody asked for durability while nothing is under way; when the
 * frame before is durable and somebody waits; when the frame is full; or after LINGER_MS when nobody asked.
 *
 * Invariants
 * 1. The frame's dependencies are what the image has applied at hand-over; the image's vector gets the frame's end in the same turn.
 *    Only then may the image commit, so that what is committed equals a vector.
 * 2. A transaction is in the image and in the frame. One that the image refuses is a bug: the volume withdraws, and both are gone.
 * 3. Room in the ring is made sure of when a transaction is taken, never at hand-over. The last part is kept for
 *    transactions that only remove, so that a full filesystem can be emptied.
 */

import { InvariantError } from '../base/assert.ts'
import { brokenRules } from '../base/broken-rules.ts'
import { FsError } from '../base/errors.ts'
import type { Lsn, Slot } from '../base/ids.ts'
import type { MutableVector } from '../base/vector.ts'
import type { Clock, Timer } from '../platform/clock.ts'
import { apply } from './image/apply.ts'
import type { Image } from './image/image.ts'
import type { Mutation } from './image/mutation.ts'
import { MutationEncoder } from './image/mutation-codec.ts'
import type { JournalWriter } from './journal/writer.ts'

export type Done = (error?: Error) => void

/** Nobody waits for it, but a change should not stay in memory for long, ms. */
const LINGER_MS = 200
/** A frame with so many bytes goes as soon as nothing is under way. */
const EAGER_BYTES = 256 * 1024
/** What is more than most transactions take. */
const TYPICAL_BYTES = 2048
/** Part of the ring that only removing transactions may use. */
const RESERVED_SHARE = 1 / 16

export type GroupCommitOptions = {
  readonly slot: Slot
  readonly image: Image
  readonly writer: JournalWriter
  readonly ringBytes: number
  readonly clock: Clock
  /** After each hand-over: how full is the journal now? */
  readonly handedOver: () => void
}

export class GroupCommit {
  readonly #options: GroupCommitOptions
  readonly #reserve: number
  readonly #encoder = new MutationEncoder()
  #count = 0
  /** They wait for the collecting frame. */
  #collecting: Done[] = []
  /** They wait for frames under way, ascending by LSN. */
  #waiting: { readonly lsn: Lsn; readonly done: Done }[] = []
  #scheduled = false
  #linger: Timer | undefined
  #stopped = false
  /** Set while an image is rebuilt beside: what has been committed since. */
  recording: (readonly Mutation[])[] | undefined
  transactions = 0

  constructor(options: GroupCommitOptions) {
    this.#options = options
    this.#reserve = Math.floor(options.ringBytes * RESERVED_SHARE)
  }

  /** True while own changes are in the open transaction. */
  get isCollecting(): boolean {
    return this.#count > 0
  }

  /** An ordinary transaction, of a few changes, would be taken now. */
  get hasRoom(): boolean {
    return this.#options.writer.fits(this.#encoder.length + TYPICAL_BYTES, this.#reserve)
  }

  /** Throws FsError 'ENOSPC' with nothing changed; any other error means that the image cannot be trusted any more. */
  commit(mutations: readonly Mutation[]): void {
    if (mutations.length === 0) return
    const { image, writer } = this.#options
    let mark = this.#encode(mutations)
    if (!writer.fitsFrame(this.#encoder.length) && this.#count > 0) {
      this.#encoder.truncate(mark)
      this.handOver()
      mark = this.#encode(mutations)
    }
    if (!writer.fitsFrame(this.#encoder.length)) {
      this.#encoder.truncate(mark)
      throw new InvariantError(`a transaction of ${mutations.length} mutations exceeds a journal frame`)
    }
    if (!writer.fits(this.#encoder.length, onlyRemoves(mutations) ? 0 : this.#reserve)) {
      this.#encoder.truncate(mark)
      this.#options.handedOver()
      throw new FsError('ENOSPC', 'the journal is full')
    }
    image.begin()
    for (const mutation of mutations) apply(image, mutation)
    this.#count += mutations.length
    this.transactions++
    this.recording?.push(mutations)
    if (this.#encoder.length >= EAGER_BYTES && !writer.busy) this.handOver()
    else this.#linger ??= this.#options.clock.after(LINGER_MS, () => this.#whenIdle())
  }

  afterDurable(done: Done): void {
    const { writer } = this.#options
    if (brokenRules.answeredIsDurable) done()
    else if (this.#count > 0) {
      this.#collecting.push(done)
      this.#wantHandOver()
    } else if (writer.durable < writer.next) this.#waiting.push({ lsn: writer.next, done })
    else done()
  }

  /** Gives the collecting frame to the writer now; nothing when it is empty. */
  handOver(): void {
    if (this.#count === 0 || this.#stopped) return
    const { image, writer, slot } = this.#options
    this.#linger?.cancel()
    this.#linger = undefined
    const deps: MutableVector = new Map(image.vector)
    deps.delete(slot)
    const end = writer.submit(deps, this.#encoder.bytes, this.#count)
    for (const done of this.#collecting) this.#waiting.push({ lsn: end, done })
    this.#collecting = []
    this.#encoder.truncate(0)
    this.#count = 0
    image.advance(slot, end)
    this.#options.handedOver()
  }

  /** The writer says that everything up to `lsn` is durable. The next frame goes first, then who waited is told. */
  durable(lsn: Lsn): void {
    if (this.#collecting.length > 0 || this.#encoder.length >= EAGER_BYTES) this.handOver()
    const ready = this.#waiting.findIndex((waiter) => waiter.lsn > lsn)
    const told = this.#waiting.splice(0, ready < 0 ? this.#waiting.length : ready)
    if (told.length > 0)
      queueMicrotask(() => {
        for (const { done } of told) done()
      })
  }

  /** Everybody who waits gets `error`; nothing is handed over any more. */
  stop(error: Error): void {
    this.#stopped = true
    this.#linger?.cancel()
    const told = [...this.#waiting.map(({ done }) => done), ...this.#collecting]
    this.#waiting = []
    this.#collecting = []
    for (const done of told) done(error)
  }

  /** Appends to the frame; gives the length before. Asserts shapes: nothing is appended then. */
  #encode(mutations: readonly Mutation[]): number {
    const mark = this.#encoder.length
    try {
      for (const mutation of mutations) this.#encoder.write(mutation)
    } catch (error) {
      this.#encoder.truncate(mark)
      throw error
    }
    return mark
  }

  #wantHandOver(): void {
    if (this.#scheduled || this.#options.writer.busy) return
    this.#scheduled = true
    this.#options.clock.soon(() => {
      this.#scheduled = false
      this.#whenIdle()
    })
  }

  #whenIdle(): void {
    this.#linger = undefined
    if (!this.#options.writer.busy) this.handOver()
    // else the frame goes when the one under way is durable, if somebody waits; lingering starts anew
    else if (this.#count > 0 && !this.#stopped)
      this.#linger = this.#options.clock.after(LINGER_MS, () => this.#whenIdle())
  }
}

/** May the transaction use the reserved room? It takes a name, an inode or blocks away, and adds none. */
function onlyRemoves(mutations: readonly Mutation[]): boolean {
  return (
    mutations.some(({ op }) => removing.has(op)) &&
    !mutations.some(({ op }) => op === 'putDirent' || op === 'removeFree')
  )
}

const removing: ReadonlySet<Mutation['op']> = new Set([
  'removeDirent',
  'removeInode',
  'removeExtent',
  'putFreed',
  'removeFreed',
  'removeRangeLock',
  'removeRangeWait',
  'removeNfsClient',
])
