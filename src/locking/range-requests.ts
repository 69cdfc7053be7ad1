/** What makes a range, an owner, a client right: checked once, where requests come in. */
import { FsError } from '../base/errors.ts'
import type { Incarnation, Slot } from '../base/ids.ts'
import { type Life, sameLife } from '../base/life.ts'
import { type ByteRange, FLOCK_BYTE, RANGE_END, RANGE_OWNER_MAX, type RangeOwner } from './range-locks.ts'

/** Throws FsError EINVAL. */
export function checkRange({ start, end }: ByteRange): void {
  const isBytes = Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && end >= start
  if (!(isBytes && end <= RANGE_END) && !(start === FLOCK_BYTE.start && end === FLOCK_BYTE.end))
    throw new FsError('EINVAL', `bytes ${start} to ${end} are no range of 0 to ${RANGE_END}`)
}

/** Throws FsError EINVAL. `self`: the only life whose local clients may ask here. */
export function checkOwner({ client, owner }: RangeOwner, self: Life): void {
  for (const text of [client, owner]) {
    if (!text.isWellFormed() || Buffer.byteLength(text) > RANGE_OWNER_MAX)
      throw new FsError('EINVAL', `a client and its owners have names of at most ${RANGE_OWNER_MAX} bytes`)
  }
  const life = lifeOf(client)
  if (client.startsWith('@') && !(life && sameLife(life, self)))
    throw new FsError('EINVAL', `${client} is no client of slot ${self.slot}, incarnation ${self.incarnation}`)
}

/** `@3/17/name`: of slot 3 in its incarnation 17. */
export function localClientOf({ slot, incarnation }: Life, name: string): string {
  return `@${slot}/${incarnation}/${name}`
}

/** The life that a client ends with; undefined when it does not end with a node. */
export function lifeOf(client: string): Life | undefined {
  const parts = /^@(\d+)\/(\d+)\//.exec(client)
  return parts ? { slot: Number(parts[1]) as Slot, incarnation: Number(parts[2]) as Incarnation } : undefined
}
