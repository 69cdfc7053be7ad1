/**
 * A disk lease renewed by a thread of its own, as `startLeaseThread` gives it: commands and answers pass between the threads, the
 * deadline is shared memory. So a main thread that stands still keeps its lease, until somebody asks for its end.
 */
import type { Life } from '../../src/base/life.ts'
import { DiskLease, type DiskLeaseOptions, type LeaseEnd, type NodeLease } from '../../src/san/index.ts'
import type { SimHost } from './world.ts'

export class ThreadLease implements NodeLease {
  readonly #main: SimHost
  readonly #thread: SimHost
  readonly #lease: DiskLease
  #givenBack = false

  static claim(
    main: SimHost,
    thread: SimHost,
    onEnd: (end: LeaseEnd) => void,
    options: Omit<DiskLeaseOptions, 'onEnd'>,
  ): Promise<ThreadLease> {
    const claimed = DiskLease.claim({ ...options, onEnd: (end) => main.enter(() => onEnd(end)) })
    return answeredAt(
      main,
      claimed.then((lease) => new ThreadLease(main, thread, lease)),
    )
  }

  private constructor(main: SimHost, thread: SimHost, lease: DiskLease) {
    this.#main = main
    this.#thread = thread
    this.#lease = lease
  }

  get life(): Life {
    return this.#lease.life
  }

  goodUntil(): number {
    return this.#lease.goodUntil()
  }

  setState(state: 'active'): Promise<void> {
    return this.#ask(() => this.#lease.setState(state))
  }

  requestFence(victims: readonly Life[]): Promise<void> {
    return this.#ask(() => this.#lease.requestFence(victims))
  }

  release(): Promise<void> {
    return this.#ask(() => {
      this.#givenBack = true
      return this.#lease.release()
    })
  }

  /** The node has said that nothing of it is under way any more: for the oracle that holds it to that. */
  get givenBack(): boolean {
    return this.#givenBack
  }

  #ask(run: () => Promise<void>): Promise<void> {
    return answeredAt(this.#main, new Promise((resolve) => this.#thread.enter(() => resolve(run()))))
  }
}

/** The outcome of `promise` reaches `host` once it runs. */
function answeredAt<T>(host: SimHost, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    promise.then(
      (value) => host.enter(() => resolve(value)),
      (error) => host.enter(() => reject(error)),
    )
  })
}
