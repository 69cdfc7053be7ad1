/** What one node knows of each of the others: the last life it was connected to, the state of that connection, its last words. */

import type { Slot } from '../base/ids.ts'
import { type Life, sameLife } from '../base/life.ts'
import { includesLife, lifeOf } from './lives.ts'
import type { Alive } from './membership-messages.ts'
import type { Member } from './view.ts'

/** lost: the connection closed a moment ago and may come back · down: it did not, or was silent. */
export type PeerState = 'up' | 'lost' | 'down'

export type Peer = {
  readonly member: Member
  state: PeerState
  /** Time of the last change of `state`, ms. */
  since: number
  /** Time of the last frame, ms. */
  heardAt: number
  /** Kept while the same life reconnects; undefined until a life has spoken. */
  alive: Alive | undefined
}

export class PeerTable {
  readonly self: Life
  readonly #peers = new Map<Slot, Peer>()

  constructor(self: Life) {
    this.self = self
  }

  get(slot: Slot): Peer | undefined {
    return this.#peers.get(slot)
  }

  /** Whoever was ever connected; in a copy, so that states may change within a loop. */
  all(): Peer[] {
    return [...this.#peers.values()]
  }

  in(state: PeerState): Peer[] {
    return this.all().filter((peer) => peer.state === state)
  }

  livesIn(state: PeerState): Life[] {
    return this.in(state).map((peer) => lifeOf(peer.member))
  }

  /** A connection to `member` is ready. */
  connect(member: Member, now: number): void {
    const old = this.#peers.get(member.slot)
    const alive = old && sameLife(old.member, member) ? old.alive : undefined
    this.#peers.set(member.slot, { member, state: 'up', since: now, heardAt: now, alive })
  }

  /** The peer that is connected as just this life. */
  up(life: Life): Peer | undefined {
    const peer = this.#peers.get(life.slot)
    return peer?.state === 'up' && sameLife(peer.member, life) ? peer : undefined
  }

  /** Last words of a connected life. */
  aliveOf(life: Life): Alive | undefined {
    return this.up(life)?.alive
  }

  isSelf(life: Life): boolean {
    return sameLife(life, this.self)
  }

  /** Both say that they are connected to each other, as far as this node has heard. */
  areConnected(one: Life, other: Life): boolean {
    return this.#reaches(one, other) && this.#reaches(other, one)
  }

  #reaches(one: Life, other: Life): boolean {
    if (this.isSelf(one)) return this.up(other) !== undefined
    const peer = this.up(one)
    return peer !== undefined && (this.isSelf(other) || includesLife(peer.alive?.reach ?? [], other))
  }
}
