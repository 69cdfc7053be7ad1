/**
 * A virtual client that locks byte ranges, tests and waits for them, gives up and gives back, at one node after another. Its locks outlive the nodes by
 * which they came; at times it is a mount of a node instead, whose locks end with that life. What it is told goes to the oracle.
 *
 * It waits for each answer as long as the node lives. When that is open (the node died, or could not say), it counts on nothing, and gives
 * back what it may have before it goes on.
 */
import { isFsError, isMatrixError } from '../../src/base/errors.ts'
import type { Ino } from '../../src/base/ids.ts'
import type { Prng } from '../../src/base/prng.ts'
import type { ByteRange, RangeLocks, RangeMode } from '../../src/locking/index.ts'
import { type Clock, sleep } from '../../src/platform/index.ts'
import type { Mount } from '../../src/recovery/index.ts'
import type { Coverage } from './coverage.ts'
import type { AtLife } from './oracle.ts'
import { type Believer, BYTES, INOS, type RangeOracle } from './range-oracle.ts'
import type { SimHost } from './world.ts'

/** A node that a client reaches. */
export type RangeServer = { readonly mount: Mount; readonly host: SimHost; readonly life: AtLife; isMounted(): boolean }

const WHOLE: ByteRange = { start: 0, end: BYTES - 1 }
/** Nobody waits longer for a range, ms. */
const PATIENCE_MS = 3000
const POLL_MS = 2
/** The node that was asked lives no more. */
const GONE = Symbol('gone')

export class RangeClient {
  readonly #self: Believer
  readonly #oracle: RangeOracle
  readonly #prng: Prng
  readonly #clock: Clock
  readonly #coverage: Coverage
  readonly #thinkMs: number
  readonly #graceMs: number
  readonly #trace: (line: string) => void
  /** Files of which it may have more than it knows. */
  readonly #unsure = new Set<Ino>()
  #mounts = 0
  /** A node has said that it watches over this client. */
  isWatched = false

  constructor(
    id: number,
    oracle: RangeOracle,
    parts: {
      prng: Prng
      clock: Clock
      coverage: Coverage
      thinkMs: number
      graceMs: number
      trace(line: string): void
    },
  ) {
    this.#self = { client: `r${id}`, owner: 'p', at: undefined }
    this.#oracle = oracle
    this.#prng = parts.prng
    this.#clock = parts.clock
    this.#coverage = parts.coverage
    this.#thinkMs = parts.thinkMs
    this.#graceMs = parts.graceMs
    this.#trace = parts.trace
  }

  get name(): string {
    return this.#self.client
  }

  /** Works at a node until `stopped()`, or the node is gone. */
  async work(server: RangeServer, stopped: () => boolean): Promise<void> {
    try {
      if (this.#prng.chance(0.25)) await this.#asMount(server, stopped)
      else {
        await this.#giveBackUnsure(server)
        if (this.#prng.chance(0.3)) await this.#beWatched(server)
        await this.#steps(server, this.#self, this.#unsure, stopped)
      }
    } catch (error) {
      if (error !== GONE) throw error
      this.#trace(`${this.name}: ${server.life.name} is gone`)
    }
  }

  async #asMount(server: RangeServer, stopped: () => boolean): Promise<void> {
    const client = server.mount.fs.ranges.localClient(`${this.name}.${++this.#mounts}`)
    const isOver = () => server.life.over() || !server.isMounted()
    const mount: Believer = { client, owner: 'p', at: { name: server.life.name, isOver } }
    await this.#steps(server, mount, new Set(), stopped)
    this.#oracle.forgets(mount)
    await this.#insist(server, (ranges) => ranges.releaseClient(client))
  }

  async #beWatched({ mount: { fs }, host }: RangeServer): Promise<void> {
    const told = await this.#answer(host, () => fs.clients.put({ name: this.name, address: 'x', state: 1, facts: '' }))
    if (told !== 'open') this.isWatched = true
  }

