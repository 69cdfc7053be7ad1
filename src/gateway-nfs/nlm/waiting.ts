/**
 * Locks that clients wait for (LOCK with `block`, answered BLOCKED). The table of locks grants one at some time; then the client is told
 * by a call back, again and again until it answers.
 *
 *     waits ──granted by the table──▶ granted ──client: GRANTED──▶ over      it has it
 *       │                                │ ├────client: DENIED──▶ over      it does not want it any more: freed
 *       │                                │ └────the client asks itself──▶ over   LOCK again, UNLOCK, CANCEL
 *       └──CANCEL, restart────────────────────────────────────────▶ over
 *
 * Invariants
 * 1. A lock is freed for a DENIED only when nothing can have made its owner believe that it has it: no earlier call back may have
 *    arrived without its answer, and the owner has done nothing else with the file since. In doubt the lock stays: that somebody waits is
 *    better than that two hold it. The owner's UNLOCK, its host's restart or the end of its mount frees it.
 * 2. A client that asks again gets its answer from the table, and is called back no more.
 */
import { brokenRules } from '../../base/broken-rules.ts'
import type { RangeOwner, RangeRequest, RangeWait } from '../../locking/index.ts'
import type { MatrixFs } from '../../metadata/index.ts'
import type { Clock } from '../../platform/clock.ts'
import type { Log } from '../../platform/log.ts'
import { GRANT_PAUSE_FIRST_MS, GRANT_PAUSE_LONGEST_MS, WAITS_MAX, WAITS_PER_ADDRESS } from '../limits.ts'
import type { Host } from '../portmap/hosts.ts'
import { CallError } from '../rpc/caller.ts'
import { Pauses } from '../rpc/pauses.ts'
import type { Callbacks, Grant } from './callbacks.ts'
import type { LockedFile } from './files.ts'
import type { OwnerTurns } from './owner-turns.ts'
import { NLM4_DENIED_GRACE_PERIOD, NLM4_GRANTED } from './tables.ts'

export type Wanted = { readonly file: LockedFile; readonly request: RangeRequest; readonly grant: Grant }

type Waiting = Wanted & {
  readonly wait: RangeWait
  state: 'waits' | 'granted' | 'over'
  /** A call back may have arrived and was not answered. */
  inDoubt: boolean
  /** Its owner has locked or freed something of the file since it was granted. */
  acted: boolean
}

export class WaitingLocks {
  readonly #callbacks: Callbacks
  readonly #pauses: Pauses
  readonly #log: Log
  readonly #turns: OwnerTurns
  readonly #all = new Map<string, Waiting>()
  /** A host can call itself what it likes. */
  readonly #perAddress = new Map<string, number>()

  constructor(options: {
    readonly callbacks: Callbacks
    readonly turns: OwnerTurns
    readonly clock: Clock
    readonly log: Log
  }) {
    this.#turns = options.turns
    this.#callbacks = options.callbacks
    this.#pauses = new Pauses(options.clock)
    this.#log = options.log
  }

  get count(): number {
    return this.#all.size
  }

  hasRoomFor({ address }: Host): boolean {
    return this.#all.size < WAITS_MAX && (this.#perAddress.get(address) ?? 0) < WAITS_PER_ADDRESS
  }

  /** True while exactly this request waits for the table. */
  waits(file: LockedFile, request: RangeRequest): boolean {
    return this.#all.get(keyOf(file, request))?.state === 'waits'
  }

  /** From now on the client is told when the table grants it. */
  add(wanted: Wanted, wait: RangeWait): void {
    const waiting: Waiting = { ...wanted, wait, state: 'waits', inDoubt: false, acted: false }
    const key = keyOf(wanted.file, wanted.request)
    const { address } = wanted.grant.host
    this.#all.set(key, waiting)
    this.#perAddress.set(address, (this.#perAddress.get(address) ?? 0) + 1)
    this.#callbacks.prepare(wanted.grant.host)
    wait.granted.then(
      () => void this.#tell(waiting),
      () => this.#over(waiting), // a deadlock, or the matrix does not say: the client asks again by itself
    )
  }

