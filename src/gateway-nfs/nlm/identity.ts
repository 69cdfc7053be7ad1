/**
 * Who holds a lock. NLM tells of a lock's owner by three things: the caller's name (of the host), a process id (svid), and an owner handle
 * that the host's lock manager has made up. None of them proves anything, so the address is part of who a client is:
 *
 *     client  nfs:ADDRESS/CALLER_NAME     owner  SVID/OWNER_HANDLE
 *
 * A host that uses somebody else's name is another client, and frees and takes nothing of that one's. In return a host whose address changes while
 * it holds locks is another client afterwards; and hosts behind one address (NAT) have to differ in their names.
 */
import { RANGE_OWNER_MAX, type RangeLock, type RangeOwner } from '../../locking/index.ts'
import { Nlm4Failure } from './status.ts'
import { NLM4_DENIED_NOLOCKS } from './tables.ts'

const PREFIX = 'nfs:'

export function clientName(address: string, callerName: string): string {
  return `${PREFIX}${address}/${callerName}`
}

/** Throws Nlm4Failure when the names are longer than the locks' table takes. */
export function ownerOf(address: string, callerName: string, svid: number, ownerHandle: Buffer): RangeOwner {
  const client = clientName(address, callerName)
  const owner = `${svid}/${ownerHandle.toString('latin1')}`
  if (Buffer.byteLength(client) > RANGE_OWNER_MAX || Buffer.byteLength(owner) > RANGE_OWNER_MAX)
    throw new Nlm4Failure(NLM4_DENIED_NOLOCKS)
  return { client, owner }
}

/** What a holder's host knows it by; of one that is no NFS client, what there is. */
export function holderIdentity({ client, owner }: RangeLock): { readonly svid: number; readonly ownerHandle: Buffer } {
  const known = client.startsWith(PREFIX) ? /^(-?\d+)\/([\s\S]*)$/.exec(owner) : null
  if (!known) return { svid: 0, ownerHandle: Buffer.from(owner).subarray(0, OTHER_HANDLE_BYTES) }
  return { svid: Number(known[1]), ownerHandle: Buffer.from(known[2] as string, 'latin1') }
}

const OTHER_HANDLE_BYTES = 64

/** Whether two host names are one: a host may tell of itself with or without its domain. */
export function sameHostName(one: string, other: string): boolean {
  if (one.toLowerCase() === other.toLowerCase()) return true
  const [short, long] = one.length < other.length ? [one, other] : [other, one]
  return short !== '' && !short.includes('.') && long.toLowerCase().startsWith(`${short.toLowerCase()}.`)
}
