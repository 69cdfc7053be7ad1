/** Agreed membership: numbered views, as every other floor sees them (Figs 7A 700–716). */
import type { Incarnation, Slot, ViewId } from '../base/ids.ts'
import type { PeerAddress } from '../platform/transport.ts'

/** One life of one node. */
export type Member = {
  readonly slot: Slot
  readonly name: string
  readonly incarnation: Incarnation
  /** Where its mesh listens, on the network that is preferred. */
  readonly address: PeerAddress
  /** Where else, on further networks, the preferred one first. */
  readonly otherAddresses?: readonly PeerAddress[]
}

export type View = {
  readonly id: ViewId
  /** Ascending by slot. */
  readonly members: readonly Member[]
}

/** The coordinator follows from the view alone: its lowest slot (R89). */
export function coordinatorOf(view: View): Slot {
  return (view.members[0] as Member).slot
}

export function memberIn(view: View, slot: Slot): Member | undefined {
  return view.members.find((member) => member.slot === slot)
}

/** The floors above register these; called in this order for every change, also before the first view. All synchronous: they start work, not wait. */
export interface ViewListener {
  /** A change has begun: nothing of the old view is delivered any more; stop granting (R52, R53). */
  blocked(): void
  /** `view` is agreed by all its members and installed here; messages sent from now on carry its number. */
  installed(view: View): void
}
