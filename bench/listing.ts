/**
 * Whole listings by READDIRPLUS, page after page, of any server: cookies and verifiers are eight bytes of its own, handed back as they
 * came (ours are small numbers, others' are hashes).
 */
import { procedures } from '../src/gateway-nfs/v3/tables.ts'
import type { XdrReader } from '../src/gateway-nfs/xdr/reader.ts'
import { encodeWith, type NfsClient } from '../test/helpers/nfs-client.ts'

const NFS_PROGRAM = 100003
const KIB = 1024
/** From the end of the arguments back to the cookie: itself, the verifier, dircount and maxcount. */
const COOKIE_FROM_END = 24
const COOKIE_AND_VERIFIER = 16
const ATTRIBUTES_BYTES = 84

/** The arguments of each call of a whole listing, in order. */
export async function* listingPages(client: NfsClient, dir: Buffer): AsyncGenerator<Buffer> {
  const { number, args } = procedures.READDIRPLUS
  const first = { dir, cookie: 0, verifier: Buffer.alloc(8), nameBytes: 8 * KIB, replyBytes: 32 * KIB }
  for (let next: Buffer | undefined = encodeWith(args, first); next; ) {
    const current: Buffer = next
    yield current
    const reply = await client.rpc(NFS_PROGRAM, 3, number, current)
    if (reply.kind !== 'success') throw new Error('READDIRPLUS was refused')
    const place = placeAfter(reply.from)
    next = undefined
    if (!place) return
    next = Buffer.from(current)
    place.copy(next, next.length - COOKIE_FROM_END)
  }
}

/** Cookie and verifier with which to go on after this page (RFC 1813 3.3.17); undefined at the end. */
function placeAfter(from: XdrReader): Buffer | undefined {
  if (from.uint32() !== 0) throw new Error('READDIRPLUS failed')
  if (from.uint32() === 1) from.fixed(ATTRIBUTES_BYTES)
  const place = Buffer.alloc(COOKIE_AND_VERIFIER)
  Buffer.from(from.fixed(8)).copy(place, 8)
  while (from.uint32() === 1) {
    from.fixed(8)
    from.opaque(255)
    Buffer.from(from.fixed(8)).copy(place)
    if (from.uint32() === 1) from.fixed(ATTRIBUTES_BYTES)
    if (from.uint32() === 1) from.opaque(64)
  }
  return from.uint32() === 1 ? undefined : place
}
