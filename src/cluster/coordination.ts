/**
 * Who proposes the next view, and with whom; and what speaks against a proposal: what each node derives by itself from what
 * it knows. No state of its own. The invariants are those of membership.ts.
 *
 * With a view: the coordinator is the lowest slot of the newest installed view that is connected, has a view and does not
 * leave. It proposes when the view has ended or no longer holds just those who should be in it: its connected members and
 * the connected nodes without a view, as far as all of them are connected to each other.
 * Without one: who has a view takes the others in; where nobody has, the lowest slot begins, once all that are known are
 * there or the patience of joining is over.
 */

import { brokenRules } from '../base/broken-rules.ts'
import type { Slot, ViewId } from '../base/ids.ts'
import { type Life, sameLife } from '../base/life.ts'
import { bySlot, includesLife, sameLives } from './lives.ts'
import type { Refuse } from './membership-messages.ts'
import { fullyConnected } from './membership-rules.ts'
import type { PeerTable } from './peer-table.ts'
import type { Member, View } from './view.ts'

/** What a decision depends on. */
export type Situation = {
  readonly self: Member
  readonly peers: PeerTable
  /** Who has to be there for a first view that does not wait; undefined: who else there is, nobody can say. */
  readonly expected: ReadonlySet<Slot> | undefined
  readonly installed: View | undefined
  /** The installed view cannot go on. */
  readonly broken: boolean
  readonly leaving: boolean
  /** Every member has had time to install the view and say so. */
  readonly isSettled: boolean
  /** joinPatienceMs are over. */
  readonly isImpatient: boolean
}

/** The newest view with this life in it that this node or somebody connected has installed. */
export function newestView(installed: View, peers: PeerTable): View {
  let newest = installed
  for (const { alive } of peers.in('up')) {
    const view = alive?.view
    if (view && view.id > newest.id && includesLife(view.members, peers.self)) newest = view
  }
  return newest
}

/** Members of the view to propose now; undefined when there is nothing to propose, or it is for another to do so. */
export function membersToPropose(situation: Situation): readonly Member[] | undefined {
  return situation.installed ? nextView(situation, situation.installed) : firstView(situation)
}

function firstView({ self, peers, expected, isImpatient }: Situation): readonly Member[] | undefined {
  const up = peers.in('up')
  if (up.some((peer) => !peer.alive || peer.alive.view)) return undefined
  const candidates = [self, ...up.filter((peer) => !peer.alive?.leaving).map((peer) => peer.member)].sort(bySlot)
  if (candidates[0] !== self) return undefined
  const members = connectedAmong(candidates, [], peers)
  const isThere = (slot: Slot) => members.some((member) => member.slot === slot)
  return isImpatient || (expected && [...expected].every(isThere)) ? members : undefined
}

function nextView(situation: Situation, installed: View): readonly Member[] | undefined {
  const { peers, isSettled } = situation
  const newest = newestView(installed, peers)
  const old = newest.members.filter((life) => peers.isSelf(life) || peers.up(life))
  if (!coordinates(old, situation)) return undefined

  const joiners = peers.in('up').filter(({ alive, member }) => alive && !alive.view && !includesLife(old, member))
  const candidates = [...old, ...joiners.map((peer) => peer.member)]
    .filter((life) => !peers.aliveOf(life)?.leaving)
    .sort(bySlot)
  if (someoneMayComeBack(newest, candidates, peers)) return undefined

  const members = connectedAmong(candidates, old, peers)
  const isInTrouble = (life: Life) => {
    const alive = peers.aliveOf(life)
    if (!alive) return false
    return alive.view?.id === installed.id ? alive.broken : isSettled
  }
  const isFit = newest.id === installed.id && sameLives(members, installed.members) && !members.some(isInTrouble)
  return situation.broken || !isFit ? members : undefined
}

/** Is this node the lowest of `old` that can coordinate? */
function coordinates(old: readonly Member[], { peers, leaving, isSettled }: Situation): boolean {
  const coordinator = old.find((life) => {
    if (peers.isSelf(life)) return !leaving
    const alive = peers.aliveOf(life)
    // who has not said yet that it has the view is believed for a while; later it has missed the commit, and waits for another
    return !alive?.leaving && (alive?.view || !isSettled)
  })
  return coordinator !== undefined && peers.isSelf(coordinator)
}

/** A connection among the old view closed a moment ago: a heartbeat or two decide whether it comes back. */
function someoneMayComeBack(old: View, candidates: readonly Member[], peers: PeerTable): boolean {
  const isOld = (life: Life) => includesLife(old.members, life)
  if (peers.livesIn('lost').some(isOld)) return true
  return candidates
    .filter(isOld)
    .some((life) => peers.aliveOf(life)?.lost.some((other) => isOld(other) && peers.up(other)))
}

function connectedAmong(candidates: readonly Member[], old: readonly Life[], peers: PeerTable): Member[] {
  return fullyConnected(candidates, {
    self: peers.self,
    old,
    connected: (one, other) => peers.areConnected(one, other),
  })
}

export type Promises = {
  readonly peers: PeerTable
  readonly installed: View | undefined
  /** Highest number ever promised. */
  readonly promisedNumber: ViewId
  /** Proposer of the promise that stands. */
  readonly promisedTo: Life | undefined
}

/** Why this node must not promise to take part in the proposed view; undefined when it may. */
export function objectionTo(
  proposal: { readonly number: ViewId; readonly members: readonly Member[]; readonly proposer: Life },
  { peers, installed, promisedNumber, promisedTo }: Promises,
): Refuse['why'] | undefined {
  const { number, members, proposer } = proposal
  if (number <= promisedNumber && !brokenRules.promisesGrow) return 'stale' // invariant 2
  if (!includesLife(members, peers.self) || !includesLife(members, proposer)) return 'busy'
  const isOtherAlive = promisedTo !== undefined && !sameLife(promisedTo, proposer) && peers.up(promisedTo)
  if (isOtherAlive && !includesLife(members, promisedTo) && !brokenRules.promiseStands) return 'busy' // invariant 5
  if (installed) {
    const newest = newestView(installed, peers)
    const isOurs = (life: Life) => includesLife(installed.members, life) || includesLife(newest.members, life)
    const isNew = (life: Life) => peers.aliveOf(life)?.view === null
    if (!brokenRules.leftOutStaysOut && (!isOurs(proposer) || members.some((life) => !isOurs(life) && !isNew(life))))
      return 'busy' // invariant 6
  }
  if (members.some((life) => !peers.isSelf(life) && !peers.up(life))) return 'unconnected'
  return undefined
}
