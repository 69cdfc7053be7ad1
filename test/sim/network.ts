/**
 * The simulated network: `Transport`s between simulated machines, on the world's time line and from its seed.
 *
 * Fault model
 * - Every frame takes between `minDelayMs` and `maxDelayMs`, drawn per frame. Frames of one connection and direction keep
 *   their order and arrive once; frames of different connections overtake each other freely.
 * - A connection is as good as TCP and no better. A frame that is lost (`loss`, or sent into a cut) cannot be skipped: nothing
 *   after it arrives in that direction either, also when the cut has healed. Neither end is told; within `breakAfterMs` the
 *   connection breaks at both ends, as it does when retransmissions are given up.
 * - There may be several networks: an address `HOST` is on network 0, `HOST/1` on network 1 and so on, and a connection stays on
 *   the network of the address that was dialled.
 * - A cut is one-way or two-way between two machines, by name, on one network or on all. Opening a connection through one ends
 *   in 'timeout'.
 * - A process that dies (`crash(host, 'process')`) has its sockets closed by its system: peers are told after a delay, and new
 *   connections are refused. A machine that dies (`crash(host, 'machine')`, or `host.crash()` by itself) says nothing: its
 *   peers' connections stay open and silent until they break, and opening one times out.
 * - A connection may break in a way that its ends learn of at different times, with what was under way in it late
 *   (`loseConnection`); and an acceptor may have a connection whose dialer was never answered (`unanswered`).
 * - A paused machine takes frames when it goes on, in order; what it sent before is delivered.
 * - Who is on the network is authenticated: garbage and wrong secrets belong to the tests of the real transport.
 */
import { MatrixError } from '../../src/base/errors.ts'
import type { Prng } from '../../src/base/prng.ts'
import type { Connection, Listener, PeerAddress, Transport } from '../../src/platform/transport.ts'
import type { SimHost, SimWorld } from './world.ts'

export type SimNetworkOptions = {
  readonly minDelayMs?: number
  readonly maxDelayMs?: number
  /** Probability that a frame is lost, and its connection with it. */
  readonly loss?: number
  /** A connection with a lost frame breaks at the latest after this long, ms. */
  readonly breakAfterMs?: number
  /** Opening a connection to a machine that does not answer fails after this long, ms. */
  readonly connectTimeoutMs?: number
}

/** Who listened at an address last; `accept` is gone with the process. */
type Acceptor = { readonly host: SimHost; readonly accept: ((connection: Connection) => void) | undefined }

export class SimNetwork {
  readonly world: SimWorld
  minDelayMs: number
  maxDelayMs: number
  loss: number
  readonly #breakAfterMs: number
  readonly #connectTimeoutMs: number
  readonly #acceptors = new Map<string, Acceptor>()
  readonly #wires = new Set<Wire>()
  /** `source>target` of machines by name, followed by `/network` when it is cut on this one alone. */
  readonly #cuts = new Set<string>()
  #nextPort = 40_000
  /** Probability that the dialer of a connection is not told of it. */
  unanswered = 0
  unansweredDials = 0
  framesDelivered = 0
  framesLost = 0

  constructor(world: SimWorld, options: SimNetworkOptions = {}) {
    this.world = world
    this.minDelayMs = options.minDelayMs ?? 0.1
    this.maxDelayMs = options.maxDelayMs ?? 2
    this.loss = options.loss ?? 0
    this.#breakAfterMs = options.breakAfterMs ?? 20_000
    this.#connectTimeoutMs = options.connectTimeoutMs ?? 3_000
  }

  transport(host: SimHost): Transport {
    return {
      listen: (address, accept) => this.#listen(host, address, accept),
      connect: (address) => this.#connect(host, address),
    }
  }

  /** Frames from `source` to `target` vanish until healed; the other direction is not touched. On all networks, or on one. */
  cutOneWay(source: string, target: string, network?: number): void {
    this.world.trace(`cut ${cutOf(source, target, network)}`)
    this.#cuts.add(cutOf(source, target, network))
  }

  cut(one: string, other: string, network?: number): void {
    this.cutOneWay(one, other, network)
    this.cutOneWay(other, one, network)
  }

