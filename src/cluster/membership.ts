/**
 * Group membership: one node's end of agreeing on numbered views. A core without I/O: events in, effects out (R48–R53).
 *
 * Story. Every node tells every connected one how it stands (`alive`): its view, whom it reaches, whether its view is
 * broken. From that each derives alone who coordinates: the lowest slot that still belongs to the newest installed view. When
 * the view no longer fits (somebody is lost, came, leaves), the coordinator agrees with the others on the next:
 *
 *     coordinator                      member
 *     blocked; propose n  ──────────▶  promises to take part in nothing below n: blocked
 *                         ◀──────────  accept n      (or refuse: stale, busy, unconnected)
 *     all accepted:
 *     commit n            ──────────▶  installed n
 *     installed n
 *
 * A link lost between two members ends their view even when both live and are linked again at once, because messages may
 * have been lost with it (what only loses its connection goes on over another: session.ts). So a view is also a promise that nothing sent in it was lost between members that still have it.
 *
 * Invariants
 *  1. The number of the installed view only grows.
 *  2. A life promises each number at most once and installs only what it promised (or proposed). So two views of one number
 *     either are the same or have no life in common.
 *  3. A member never installs a view that does not contain it.
 *  4. A view is installed by anyone only after all its members promised it; from its promise until it installs, a member is
 *     blocked. So nobody is still active in an older view while another is active in this one, unless the older left it out.
 *  5. While a promise to a living, connected proposer stands, another proposer is refused, unless its view holds the first.
 *  6. A life left out of a view is never again in one with a life that installed that view: what it held has been given
 *     to others. It has to come back as a new life.
 *
 * What a death leaves at each step: before any accept, nothing. A proposer dead after accepts: its acceptors see the
 * link go down and go on from the view they have; its lowest living member proposes a higher number. Dead between
 * commits: some have the view and say so, the others go on from that one. A member dead after its accept: the view is
 * installed with it, found broken at once, and replaced.
 *
 * A node with no view (joining) looks for the peers it knows, at most joinPatienceMs long, then the lowest of those who all have no view
 * coordinates; where somebody has one, that one's coordinator takes the others in. When two views meet (a split that
 * healed, nodes that started apart), `encounter` says who yields: by restarting (`expelled`), or, when it is alone and has
 * served nobody, by joining the other.
 */

import { assert, unreachable } from '../base/assert.ts'
import { brokenRules } from '../base/broken-rules.ts'
import type { Slot, ViewId } from '../base/ids.ts'
import { type Life, sameLife } from '../base/life.ts'
import type { Timings } from '../base/timings.ts'
import { membersToPropose, objectionTo } from './coordination.ts'
import { formatLife, formatLives, includesLife, lifeOf } from './lives.ts'
import type { MembershipEffect, MembershipEvent } from './membership-events.ts'
import type { Accept, Alive, Commit, MembershipMessage, Propose, Refuse } from './membership-messages.ts'
import { encounter, nextViewId } from './membership-rules.ts'
import { type Peer, type PeerState, PeerTable } from './peer-table.ts'
import type { Member, View } from './view.ts'

type Proposal = {
  readonly number: ViewId
  readonly members: readonly Member[]
  readonly waiting: Set<Slot>
  readonly at: number
}
type Promised = {
  readonly number: ViewId
  readonly members: readonly Member[]
  readonly proposer: Life
  readonly at: number
}

export type MembershipOptions = {
  readonly self: Member
  /** Slots of the other nodes that are known. */
  readonly peers: readonly Slot[]
  /** Are these all, as far as anybody can say? Else a starting node always waits for others joinPatienceMs long. */
  readonly knowsAll: boolean
  readonly timings: Timings
}

export class Membership {
  readonly self: Member
  readonly #known: Set<Slot>
  readonly #knowsAll: boolean
  readonly #timings: Timings
  /** A lost connection that does not come back within this time counts as a failure, ms. */
  readonly #lostMs: number
  readonly #peers: PeerTable
  #installed: View | undefined
  #installedAt = 0
  #blocked = false
  #broken = false
  #served = false
  #leavingSince: number | undefined
  #over: 'expelled' | 'left' | undefined
  /** Highest number seen anywhere, and highest promised. */
  #highest: ViewId = 0
  #promisedNumber: ViewId = 0
  #proposal: Proposal | undefined
  #promised: Promised | undefined
  #retryAt = 0
  #startedAt: number | undefined
  #lastTick = 0
  #lastAlive = Number.NEGATIVE_INFINITY
  #effects: MembershipEffect[] = []

