/**
 * One command at a logical unit, from its arrival until it is answered or given up. One that is aborted ends at once while it only waits; one whose I/O is
 * under way ends once that has come to rest, since what was handed to the disk cannot be called back. Whoever aborts waits for
 * `settled`: then nothing of it lands any more.
 */
import type { Clock } from '../../platform/clock.ts'
import type { Answer } from './answer.ts'

export type TaskOrigin = {
  /** Of its I_T nexus. */
  readonly nexus: string
  readonly initiator: string
  /** Number of the portal, from 1: the cable that it came by. */
  readonly portal: number
  /** Number of the target port: of the portal group. */
  readonly port: number
}

export class ScsiTask {
  readonly origin: TaskOrigin
  readonly cdb: Buffer
  readonly isOrdered: boolean
  /** That the initiator means to move. */
  readonly expectedBytes: number
  /** Called when it is over, before its answer is given. */
  onOver: () => void = () => {}
  /** Its I/O is under way. */
  isAtWork = false
  /** It is with the logical unit; otherwise it waits for data. */
  isRunning = false
  /** Called once: with its answer, or undefined when there is none to be given. */
  readonly #onEnd: (answer: Answer | undefined) => void
  #abort: { readonly answer: Answer | undefined } | undefined
  #isOver = false
  #cancel: (() => void) | undefined
  readonly #waiters: (() => void)[] = []

  constructor(
    origin: TaskOrigin,
    cdb: Buffer,
    { isOrdered, expectedBytes }: { readonly isOrdered: boolean; readonly expectedBytes: number },
    onEnd: (answer: Answer | undefined) => void,
  ) {
    this.origin = origin
    this.cdb = cdb
    this.isOrdered = isOrdered
    this.expectedBytes = expectedBytes
    this.#onEnd = onEnd
  }

  get isAborted(): boolean {
    return this.#abort !== undefined
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** `answer`: what the initiator is told; undefined: nothing. */
  abort(answer: Answer | undefined): void {
    if (this.#isOver || this.#abort) return
    this.#abort = { answer }
    this.#cancel?.()
    if (!this.isRunning) this.end(answer)
  }

  end(answer: Answer | undefined): void {
    if (this.#isOver) return
    this.#isOver = true
    this.onOver()
    this.#onEnd(this.#abort ? this.#abort.answer : answer)
    for (const done of this.#waiters.splice(0)) done()
  }

  settled(): Promise<void> {
    return this.#isOver ? Promise.resolve() : new Promise((resolve) => this.#waiters.push(resolve))
  }

  /** For so long, or for ever, or until it is aborted. */
  linger(clock: Clock, ms: number | undefined): Promise<void> {
    if (this.#abort) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = ms === undefined ? undefined : clock.after(ms, resolve)
      this.#cancel = () => {
        timer?.cancel()
        resolve()
      }
    })
  }
}
