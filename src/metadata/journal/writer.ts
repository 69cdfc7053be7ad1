/**
 * Writes the own slot's journal: one stream, one frame under way (format.ts, invariant 2).
 *
 *     submit ──► queue ──► [pad, durable] ──► frame, durable ──► durable = its end ──► onDurable
 *
 * Room: the ring holds bytes `trimmedTo` … `trimmedTo + ringBytes`; nothing is ever written beyond. `fits` says before a
 * transaction is taken whether its frame will have room, so `submit` never lacks it.
 *
 * A write that fails ends the stream for ever: whether it has landed is unknown, so no later frame may follow. The volume
 * withdraws.
 */
import { assert } from '../../base/assert.ts'
import type { Incarnation, Lsn, Slot } from '../../base/ids.ts'
import { JOURNAL_ALIGN } from '../../base/limits.ts'
import type { Vector } from '../../base/vector.ts'
import type { Lun } from '../../san/index.ts'
import { type FsLayout, maxFrameBytes } from '../fs-layout.ts'
import { encodeFrame, encodePad, frameLength, padBefore } from './format.ts'

export type JournalWriterOptions = {
  readonly lun: Lun
  readonly layout: FsLayout
  readonly slot: Slot
  readonly incarnation: Incarnation
  /** Where this incarnation begins: the seal of the one before. */
  readonly at: Lsn
  readonly trimmedTo: Lsn
  /** Every frame up to here is durable now. */
  readonly onDurable: (lsn: Lsn) => void
  readonly onFailure: (error: unknown) => void
}

type Queued = {
  readonly padLsn: Lsn
  readonly pad: Buffer | undefined
  readonly lsn: Lsn
  readonly frame: Buffer
}

export class JournalWriter {
  readonly #options: JournalWriterOptions
  readonly #start: number
  readonly #ringBytes: number
  readonly #maxFrameBytes: number
  readonly #queue: Queued[] = []
  #next: Lsn
  #durable: Lsn
  #trimmedTo: Lsn
  #writing = false
  #stopped = false
  frames = 0
  bytesWritten = 0

  constructor(options: JournalWriterOptions) {
    assert(options.at % JOURNAL_ALIGN === 0, 'a journal begins aligned')
    this.#options = options
    this.#start = options.layout.journalStart(options.slot)
    this.#ringBytes = options.layout.record.journalBytes
    this.#maxFrameBytes = maxFrameBytes(options.layout.record)
    this.#next = options.at
    this.#durable = options.at
    this.#trimmedTo = options.trimmedTo
  }

  /** End of what was submitted. */
  get next(): Lsn {
    return this.#next
  }

  get durable(): Lsn {
    return this.#durable
  }

  get trimmedTo(): Lsn {
    return this.#trimmedTo
  }

  /** A frame is under way. */
  get busy(): boolean {
    return this.#writing
  }

  /** Bytes of the ring in use. */
  get used(): number {
    return this.#next - this.#trimmedTo
  }

  /** May a frame with so many bytes of mutations be one frame at all? */
  fitsFrame(mutationBytes: number): boolean {
    return frameLength(mutationBytes) <= this.#maxFrameBytes
  }

  /** Is there room for it after everything submitted, and `reserve` bytes besides? */
  fits(mutationBytes: number, reserve: number): boolean {
    const length = frameLength(mutationBytes)
    const end = this.#next + padBefore(this.#next, length, this.#ringBytes) + length
    return end + reserve <= this.#trimmedTo + this.#ringBytes
  }

  /** Journal before `lsn` is in two checkpoints: its room may be used again. */
  trim(lsn: Lsn): void {
    if (lsn > this.#trimmedTo) this.#trimmedTo = Math.min(lsn, this.#durable)
  }

  /**
   * Takes a frame; `deps` is what the image had applied, without this one. Gives the LSN at its end; it is durable once
   * `onDurable` says so.
   */
  submit(deps: Vector, mutations: Buffer, count: number): Lsn {
    assert(!this.#stopped, 'the journal has stopped')
    assert(this.fits(mutations.length, 0), 'room was made sure of before')
    const { slot, incarnation, layout } = this.#options
    const identity = { fsid: layout.record.fsid, slot, incarnation }
    const padBytes = padBefore(this.#next, frameLength(mutations.length), this.#ringBytes)
    const lsn = this.#next + padBytes
    const pad = padBytes > 0 ? encodePad({ ...identity, lsn: this.#next }, padBytes) : undefined
    const frame = encodeFrame({ ...identity, lsn }, deps, mutations, count)
    this.#queue.push({ padLsn: this.#next, pad, lsn, frame })
    this.#next = lsn + frame.length
    if (!this.#writing) void this.#run()
    return this.#next
  }

  /** No further frame is begun; what is under way may land. */
  stop(): void {
    this.#stopped = true
    this.#queue.length = 0
  }

  /** Writes what is queued, and what `onDurable` adds, one after another. */
  async #run(): Promise<void> {
    this.#writing = true
    try {
      for (let next = this.#queue[0]; next; next = this.#queue[0]) {
        // durable before the frame is begun: a frame behind a hole would look like damage
        if (next.pad) await this.#put(next.padLsn, next.pad)
        await this.#put(next.lsn, next.frame)
        if (this.#stopped) return
        this.#queue.shift()
        this.frames++
        this.#durable = next.lsn + next.frame.length
        this.#options.onDurable(this.#durable)
      }
    } catch (error) {
      if (this.#stopped) return
      this.stop()
      this.#options.onFailure(error)
    } finally {
      this.#writing = false
    }
  }

  async #put(lsn: Lsn, bytes: Buffer): Promise<void> {
    assert(lsn + bytes.length <= this.#trimmedTo + this.#ringBytes, 'journal that is still needed is never overwritten')
    this.bytesWritten += bytes.length
    const position = this.#start + (lsn % this.#ringBytes)
    await this.#options.lun.write(position, [bytes], { purpose: 'journal', durable: true })
  }
}
