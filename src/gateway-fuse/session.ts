/**
 * The protocol of one mount, without its device: requests in, replies out.
 *
 *  1. INIT settles what kernel and daemon may ask of each other. Until then nothing else comes.
 *  2. A request is decoded and its verb run, in the turn in which it was read. When the verb answers at once, so does the session;
 *     else the reply is built in the turn in which the verb answers. Any number is under way at once.
 *  3. "Try again later" (a view changes, a peer is gone) is not for programs: the session itself tries again until the matrix
 *     has settled or the mount ends.
 *
 * A mount's programs wait for nothing but what POSIX says: changes of metadata are answered when they are made, as on a local
 * filesystem; fsync, and writes to a file opened with O_SYNC or O_DSYNC, when they are durable.
 */
import { isFsError } from '../base/errors.ts'
import { attempt, isPromise, type MaybePromise } from '../base/maybe-promise.ts'
import type { MatrixFs } from '../metadata/index.ts'
import type { Clock, Log } from '../platform/index.ts'
import { errnoOf } from './errno.ts'
import { LatelyFound } from './lately-found.ts'
import { MountLocks } from './mount-locks.ts'
import { negotiate } from './negotiate.ts'
import { Opens } from './opens.ts'
import type { AnyOperation, Call } from './operations/operation.ts'
import { operations } from './operations/table.ts'
import { EIO, ENOENT, ENOSYS, opcodes } from './wire/constants.ts'
import { interruptIn, offsetsOf } from './wire/layouts.ts'
import { Reply } from './wire/reply.ts'
import type { Request } from './wire/request.ts'

/** 'unwanted': whoever asked has gone, and the kernel with him what the reply would have told it. */
export type Sent = 'sent' | 'unwanted'

export type SessionOptions = {
  readonly fs: MatrixFs
  /** Of this mount, in this life of the node. */
  readonly name: string
  readonly clock: Clock
  readonly log: Log
  /** Writes one reply; it may be built anew as soon as this returns. */
  send(parts: readonly Buffer[]): Sent
}

type Pending = {
  readonly operation: AnyOperation
  readonly call: Call
  readonly args: unknown
  readonly low: number
  readonly high: number
  /** How often it has been tried. */
  runs: number
}

const interrupted = offsetsOf(interruptIn)
const FIRST_RETRY_MS = 5
const MAX_RETRY_MS = 500

export class Session {
  readonly #options: SessionOptions
  readonly #opens: Opens
  readonly #locks: MountLocks
  readonly #found = new LatelyFound()
  readonly #reply = new Reply()
  readonly #counts: number[] = []
  #initialized: () => void = () => {}
  /** Resolves once the kernel has said which version it speaks. */
  readonly ready = new Promise<void>((resolve) => {
    this.#initialized = resolve
  })
  readonly #pending = new Set<Pending>()
  #idle: (() => void)[] = []
  #ended = false
  /** The node has halted: whatever is asked fails. */
  #abandoned = false

  constructor(options: SessionOptions) {
    this.#options = options
    this.#opens = new Opens(options.fs)
    this.#locks = new MountLocks(options.fs.ranges, options.name, options)
  }

