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
 * A connection lost between two members ends their view even when both live and reconnect at once, because messages may
 * have been lost with it. So a view is also a promise that nothing sent in it was lost between members that still have it.
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
 * connection close and go on from the view they have; its lowest living member proposes a higher number. Dead between
 * commits: some have the view and say so, the others go on from that one. A member dead after its accept: the view is
 * installed with it, found broken at once, and replaced.
 *
 * A node with no view (joining) looks for peers joinPatienceMs long, then the lowest of those who all have no view
 * coordinates; where somebody has one, that one's coordinator takes the others in. When two views meet (a split that
 * healed, nodes that started apart), `encounter` says who yields: by restarting (`expelled`), or, when it is alone and has
 * served nobody, by joining the other.
 */
import { assert, unreachable } from '../base/assert.ts'
import type { Slot, ViewId } from '../base/ids.ts'
import type { Timings } from '../base/timings.ts'
import { bySlot, formatLife, formatLives, includesLife, type Life, lifeOf, sameLife, sameLives } from './lives.ts'
import type { Accept, Alive, Commit, MembershipMessage, Propose, Refuse } from './membership-messages.ts'
import { encounter, fullyConnected, nextViewId } from './membership-rules.ts'
import type { Member, View } from './view.ts'

export type MembershipEvent =
  /** A connection to this life is ready; it replaces any earlier one of the slot. */
  | { readonly type: 'up'; readonly member: Member }
  | { readonly type: 'down'; readonly life: Life; readonly reason: string }
  /** Nobody answers at the peer's address: its process is gone. */
  | { readonly type: 'unreachable'; readonly slot: Slot }
  | { readonly type: 'message'; readonly from: Slot; readonly message: MembershipMessage }
  | { readonly type: 'tick' }
  /** The floors above begin to serve; before their first lock. */
  | { readonly type: 'serving' }
  | { readonly type: 'leave' }

export type MembershipEffect =
  | { readonly type: 'send'; readonly to: Slot; readonly message: MembershipMessage }
  | { readonly type: 'blocked' }
  | { readonly type: 'installed'; readonly view: View }
  /** Close the connection to this peer: it is silent or does not answer. */
  | { readonly type: 'drop'; readonly slot: Slot; readonly reason: string }
  | { readonly type: 'expelled'; readonly reason: string }
  | { readonly type: 'left' }

type Peer = {
  readonly member: Member
  /** lost: the connection closed a moment ago and may come back · down: it did not, or was silent. */
  state: 'up' | 'lost' | 'down'
  /** Time of the last change of `state`, ms. */
  since: number
  heardAt: number
  alive: Alive | undefined
}

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
  /** Slots of all other configured nodes. */
  readonly peers: readonly Slot[]
  readonly timings: Timings
}

export class Membership {
  readonly self: Member
  readonly #peerSlots: readonly Slot[]
  readonly #timings: Timings
  /** A lost connection that does not come back within this time counts as a failure, ms. */
  readonly #lostMs: number
  readonly #peers = new Map<Slot, Peer>()
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

  constructor({ self, peers, timings }: MembershipOptions) {
    this.self = self
    this.#peerSlots = peers
    this.#timings = timings
    this.#lostMs = 2 * timings.heartbeatMs
  }

  get view(): View | undefined {
    return this.#installed
  }

