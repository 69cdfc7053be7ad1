/**
 * A request that waits at this node.
 *
 *     new ──▶ queued ──▶ won      it holds its range; told once that is durable
 *      │  ╲      │
 *      │   ─▶ won│
 *      └─────────┴──▶ over        cancelled, failed: it holds nothing of it, and never will
 */
import { FsError } from '../../base/errors.ts'
import type { RangeRequest } from '../../locking/index.ts'

export class LocalWait {
  readonly request: RangeRequest
  readonly granted: Promise<void>
  #state: 'new' | 'queued' | 'won' | 'over' = 'new'
  #order = 0
  isBeingConfirmed = false
  #resolve!: () => void
  #reject!: (error: Error) => void

  constructor(request: RangeRequest) {
    this.request = request
    this.granted = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.granted.catch(() => {}) // who has cancelled may not listen
  }

  get state() {
    return this.#state
  }

  /** Place in the line. */
  get order(): number {
    return this.#order
  }

  queued(order: number): void {
    this.#state = 'queued'
    this.#order = order
  }

  won(): void {
    this.#state = 'won'
  }

  /** What it has won is durable. */
  tell(): void {
    this.#resolve()
  }

  cancelled(): void {
    this.fail(new FsError('EINTR'))
  }

  fail(error: Error): void {
    if (this.#state !== 'won') this.#state = 'over'
    this.#reject(error)
  }
}
