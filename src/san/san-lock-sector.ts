/**
 * The SAN lock sector of a slot: its part in deciding who owns the SAN locks (san-lock.ts). Written by that slot only; the record fits into
 * 512 bytes, so it is never torn.
 */

import { MatrixError } from '../base/errors.ts'
import type { Incarnation, Slot } from '../base/ids.ts'
import { defineLayout, type SealFormat, seal } from '../base/layout.ts'
import type { Life } from '../base/life.ts'
import { SECTOR_SIZE } from '../base/limits.ts'
import { openSector } from './lease-sector.ts'

export const sanLockFormat: SealFormat = { magic: 'MxfsSlck', version: 1 }

export const sanLockLayout = defineLayout([
  { name: 'slot', type: 'u8', meaning: 'whose sector this is; must match its place' },
  { name: 'state', type: 'u8', meaning: '0 undecided, 1 decided, 2 released by its owner' },
  { name: 'reserved', type: 'reserved', size: 2, meaning: 'zero' },
  { name: 'ownerSlot', type: 'u32', meaning: 'accepted owner of the term' },
  { name: 'ownerIncarnation', type: 'u53', meaning: 'its incarnation; 0 while none is accepted' },
  { name: 'incarnation', type: 'u53', meaning: 'of the writer' },
  { name: 'counter', type: 'u53', meaning: 'counts the writings of this incarnation, from 1' },
  { name: 'term', type: 'u53', meaning: 'that the rest is about, from 1' },
  { name: 'promised', type: 'u53', meaning: 'no smaller ballot of the term is taken part in (mbal)' },
  { name: 'accepted', type: 'u53', meaning: 'ballot in which the owner was accepted (bal); 0 while none is' },
])

/** What a slot says of one term. */
export type SanLockRecord = {
  readonly slot: Slot
  readonly incarnation: Incarnation
  readonly counter: number
  readonly term: number
  readonly promised: number
  readonly accepted: number
  /** Undefined while none is accepted. */
  readonly owner: Life | undefined
  readonly state: 'undecided' | 'decided' | 'released'
}

const states = ['undecided', 'decided', 'released'] as const

export function encodeSanLock({ owner, state, ...rest }: SanLockRecord): Buffer {
  const body = sanLockLayout.encode({
    ...rest,
    ownerSlot: owner?.slot ?? 0,
    ownerIncarnation: owner?.incarnation ?? 0,
    state: states.indexOf(state),
  })
  return seal(sanLockFormat, body, SECTOR_SIZE)
}

/** Undefined when it was never written. Throws MatrixError 'lun-damaged' or 'format-version'. */
export function decodeSanLock(slot: Slot, sector: Buffer): SanLockRecord | undefined {
  const body = openSector(sanLockFormat, sanLockLayout.size, sector, `the SAN lock sector of slot ${slot}`)
  if (!body) return undefined
  const { ownerSlot, ownerIncarnation, state, ...rest } = sanLockLayout.decode(body)
  const name = states[state]
  if (rest.slot !== slot || name === undefined || rest.incarnation < 1) throw impossible(slot)
  const owner = ownerIncarnation === 0 ? undefined : { slot: ownerSlot, incarnation: ownerIncarnation }
  if ((owner === undefined) !== (rest.accepted === 0) || (name !== 'undecided' && !owner)) throw impossible(slot)
  return { ...rest, owner, state: name }
}

function impossible(slot: Slot): MatrixError {
  return new MatrixError('lun-damaged', `the SAN lock sector of slot ${slot} holds an impossible record`)
}
