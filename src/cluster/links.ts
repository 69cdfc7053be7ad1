/**
 * A link to every other node, kept alive. A link is a session between two lives (session.ts) with one connection in use; both
 * ends dial. Nodes may have several networks: each has an address on every one, listed in the same order, the preferred first.
 *
 * Setting up, at both ends of a new connection (greeting.ts)
 *  1. Both say `hello`: matrix, protocol, timings, who they are, which session they have with each other. A hello that does not
 *     fit is answered by `refuse` with the reason, logged at both ends, and closed.
 *  2. The node of the lower slot decides: it takes the connection and sends `use`, numbered; or closes it, when the
 *     connection it has is fresh and well (both ends had dialled at once). When both still have one session, the connection
 *     carries on with it; else it begins a new one, which is a new link.
 *  3. The other follows: the highest-numbered `use` of a life counts.
 * A link to a newer life of the slot, or a newer one to the same life, replaces the old one. The older of two lives is
 * refused: a slot has one process.
 *
 * Losing a connection: when it closes, both ends dial on all networks at once; when it is silent for SILENT_HEARTBEATS, on all
 * others, and it stays in use until one of them has led to a new one. The link is still there meanwhile, and what is sent
 * waits. A connection on a network that is not preferred moves back:
 * its lower slot tries the better ones from time to time.
 *
 * Losing a link: the session is over when the peer has lost it, the connection is closed and nobody listens at the peer's
 * address (its process is gone, which is passed on as `unreachable`), too much waits for acknowledgement, or membership drops
 * the peer, as it does with one that was silent for suspectMs. Then both dial again, ever less often, for ever.
 *
 * Invariants
 *  1. At most one link per slot; `up` and `down` of a slot alternate, and frames arrive only between them, in order and
 *     without a gap.
 *  2. The incarnation of a slot's links never goes back.
 */
import { MatrixError } from '../base/errors.ts'
import type { Incarnation, Slot } from '../base/ids.ts'
import type { Connection, Listener } from '../platform/transport.ts'
import { frameKinds } from './frames.ts'
import { Greeting, type GreetingHost } from './greeting.ts'
import { decodeAck, type Hello, MESH_PROTOCOL, type Ourselves, objectionTo, type Use } from './hello.ts'
import { addressesOf, type KnownPeer, type Path, type PathOptions, PeerPaths } from './peer-paths.ts'
import { MAX_UNACKNOWLEDGED_BYTES, Session } from './session.ts'
import type { Member } from './view.ts'

/** A connection without a frame for so many heartbeats is silent, where there is another network: well before the peer is suspected. */
const SILENT_HEARTBEATS = 2
export type LinkEvents = {
  up(member: Member): void
  down(member: Member, reason: string): void
  unreachable(slot: Slot): void
  /** The frame is only valid during the call. */
  frame(from: Member, frame: Buffer): void
}

export type LinksOptions = PathOptions &
  Ourselves & {
    readonly peers: readonly KnownPeer[]
    readonly events: LinkEvents
  }

/** How the link to a slot is, for people; counted since this node started. */
export type LinkStatus = {
  /** Index of the network in use; undefined while the link is without a connection. */
  readonly network: number | undefined
  /** Connections that took over from another one, and frames that were sent again over them. */
  readonly moves: number
  readonly resent: number
}

type Link = {
  readonly member: Member
  readonly session: Session
  connection: Connection | undefined
  network: number
  useNumber: number
  /** When `connection` was taken, ms. */
  since: number
  /** Something has come since the last tick. */
  heard: boolean
  /** The tick before which something came last, ms. */
  heardAt: number
  /** `connection` is silent: other networks are tried. */
  silent: boolean
}

type PeerState = {
  readonly slot: Slot
  readonly name: string
  readonly paths: PeerPaths
  link: Link | undefined
  /** Highest incarnation ever linked. */
  incarnation: Incarnation
  moves: number
  resent: number
}

type Dialled = { readonly state: PeerState; readonly path: Path }

export class Links implements GreetingHost {
  readonly #options: LinksOptions
  readonly #states = new Map<Slot, PeerState>()
  /** Who was dialled; undefined of those who dialled us. */
  readonly #greetings = new Map<Greeting, Dialled | undefined>()
  readonly #listeners: Listener[] = []
  #useNumber = 0
  #lastTick: number
  #state: 'new' | 'running' | 'stopped' = 'new'

