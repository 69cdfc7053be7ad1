/**
 * The simulated world: one virtual time line for a whole matrix in one process. Everything that happens is an event in one
 * queue, ordered by time and then by the order of scheduling; after each event all promises settle before the next one. So
 * a run is a function of its seed: `trace` lines are hashed, and a repeated seed must give the same hash.
 *
 * A `SimHost` is a machine with one process: its clock's timers die with it (`crash`), and stand still while it is paused. A
 * `thread` of it dies with it, and stands still only when the whole process does. A slow host (`slowDown`) does one thing after another,
 * each for some time. Its clocks are its machine's (`MachineClock`): the monotonic one runs fast or slow by some parts per million, the
 * other may step. Nothing below the gateways sees real time, so hours of a matrix run in seconds.
 */
import { crc32c } from '../../src/base/crc32c.ts'
import { Prng } from '../../src/base/prng.ts'
import type { Clock, Timer } from '../../src/platform/clock.ts'

type Event = { readonly at: number; readonly order: number; readonly run: () => void; cancelled: boolean }

/** Everything here is promises and virtual time, so a turn of the process's own loop is needed only for what is outside: its parent, a timer. */
const EVENTS_PER_TURN = 5000

/** Resolves when no promise is left to settle: what `nextTick` queues runs once the queue of microtasks is empty. */
const drainMicrotasks = () => new Promise<void>((resolve) => process.nextTick(resolve))
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

export class SimWorld {
  readonly prng: Prng
  readonly seed: number
  now = 0
  events = 0
  #queue: Event[] = []
  #order = 0
  #hash = 0
  #failure: Error | undefined
  /** Set to print every trace line (when repeating a failed seed). */
  verbose = false

  constructor(seed: number) {
    this.seed = seed
    this.prng = new Prng(seed)
  }

  /** Runs `run` at virtual time now + delayMs, whatever happens to any host: faults, network, disks. */
  at(delayMs: number, run: () => void): Timer {
    const event: Event = { at: this.now + Math.max(0, delayMs), order: this.#order++, run, cancelled: false }
    this.#push(event)
    return { cancel: () => void (event.cancelled = true) }
  }

  /** Records what happened; part of the run's hash. Ids and numbers only, nothing from outside the world. */
  trace(line: string): void {
    const text = `${this.now.toFixed(3)} ${line}`
    if (this.verbose) console.log(text)
    this.#hash = crc32c(Buffer.from(text), this.#hash)
  }

  get hash(): string {
    return this.#hash.toString(16).padStart(8, '0')
  }

  /** An invariant broke: the run ends with this error at the next event. */
  fail(error: Error): void {
    this.#failure ??= error
  }

  /** Runs events until virtual time `untilMs`, or until `done` answers true; rejects with the first failure. */
  async run(untilMs: number, done: () => boolean = () => false): Promise<void> {
    await drainMicrotasks()
    for (;;) {
      if (this.#failure) throw this.#failure
      if (done()) return
      const event = this.#queue[0]
      if (!event || event.at > untilMs) break
      this.#pop()
      if (event.cancelled) continue
      this.now = Math.max(this.now, event.at)
      this.events++
      event.run()
      await drainMicrotasks()
      if (this.events % EVENTS_PER_TURN === 0) await turn()
    }
    this.now = Math.max(this.now, untilMs)
    if (this.#failure) throw this.#failure
  }

  /** Runs until `promise` settles, at most `limitMs` of virtual time; gives its value. */
  async settle<T>(promise: Promise<T>, limitMs = 600_000): Promise<T> {
    let state: { value: T } | { error: unknown } | undefined
    promise.then(
      (value) => (state = { value }),
      (error) => (state = { error }),
    )
    await this.run(this.now + limitMs, () => state !== undefined)
    if (!state) throw new Error(`seed ${this.seed}: not settled within ${limitMs} virtual ms`)
    if ('error' in state) throw state.error
    return state.value
  }

  // a binary heap by (at, order)
  #push(event: Event): void {
    const q = this.#queue
    let i = q.push(event) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!before(event, q[parent] as Event)) break
      q[i] = q[parent] as Event
      i = parent
    }
    q[i] = event
  }

  #pop(): void {
    const q = this.#queue
    const last = q.pop() as Event
    if (q.length === 0) return
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= q.length) break
      if (child + 1 < q.length && before(q[child + 1] as Event, q[child] as Event)) child++
      if (!before(q[child] as Event, last)) break
      q[i] = q[child] as Event
      i = child
    }
    q[i] = last
  }
}

function before(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}

/** The clocks of a machine, whatever runs on it. */
export type MachineClock = {
  /** Its monotonic clock's speed; 1 is right. */
  readonly rate: number
  /** What it showed when the world began, ms. */
  readonly startMs: number
  /** Its wall clock is wrong by this much, ms. */
  wallErrorMs: number
}