  get phase(): 'joining' | 'blocked' | 'member' | 'expelled' | 'left' {
    return this.#over ?? (this.#blocked ? 'blocked' : this.#installed ? 'member' : 'joining')
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
    const again = old && sameLife(old.member, member)
    if (old?.state === 'up') this.#peerLost(now, old, 'lost')
    this.#peers.set(member.slot, {
      member,
      state: 'up',
      since: now,
      heardAt: now,
      alive: again ? old.alive : undefined,
    })
    this.#send(member.slot, this.#alive())
  }

  #peerLost(now: number, peer: Peer, state: 'lost' | 'down'): void {
    peer.state = state
    peer.since = now
    const { slot } = peer.member
    if (this.#proposal && includesLife(this.#proposal.members, peer.member)) this.#proposal = undefined
    if (this.#installed?.members.some((member) => member.slot === slot)) this.#endView()
    this.#tellAll(now)
  }

  /** The installed view cannot go on; the coordinator, told by `alive`, will replace it if it does not know already. */
  #endView(): void {
    if (this.#installed) this.#broken = true
    if (this.#blocked) return
    this.#blocked = true
    this.#effects.push({ type: 'blocked' })
  }

  #up(life: Life): Peer | undefined {
    const peer = this.#peers.get(life.slot)
    return peer?.state === 'up' && sameLife(peer.member, life) ? peer : undefined
  }

  /** Does `one` say that it has a connection to `other`? */
  #reaches(one: Life, other: Life): boolean {
    if (sameLife(one, this.self)) return this.#up(other) !== undefined
    const peer = this.#up(one)
    return peer !== undefined && (sameLife(other, this.self) || includesLife(peer.alive?.reach ?? [], other))
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
    const why = this.#objection(peer, number, members)
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

  #objection(peer: Peer, number: ViewId, members: readonly Member[]): Refuse['why'] | undefined {
    if (number <= this.#promisedNumber) return 'stale'
    if (!includesLife(members, this.self) || !includesLife(members, peer.member)) return 'busy'
    const promised = this.#promised
    if (promised && !sameLife(promised.proposer, peer.member)) {
      if (this.#up(promised.proposer) && !includesLife(members, promised.proposer)) return 'busy' // invariant 5
    }
    const installed = this.#installed
    if (installed) {
      const newest = this.#newestView()
      const isOurs = (life: Life) => includesLife(installed.members, life) || includesLife(newest.members, life)
      const isNew = (life: Life) => this.#up(life)?.alive?.view === null
      if (!isOurs(peer.member) || members.some((member) => !isOurs(member) && !isNew(member))) return 'busy' // invariant 6
    }
    if (members.some((member) => !sameLife(member, this.self) && !this.#up(member))) return 'unconnected'
    return undefined
  }

  #onAccept(now: number, peer: Peer, { number }: Accept): void {
    const proposal = this.#proposal
    if (proposal?.number !== number) return
    proposal.waiting.delete(peer.member.slot)
    if (proposal.waiting.size === 0) this.#commit(now, proposal)
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
    const others = members.filter((member) => !sameLife(member, this.self))
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
    if (view.members.some((member) => !sameLife(member, this.self) && !this.#up(member))) this.#endView()
    this.#tellAll(now)
  }

  /** The newest view with this life in it that somebody connected has installed. */
  #newestView(): View {
    let newest = this.#installed as View
    for (const { state, alive } of this.#peers.values()) {
      const view = state === 'up' ? alive?.view : undefined
      if (view && view.id > newest.id && includesLife(view.members, this.self)) newest = view
    }
    return newest
  }

  // ---- decisions ---------------------------------------------------------------------------------------------------

  #evaluate(now: number): void {
    if (this.#over || this.#meetOthers(now) || this.#leave(now)) return
    const isPromised = this.#promised !== undefined && this.#up(this.#promised.proposer) !== undefined
    if (this.#proposal || isPromised || now < this.#retryAt) return
    if (this.#installed) this.#coordinate(now, this.#installed)
    else this.#join(now)
  }

  /** Compares views with every connected peer; true when this life is over. */
  #meetOthers(now: number): boolean {
    for (const peer of this.#peers.values()) {
      if (peer.state !== 'up' || !peer.alive) continue
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
    const others = (this.#installed?.members ?? []).filter(
      (member) => this.#up(member) && !this.#up(member)?.alive?.leaving,
    )
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

  /** Without a view: waits to be taken in by those who have one; among those who have none, the lowest slot begins. */
  #join(now: number): void {
    const up = [...this.#peers.values()].filter((peer) => peer.state === 'up')
    if (up.some((peer) => !peer.alive || peer.alive.view)) return
    const candidates = [this.self, ...up.filter((peer) => !peer.alive?.leaving).map((peer) => peer.member)].sort(bySlot)
    if (candidates[0] !== this.self) return
    const members = this.#connected(candidates, [])
    const isComplete = members.length === this.#peerSlots.length + 1
    if (isComplete || now - (this.#startedAt as number) >= this.#timings.joinPatienceMs) this.#propose(now, members)
  }

  /** With a view: when this node coordinates and the view no longer fits, proposes the next. */
  #coordinate(now: number, installed: View): void {
    const newest = this.#newestView()
    const isSelf = (life: Life) => sameLife(life, this.self)
    const aliveOf = (life: Life) => this.#up(life)?.alive
    const old = newest.members.filter((member) => isSelf(member) || this.#up(member))
    // who has not said yet that it has the view is believed for a step; later it has missed the commit and waits for another
    const isLate = now - this.#installedAt > this.#timings.viewStepMs
    const coordinator = old.find((life) =>
      isSelf(life) ? this.#leavingSince === undefined : !aliveOf(life)?.leaving && (aliveOf(life)?.view || !isLate),
    )
    if (!coordinator || !isSelf(coordinator)) return

    const joiners = [...this.#peers.values()]
      .filter(({ state, alive, member }) => state === 'up' && alive && !alive.view && !includesLife(old, member))
      .map((peer) => peer.member)
    const candidates = [...old, ...joiners].filter((life) => !aliveOf(life)?.leaving).sort(bySlot)
    if (this.#someoneMayComeBack(newest, candidates)) return

    const members = this.#connected(candidates, old)
    const isTrouble = members.some((life) => {
      const alive = aliveOf(life)
      if (!alive) return false
      return alive.view?.id === installed.id ? alive.broken : isLate
    })
    if (this.#broken || isTrouble || newest.id !== installed.id || !sameLives(members, installed.members))
      this.#propose(now, members)
  }

  /** A connection among the old view and the candidates closed a moment ago: a heartbeat or two decide whether it comes back. */
  #someoneMayComeBack(old: View, candidates: readonly Member[]): boolean {
    const isOurs = (life: Life) => includesLife(old.members, life)
    const lostHere = [...this.#peers.values()].some((peer) => peer.state === 'lost' && isOurs(peer.member))
    return (
      lostHere ||
      candidates.some(
        (life) => isOurs(life) && this.#up(life)?.alive?.lost.some((other) => isOurs(other) && this.#up(other)),
      )
    )
  }

  #connected(candidates: readonly Member[], old: readonly Life[]): Member[] {
    const connected = (one: Life, other: Life) => this.#reaches(one, other) && this.#reaches(other, one)
    return fullyConnected(candidates, { self: this.self, old, connected })
  }

  // ---- time --------------------------------------------------------------------------------------------------------

  #tick(now: number): void {
    const { heartbeatMs, suspectMs, viewStepMs } = this.#timings
    // after a stall of our own, what others sent meanwhile is still waiting to be read: their silence proves nothing
    if (now - this.#lastTick > 2 * heartbeatMs) for (const peer of this.#peers.values()) peer.heardAt = now
    this.#lastTick = now
    for (const peer of this.#peers.values()) {
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
    for (const peer of this.#peers.values()) if (peer.state === 'up') this.#send(peer.member.slot, alive)
  }

  #alive(): Alive {
    const lives = (state: Peer['state']) =>
      [...this.#peers.values()].filter((peer) => peer.state === state).map((peer) => lifeOf(peer.member))
    return {
      type: 'alive',
      view: this.#installed ?? null,
      served: this.#served,
      broken: this.#broken,
      leaving: this.#leavingSince !== undefined,
      reach: lives('up'),
      lost: lives('lost'),
      highest: Math.max(this.#highest, this.#promisedNumber),
    }
  }
}
