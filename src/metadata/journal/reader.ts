/**
 * Reads one slot's journal from the LUN, frame by frame. Sequential: a window of the ring is read at once, large when far
 * behind, small at the end. A window is only trusted for frames that hold their checksum: whatever does not is read again.
 *
 * What can stand at the expected LSN:
 *   'frame'   the one that counts there (format.ts, invariant 4)
 *   'lapped'  a whole frame of this slot, in its place, with a higher LSN: the writer has gone round, ours is overwritten
 *   'none'    anything else: not written yet, torn, half overwritten, or a ghost. Only a checkpoint (lapped after all?) or
 *             a promise (an LSN known durable: damage) can tell more; `catch-up.ts` asks them.
 */
import { brokenRules } from '../../base/broken-rules.ts'
import { MatrixError } from '../../base/errors.ts'
import type { Lsn, Slot } from '../../base/ids.ts'
import { JOURNAL_ALIGN } from '../../base/limits.ts'
import { KiB } from '../../base/units.ts'
import type { Lun } from '../../san/index.ts'
import type { FsLayout } from '../fs-layout.ts'
import { maxFrameBytes } from '../fs-layout.ts'
import { decodeFrame, FRAME_HEADER_BYTES, FRAME_MAGIC, type Frame } from './format.ts'
import type { Ownership } from './ownership.ts'

/** What is read at once near the end of a journal, and when behind, bytes. */
const SMALL_READ = 16 * KiB
const LARGE_READ = 512 * KiB

export type ReadResult =
  | { readonly kind: 'frame'; readonly frame: Frame }
  | { readonly kind: 'lapped' }
  | { readonly kind: 'none' }

export class JournalReader {
  readonly #slot: Slot
  readonly #lun: Lun
  readonly #start: number
  readonly #ringBytes: number
  readonly #maxFrameBytes: number
  readonly #fsid: number
  readonly #ownership: Ownership
  #window: Buffer = Buffer.alloc(0)
  #windowLsn: Lsn = 0
  /** Frames in a row that came out of the window: the journal is long, so read much. */
  #readSize = SMALL_READ
  reads = 0
  bytesRead = 0

  constructor(slot: Slot, lun: Lun, layout: FsLayout, ownership: Ownership) {
    this.#slot = slot
    this.#lun = lun
    this.#start = layout.journalStart(slot)
    this.#ringBytes = layout.record.journalBytes
    this.#maxFrameBytes = maxFrameBytes(layout.record)
    this.#fsid = layout.record.fsid
    this.#ownership = ownership
  }

  /** What stands at `lsn`, from the window when it holds a whole frame there; `expected`: the LSN that is known to be there. */
  async read(lsn: Lsn, expected: Lsn = lsn): Promise<ReadResult> {
    const known = this.peek(lsn)
    if (known) return { kind: 'frame', frame: known }
    const behind = expected - lsn >= LARGE_READ || this.#readSize === LARGE_READ
    await this.#fill(lsn, behind ? LARGE_READ : SMALL_READ)
    let found = decodeFrame(this.#window)
    if (found && 'short' in found) {
      if (found.short > this.#maxFrameBytes) return this.#nothing()
      await this.#fill(lsn, found.short)
      found = decodeFrame(this.#window)
    }
    if (!found || 'short' in found || found.fsid !== this.#fsid || found.slot !== this.#slot) return this.#nothing()
    if (found.lsn === lsn && this.#ownership.counts(this.#slot, lsn, found.incarnation)) {
      this.#readSize = this.#window.length > found.length && this.peek(lsn + found.length) ? LARGE_READ : SMALL_READ
      return { kind: 'frame', frame: found }
    }
    // one of this slot that belongs elsewhere is a stray (strays.ts)
    const isHere = found.lsn > lsn && (found.lsn - lsn) % this.#ringBytes === 0
    const lapped = isHere && this.#ownership.counts(this.#slot, found.lsn, found.incarnation)
    return lapped ? { kind: 'lapped' } : this.#nothing()
  }

  /** The frame at `lsn` when the window holds all of it; no I/O. */
  peek(lsn: Lsn): Frame | undefined {
    const at = lsn - this.#windowLsn
    if (at < 0 || at >= this.#window.length) return undefined
    const found = decodeFrame(this.#window.subarray(at))
    if (!found || 'short' in found || found.fsid !== this.#fsid || found.slot !== this.#slot || found.lsn !== lsn)
      return undefined
    return this.#ownership.counts(this.#slot, lsn, found.incarnation) ? found : undefined
  }

  /**
   * Looks for a whole frame that counts, with a higher LSN, within reach of an unfinished frame at `lsn`: then what stands
   * at `lsn` is damage, not the end. Gives the LSN found.
   */
  async findBeyond(lsn: Lsn): Promise<Lsn | undefined> {
    if (brokenRules.damageIsNoEnd) return undefined
    // an unfinished frame reaches that far, or there was a pad before it
    for (const from of [lsn, lsn - (lsn % this.#ringBytes) + this.#ringBytes]) {
      const length = Math.min(this.#maxFrameBytes + JOURNAL_ALIGN, this.#ringBytes - (from % this.#ringBytes))
      const bytes = Buffer.allocUnsafe(length)
      await this.#lun.read(this.#start + (from % this.#ringBytes), bytes)
      for (let at = 0; at + FRAME_HEADER_BYTES <= length; at += JOURNAL_ALIGN) {
        if (bytes.readUInt32LE(at) !== FRAME_MAGIC) continue
        const found = await this.#whole(bytes, at, from)
        if (!found || found.fsid !== this.#fsid || found.slot !== this.#slot) continue
        if (found.lsn > lsn && this.#ownership.counts(this.#slot, found.lsn, found.incarnation)) return found.lsn
      }
    }
    return undefined
  }

  /** Drops what was read: seals or incarnations have changed. */
  forget(): void {
    this.#window = Buffer.alloc(0)
  }

  async #whole(bytes: Buffer, at: number, from: Lsn): Promise<Frame | undefined> {
    let found = decodeFrame(bytes.subarray(at))
    if (found && 'short' in found) {
      const position = (from + at) % this.#ringBytes
      if (found.short > this.#maxFrameBytes || position + found.short > this.#ringBytes) return undefined
      const longer = Buffer.allocUnsafe(found.short)
      await this.#lun.read(this.#start + position, longer)
      found = decodeFrame(longer)
    }
    return found && 'short' in found ? undefined : found
  }

  #nothing(): ReadResult {
    this.forget()
    this.#readSize = SMALL_READ
    return { kind: 'none' }
  }

  async #fill(lsn: Lsn, bytes: number): Promise<void> {
    const position = lsn % this.#ringBytes
    const rounded = Math.ceil(bytes / JOURNAL_ALIGN) * JOURNAL_ALIGN
    // a new buffer each time: frames of the last window may still be in use
    const window = Buffer.allocUnsafe(Math.min(rounded, this.#ringBytes - position))
    await this.#lun.read(this.#start + position, window)
    this.#window = window
    this.#windowLsn = lsn
    this.reads++
    this.bytesRead += window.length
  }
}

/** A frame that must be there, and is not. */
export function journalDamaged(slot: Slot, lsn: Lsn, why: string): MatrixError {
  return new MatrixError('journal-damaged', `journal of slot ${slot} is damaged at LSN ${lsn}: ${why}`)
}
