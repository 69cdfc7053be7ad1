/**
 * The two sectors that a slot writes on each membership partition: its lease, and whom it asks to die. A lease record fits into
 * 512 bytes, which every device writes atomically, so it is never torn. A long fence request may be: a torn one asks nothing,
 * and whoever wrote it has not been told yet that it stands.
 */

import { isMatrixError, MatrixError } from '../base/errors.ts'
import type { Incarnation, Slot } from '../base/ids.ts'
import { defineLayout, isUuid, type SealFormat, seal, unseal } from '../base/layout.ts'
import type { Life } from '../base/life.ts'
import { MAX_SLOTS, SECTOR_SIZE } from '../base/limits.ts'
import type { ProcessIdentity } from '../platform/files.ts'
import type { Log } from '../platform/log.ts'
import type { PeerAddress } from '../platform/transport.ts'

/**
 * `claiming`: written by a claim that is not sure yet. `joining`: claimed, not yet a member. `active`: in use. `clean`: given
 * back after all I/O of the incarnation had ended. A slot that was never used has no record at all.
 */
export type LeaseState = 'claiming' | 'joining' | 'active' | 'clean'

/** Codes on disk; zero is none. */
const stateCodes: Record<LeaseState, number> = { claiming: 1, joining: 2, active: 3, clean: 4 }
const statesByCode = new Map(Object.entries(stateCodes).map(([state, code]) => [code, state as LeaseState]))

export type LeaseSector = Life & {
  readonly nodeName: string
  readonly state: LeaseState
  /** Counts the writings of the sector by this incarnation: that it moves shows life. */
  readonly counter: number
  /** Base of all timings of this node; all nodes of a matrix must have the same. */
  readonly ioTimeoutMs: number
  readonly process: ProcessIdentity
  /** Where its mesh listens. */
  readonly address: PeerAddress
  readonly hostName: string
  /** Random per claim: tells two would-be owners apart, whatever else they have in common. */
  readonly nonce: string
}

export type FenceRequest = Life & { readonly victims: readonly Life[] }

export const leaseFormat: SealFormat = { magic: 'MxfsLeas', version: 1 }

export const leaseLayout = defineLayout([
  { name: 'slot', type: 'u8', meaning: 'whose sector this is; must match its place' },
  { name: 'state', type: 'u8', meaning: '1 claiming, 2 joining, 3 active, 4 clean' },
  { name: 'port', type: 'u16', meaning: 'TCP port of its mesh' },
  { name: 'ioTimeoutMs', type: 'u32', meaning: 'base of the timings, ms' },
  { name: 'incarnation', type: 'u53', meaning: 'counts the claims of the slot, from 1' },
  { name: 'counter', type: 'u53', meaning: 'counts the writings of this incarnation, from 1' },
  { name: 'startTime', type: 'u53', meaning: 'of the process, clock ticks since boot' },
  { name: 'pid', type: 'u32', meaning: 'of the process' },
  { name: 'reserved', type: 'reserved', size: 4, meaning: 'zero' },
  { name: 'nonce', type: 'uuid', meaning: 'random per claim' },
  { name: 'nodeName', type: 'utf8', size: 64, meaning: 'name of the node' },
  { name: 'bootId', type: 'utf8', size: 64, meaning: 'running boot (and pid namespace) of its host' },
  { name: 'hostName', type: 'utf8', size: 64, meaning: 'name of its host' },
  { name: 'host', type: 'utf8', size: 128, meaning: 'address of its mesh' },
])

export const fenceFormat: SealFormat = { magic: 'MxfsFenc', version: 1 }

export const fenceHeadLayout = defineLayout([
  { name: 'slot', type: 'u8', meaning: 'who asks; must match its place' },
  { name: 'count', type: 'u8', meaning: 'number of victims' },
  { name: 'reserved', type: 'reserved', size: 6, meaning: 'zero' },
  { name: 'incarnation', type: 'u53', meaning: 'of the one who asks' },
])

export const fenceVictimLayout = defineLayout([
  { name: 'slot', type: 'u32', meaning: 'of the victim' },
  { name: 'reserved', type: 'reserved', size: 4, meaning: 'zero' },
  { name: 'incarnation', type: 'u53', meaning: 'of the victim' },
])

export function encodeLease(sector: LeaseSector): Buffer {
  const { process, address, state, ...rest } = sector
  const body = leaseLayout.encode({ ...rest, ...process, ...address, state: stateCodes[state] })
  return seal(leaseFormat, body, SECTOR_SIZE)
}

/**
 * The lease record in a sector; undefined when it was never written. Rejects with MatrixError 'lun-damaged', or 'format-version'.
 */
