/**
 * The probe sector of a slot, on every LUN: written by that slot's probe only (disk-probe.ts), and read by it again. The record fits
 * into 512 bytes, so it is never torn. It names the LUN, so that one that was put in another's place is not taken for it, and says what the label has as
 * its size: by that the second copy of the label is found when the first is damaged and the device has grown (label.ts).
 */
import type { Incarnation, Slot } from '../base/ids.ts'
import { defineLayout, type SealFormat, seal, unseal } from '../base/layout.ts'
import { SECTOR_SIZE } from '../base/limits.ts'

export const probeFormat: SealFormat = { magic: 'MxfsProb', version: 1 }

export const probeLayout = defineLayout([
  { name: 'slot', type: 'u8', meaning: 'whose sector this is; must match its place' },
  { name: 'reserved', type: 'reserved', size: 7, meaning: 'zero' },
  { name: 'incarnation', type: 'u53', meaning: 'of the writer' },
  { name: 'counter', type: 'u53', meaning: 'counts the writings of this incarnation, from 1' },
  { name: 'lunUuid', type: 'uuid', meaning: 'of the LUN that it was written to' },
  {
    name: 'labelledSize',
    type: 'u53',
    meaning: 'in the label of the LUN: tells where copy B of it is, should copy A be lost',
  },
])

export type ProbeRecord = {
  readonly slot: Slot
  readonly incarnation: Incarnation
  readonly counter: number
  readonly lunUuid: string
  readonly labelledSize: number
}

export function encodeProbe(record: ProbeRecord): Buffer {
  return seal(probeFormat, probeLayout.encode(record), SECTOR_SIZE)
}

/** Undefined when it holds no sound record: for a probe that is all the same. */
export function decodeProbe(sector: Buffer): ProbeRecord | undefined {
  const found = unseal(probeFormat, sector)
  return found.kind === 'ok' && found.body.length >= probeLayout.size ? probeLayout.decode(found.body) : undefined
}