  constructor(options: LinksOptions) {
    this.#options = options
    this.#lastTick = options.clock.now()
    for (const peer of options.peers) this.addPeer(peer)
  }

  /** Listens on every network and begins to dial. Rejects with MatrixError 'in-use' or 'config'. */
  async start(): Promise<void> {
    const { self, transport } = this.#options
    for (const [network, address] of addressesOf(self).entries()) {
      this.#listeners.push(await transport.listen(address, (connection) => this.#greet(connection, network, undefined)))
    }
    this.#state = 'running'
    for (const { paths } of this.#states.values()) paths.start()
  }

  /** Closes everything, without another event. */
  async stop(): Promise<void> {
    this.#state = 'stopped'
    for (const greeting of this.#greetings.keys()) greeting.abandon('stopped')
    for (const state of this.#states.values()) {
      state.paths.stop()
      state.link?.connection?.close()
      state.link = undefined
    }
    await Promise.all(this.#listeners.map((listener) => listener.close()))
  }

  // ---- peers -------------------------------------------------------------------------------------------------------

  /** A node to be linked to. One that is known gets this address, unless it has it. */
  addPeer(peer: KnownPeer): void {
    const known = this.#states.get(peer.slot)
    if (known?.name === peer.name) {
      if (!known.paths.leadsTo(peer.address)) known.paths.lead(addressesOf(peer))
      return
    }
    this.removePeer(peer.slot)
    const { slot, name } = peer
    const { self } = this.#options
    const paths = new PeerPaths(peer, self.slot, this.#options, {
      use: (network) => this.#use(state, network),
      connected: (path, connection) => this.#greet(connection, path.network, { state, path }),
      refused: () => this.#gone(state),
    })
    const state: PeerState = { slot, name, paths, link: undefined, incarnation: 0, moves: 0, resent: 0 }
    this.#states.set(slot, state)
    if (this.#state === 'running') paths.start()
  }

  /** No longer dialled or accepted; a link to it goes `down`. */
  removePeer(slot: Slot): void {
    const state = this.#states.get(slot)
    if (!state) return
    this.#states.delete(slot)
    state.paths.stop()
    if (state.link) this.#unlink(state, 'no longer a node of the matrix')
  }

  /** What another connection to this peer would be good for. */
  #use({ slot, link }: PeerState, network: number): 'link' | 'return' | undefined {
    if (this.#state !== 'running') return undefined
    if (!link?.connection) return 'link'
    if (link.silent) return network === link.network ? undefined : 'link'
    return network < link.network && this.#options.self.slot < slot ? 'return' : undefined
  }

  /** Nobody listens at an address of the peer. While a connection is open, that says nothing of its process. */
  #gone(state: PeerState): void {
    if (state.link?.connection) return
    if (state.link) this.#unlink(state, 'its process is gone')
    this.#options.events.unreachable(state.slot)
  }

  // ---- what is linked ----------------------------------------------------------------------------------------------

  /** The life that the slot is linked to. */
  linked(slot: Slot): Member | undefined {
    return this.#states.get(slot)?.link?.member
  }

  status(slot: Slot): LinkStatus | undefined {
    const state = this.#states.get(slot)
    if (!state?.link) return undefined
    const { connection, network } = state.link
    return { network: connection && network, moves: state.moves, resent: state.resent }
  }

  /** The frame is kept until it is acknowledged, and must not change. False when there is no link: it is lost. */
  send(slot: Slot, frame: Uint8Array): boolean {
    const state = this.#states.get(slot)
    const link = state?.link
    if (!link) return false
    // not within the call: whoever sends does not expect its view to end here
    if (!link.session.send(frame)) {
      this.#options.clock.soon(() => {
        if (state.link === link)
          this.#unlink(state, `more than ${MAX_UNACKNOWLEDGED_BYTES} bytes wait to be acknowledged`)
      })
    }
    return true
  }

  /** Ends the link, if there is one; `down` follows, and dialling begins again. */
  drop(slot: Slot, reason: string): void {
    const state = this.#states.get(slot)
    if (state?.link) this.#unlink(state, reason)
  }