export const rightClock = (): MachineClock => ({ rate: 1, startMs: 0, wallErrorMs: 0 })

/** One simulated machine (one life of one node): gives its programs a clock, and takes it away. */
export class SimHost {
  readonly world: SimWorld
  readonly name: string
  alive = true
  crashedAt: number | undefined
  /** While paused, the host's timers do not fire; they all do, late, when it goes on. */
  paused = false
  /** The last time that it stood still and went on, world time. */
  stoodStill: { readonly since: number; readonly until: number } | undefined
  #pausedAt = 0
  /** Writes handed to a device whose fate is open. */
  writesUnderWay = 0
  /** Its I/O are commands to a target, not system calls: they outlive the process. */
  readonly hasOrphans: boolean
  #held: (() => void)[] = []
  #threads: SimHost[] = []
  readonly machine: MachineClock
  /** What one thing takes while the host is slow, at most, ms; 0: nothing takes time. */
  #slowMs = 0
  #busyUntil = 0

  constructor(world: SimWorld, name: string, machine: MachineClock = rightClock(), hasOrphans = false) {
    this.world = world
    this.name = name
    this.machine = machine
    this.hasOrphans = hasOrphans
  }

  /** World time at which this machine's monotonic clock shows `ms`. */
  worldTime(ms: number): number {
    return (ms - this.machine.startMs) / this.machine.rate
  }

  readonly clock: Clock = {
    now: () => this.machine.startMs + this.world.now * this.machine.rate,
    wall: () => 1_700_000_000_000 + this.world.now + this.machine.wallErrorMs,
    after: (delayMs, run) => {
      // what comes due while the host stands still runs late, unless something that runs before it cancels it
      let cancelled = false
      const timer = this.world.at(delayMs / this.machine.rate, () => this.enter(() => cancelled || run()))
      return {
        cancel: () => {
          cancelled = true
          timer.cancel()
        },
      }
    },
    every: (periodMs, run) => {
      let timer: Timer
      const again = () => {
        timer = this.clock.after(periodMs, () => {
          again()
          run()
        })
      }
      again()
      return { cancel: () => timer.cancel() }
    },
    soon: (run) => void this.world.at(0, () => this.enter(run)),
  }

  /** Runs `run` on this host: not at all when it is dead, later when it is paused. Networks and disks deliver through this. */
  enter(run: () => void): void {
    const { now, prng } = this.world
    if (this.alive && (this.#slowMs > 0 || this.#busyUntil > now)) {
      this.#busyUntil = Math.max(this.#busyUntil, now) + this.#slowMs * prng.float()
      this.world.at(this.#busyUntil - now, () => this.#turn(run))
    } else this.#turn(run)
  }

  #turn(run: () => void): void {
    if (!this.alive) return
    if (this.paused) this.#held.push(run)
    else run()
  }

  /** From now on everything that its main thread does takes up to `ms`; 0: nothing does, once it has done what waits. */
  slowDown(ms: number): void {
    this.#slowMs = ms
    this.world.trace(`${this.name} takes ${ms} ms for everything`)
  }

  /** It has ended, and the fate of all that it had under way is decided. */
  get gone(): boolean {
    return !this.alive && this.writesUnderWay === 0 && this.#threads.every((thread) => thread.gone)
  }

  /** Its system knows it no more: its last system call has ended, too. */
  get processGone(): boolean {
    return this.hasOrphans ? !this.alive : this.gone
  }

  /** Its machine has lost power: nothing of it is under way any more. */
  forgetWrites(): void {
    this.writesUnderWay = 0
    for (const thread of this.#threads) thread.forgetWrites()
  }

  get threads(): readonly SimHost[] {
    return this.#threads
  }

  /** A thread beside the main one, with a clock of its own. */
  thread(): SimHost {
    const thread = new SimHost(this.world, this.name, this.machine, this.hasOrphans)
    this.#threads.push(thread)
    return thread
  }

  crash(): void {
    if (this.alive) this.crashedAt = this.world.now
    this.alive = false
    this.#held = []
    for (const thread of this.#threads) thread.crash()
    this.world.trace(`${this.name} crashes`)
  }

  /** The main thread stands still (a long collection of garbage, a slow call), or the whole process (SIGSTOP, a machine asleep). */
  pause(what: 'thread' | 'process' = 'process'): void {
    if (!this.paused) this.#pausedAt = this.world.now
    this.paused = true
    if (what === 'process') for (const thread of this.#threads) thread.pause()
    this.world.trace(`${this.name} stands still: ${what}`)
  }

  resume(): void {
    if (this.paused) this.stoodStill = { since: this.#pausedAt, until: this.world.now }
    this.paused = false
    for (const thread of this.#threads) thread.resume()
    if (this.alive) this.world.trace(`${this.name} goes on`)
    const held = this.#held
    this.#held = []
    for (const run of held) this.world.at(0, () => this.enter(run))
  }
}