export function decodeLease(slot: Slot, sector: Buffer): LeaseSector | undefined {
  const body = openSector(leaseFormat, leaseLayout.size, sector, `the lease sector of slot ${slot}`)
  if (!body) return undefined
  const record = leaseLayout.decode(body)
  const state = statesByCode.get(record.state)
  if (!state || record.slot !== slot || record.incarnation < 1 || !isUuid(record.nonce)) {
    throw new MatrixError('lun-damaged', `the lease sector of slot ${slot} holds an impossible record`)
  }
  const { bootId, pid, startTime, host, port, ...rest } = record
  return { ...rest, state, process: { bootId, pid, startTime }, address: { host, port } }
}

/** Which life wrote a record, and its how many-th it is. */
type Written = { readonly incarnation: Incarnation; readonly counter: number }

/** The records in several copies of one sector. Rejects with the first copy's fault when none holds a record and one is damaged; 'format-version' in any. */
export function decodeCopies<T>(copies: readonly Buffer[], decode: (copy: Buffer) => T | undefined): T[] {
  const records: T[] = []
  let fault: unknown
  for (const copy of copies) {
    try {
      const record = decode(copy)
      if (record) records.push(record)
    } catch (error) {
      if (!isMatrixError(error, 'lun-damaged')) throw error
      fault ??= error
    }
  }
  if (records.length === 0 && fault) throw fault
  return records
}

/** Order of copies of one slot's record, of whatever kind. */
export function newestFirst(a: Written, b: Written): number {
  return b.incarnation - a.incarnation || b.counter - a.counter
}

/** Slot's records in copies of the region of all lease sectors, the newest first; damaged copies are logged, and count as none. */
export function recordsOf(slot: Slot, regions: readonly Buffer[], log: Log): LeaseSector[] {
  return regions.flatMap((region) => tryDecodeLease(slot, sectorOf(slot, region), log) ?? []).sort(newestFirst)
}

/** Slot's part of a region with a sector per slot. */
export function sectorOf(slot: Slot, region: Buffer): Buffer {
  return region.subarray(slot * SECTOR_SIZE, (slot + 1) * SECTOR_SIZE)
}

function tryDecodeLease(slot: Slot, sector: Buffer, log: Log): LeaseSector | undefined {
  try {
    return decodeLease(slot, sector)
  } catch (error) {
    log.warn({ slot, error }, 'a lease sector cannot be read')
    return undefined
  }
}

export function encodeFenceRequest({ slot, incarnation, victims }: FenceRequest): Buffer {
  const body = Buffer.alloc(fenceHeadLayout.size + victims.length * fenceVictimLayout.size)
  fenceHeadLayout.encodeInto(body, 0, { slot, incarnation, count: victims.length })
  victims.forEach((victim, i) =>
    fenceVictimLayout.encodeInto(body, fenceHeadLayout.size + i * fenceVictimLayout.size, victim),
  )
  return seal(fenceFormat, body, SECTOR_SIZE)
}

/** As `decodeLease`, for a fence request sector. */
export function decodeFenceRequest(slot: Slot, sector: Buffer): FenceRequest | undefined {
  const body = openSector(fenceFormat, fenceHeadLayout.size, sector, `the fence request sector of slot ${slot}`)
  if (!body) return undefined
  const head = fenceHeadLayout.decode(body)
  const room = (body.length - fenceHeadLayout.size) / fenceVictimLayout.size
  if (head.slot !== slot || head.count > MAX_SLOTS || head.count > room) {
    throw new MatrixError('lun-damaged', `the fence request sector of slot ${slot} holds an impossible record`)
  }
  const victims = Array.from({ length: head.count }, (_, i) =>
    fenceVictimLayout.decode(body, fenceHeadLayout.size + i * fenceVictimLayout.size),
  )
  return { slot, incarnation: head.incarnation, victims }
}

/** The body of a sealed sector of at least `least` bytes; undefined when it was never written. Throws MatrixError 'lun-damaged', 'format-version'; `what` names it. */
export function openSector(format: SealFormat, least: number, sector: Buffer, what: string): Buffer | undefined {
  const found = unseal(format, sector)
  switch (found.kind) {
    case 'ok':
      if (found.body.length >= least) return found.body
      throw new MatrixError('lun-damaged', `${what} is damaged: it is too short`)
    case 'blank':
      return undefined
    case 'newer':
      throw new MatrixError(
        'format-version',
        `${what} was written by a newer matrixfs (version ${found.version}); upgrade this node`,
      )
    case 'other':
      throw new MatrixError('lun-damaged', `${what} holds something that is not ours`)
    case 'damaged':
      throw new MatrixError('lun-damaged', `${what} is damaged: ${found.why}`)
  }
}
