/**
 * Where everything of matrixfs lies on a LUN (docs/formats/lun.md). All of it is in whole sectors of 4096 bytes, and whatever
 * is written in place has one writer: a late write of a dead node damages nobody else's sector.
 *
 *     0        boot sector, never touched
 *     4 KiB    label, copy A
 *     1 MiB    lease sectors, one per slot            (written by that slot only)
 *     1.25 MiB fence request sectors, one per slot    (written by that slot only)
 *     1.5 MiB  SAN lock sectors, one per slot         (written by that slot only)
 *     1.75 MiB probe sectors, one per slot            (written by that slot only)
 *     2 MiB    membership database, copy A
 *     2.5 MiB  membership database, copy B
 *     3 MiB    reserved, zero
 *     4 MiB    filesystem area, up to fsAreaEnd(size)
 *     the last whole sector: label, copy B
 */
import type { Slot } from '../base/ids.ts'
import { MAX_SLOTS, SECTOR_SIZE } from '../base/limits.ts'
import { KiB, MiB } from '../base/units.ts'

export const LABEL_A_OFFSET = SECTOR_SIZE
export const LEASE_OFFSET = 1 * MiB
export const FENCE_OFFSET = LEASE_OFFSET + MAX_SLOTS * SECTOR_SIZE
export const SAN_LOCK_OFFSET = FENCE_OFFSET + MAX_SLOTS * SECTOR_SIZE
export const PROBE_OFFSET = SAN_LOCK_OFFSET + MAX_SLOTS * SECTOR_SIZE
export const DATABASE_COPY_BYTES = 512 * KiB
export const DATABASE_A_OFFSET = 2 * MiB
export const DATABASE_B_OFFSET = DATABASE_A_OFFSET + DATABASE_COPY_BYTES
/** First byte that belongs to a filesystem. */
export const FS_AREA_OFFSET = 4 * MiB
/** Smallest LUN that may be labelled, bytes: below it journals and checkpoints leave no room for data. */
export const MIN_LUN_SIZE = 64 * MiB

/** End of the filesystem area of a LUN of `size` bytes: there the second label begins. */
export function fsAreaEnd(size: number): number {
  return Math.floor(size / SECTOR_SIZE) * SECTOR_SIZE - SECTOR_SIZE
}

/** Byte offset of the second copy of the label on a LUN of `size` bytes. */
export function labelBOffset(size: number): number {
  return fsAreaEnd(size)
}

export function leaseOffset(slot: Slot): number {
  return LEASE_OFFSET + slot * SECTOR_SIZE
}

export function sanLockOffset(slot: Slot): number {
  return SAN_LOCK_OFFSET + slot * SECTOR_SIZE
}

export function probeOffset(slot: Slot): number {
  return PROBE_OFFSET + slot * SECTOR_SIZE
}

export function fenceOffset(slot: Slot): number {
  return FENCE_OFFSET + slot * SECTOR_SIZE
}
