/** A host with locks as the record of watched clients keeps it: by which name and address, in which state, and how it is reached. */
import * as v from 'valibot'
import type { WatchedClient } from '../../metadata/index.ts'
import { clientName } from '../nlm/identity.ts'
import type { Host } from '../portmap/hosts.ts'

export type MonitoredHost = Host & {
  /** As it calls itself: bytes, as characters 0 … 255. */
  readonly name: string
  /** Its state number, as it last said; 0: not known. */
  readonly state: number
}

/** `facts` of a WatchedClient, as JSON. */
const facts = v.object({
  name: v.string(),
  transport: v.picklist(['tcp', 'udp']),
  localAddress: v.optional(v.string()),
})

export function recordOf({ name, address, state: signed, transport, localAddress }: MonitoredHost): WatchedClient {
  const state = recordedState(signed)
  return { name: clientName(address, name), address, state, facts: JSON.stringify({ name, transport, localAddress }) }
}

/** NSM's state numbers are signed, and a client may send any; those of records are not. */
export function recordedState(state: number): number {
  return state >>> 0
}

/** Undefined when it is none of ours. */
export function watchedHost({ address, state, facts: text }: WatchedClient): MonitoredHost | undefined {
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), facts), text)
  if (!parsed.success) return undefined
  const { name, transport, localAddress } = parsed.output
  return { name, address, state, transport, localAddress }
}