  /** Serves one request. */
  serve(request: Request): void {
    const { opcode, uniqueLow: low, uniqueHigh: high } = request
    this.#counts[opcode] = (this.#counts[opcode] ?? 0) + 1
    const operation = operations[opcode]
    if (this.#abandoned) this.#refuse(low, high)
    else if (operation) this.#begin(operation, request, low, high)
    else if (opcode === opcodes.INIT) this.#init(request, low, high)
    else if (opcode === opcodes.INTERRUPT) this.#interrupt(request)
    // Node ids are inode numbers, and nothing is kept for those that the kernel knows: it may forget them as it likes.
    else if (opcode !== opcodes.FORGET && opcode !== opcodes.BATCH_FORGET) {
      this.#reply.begin()
      this.#send(low, high, opcode === opcodes.DESTROY ? 0 : ENOSYS)
    }
  }

  /** Nobody will be answered any more: what is open is closed. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#locks.end()
    this.#opens.end()
  }

  /** The node has halted: whoever waits, and whoever asks until its process has gone, gets EIO. Nothing is closed or written. */
  abandon(): void {
    this.#abandoned = true
    for (const { low, high } of this.#pending) this.#refuse(low, high)
  }

  #refuse(low: number, high: number): void {
    this.#reply.begin()
    this.#send(low, high, EIO)
  }

  /** Resolves once no verb is under way. */
  async idle(): Promise<void> {
    if (this.#pending.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  /** `requests`: since the start, by operation. */
  stats() {
    const entries = Object.entries(opcodes).map(([name, opcode]) => [name, this.#counts[opcode] ?? 0] as const)
    const requests: Record<string, number> = Object.fromEntries(entries.filter(([, count]) => count > 0))
    return { inFlight: this.#pending.size, open: this.#opens.size, requests }
  }

  #init(request: Request, low: number, high: number): void {
    this.#reply.begin()
    const outcome = negotiate(request, this.#reply)
    const { log } = this.#options
    if (outcome.kind === 'refused') log.error({ kernel: outcome.kernel }, 'the kernel speaks another version of FUSE')
    this.#send(low, high, outcome.kind === 'refused' ? outcome.errno : 0)
    if (outcome.kind !== 'agreed') return
    log.info({ kernel: outcome.kernel, sharedMappings: outcome.sharedMappings }, 'kernel and daemon agree')
    this.#initialized()
  }

  /** There is no reply to it. What has been answered meanwhile is none of its business. */
  #interrupt(request: Request): void {
    const low = request.u32(interrupted.unique)
    const high = request.u32(interrupted.unique + 4)
    for (const { operation, call, args, ...pending } of this.#pending) {
      if (pending.low === low && pending.high === high) operation.interrupt?.(call, args)
    }
  }

  #begin(operation: AnyOperation, request: Request, low: number, high: number): void {
    let pending: Pending | undefined
    let result: MaybePromise<unknown>
    try {
      const { fs } = this.#options
      const call: Call = {
        fs,
        opens: this.#opens,
        locks: this.#locks,
        found: this.#found,
        ino: request.ino,
        uid: request.uid,
        gid: request.gid,
      }
      const args = operation.decode(request)
      pending = { operation, call, args, low, high, runs: 1 }
      result = operation.run(call, args)
    } catch (error) {
      if (pending && this.#passes(error)) {
        operation.keep?.(pending.args)
        void this.#finish(pending, Promise.reject(error))
      } else {
        this.#fail(operation, error, low, high)
      }
      return
    }
    if (isPromise(result)) {
      operation.keep?.(pending.args)
      void this.#finish(pending, result)
    } else {
      this.#answer(pending, result)
    }
  }

  /** A broken invariant in here is nobody's to catch: it stops the node. */
  async #finish(pending: Pending, first: Promise<unknown>): Promise<void> {
    const { operation, call, args, low, high } = pending
    this.#pending.add(pending)
    for (let next: MaybePromise<unknown> = first; ; ) {
      let result: unknown
      try {
        result = await next
      } catch (error) {
        if (this.#passes(error)) {
          await this.#pause(pending.runs++)
          next = attempt(() => operation.run(call, args))
          continue
        }
        if (!this.#abandoned) this.#fail(operation, error, low, high)
        break
      }
      if (!this.#abandoned) this.#answer(pending, result)
      break
    }
    this.#pending.delete(pending)
    if (this.#pending.size === 0) for (const wake of this.#idle.splice(0)) wake()
  }

  #passes(error: unknown): boolean {
    return isFsError(error, 'EAGAIN') && !this.#ended && !this.#abandoned
  }

  #pause(runs: number): Promise<void> {
    const { clock } = this.#options
    return new Promise((resolve) => clock.after(Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** runs), resolve))
  }

  #answer({ operation, call, args, low, high }: Pending, result: unknown): void {
    operation.encode?.(this.#reply.begin(), result, args)
    if (!operation.encode) this.#reply.begin()
    if (this.#send(low, high, 0) === 'unwanted') operation.unanswered?.(call, result, args)
  }

  #fail(operation: AnyOperation, error: unknown, low: number, high: number): void {
    const absent = operation.inDirectory && isFsError(error, 'ESTALE')
    this.#send(low, high, absent ? ENOENT : errnoOf(error))
  }

  #send(low: number, high: number, errno: number): Sent {
    if (this.#ended) return 'unwanted'
    return this.#options.send(this.#reply.end(low, high, errno))
  }
}