  /** Undoes a cut of just this kind: one of all networks is not healed on one. */
  healOneWay(source: string, target: string, network?: number): void {
    this.world.trace(`heal ${cutOf(source, target, network)}`)
    this.#cuts.delete(cutOf(source, target, network))
  }

  heal(one: string, other: string, network?: number): void {
    this.healOneWay(one, other, network)
    this.healOneWay(other, one, network)
  }

  healAll(): void {
    this.world.trace('heal all')
    this.#cuts.clear()
    this.loss = 0
  }

  isCut(source: string, target: string, network: number): boolean {
    return this.#cuts.has(cutOf(source, target, undefined)) || this.#cuts.has(cutOf(source, target, network))
  }

  /** Every connection on a network, or on all, breaks now at both ends: reset by something in between. */
  resetConnections(network?: number): void {
    this.world.trace(`reset ${network ?? 'all'}`)
    for (const wire of [...this.#wires]) if (network === undefined || wire.number === network) wire.reset()
  }

  /** Kills `host`, and lets its peers find out in the way that fits. */
  crash(host: SimHost, how: 'process' | 'machine'): void {
    host.crash()
    if (how === 'machine') return
    for (const [key, acceptor] of this.#acceptors)
      if (acceptor.host === host) this.#acceptors.set(key, { host, accept: undefined })
    for (const wire of [...this.#wires]) wire.hostDied(host)
  }

  #listen(host: SimHost, address: PeerAddress, accept: (connection: Connection) => void): Promise<Listener> {
    const port = address.port || this.#nextPort++
    const key = `${address.host}:${port}`
    const taken = this.#acceptors.get(key)
    if (taken?.accept && taken.host.alive) return Promise.reject(new MatrixError('in-use', `${key} is in use`))
    this.#acceptors.set(key, { host, accept })
    const close = async () => {
      if (this.#acceptors.get(key)?.host === host) this.#acceptors.set(key, { host, accept: undefined })
    }
    return Promise.resolve({ port, close })
  }

  #connect(from: SimHost, address: PeerAddress): Promise<Connection> {
    const key = `${address.host}:${address.port}`
    const network = networkOf(address)
    return new Promise((resolve, reject) => {
      const fail = (code: 'timeout' | 'peer-gone', delayMs: number) =>
        this.world.at(delayMs, () => from.enter(() => reject(new MatrixError(code, `${key}: ${code}`))))
      // the request travels there, and the answer back
      this.world.at(this.delay(), () => {
        const acceptor = this.#acceptors.get(key)
        if (!acceptor) return fail('peer-gone', this.delay())
        const { host: to, accept } = acceptor
        if (this.isCut(from.name, to.name, network) || this.isCut(to.name, from.name, network))
          return fail('timeout', this.#connectTimeoutMs)
        if (!accept) return fail('peer-gone', this.delay())
        if (!to.alive) return fail('timeout', this.#connectTimeoutMs)
        const wire = new Wire(this, network, [from, to], this.#breakAfterMs, () => this.#wires.delete(wire))
        this.#wires.add(wire)
        const answerMs = this.delay()
        wire.ends[1].holdUntil(this.world.now + answerMs) // nothing overtakes the answer
        if (this.unanswered > 0 && this.world.prng.chance(this.unanswered)) {
          this.unansweredDials++
          wire.breakLater()
          fail('timeout', this.#connectTimeoutMs)
        } else this.world.at(answerMs, () => from.enter(() => resolve(wire.ends[0])))
        to.enter(() => accept(wire.ends[1]))
      })
    })
  }

  /**
   * Some connection: what is sent in it from now on is `lateMs` late; one end loses it soon, the other `toldMs` later. False when there
   * is none.
   */
  loseConnection(prng: Prng, lateMs: number, toldMs: number): boolean {
    const wires = [...this.#wires].filter(({ ends }) => ends.every(({ host }) => host.alive))
    if (wires.length === 0) return false
    const { ends } = prng.pick(wires)
    this.world.trace(`a connection of ${ends.map(({ host }) => host.name).join(' and ')} is lost`)
    for (const end of ends) end.holdUntil(this.world.now + lateMs)
    const first = prng.below(2)
    const soonMs = Math.min(lateMs, prng.between(1, 30))
    ends.forEach((end, i) =>
      this.world.at(soonMs + (i === first ? 0 : toldMs), () => end.host.enter(() => end.closed('broken'))),
    )
    return true
  }

  delay(): number {
    return this.minDelayMs + this.world.prng.float() * (this.maxDelayMs - this.minDelayMs)
  }
}

/** Index of the network that an address is on. */
function networkOf({ host }: PeerAddress): number {
  return Number(host.split('/')[1] ?? 0)
}

function cutOf(source: string, target: string, network: number | undefined): string {
  return network === undefined ? `${source}>${target}` : `${source}>${target}/${network}`
}

/** One connection: two ends, each a `Connection`. */
class Wire {
  readonly ends: readonly [End, End]
  readonly network: SimNetwork
  /** Index of the network it is on. */
  readonly number: number
  readonly #breakAfterMs: number
  readonly #gone: () => void
  #breaking = false

  constructor(
    network: SimNetwork,
    number: number,
    [dialer, acceptor]: readonly [SimHost, SimHost],
    breakAfterMs: number,
    gone: () => void,
  ) {
    this.network = network
    this.number = number
    this.#breakAfterMs = breakAfterMs
    this.#gone = gone
    const near = new End(this, dialer)
    const far = new End(this, acceptor)
    near.peer = far
    far.peer = near
    this.ends = [near, far]
  }

  /** A frame was lost, or an end died without a word: the wire breaks some time later. */
  breakLater(): void {
    if (this.#breaking) return
    this.#breaking = true
    const afterMs = this.#breakAfterMs * (0.1 + 0.9 * this.network.world.prng.float())
    this.network.world.at(afterMs, () => this.reset())
  }

  reset(): void {
    for (const end of this.ends) end.host.enter(() => end.closed('broken'))
    this.#gone()
  }

  hostDied(host: SimHost): void {
    for (const end of this.ends) if (end.host === host) end.sayClosed()
  }
}

class End implements Connection {
  readonly host: SimHost
  readonly #wire: Wire
  peer!: End
  onFrame: (frame: Buffer) => void = () => {}
  onClose: (reason: string) => void = () => {}
  #isClosed = false
  #told = false
  /** Nothing arrives before what was sent earlier. */
  #lastArrival = 0
  #lossy = false

  constructor(wire: Wire, host: SimHost) {
    this.#wire = wire
    this.host = host
  }

  holdUntil(time: number): void {
    this.#lastArrival = Math.max(this.#lastArrival, time)
  }

  send(frame: Uint8Array): void {
    if (this.#isClosed || !this.host.alive) return
    const copy = Buffer.from(frame)
    this.#deliver((to) => {
      this.#wire.network.framesDelivered++
      if (!to.#isClosed) to.onFrame(copy)
    })
  }

  close(): void {
    if (this.#isClosed) return
    this.sayClosed()
    this.#wire.network.world.at(0, () => this.host.enter(() => this.closed('closed here')))
    this.#isClosed = true
  }

  /** Tells the other end, as the last thing on the stream. */
  sayClosed(): void {
    this.#deliver((to) => to.closed('closed by the peer'))
  }

  closed(reason: string): void {
    this.#isClosed = true
    if (this.#told) return
    this.#told = true
    this.onClose(reason)
  }

  #deliver(arrive: (to: End) => void): void {
    const { network } = this.#wire
    const to = this.peer
    if (
      this.#lossy ||
      network.isCut(this.host.name, to.host.name, this.#wire.number) ||
      !to.host.alive ||
      network.world.prng.chance(network.loss)
    ) {
      this.#lossy = true
      network.framesLost++
      this.#wire.breakLater()
      return
    }
    const at = Math.max(network.world.now + network.delay(), this.#lastArrival)
    this.#lastArrival = at
    network.world.at(at - network.world.now, () => to.host.enter(() => arrive(to)))
  }
}
