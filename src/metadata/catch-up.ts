/**
 * Applies journals to an image in dependency order: a frame only after everything its writer had applied (journal/format.ts,
 * invariant 3). Works on one image at a time; the volume makes sure that one catch-up runs at a time. Between two frames
 * other work may run; within one nothing does. Every so many frames it surely does: a node that applies a long journal goes on
 * sending heartbeats.
 *
 * A frame that should be there and is not means: the writer has gone round (lapped), or damage. The newest checkpoint
 * decides: journal is only overwritten once two checkpoints hold it, so if the newest one does not reach beyond the
 * expected LSN, it is damage.
 */

import { brokenRules } from '../base/broken-rules.ts'
import type { Lsn, Slot } from '../base/ids.ts'
import type { Vector } from '../base/vector.ts'
import type { Clock } from '../platform/index.ts'
import type { CheckpointStore } from './checkpoint/store.ts'
import { apply } from './image/apply.ts'
import type { Image } from './image/image.ts'
import { FRAME_DATA, type Frame } from './journal/format.ts'
import { type JournalReader, journalDamaged } from './journal/reader.ts'
import type { Strays } from './journal/strays.ts'

/** 'lapped': the image can get no further but by loading the newest checkpoint. */
export type Progress = 'done' | 'lapped'

type Goal = { readonly slot: Slot; readonly lsn: Lsn }

/** Frames applied before the image may commit, and other work has its turn. */
const FRAMES_PER_SETTLE = 64

export type CatchUpOptions = {
  readonly reader: (slot: Slot) => JournalReader
  readonly store: CheckpointStore
  readonly slots: number
  readonly clock: Pick<Clock, 'soon'>
  /** Called now and then, and at the end: a moment when the image may commit, unless an own frame collects. */
  readonly settle: (image: Image) => void
}

export class CatchUp {
  readonly #options: CatchUpOptions
  frames = 0
  mutations = 0

  constructor(options: CatchUpOptions) {
    this.#options = options
  }

  /** Applies all journals up to `target`, all of which is known durable; throws MatrixError 'journal-damaged'. */
  async reach(image: Image, target: Vector): Promise<Progress> {
    try {
      return await this.#reach(
        image,
        [...target].map(([slot, lsn]) => ({ slot, lsn })),
      )
    } finally {
      this.#options.settle(image)
    }
  }

  /**
   * Applies a slot's journal up to the last frame that is known durable because another follows it; at most `limit`
   * frames. Gives how many.
   */
  async follow(image: Image, slot: Slot, limit: number): Promise<number | 'lapped'> {
    const reader = this.#options.reader(slot)
    for (let count = 0; count < limit; count++) {
      const at = image.vector.get(slot) ?? 0
      const found = await reader.read(at)
      if (found.kind === 'lapped') return 'lapped'
      if (found.kind === 'none') return count
      const end = at + found.frame.length
      if ((await reader.read(end)).kind === 'none' && !brokenRules.tailIsDurable) return count
      if ((await this.reach(image, new Map([[slot, end]]))) === 'lapped') return 'lapped'
    }
    return limit
  }

  /**
   * Reads a dead incarnation's journal to its end and gives that; applies nothing. What is missing there and has strayed is looked
   * for in `strays`. Throws MatrixError 'journal-damaged'.
   */
  async findEnd(image: Image, slot: Slot, strays: Strays): Promise<Lsn | 'lapped'> {
    const reader = this.#options.reader(slot)
    for (let at = image.vector.get(slot) ?? 0; ; ) {
      const found = await reader.read(at, at + 1e6)
      if (found.kind === 'frame') {
        at += found.frame.length
        continue
      }
      if (found.kind === 'lapped' || (await this.#isLapped(slot, at))) return 'lapped'
      if (await strays.bringHome(slot, at)) {
        reader.forget()
        continue
      }
      const beyond = (await reader.findBeyond(at)) ?? (await strays.beyond(slot, at))
      if (beyond !== undefined)
        throw journalDamaged(slot, at, `no valid frame is there, but a later one that counts is at LSN ${beyond}`)
      return at
    }
  }

  async #reach(image: Image, goals: Goal[]): Promise<Progress> {
    // frames that wait for others further up the stack: meeting one again means a circle
    const blocked = new Map<Slot, Lsn>()
    for (let goal = goals.at(-1); goal; goal = goals.at(-1)) {
      const { slot, lsn } = goal
      const at = image.vector.get(slot) ?? 0
      if (at >= lsn) {
        goals.pop()
        continue
      }
      if (slot >= this.#options.slots) throw journalDamaged(slot, lsn, 'no such slot')
      const found = await this.#options.reader(slot).read(at, lsn)
      if ((image.vector.get(slot) ?? 0) !== at) continue
      if (found.kind !== 'frame') {
        if (found.kind === 'lapped' || (await this.#isLapped(slot, at))) {
          if (!brokenRules.lappedReader) return 'lapped'
          await this.#skip(image, slot)
          continue
        }
        throw journalDamaged(slot, at, `it reaches LSN ${lsn}, but no valid frame that counts is there`)
      }
      const waitsFor = missing(image.vector, found.frame)
      if (waitsFor.length > 0) {
        if (blocked.get(slot) === at) throw journalDamaged(slot, at, 'its dependencies go round in a circle')
        blocked.set(slot, at)
        goals.push(...waitsFor)
        continue
      }
      this.#apply(image, slot, found.frame)
      if (++this.frames % FRAMES_PER_SETTLE === 0) {
        this.#options.settle(image)
        await new Promise<void>((resolve) => this.#options.clock.soon(resolve))
      }
    }
    return 'done'
  }

  #apply(image: Image, slot: Slot, frame: Frame): void {
    image.begin()
    if (frame.type === FRAME_DATA)
      for (const mutation of frame.mutations()) {
        apply(image, mutation)
        this.mutations++
      }
    image.advance(slot, frame.lsn + frame.length)
  }

  async #isLapped(slot: Slot, at: Lsn): Promise<boolean> {
    const newest = (await this.#options.store.manifests())[0]
    return newest !== undefined && (newest.vector.get(slot) ?? 0) > at
  }

  /** What breaking the rule `lappedReader` means. */
  async #skip(image: Image, slot: Slot): Promise<void> {
    const newest = (await this.#options.store.manifests())[0]
    image.begin()
    image.advance(slot, newest?.vector.get(slot) ?? 0)
  }
}

function missing(applied: Vector, frame: Frame): Goal[] {
  const out: Goal[] = []
  if (brokenRules.deps) return out
  for (const [slot, lsn] of frame.deps)
    if (slot !== frame.slot && (applied.get(slot) ?? 0) < lsn) out.push({ slot, lsn })
  return out
}
