/**
 * When the image's SQLite transaction commits. Every end of a frame is a moment when it may; most are passed over, since a
 * commit writes every changed page to the WAL: 30 creations in 64 directories change 150 pages, 3000 change few more.
 *
 * Nothing depends on the moment but what another connection sees: always a state that equals a vector, at most COMMIT_AFTER_MS
 * behind. After a crash the file is worthless anyway (image.ts, invariant 3).
 */
import type { Clock } from '../../platform/clock.ts'
import type { Image } from './image.ts'

/** Mutations in one transaction, about: their pages stay in SQLite's cache until it commits. */
const COMMIT_MUTATIONS = 8192
/** What is not committed by then is committed at the next end of a frame, ms. */
const COMMIT_AFTER_MS = 100

export class CommitPacer {
  readonly #clock: Clock
  readonly #settle: () => void
  #timer: { cancel(): void } | undefined
  #isDue = false

  /** `settle` is called when time has come: it calls `frameEnd` if the image is between two frames. */
  constructor(clock: Clock, settle: () => void) {
    this.#clock = clock
    this.#settle = settle
  }

  /** The image equals a vector now. */
  frameEnd(image: Image): void {
    if (!image.inTransaction) return
    if (this.#isDue || image.uncommitted >= COMMIT_MUTATIONS) {
      this.stop()
      image.commit()
    } else
      this.#timer ??= this.#clock.after(COMMIT_AFTER_MS, () => {
        this.#timer = undefined
        this.#isDue = true
        this.#settle()
      })
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#isDue = false
  }
}
