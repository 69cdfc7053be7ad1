/**
 * The disk lease in a thread of its own, so that a long garbage collection or SQLite call of the main thread never costs the
 * lease. Same face as `DiskLease`; the deadline is shared memory, everything else messages (lease-messages.ts).
 *
 * A thread that ends is a lost lease: its last deadline is withdrawn before anybody is told.
 */

import { MatrixError, type MatrixErrorCode } from '../base/errors.ts'
import type { Life } from '../base/life.ts'
import type { Timings } from '../base/timings.ts'
import type { Log } from '../platform/log.ts'
import { moduleBeside, type Thread, type Threads } from '../platform/threads.ts'
import { describeEnd, type LeaseEnd, type NodeLease } from './disk-lease.ts'
import type { FromLeaseThread, LeaseCommand, LeaseThreadData, ToLeaseThread } from './lease-messages.ts'
import type { LeaseOwner } from './own-sectors.ts'

export type LeaseThreadOptions = {
  readonly threads: Threads
  /** Of the LUNs with the membership partitions; the thread opens them by itself. */
  readonly lunUrls: readonly string[]
  /** How many the matrix has: one of three may be missing. */
  readonly partitions: number
  /** Nodes register at the LUNs. Default: no. */
  readonly reserves?: boolean
  readonly owner: LeaseOwner
  readonly timings: Timings
  /** See `ClaimOptions`. */
  readonly orphanIoMs: number
  readonly log: Log
  /** See `DiskLeaseOptions.onEnd`. */
  readonly onEnd: (end: LeaseEnd) => void
}

/** Claims the lease in a new thread and keeps it; rejects as `DiskLease.claim` does. */
export async function startLeaseThread(options: LeaseThreadOptions): Promise<NodeLease> {
  const lease = new LeaseThread(options)
  await lease.claimed
  return lease
}

type Waiting = { readonly resolve: () => void; readonly reject: (error: MatrixError) => void }

class LeaseThread implements NodeLease {
  readonly claimed: Promise<void>
  readonly #options: LeaseThreadOptions
  readonly #thread: Thread
  /** One aligned double: a 64-bit machine reads and writes it as a whole. */
  readonly #deadline: Float64Array
  readonly #waiting = new Map<number, Waiting>()
  #nextId = 1
  #life: Life
  #claimWaiting: Waiting | undefined
  #end: LeaseEnd | undefined
  #exitedBecause: string | undefined

  constructor(options: LeaseThreadOptions) {
    const { threads, lunUrls, partitions, reserves = false, owner, timings, orphanIoMs } = options
    this.#options = options
    this.#life = { slot: owner.slot, incarnation: 0 }
    const shared = new SharedArrayBuffer(Float64Array.BYTES_PER_ELEMENT)
    this.#deadline = new Float64Array(shared)
    this.#deadline[0] = Number.NEGATIVE_INFINITY
    this.claimed = new Promise((resolve, reject) => {
      this.#claimWaiting = { resolve, reject }
    })
    const data: LeaseThreadData = { lunUrls, partitions, reserves, owner, timings, orphanIoMs, deadline: shared }
    this.#thread = threads.start(moduleBeside(import.meta.url, './lease-worker.ts'), data)
    this.#thread.onMessage = (message) => this.#receive(message as FromLeaseThread)
    this.#thread.onExit = (reason) => this.#exited(reason)
  }

  get life(): Life {
    return this.#life
  }

  goodUntil(): number {
    return this.#deadline[0]
  }

  setState(state: 'active'): Promise<void> {
    return this.#ask({ kind: 'set-state', state })
  }

  requestFence(victims: readonly Life[]): Promise<void> {
    return this.#ask({
      kind: 'request-fence',
      victims: victims.map(({ slot, incarnation }) => ({ slot, incarnation })),
    })
  }

  async release(): Promise<void> {
    if (this.#exitedBecause !== undefined) return
    await this.#post({ kind: 'release' })
    this.#thread.stop()
  }

  #ask(command: LeaseCommand): Promise<void> {
    if (this.#end) return Promise.reject(new MatrixError('fenced', `the disk lease is over: ${describeEnd(this.#end)}`))
    return this.#post(command)
  }

  #post(command: LeaseCommand): Promise<void> {
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#thread.post({ id, command } satisfies ToLeaseThread)
    })
  }

  #receive(message: FromLeaseThread): void {
    const { log, onEnd } = this.#options
    switch (message.kind) {
      case 'claimed':
        this.#life = { ...this.#life, incarnation: message.incarnation }
        this.#claimWaiting?.resolve()
        this.#claimWaiting = undefined
        return
      case 'refused':
        this.#claimWaiting?.reject(toError(message))
        this.#claimWaiting = undefined
        this.#thread.stop()
        return
      case 'ended':
        if (this.#end) return
        this.#end = message.end
        onEnd(message.end)
        return
      case 'done':
        this.#waiting.get(message.id)?.resolve()
        this.#waiting.delete(message.id)
        return
      case 'failed':
        this.#waiting.get(message.id)?.reject(toError(message))
        this.#waiting.delete(message.id)
        return
      case 'log':
        log[message.level](message.fields, message.text)
        return
    }
  }

  #exited(reason: string): void {
    this.#exitedBecause = reason
    this.#deadline[0] = Number.NEGATIVE_INFINITY
    const error = new MatrixError('fenced', `the thread of the disk lease ended: ${reason}`)
    this.#claimWaiting?.reject(error)
    this.#claimWaiting = undefined
    for (const waiting of this.#waiting.values()) waiting.reject(error)
    this.#waiting.clear()
    if (this.#end || this.#life.incarnation === 0) return
    this.#end = { kind: 'lost', reason: error.message }
    this.#options.onEnd(this.#end)
  }
}

function toError({ code, text }: { readonly code: MatrixErrorCode; readonly text: string }): MatrixError {
  return new MatrixError(code, text)
}