  async #steps(server: RangeServer, who: Believer, unsure: Set<Ino>, stopped: () => boolean): Promise<void> {
    while (!stopped()) {
      const k = this.#prng.float()
      const ino = this.#prng.pick(INOS)
      const start = this.#prng.below(BYTES)
      const range = { start, end: this.#prng.between(start, BYTES - 1) }
      const mode = this.#prng.pick(['shared', 'exclusive'] as const)
      if (unsure.has(ino) || k < 0.35) await this.#release(server, who, ino, unsure.has(ino) ? WHOLE : range, unsure)
      else if (k < 0.65) await this.#take(server, who, ino, range, mode, unsure)
      else if (k < 0.9) await this.#wait(server, who, ino, range, mode, unsure)
      else if (k < 0.97 || who.at) await this.#test(server, who, ino, range, mode)
      else await this.#restart(server)
      await sleep(this.#clock, this.#prng.below(this.#thinkMs))
    }
  }

  async #take(server: RangeServer, who: Believer, ino: Ino, range: ByteRange, mode: RangeMode, unsure: Set<Ino>) {
    const before = this.#oracle.snapshot(ino, who)
    this.#oracle.weakens(ino, who, range, mode)
    const answer = await this.#ask(server, ino, unsure, async (ranges) => {
      const other = await ranges.take({ ...who, ino, ...range, mode })
      if (other) this.#oracle.restore(ino, who, before)
      else this.#oracle.holds(ino, who, range, mode)
      return other
    })
    if (answer === 'open') return this.#oracle.releases(ino, who, WHOLE)
    this.#coverage.count(answer ? 'range denied' : 'range locked')
    if (!answer) this.#trace(`${who.client} locks ${ino} ${range.start}-${range.end} ${mode}`)
  }

  async #wait(server: RangeServer, who: Believer, ino: Ino, range: ByteRange, mode: RangeMode, unsure: Set<Ino>) {
    const before = this.#oracle.snapshot(ino, who)
    this.#oracle.weakens(ino, who, range, mode)
    this.#oracle.waiting++
    try {
      const wait = await this.#call(server, async (ranges) => ranges.wait({ ...who, ino, ...range, mode }))
      if (wait === 'open') return this.#lose(ino, who, unsure)
      const until = this.#clock.now() + this.#prng.between(1, Math.min(40 * this.#thinkMs, PATIENCE_MS))
      const outcome = this.#outcome(server, wait.granted, () => {
        this.#oracle.holds(ino, who, range, mode)
        this.#trace(`${who.client} has waited for ${ino} ${range.start}-${range.end} ${mode}`)
      })
      while (!outcome.is && server.host.alive && this.#clock.now() < until) await sleep(this.#clock, POLL_MS)
      while (!outcome.is && server.host.alive) {
        if ((await this.#call(server, () => wait.cancel())) === true) outcome.cancelled()
        else await sleep(this.#clock, POLL_MS)
      }
      if (outcome.is === 'EINTR' || outcome.is === 'EDEADLK') this.#oracle.restore(ino, who, before)
      else if (outcome.is !== 'granted') this.#lose(ino, who, unsure)
      this.#coverage.count(`range wait ${outcome.is ?? 'at a node that is gone'}`)
      if (outcome.is === 'EDEADLK') await this.#release(server, who, ino, WHOLE, unsure)
    } finally {
      // of the death of its node the others hear a moment later
      const ends = () => this.#oracle.waitEnds()
      if (server.host.alive) ends()
      else this.#clock.after(this.#graceMs, ends)
    }
  }

  #outcome({ host }: RangeServer, granted: Promise<void>, then: () => void) {
    let isCancelled = false
    const outcome: { is: string | undefined; cancelled(): void } = {
      is: undefined,
      cancelled: () => {
        isCancelled = true
        outcome.is ??= 'EINTR'
      },
    }
    granted.then(
      () => {
        if (isCancelled) this.#oracle.fail('what was cancelled has been granted')
        outcome.is = 'granted'
        // what a dead process was about to tell nobody has heard
        if (host.alive) then()
      },
      (error) => {
        outcome.is = isFsError(error) ? error.code : String(error)
        if (outcome.is === 'EDEADLK') this.#oracle.toldOfDeadlock(host, this.#graceMs)
      },
    )
    return outcome
  }

  #lose(ino: Ino, who: Believer, unsure: Set<Ino>): void {
    this.#oracle.releases(ino, who, WHOLE)
    unsure.add(ino)
  }

  async #release(server: RangeServer, who: Believer, ino: Ino, range: ByteRange, unsure: Set<Ino>) {
    this.#oracle.releases(ino, who, range)
    const answer = await this.#ask(server, ino, unsure, (ranges) => ranges.release(ino, who, range))
    if (answer === 'open') this.#oracle.releases(ino, who, WHOLE)
    else if (range === WHOLE) unsure.delete(ino)
  }

  async #test(server: RangeServer, who: Believer, ino: Ino, range: ByteRange, mode: RangeMode): Promise<void> {
    const answer = await this.#call(server, (ranges) => ranges.test({ ...who, ino, ...range, mode }))
    if (answer !== 'open' && answer?.client === who.client) this.#oracle.fail(`${who.client} is in its own way`)
  }

  /** It has lost its memory: whatever it had is given back. */
  async #restart(server: RangeServer): Promise<void> {
    this.#oracle.forgets(this.#self)
    for (const ino of INOS) this.#unsure.add(ino)
    const answer = await this.#call(server, (ranges) => ranges.releaseClient(this.name))
    if (answer === 'open') return
    this.#unsure.clear()
    this.#coverage.count('range client restarted')
  }

  async #giveBackUnsure(server: RangeServer): Promise<void> {
    for (const ino of [...this.#unsure]) await this.#release(server, this.#self, ino, WHOLE, this.#unsure)
  }

  // ── the end of a run, when everybody serves ──────────────────────────────────────────────────────────────────────

  /** What it believes to have it has: at any node somebody else is kept from it. */
  async verify(server: RangeServer): Promise<void> {
    const { fs, volume } = server.mount
    for (const { ino, start, end, mode } of this.#oracle.believed(this.#self)) {
      // then this node has the rows as they are
      const other = await fs.ranges.test({ client: 'judge', owner: '', ino, start, end, mode: 'exclusive' })
      const rows = volume.image.rangeLocks(ino)
      const isHeld = rows.some(
        ([client, , from, to, exclusive]) =>
          client === this.name && from <= start && end <= to && (mode === 'shared' || exclusive === 1),
      )
      if (!other || !isHeld)
        throw new Error(`${this.name} believes to have byte ${start} of ${ino} (${mode}): ${JSON.stringify(rows)}`)
    }
  }

  /** Gives everything back, then waits for all of every file: that comes. */
  async finish(server: RangeServer): Promise<void> {
    this.#oracle.forgets(this.#self)
    await this.#insist(server, (ranges) => ranges.releaseClient(this.name))
    for (const ino of INOS) {
      const wait = server.mount.fs.ranges.wait({ ...this.#self, ino, ...WHOLE, mode: 'exclusive' })
      await wait.granted
      this.#oracle.holds(ino, this.#self, WHOLE, 'exclusive')
      await sleep(this.#clock, this.#prng.below(20))
      this.#oracle.releases(ino, this.#self, WHOLE)
      await this.#insist(server, (ranges) => ranges.release(ino, this.#self, WHOLE))
    }
  }

  // ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #ask<T>(server: RangeServer, ino: Ino, unsure: Set<Ino>, call: (ranges: RangeLocks) => Promise<T>) {
    try {
      const answer = await this.#call(server, call)
      if (answer === 'open') unsure.add(ino)
      return answer
    } catch (error) {
      if (error === GONE) unsure.add(ino)
      throw error
    }
  }

  #call<T>({ mount: { fs }, host }: RangeServer, call: (ranges: RangeLocks) => Promise<T>): Promise<T | 'open'> {
    return this.#answer(host, () => call(fs.ranges))
  }

  /** 'open': whether it was done is not known. Throws GONE when the node is gone before it has answered. */
  async #answer<T>(host: SimHost, call: () => Promise<T>): Promise<T | 'open'> {
    let outcome: { readonly value: T } | { readonly error: unknown } | undefined
    host.enter(() => {
      call().then(
        (value) => (outcome = { value }),
        (error) => (outcome = { error }),
      )
    })
    while (!outcome) {
      if (!host.alive) throw GONE
      await sleep(this.#clock, POLL_MS)
    }
    if ('value' in outcome) return outcome.value
    if (isFsError(outcome.error, 'EAGAIN', 'ENOLCK', 'EIO') || isMatrixError(outcome.error)) return 'open'
    throw outcome.error
  }

  async #insist(server: RangeServer, call: (ranges: RangeLocks) => Promise<void>): Promise<void> {
    while ((await this.#call(server, call)) === 'open') await sleep(this.#clock, 50)
  }
}