  /**
   * The client asks for itself, or does not want it any more: nobody is told. False when there was nothing of the kind; else whether the
   * table had granted it, and whether its owner has done something with the file since.
   */
  async withdraw(
    file: LockedFile,
    request: RangeRequest,
  ): Promise<false | { readonly granted: boolean; readonly acted: boolean }> {
    const waiting = this.#all.get(keyOf(file, request))
    if (!waiting) return false
    this.#over(waiting)
    return { granted: !(await waiting.wait.cancel()), acted: waiting.acted }
  }

  /** The owner did something with the file: it knows what it has there, whatever becomes of calls back. `freed`: it gave up these bytes. */
  ownerActed(
    file: LockedFile,
    request: RangeOwner & { readonly start: number; readonly end: number },
    freed: boolean,
  ): void {
    for (const waiting of this.#all.values()) {
      const { file: other, request: wanted } = waiting
      if (waiting.state !== 'granted' || other.ino !== file.ino || other.fs !== file.fs) continue
      if (wanted.client !== request.client || wanted.owner !== request.owner) continue
      waiting.acted = true
      if (freed && wanted.start <= request.end && request.start <= wanted.end) this.#over(waiting)
    }
  }

  /** The client has restarted, and the table drops what it waited for. */
  dropClient(fs: MatrixFs, client: string): void {
    for (const waiting of this.#all.values()) {
      if (waiting.file.fs === fs && waiting.request.client === client) this.#over(waiting)
    }
  }

  close(): void {
    this.#pauses.close()
    for (const waiting of this.#all.values()) this.#over(waiting)
  }

  #over(waiting: Waiting): void {
    if (waiting.state === 'over') return
    waiting.state = 'over'
    const key = keyOf(waiting.file, waiting.request)
    if (this.#all.get(key) === waiting) this.#all.delete(key)
    const { address } = waiting.grant.host
    const left = (this.#perAddress.get(address) ?? 1) - 1
    if (left > 0) this.#perAddress.set(address, left)
    else this.#perAddress.delete(address)
  }

  async #tell(waiting: Waiting): Promise<void> {
    if (waiting.state !== 'waits') return
    waiting.state = 'granted'
    const client = waiting.request.client
    for (let pauseMs = GRANT_PAUSE_FIRST_MS; ; pauseMs = Math.min(2 * pauseMs, GRANT_PAUSE_LONGEST_MS)) {
      const answer = await this.#ask(waiting)
      if (this.#isOver(waiting)) return
      if (answer === NLM4_GRANTED) {
        this.#over(waiting)
        return
      }
      if (answer !== 'none' && answer !== NLM4_DENIED_GRACE_PERIOD) return this.#refused(waiting, answer)
      this.#log.debug({ client, answer, pauseMs }, 'a client that is granted a lock does not answer')
      await this.#pauses.pause(pauseMs)
      if (this.#isOver(waiting)) return
    }
  }

  async #ask(waiting: Waiting): Promise<number | 'none'> {
    try {
      return await this.#callbacks.grant(waiting.grant)
    } catch (error) {
      if (!(error instanceof CallError)) throw error
      if (error.failure !== 'unreachable' && !brokenRules.doubtKeepsLock) waiting.inDoubt = true
      return 'none'
    }
  }

  /** The client does not want it, or does not know of it any more. In the owner's turn: it may be asking for it again just now. */
  #refused(waiting: Waiting, answer: number): Promise<void> {
    const { file, request } = waiting
    const { client, owner, start, end } = request
    return this.#turns.take(request, async () => {
      if (this.#isOver(waiting)) return
      this.#over(waiting)
      if (waiting.inDoubt || waiting.acted) return
      await file.fs.ranges.release(file.ino, { client, owner }, { start, end }).catch((error) => {
        this.#log.warn({ client, answer, error: String(error) }, 'a lock that its client refused could not be freed')
      })
    })
  }

  #isOver(waiting: Waiting): boolean {
    return this.#pauses.isClosed || waiting.state === 'over'
  }
}

function keyOf({ fs, ino }: LockedFile, { client, owner, start, end, mode }: RangeRequest): string {
  return `${fs.fsid}/${ino}/${start}-${end}/${mode}/${client}\0${owner}`
}
