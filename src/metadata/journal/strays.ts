/**
 * Frames that lie where they do not belong: the device took a write for one place and put it in another (a misdirected write).
 *
 * Inside a journal the frames that follow show that one is missing. Of the last frame of a dead node nothing shows it: its place looks
 * as if it had never been written, and a change that was acknowledged would be gone without a word. So whoever ends a journal
 * looks through the rings of all slots first. What is found is the only copy there is, and whole: it is brought home, and the journal
 * goes on with it. Only a frame whose incarnation counts at its LSN is: it was handed over once, it is the only one of that
 * incarnation at that LSN, and its writer is fenced.
 *
 * A crash while a frame is brought home leaves it torn there, and the stray where it was: whoever comes next begins again.
 * Bringing it home twice is harmless. What the stray has destroyed where it lies is damage like any other, met by whoever needs it.
 *
 * Cost: every ring is read once per recovery that has a journal to end, however many; nothing before that.
 */
import { brokenRules } from '../../base/broken-rules.ts'
import type { Lsn, Slot } from '../../base/ids.ts'
import { JOURNAL_ALIGN } from '../../base/limits.ts'
import { MiB } from '../../base/units.ts'
import type { Log } from '../../platform/log.ts'
import type { Lun } from '../../san/index.ts'
import { type FsLayout, maxFrameBytes } from '../fs-layout.ts'
import { decodeFrame, FRAME_HEADER_BYTES, FRAME_MAGIC, FRAME_PAD, type Frame } from './format.ts'
import type { Ownership } from './ownership.ts'
import { journalDamaged } from './reader.ts'

/** What is read of a ring at once, bytes. */
const SCAN_BYTES = 4 * MiB

/** A frame, and the byte of the LUN that it lies at. */
type Stray = { readonly frame: Frame; readonly lies: number }

export type StraysOptions = {
  readonly lun: Lun
  readonly layout: FsLayout
  readonly ownership: Ownership
  /** The reader's own slot: its ring is looked through, too. */
  readonly own: Slot
  readonly log: Log
  /** What to do with a frame that is missing where it belongs: write it there, or only say so ('journal-damaged'). */
  readonly found: 'bring home' | 'report'
}

export class Strays {
  readonly #options: StraysOptions
  readonly #home = new Set<Stray>()
  #found: Promise<readonly Stray[]> | undefined

  constructor(options: StraysOptions) {
    this.#options = options
  }

  /** Looks for the frame that belongs at `lsn`, and writes it there; true when there was one. Throws MatrixError 'journal-damaged' when that is not to be done, or has not helped. */
  async bringHome(slot: Slot, lsn: Lsn): Promise<boolean> {
    const stray = (await this.#of(slot)).find(({ frame }) => frame.lsn === lsn)
    if (!stray) return false
    const { lun, layout, log, found } = this.#options
    const where = `its frame lies at byte ${stray.lies} of ${lun.identity}, where it does not belong`
    if (found === 'report') throw journalDamaged(slot, lsn, `${where}; recovery brings it home`)
    if (this.#home.has(stray)) throw journalDamaged(slot, lsn, `${where}; it was brought home, and is not there`)
    const bytes = Buffer.allocUnsafe(stray.frame.type === FRAME_PAD ? JOURNAL_ALIGN : stray.frame.length)
    await lun.read(stray.lies, bytes)
    const home = layout.journalStart(slot) + (lsn % layout.record.journalBytes)
    await lun.write(home, [bytes], { purpose: 'journal', durable: true })
    this.#home.add(stray)
    log.warn(
      { slot, lsn, lies: stray.lies, lun: lun.identity },
      'a frame that the device had misplaced is brought home',
    )
    return true
  }

  /** The LSN of a frame of the slot that lies elsewhere, beyond `lsn`: then that is not the end. */
  async beyond(slot: Slot, lsn: Lsn): Promise<Lsn | undefined> {
    return (await this.#of(slot)).find(({ frame }) => frame.lsn > lsn)?.frame.lsn
  }

  async #of(slot: Slot): Promise<Stray[]> {
    if (brokenRules.straysAreLookedFor) return []
    this.#found ??= this.#look()
    const { ownership } = this.#options
    return (await this.#found).filter(
      ({ frame }) => frame.slot === slot && ownership.counts(slot, frame.lsn, frame.incarnation),
    )
  }

  async #look(): Promise<readonly Stray[]> {
    const { lun, layout, ownership, own } = this.#options
    const { journalBytes, slots } = layout.record
    const out: Stray[] = []
    const chunk = Buffer.allocUnsafe(Math.min(SCAN_BYTES, journalBytes))
    for (const slot of new Set([own, ...ownership.slots()])) {
      if (slot >= slots) continue
      const start = layout.journalStart(slot)
      for (let from = 0; from < journalBytes; from += chunk.length) {
        const bytes = chunk.subarray(0, Math.min(chunk.length, journalBytes - from))
        await lun.read(start + from, bytes)
        for (let at = 0; at + FRAME_HEADER_BYTES <= bytes.length; at += JOURNAL_ALIGN) {
          if (bytes.readUInt32LE(at) !== FRAME_MAGIC) continue
          const frame = await this.#whole(bytes.subarray(at), start + from + at)
          if (!frame || frame.fsid !== layout.record.fsid) continue
          if (frame.slot === slot && frame.lsn % journalBytes === from + at) continue
          out.push({ frame, lies: start + from + at })
        }
      }
    }
    return out
  }

  /** A frame's header once its checksum has held; of a frame that reaches beyond `bytes` the LUN has the rest. */
  async #whole(bytes: Buffer, lies: number): Promise<Frame | undefined> {
    const { lun, layout } = this.#options
    const found = decodeFrame(bytes)
    if (!found || !('short' in found)) return found
    if (found.short > maxFrameBytes(layout.record) || lies + found.short > lun.size) return undefined
    const longer = Buffer.allocUnsafe(Math.ceil(found.short / JOURNAL_ALIGN) * JOURNAL_ALIGN)
    await lun.read(lies, longer)
    const whole = decodeFrame(longer)
    return whole && 'short' in whole ? undefined : whole
  }
}