  constructor({ self, peers, knowsAll, timings }: MembershipOptions) {
    this.self = self
    this.#peers = new PeerTable(lifeOf(self))
    this.#known = new Set(peers)
    this.#knowsAll = knowsAll
    this.#timings = timings
    this.#lostMs = 2 * timings.heartbeatMs
  }

  get view(): View | undefined {
    return this.#installed
  }

  get phase(): 'joining' | 'blocked' | 'member' | 'expelled' | 'left' {
    return this.#over ?? (this.#blocked ? 'blocked' : this.#installed ? 'member' : 'joining')
  }

  /** Another node may come: a first view without it has to wait. */
  addPeer(slot: Slot): void {
    this.#known.add(slot)
  }

  /** This one has left for good: nobody waits for it. */
  removePeer(slot: Slot): void {
    this.#known.delete(slot)
  }

  /** Any frame is a sign of life; kept out of `step` because it happens for every message. */
  heard(slot: Slot, now: number): void {
    const peer = this.#peers.get(slot)
    if (peer) peer.heardAt = now
  }

  /** Takes one event at monotonic time `now`, ms; the caller carries out the effects in their order. */
  step(now: number, event: MembershipEvent): MembershipEffect[] {
    this.#startedAt ??= now
    if (!this.#over) {
      this.#take(now, event)
      this.#evaluate(now)
    }
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  #take(now: number, event: MembershipEvent): void {
    switch (event.type) {
      case 'up':
        this.#peerUp(now, event.member)
        return
      case 'down': {
        const peer = this.#peers.get(event.life.slot)
        if (peer && sameLife(peer.member, event.life) && peer.state === 'up') this.#peerLost(now, peer, 'lost')
        return
      }
      case 'unreachable': {
        const peer = this.#peers.get(event.slot)
        if (peer?.state === 'lost') this.#peerLost(now, peer, 'down')
        return
      }
      case 'message': {
        const peer = this.#peers.get(event.from)
        if (peer?.state === 'up') this.#message(now, peer, event.message)
        return
      }
      case 'tick':
        this.#tick(now)
        return
      case 'serving':
        this.#served = true
        this.#tellAll(now)
        return
      case 'leave':
        this.#leavingSince ??= now
        this.#tellAll(now)
        return
      default:
        unreachable(event)
    }
  }

  // ---- peers -------------------------------------------------------------------------------------------------------

