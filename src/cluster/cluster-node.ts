/**
 * One node's part in the cluster: links, membership and messages wired together. What the floors above hold.
 *
 * Life: `start` → views come through the listeners → `markServing` before the first lock is taken → `leave` or `stop`. When
 * the others went on without this node, `onExpelled` is called once: it must stop and come back as a new incarnation.
 */
import { assert, unreachable } from '../base/assert.ts'
import { MatrixError } from '../base/errors.ts'
import type { Slot } from '../base/ids.ts'
import type { Clock, Timer } from '../platform/clock.ts'
import { encodeControl, frameKinds } from './frames.ts'
import { type LinkStatus, Links, type LinksOptions } from './links.ts'
import { lifeOf } from './lives.ts'
import { Membership } from './membership.ts'
import type { MembershipEvent } from './membership-events.ts'
import { decodeMembershipMessage, encodeBody } from './membership-messages.ts'
import type { Mesh } from './mesh.ts'
import { type ChannelCounters, MessageService } from './message-service.ts'
import type { KnownPeer } from './peer-paths.ts'
import type { Member, View, ViewListener } from './view.ts'

/** Ticks per heartbeat: time-outs are noticed this much finer than they are long. */
const TICKS_PER_HEARTBEAT = 4
/** A node without an active view says so this often, ms. */
const WAITING_LOG_MS = 10_000

export type ClusterNodeOptions = Omit<LinksOptions, 'events'> & {
  /** Are `peers` all other nodes? Else they are those that are known so far, and `addPeer` tells of more. Default: true. */
  readonly knowsAllPeers?: boolean
}

export type ClusterStatus = {
  readonly self: Member
  readonly phase: Membership['phase']
  readonly view: View | undefined
  readonly peers: readonly {
    readonly slot: Slot
    readonly name: string
    readonly linked: boolean
    readonly incarnation: number | undefined
    readonly link: LinkStatus | undefined
  }[]
  readonly channels: Readonly<Record<string, Readonly<ChannelCounters>>>
}

export class ClusterNode {
  readonly self: Member
  readonly mesh: Mesh
  /** The others went on without this node; set before `start`. Nothing is delivered any more. */
  onExpelled: (reason: string) => void = () => {}
  readonly #options: ClusterNodeOptions
  readonly #clock: Clock
  readonly #links: Links
  readonly #membership: Membership
  readonly #messages: MessageService
  readonly #listeners: ViewListener[] = []
  readonly #peers = new Map<Slot, KnownPeer>()
  readonly #events: MembershipEvent[] = []
  #stepping = false
  #ticker: Timer | undefined
  #state: 'new' | 'running' | 'stopped' = 'new'
  #waitingSince: number | undefined
  #left: (() => void)[] = []

