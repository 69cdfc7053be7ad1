/** What goes into the membership core, and what it asks for. */

import type { Slot } from '../base/ids.ts'
import type { Life } from '../base/life.ts'
import type { MembershipMessage } from './membership-messages.ts'
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
