/** Byte ranges as NLM has them (offset, length; 0: to the end), and as the locks' table has them. */
import { type ByteRange, RANGE_END, type RangeLock } from '../../locking/index.ts'
import { holderIdentity } from './identity.ts'
import { Nlm4Failure } from './status.ts'
import { NLM4_FBIG, type NlmHolder } from './tables.ts'

/** What lies beyond RANGE_END is cut off: no file has bytes there. Throws Nlm4Failure when all of it does. */
export function rangeOf({ offset, length }: { readonly offset: bigint; readonly length: bigint }): ByteRange {
  const last = BigInt(RANGE_END)
  if (offset > last) throw new Nlm4Failure(NLM4_FBIG)
  const end = length === 0n || offset + length - 1n > last ? last : offset + length - 1n
  return { start: Number(offset), end: Number(end) }
}

export function holderOf(lock: RangeLock): NlmHolder {
  // what locks a whole open file (flock) has no bytes
  const { start, end } = lock.start > RANGE_END ? { start: 0, end: RANGE_END } : lock
  return {
    exclusive: lock.mode === 'exclusive',
    ...holderIdentity(lock),
    offset: BigInt(start),
    length: end === RANGE_END ? 0n : BigInt(end - start + 1),
  }
}