  /** To be called several times in a heartbeat: acknowledges, and notices silence. */
  tick(): void {
    const { clock, timings, log } = this.#options
    const now = clock.now()
    // after a stall of our own, what others sent meanwhile is still waiting to be read
    const hasStalled = now - this.#lastTick > timings.heartbeatMs
    this.#lastTick = now
    for (const state of this.#states.values()) {
      const { link } = state
      if (!link) continue
      link.session.acknowledge()
      if (link.heard || hasStalled) {
        link.heard = false
        link.heardAt = now
        link.silent = false
      } else if (
        !link.silent &&
        link.connection &&
        now - link.heardAt > SILENT_HEARTBEATS * timings.heartbeatMs &&
        state.paths.hasOther(link.network)
      ) {
        link.silent = true
        log.warn({ peer: state.name, network: link.network }, 'connection to peer is silent, trying other networks')
        state.paths.seek()
      }
    }
  }

  // ---- greetings ---------------------------------------------------------------------------------------------------

  #greet(connection: Connection, network: number, dialled: Dialled | undefined): void {
    const { clock, timings } = this.#options
    const hasDialled = dialled !== undefined
    const greeting = new Greeting(connection, network, { host: this, clock, timings, hasDialled })
    this.#greetings.set(greeting, dialled)
    greeting.begin()
  }

  hello(greeting: Greeting): Hello {
    const { self, matrixName, matrixUuid, timings } = this.#options
    const state = this.#greetings.get(greeting)?.state ?? this.#peerOf(greeting.theirs)
    return {
      protocol: MESH_PROTOCOL,
      matrixName,
      matrixUuid: matrixUuid ?? null,
      ioTimeoutMs: timings.ioTimeoutMs,
      member: self,
      session: state?.link?.session.number ?? null,
    }
  }

  objection(greeting: Greeting, hello: Hello): string | undefined {
    return objectionTo(hello, this.#options, this.#peerOf(hello), this.#greetings.get(greeting)?.state)
  }

  greeted(greeting: Greeting, { member, session: theirs }: Hello): void {
    const { self, clock, timings } = this.#options
    if (self.slot > member.slot) return // the other end decides
    const state = this.#states.get(member.slot) as PeerState
    const old = state.link?.member.incarnation === member.incarnation ? state.link : undefined
    if (old?.connection && !old.silent && clock.now() - old.since < timings.heartbeatMs) {
      greeting.abandon('linked already')
      return
    }
    const number = ++this.#useNumber
    if (old && old.session.number === theirs) {
      greeting.use({ number, session: theirs, received: old.session.received })
      this.#move(state, old, greeting, number) // where to go on, the first ack tells
    } else {
      greeting.use({ number, session: number, received: 0 })
      this.#link(state, member, greeting, number)
    }
  }

  used(greeting: Greeting, { member }: Hello, { number, session, received }: Use): void {
    const { self } = this.#options
    if (self.slot < member.slot) throw new MatrixError('protocol', 'use from the higher slot')
    const state = this.#states.get(member.slot)
    const link = state?.link
    const isOld =
      !state ||
      (link && link.member.incarnation > member.incarnation) ||
      (link?.member.incarnation === member.incarnation && link.useNumber > number)
    if (isOld) greeting.abandon('an older connection')
    else if (session === number) {
      greeting.take()
      this.#link(state, member, greeting, number)
    } else if (link?.member.incarnation === member.incarnation && link.session.number === session) {
      greeting.take()
      this.#move(state, link, greeting, number)
      this.#carryOn(state, link, received)
    } else greeting.abandon('its session is over here')
  }

  ended(greeting: Greeting, reason: string, refusedBy: 'us' | 'peer' | undefined): void {
    const dialled = this.#greetings.get(greeting)
    this.#greetings.delete(greeting)
    const state = dialled?.state ?? this.#peerOf(greeting.theirs)
    const path = dialled?.path ?? state?.paths.first
    const words = refusedBy === 'peer' ? `refused by the peer: ${reason}` : reason
    if (refusedBy && path?.trouble !== words) {
      const what = refusedBy === 'us' ? 'peer refused' : 'refused by the peer'
      this.#options.log.warn({ peer: state?.name, reason }, what)
      if (path) path.trouble = words
    }
    if (dialled) dialled.state.paths.failed(dialled.path, words)
    else if (path) state?.paths.trouble(path, words)
  }

  #peerOf(hello: Hello | undefined): PeerState | undefined {
    return hello && this.#states.get(hello.member.slot)
  }

  // ---- links -------------------------------------------------------------------------------------------------------

  /** A new session over a new connection. */
  #link(state: PeerState, member: Member, greeting: Greeting, useNumber: number): void {
    const { events, log, clock } = this.#options
    const old = state.link
    const link: Link = {
      member,
      session: new Session(useNumber),
      connection: undefined,
      network: greeting.network,
      useNumber,
      since: clock.now(),
      heard: true,
      heardAt: clock.now(),
      silent: false,
    }
    state.link = link
    if (old) {
      this.#release(old)
      log.info({ peer: old.member.name, incarnation: old.member.incarnation }, 'link to peer replaced by a newer one')
      events.down(old.member, 'replaced by a newer link')
    }
    state.incarnation = member.incarnation
    this.#attach(state, link, greeting, useNumber)
    link.session.carryOn(greeting.connection, 0, false)
    state.paths.lead(addressesOf(member))
    const { slot, incarnation } = member
    log.info({ peer: member.name, slot, incarnation, network: link.network }, 'linked to peer')
    events.up(member)
  }

  /** Another connection takes over; frames wait until it is known where to go on. */
  #move(state: PeerState, link: Link, greeting: Greeting, useNumber: number): void {
    this.#release(link)
    link.session.pause()
    state.moves++
    this.#attach(state, link, greeting, useNumber)
  }

  #carryOn(state: PeerState, link: Link, received: number): void {
    // the lower slot has told in its `use` what it has, the higher tells now
    const tells = this.#options.self.slot > state.slot
    try {
      const resent = link.session.carryOn(link.connection as Connection, received, tells)
      state.resent += resent
      this.#options.log.info({ peer: state.name, network: link.network, resent }, 'link to peer has a new connection')
    } catch (error) {
      if (!(error instanceof MatrixError)) throw error
      this.#unlink(state, error.message)
    }
  }

  #attach(state: PeerState, link: Link, greeting: Greeting, useNumber: number): void {
    const { clock } = this.#options
    const { connection, network } = greeting
    const dialled = this.#greetings.get(greeting)
    if (dialled) dialled.path.dialing = false
    this.#greetings.delete(greeting)
    Object.assign(link, { connection, network, useNumber, since: clock.now(), heard: true, silent: false })
    connection.onFrame = (frame) => {
      if (link.connection === connection && state.link === link) this.#frame(state, link, frame)
    }
    connection.onClose = (reason) => {
      if (link.connection === connection && state.link === link) this.#lost(state, link, reason)
    }
    state.paths.linked()
  }

  /** Takes the connection from a link; nothing more of it is heeded. */
  #release(link: Link): void {
    const { connection } = link
    link.connection = undefined
    connection?.close()
  }

  #frame(state: PeerState, link: Link, frame: Buffer): void {
    link.heard = true
    if (frame[0] !== frameKinds.ack) {
      link.session.take(frame.length)
      this.#options.events.frame(link.member, frame)
      return
    }
    try {
      const received = decodeAck(frame)
      if (link.session.isCarried) link.session.acknowledged(received)
      else this.#carryOn(state, link, received)
    } catch (error) {
      if (!(error instanceof MatrixError)) throw error
      this.#unlink(state, error.message)
    }
  }

  /** The connection is closed, the session goes on if another can be had. */
  #lost(state: PeerState, link: Link, reason: string): void {
    this.#options.log.info({ peer: state.name, network: link.network, reason }, 'connection to peer lost')
    this.#release(link)
    link.session.pause()
    state.paths.seek()
  }

  #unlink(state: PeerState, reason: string): void {
    const link = state.link as Link
    state.link = undefined
    this.#release(link)
    const { member } = link
    this.#options.log.info({ peer: member.name, incarnation: member.incarnation, reason }, 'link to peer lost')
    this.#options.events.down(member, reason)
    state.paths.seek()
  }
}