  constructor(options: ClusterNodeOptions) {
    const { self, peers, timings, clock, log } = options
    const slots = [self.slot, ...peers.map((peer) => peer.slot)]
    const names = [self.name, ...peers.map((peer) => peer.name)]
    if (new Set(slots).size !== slots.length || new Set(names).size !== names.length) {
      throw new MatrixError(
        'config',
        `slots and names of nodes must differ: ${names.map((name, i) => `${name}=${slots[i]}`).join(', ')}`,
      )
    }
    this.self = self
    this.#options = options
    this.#clock = clock
    for (const peer of peers) this.#peers.set(peer.slot, peer)
    this.#membership = new Membership({
      self,
      peers: [...this.#peers.keys()],
      knowsAll: options.knowsAllPeers ?? true,
      timings,
    })
    this.#links = new Links({
      ...options,
      events: {
        up: (member) => this.#step({ type: 'up', member }),
        down: (member, reason) => this.#step({ type: 'down', life: lifeOf(member), reason }),
        unreachable: (slot) => this.#step({ type: 'unreachable', slot }),
        frame: (from, frame) => this.#frame(from, frame),
      },
    })
    this.#messages = new MessageService({
      self,
      clock,
      log,
      send: (to, frame) => this.#links.send(to, frame),
      drop: (slot, reason) => this.#links.drop(slot, reason),
    })
    this.mesh = this.#messages
  }

  /** Called for every view, in the order of adding; add before `start`. */
  addListener(listener: ViewListener): void {
    this.#listeners.push(listener)
  }

  /** Listens and looks for the others; views follow. Rejects with MatrixError 'in-use' or 'config'. */
  async start(): Promise<void> {
    assert(this.#state === 'new', 'a cluster node starts once')
    this.#state = 'running'
    this.#ticker = this.#clock.every(this.#options.timings.heartbeatMs / TICKS_PER_HEARTBEAT, () => this.#tick())
    try {
      await this.#links.start()
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  /** Another node of the matrix, or a new address of one that is known. It becomes a member once it is linked to all. */
  addPeer(peer: KnownPeer): void {
    if (peer.slot === this.self.slot || this.#state === 'stopped') return
    const { slot, name } = peer
    const former = this.#peers.get(slot)?.name
    if (former === undefined) this.#options.log.info({ peer: name, slot }, 'another node of the matrix is known')
    else if (former !== name)
      this.#options.log.warn({ peer: name, slot, former }, 'the node of a slot has another name')
    this.#peers.set(peer.slot, peer)
    this.#membership.addPeer(peer.slot)
    this.#links.addPeer(peer)
  }

  /** A node that has left for good is no longer looked for, and has to be added before it comes back. Nothing happens while it is linked. */
  removePeer(slot: Slot): void {
    if (this.#links.linked(slot) || !this.#peers.delete(slot)) return
    this.#membership.removePeer(slot)
    this.#links.removePeer(slot)
  }

  /** From now on this life has a state that must not be merged with another's: call before the first lock is taken. */
  markServing(): void {
    this.#step({ type: 'serving' })
  }

  /** Leaves cleanly: the others form a view without this node at once. Resolves when they have, or within a few seconds. */
  async leave(): Promise<void> {
    if (this.#state === 'running') {
      const left = new Promise<void>((resolve) => this.#left.push(resolve))
      this.#step({ type: 'leave' })
      await left
    }
    await this.stop()
  }

  /** Closes everything at once; the others find out. */
  async stop(): Promise<void> {
    if (this.#state === 'stopped') return
    this.#state = 'stopped'
    this.#ticker?.cancel()
    this.#messages.block()
    for (const resolve of this.#left.splice(0)) resolve()
    await this.#links.stop()
  }

  get phase(): ClusterStatus['phase'] {
    return this.#membership.phase
  }

  status(): ClusterStatus {
    const peers = [...this.#peers.values()].map(({ slot, name }) => {
      const linked = this.#links.linked(slot)
      const link = this.#links.status(slot)
      return { slot, name, linked: linked !== undefined, incarnation: linked?.incarnation, link }
    })
    return {
      self: this.self,
      phase: this.phase,
      view: this.#membership.view,
      peers,
      channels: this.#messages.counters(),
    }
  }

  #tick(): void {
    this.#links.tick()
    this.#step({ type: 'tick' })
    const { phase } = this.#membership
    const now = this.#clock.now()
    this.#waitingSince = phase === 'member' ? undefined : (this.#waitingSince ?? now)
    if (this.#waitingSince === undefined || now - this.#waitingSince < WAITING_LOG_MS) return
    this.#waitingSince = now
    const missing = [...this.#peers.values()].filter((peer) => !this.#links.linked(peer.slot)).map((peer) => peer.name)
    this.#options.log.warn(
      { phase, missing },
      'still without a view: a node is taken in when it is connected to every member',
    )
  }

  #frame(from: Member, frame: Buffer): void {
    if (this.#state !== 'running') return
    this.#membership.heard(from.slot, this.#clock.now())
    if ((frame[0] as number) >= frameKinds.message) {
      this.#messages.receive(from, frame)
      return
    }
    try {
      if (frame[0] !== frameKinds.membership) throw new MatrixError('protocol', `frame of kind ${frame[0]} on a link`)
      this.#step({ type: 'message', from: from.slot, message: decodeMembershipMessage(frame.subarray(1)) })
    } catch (error) {
      if (!(error instanceof MatrixError)) throw error
      this.#options.log.warn({ peer: from.name, reason: error.message }, 'malformed frame')
      this.#links.drop(from.slot, error.message)
    }
  }

  /** Events that effects cause (a dropped link, a listener that marks serving) are taken after those effects, in order. */
  #step(event: MembershipEvent): void {
    if (this.#state !== 'running') return
    this.#events.push(event)
    if (this.#stepping) return
    this.#stepping = true
    try {
      for (let next = this.#events.shift(); next; next = this.#events.shift()) {
        for (const effect of this.#membership.step(this.#clock.now(), next)) this.#carryOut(effect)
      }
    } finally {
      this.#stepping = false
    }
  }

  #carryOut(effect: ReturnType<Membership['step']>[number]): void {
    const { log } = this.#options
    switch (effect.type) {
      case 'send':
        this.#links.send(effect.to, encodeControl(frameKinds.membership, encodeBody(effect.message)))
        return
      case 'blocked':
        log.debug({ view: this.#messages.view?.id }, 'membership changes: messages blocked')
        this.#messages.block()
        for (const listener of this.#listeners) listener.blocked()
        return
      case 'installed': {
        const { view } = effect
        log.info(
          { view: view.id, members: view.members.map((member) => `${member.name}@${member.incarnation}`) },
          'view installed',
        )
        this.#messages.install(view)
        for (const listener of this.#listeners) listener.installed(view)
        this.#messages.deliverHeld()
        return
      }
      case 'drop':
        log.warn({ slot: effect.slot, reason: effect.reason }, 'peer suspected')
        this.#links.drop(effect.slot, effect.reason)
        return
      case 'expelled':
        log.error({ reason: effect.reason }, 'expelled: the others went on without this node')
        void this.stop()
        this.onExpelled(effect.reason)
        return
      case 'left':
        for (const resolve of this.#left.splice(0)) resolve()
        return
      default:
        unreachable(effect)
    }
  }
}