  #peerUp(now: number, member: Member): void {
    const old = this.#peers.get(member.slot)
    if (old?.state === 'up') this.#peerLost(now, old, 'lost')
    this.#peers.connect(member, now)
    this.#send(member.slot, this.#alive())
  }

  #peerLost(now: number, peer: Peer, state: Exclude<PeerState, 'up'>): void {
    peer.state = state
    peer.since = now
    const { slot } = peer.member
    if (this.#proposal && includesLife(this.#proposal.members, peer.member)) this.#proposal = undefined
    if (this.#installed?.members.some((member) => member.slot === slot) && !brokenRules.lossEndsView) this.#endView()
    this.#tellAll(now)
  }

  /** The installed view cannot go on; the coordinator, told by `alive`, will replace it if it does not know already. */
  #endView(): void {
    if (this.#installed) this.#broken = true
    if (this.#blocked) return
    this.#blocked = true
    this.#effects.push({ type: 'blocked' })
  }

  // ---- messages ----------------------------------------------------------------------------------------------------

  #message(now: number, peer: Peer, message: MembershipMessage): void {
    switch (message.type) {
      case 'alive':
        peer.alive = message
        this.#highest = Math.max(this.#highest, message.highest)
        return
      case 'propose':
        this.#onPropose(now, peer, message)
        return
      case 'accept':
        this.#onAccept(now, peer, message)
        return
      case 'refuse':
        this.#onRefuse(now, message)
        return
      case 'commit':
        this.#onCommit(now, peer, message)
        return
      default:
        unreachable(message)
    }
  }

  #onPropose(now: number, peer: Peer, { number, members }: Propose): void {
    this.#highest = Math.max(this.#highest, number)
    const why = objectionTo(
      { number, members, proposer: peer.member },
      {
        peers: this.#peers,
        installed: this.#installed,
        promisedNumber: this.#promisedNumber,
        promisedTo: this.#promised?.proposer,
      },
    )
    if (why) {
      if (why === 'unconnected') this.#send(peer.member.slot, this.#alive())
      this.#send(peer.member.slot, { type: 'refuse', number, why, highest: this.#highest })
      return
    }
    this.#proposal = undefined
    this.#promise(number)
    this.#promised = { number, members, proposer: lifeOf(peer.member), at: now }
    this.#endView()
    this.#send(peer.member.slot, { type: 'accept', number })
  }

  #onAccept(now: number, peer: Peer, { number }: Accept): void {
    const proposal = this.#proposal
    if (proposal?.number !== number) return
    proposal.waiting.delete(peer.member.slot)
    if (proposal.waiting.size === 0 || brokenRules.allPromise) this.#commit(now, proposal)
  }

  #onRefuse(now: number, { number, why, highest }: Refuse): void {
    this.#highest = Math.max(this.#highest, highest)
    if (this.#proposal?.number !== number) return
    this.#proposal = undefined
    // the other proposer gets time to finish, or the connection to come; higher slots wait longer, so that two do not duel for ever
    if (why !== 'stale') this.#retryAt = now + (this.#timings.viewStepMs / 16) * (1 + (this.self.slot % 8))
  }

  #onCommit(now: number, peer: Peer, { number }: Commit): void {
    const promised = this.#promised
    if (promised?.number !== number || !sameLife(promised.proposer, peer.member)) return
    this.#install(now, { id: number, members: promised.members })
  }

  // ---- views -------------------------------------------------------------------------------------------------------

  #promise(number: ViewId): void {
    assert(number > this.#promisedNumber, `promise of ${number} after one of ${this.#promisedNumber}`)
    this.#promisedNumber = number
  }

  #propose(now: number, members: readonly Member[]): void {
    assert(includesLife(members, this.self), 'a proposal without its proposer')
    const number = nextViewId(Math.max(this.#highest, this.#promisedNumber), this.self.slot)
    this.#highest = number
    this.#promise(number)
    this.#promised = undefined
    this.#endView()
    const others = members.filter((member) => !this.#peers.isSelf(member))
    this.#proposal = { number, members, waiting: new Set(others.map((member) => member.slot)), at: now }
    for (const { slot } of others) this.#send(slot, { type: 'propose', number, members })
    if (others.length === 0) this.#commit(now, this.#proposal)
  }

  #commit(now: number, { number, members }: Proposal): void {
    // the commits go first: on each connection they then precede what is sent in the new view
    for (const { slot } of members) if (slot !== this.self.slot) this.#send(slot, { type: 'commit', number })
    this.#install(now, { id: number, members })
  }

  #install(now: number, view: View): void {
    assert(view.id > (this.#installed?.id ?? 0), `view ${view.id} after ${this.#installed?.id}`) // invariant 1
    assert(view.id === this.#promisedNumber, `view ${view.id} was not promised`) // invariant 2
    assert(
      includesLife(view.members, this.self),
      `view ${view.id} (${formatLives(view.members)}) without ${formatLife(this.self)}`,
    ) // 3
    assert(this.#blocked, `view ${view.id} installed without a pause before`) // invariant 4
    this.#installed = view
    this.#installedAt = now
    this.#proposal = undefined
    this.#promised = undefined
    this.#blocked = false
    this.#broken = false
    this.#effects.push({ type: 'installed', view })
    if (view.members.some((member) => !this.#peers.isSelf(member) && !this.#peers.up(member))) this.#endView()
    this.#tellAll(now)
  }

  // ---- decisions ---------------------------------------------------------------------------------------------------

  #evaluate(now: number): void {
    if (this.#over || this.#meetOthers(now) || this.#leave(now)) return
    const isPromised = this.#promised !== undefined && this.#peers.up(this.#promised.proposer) !== undefined
    if (this.#proposal || isPromised || now < this.#retryAt) return
    const { viewStepMs, joinPatienceMs } = this.#timings
    const members = membersToPropose({
      self: this.self,
      peers: this.#peers,
      expected: this.#knowsAll ? this.#known : undefined,
      installed: this.#installed,
      broken: this.#broken,
      leaving: this.#leavingSince !== undefined,
      isSettled: now - this.#installedAt > viewStepMs,
      isImpatient: now - (this.#startedAt as number) >= joinPatienceMs,
    })
    if (members) this.#propose(now, members)
  }

  /** Compares views with every connected peer; true when this life is over. */
  #meetOthers(now: number): boolean {
    for (const peer of this.#peers.in('up')) {
      if (!peer.alive) continue
      const { view, served } = peer.alive
      const verdict = encounter(
        { life: this.self, view: this.#installed, served: this.#served },
        { life: peer.member, view: view ?? undefined, served },
      )
      if (verdict === 'expelled' && this.#leavingSince !== undefined) {
        this.#finish({ type: 'left' })
        return true
      }
      if (verdict === 'expelled') {
        const reason = `view ${view?.id} (${formatLives(view?.members ?? [])}) of ${peer.member.name} is without this node, whose view is ${this.#installed?.id}`
        this.#finish({ type: 'expelled', reason })
        return true
      }
      if (verdict === 'dissolve') {
        this.#endView()
        this.#installed = undefined
        this.#broken = false
        this.#proposal = undefined
        this.#tellAll(now)
        return false
      }
    }
    return false
  }

  #leave(now: number): boolean {
    if (this.#leavingSince === undefined) return false
    const others = (this.#installed?.members ?? []).filter((life) => {
      const peer = this.#peers.up(life)
      return peer && !peer.alive?.leaving
    })
    if (others.length > 0 && now - this.#leavingSince < 3 * this.#timings.viewStepMs) return false
    this.#finish({ type: 'left' })
    return true
  }

  #finish(effect: { readonly type: 'left' } | { readonly type: 'expelled'; readonly reason: string }): void {
    this.#endView()
    this.#over = effect.type
    this.#proposal = undefined
    this.#promised = undefined
    this.#effects.push(effect)
  }

  // ---- time --------------------------------------------------------------------------------------------------------

  #tick(now: number): void {
    const { heartbeatMs, suspectMs, viewStepMs } = this.#timings
    // after a stall of our own, what others sent meanwhile is still waiting to be read: their silence proves nothing
    if (now - this.#lastTick > 2 * heartbeatMs) for (const peer of this.#peers.all()) peer.heardAt = now
    this.#lastTick = now
    for (const peer of this.#peers.all()) {
      if (peer.state === 'up' && now - peer.heardAt > suspectMs)
        this.#drop(now, peer, `silent for ${Math.round(now - peer.heardAt)} ms`)
      else if (peer.state === 'lost' && now - peer.since > this.#lostMs) this.#peerLost(now, peer, 'down')
    }
    const proposal = this.#proposal
    if (proposal && now - proposal.at > viewStepMs) {
      this.#proposal = undefined
      for (const slot of proposal.waiting) {
        const peer = this.#peers.get(slot)
        if (peer?.state === 'up') this.#drop(now, peer, `did not answer the proposal of view ${proposal.number}`)
      }
    }
    if (this.#promised && now - this.#promised.at > 2 * viewStepMs) {
      this.#promised = undefined
      this.#tellAll(now)
    }
    if (now - this.#lastAlive >= heartbeatMs) this.#tellAll(now)
  }

  #drop(now: number, peer: Peer, reason: string): void {
    this.#effects.push({ type: 'drop', slot: peer.member.slot, reason })
    this.#peerLost(now, peer, 'down')
  }

  // ---- sending -----------------------------------------------------------------------------------------------------

  #send(to: Slot, message: MembershipMessage): void {
    this.#effects.push({ type: 'send', to, message })
  }

  #tellAll(now: number): void {
    this.#lastAlive = now
    const alive = this.#alive()
    for (const { slot } of this.#peers.livesIn('up')) this.#send(slot, alive)
  }

  #alive(): Alive {
    return {
      type: 'alive',
      view: this.#installed ?? null,
      served: this.#served,
      broken: this.#broken,
      leaving: this.#leavingSince !== undefined,
      reach: this.#peers.livesIn('up'),
      lost: this.#peers.livesIn('lost'),
      highest: Math.max(this.#highest, this.#promisedNumber),
    }
  }
}
