/**
 * MCS, as the floors above use it (R36): ordered messages between members of the current view, stamped with its number.
 * A message of an older view is dropped, one of a newer view waits until that view is installed here. Nothing is ever
 * delivered twice. Between `blocked` and `installed` nothing is delivered; what is sent then belongs to the old view and is lost.
 */
import { MatrixError } from '../base/errors.ts'
import type { Slot, ViewId } from '../base/ids.ts'
import type { View } from './view.ts'

/** Channels share the mesh; one handler each. */
export type Channel = 'lock' | 'recovery' | 'volume' | 'admin' | 'lun' | 'service' | 'report' | 'job'

export interface Mesh {
  readonly self: Slot
  /** The installed view; undefined before the first. */
  readonly view: View | undefined
  /** One-way and unacknowledged: lost only if the view ends or the peer dies. A message to oneself is delivered too (soon, not within the call). */
  send(to: Slot, channel: Channel, payload: Uint8Array): void
  /** The payload is only valid during the call unless copied. */
  onMessage(channel: Channel, handler: (from: Slot, payload: Buffer) => void): void
  /** Asks and waits for the answer (msgpack values); rejects with MatrixError 'view-changed' when the view ends first, 'timeout', or with the handler's error (its code and message). */
  request(to: Slot, channel: Channel, body: unknown, timeoutMs?: number): Promise<unknown>
  onRequest(channel: Channel, handler: (from: Slot, body: unknown) => unknown | Promise<unknown>): void
}

/** The installed view, which has to be that one: what was asked for in another one is not done. Throws MatrixError 'view-changed'. */
export function presentView({ view }: Pick<Mesh, 'view'>, viewId: ViewId): View {
  if (view?.id !== viewId) throw new MatrixError('view-changed', `this node is in view ${view?.id}, not ${viewId}`)
  return view
}
