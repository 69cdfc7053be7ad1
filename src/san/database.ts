/**
 * The membership database: what the matrix knows about itself independent of any node (SAN generation, LUN names,
 * filesystems, seals). Kept on the membership partition in two alternating copies; written only by the administrator.
 */
import type { Incarnation, Lsn, Slot } from '../base/ids.ts'

/** Where a dead incarnation's journal ended. A frame of it at or beyond `lsn` never counts, however valid. */
export type Seal = { readonly slot: Slot; readonly incarnation: Incarnation; readonly lsn: Lsn }

export type FilesystemRecord = {
  readonly name: string
  readonly uuid: string
  /** 32-bit number in file handles, derived from the uuid; never 0. */
  readonly fsid: number
  /** UUIDs of its LUNs; the position is the LUN index in block addresses. The first one carries journals and checkpoints. */
  readonly luns: readonly string[]
  /** Journals and checkpoint areas laid out: slots 0 … slots-1 may mount. */
  readonly slots: number
  /** Bytes of one slot's journal ring. */
  readonly journalBytes: number
  /** Bytes of one of the two halves of a slot's checkpoint area. */
  readonly checkpointBytes: number
  /** Blocks of one allocation group. */
  readonly groupBlocks: number
  /** By slot and incarnation, ascending; older ones are dropped once every kept checkpoint covers them. */
  readonly seals: readonly Seal[]
  /** Set when its recovery failed: nobody mounts it until an operator has looked. */
  readonly error?: string
}

export type MembershipDatabase = {
  readonly matrixUuid: string
  readonly matrixName: string
  /** SAN generation: raised by every write of the database. */
  readonly generation: number
  readonly luns: readonly { readonly uuid: string; readonly name: string; readonly size: number }[]
  readonly filesystems: readonly FilesystemRecord[]
}
