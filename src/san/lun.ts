/**
 * A LUN as everything above sees it. Drivers (`drivers/file.ts`, the simulator's, later block and iSCSI) implement it; a
 * node never uses a driver directly but through its `PseudoStorageDriver` (psd.ts), which has the same shape.
 *
 * Failure: MatrixError 'lun-io' (the device said no), 'lun-reserved' (this node may not write there, or not any more), 'fenced' (the gate is closed), FsError never. A write that rejects
 * may have been applied in part: whole 512-byte sectors are old or new, nothing in between.
 */
import type { Reservations } from './reservations.ts'

/** Why a write happens: counters, faults and traces are told apart by it. */
export type WritePurpose =
  | 'label'
  | 'lease'
  | 'probe'
  | 'san-lock'
  | 'membership'
  | 'journal'
  | 'checkpoint'
  | 'data'
  | 'erase'

export type WriteOptions = {
  readonly purpose: WritePurpose
  /** Resolve only once the bytes are on stable storage (otherwise only `flush` promises that). */
  readonly durable?: boolean
}

/**
 * 'active': in use; 'ready': can be connected to; 'failed': could not be reached, or was lost; 'untried'.
 */
export type PathState = 'active' | 'ready' | 'failed' | 'untried'

/** One way to a LUN. */
export interface LunPath {
  /** For people: an address. */
  readonly name: string
  readonly state: PathState
  /** Why it has failed. */
  readonly reason: string | undefined
  /** In this state for so long, ms. */
  readonly forMs: number
}

export interface Lun {
  /** What the device calls itself (path, serial number): for messages, never for decisions. */
  readonly identity: string
  /** Bytes, as far as known. */
  readonly size: number
  /** Of this way to it; undefined where there are none. */
  readonly reservations?: Reservations
  /** How many bytes the device has by now; `size` follows. Left out when that never changes. Rejects with 'lun-io'. */
  measure?(): Promise<number>
  /** Fills `buffer` from byte `offset`. */
  read(offset: number, buffer: Buffer): Promise<void>
  /** Writes `buffers` one after another from byte `offset` (a multiple of 512, as is the total length). */
  write(offset: number, buffers: readonly Uint8Array[], options: WriteOptions): Promise<void>
  /** Every write that had resolved when this was called is on stable storage when it resolves. */
  flush(): Promise<void>
  /**
   * Writes `wanted` durably where `expected` is (both as long, whole sectors, `maxCompareBytes` at most), as one step at the device; 'differs' when something
   * else is there. It may have been written all the same, and overwritten by others since, when it rejects or 'differs': so `wanted` carries a mark
   * that nobody else writes and everybody keeps, and the caller looks for it before it decides anything.
   */
  compareAndWrite?(offset: number, expected: Buffer, wanted: Buffer): Promise<'written' | 'differs'>
  /** 0, or left out, where the device cannot compare. */
  readonly maxCompareBytes?: number
  /**
   * Gives the space of these bytes (whole sectors) back to the device. What is read there afterwards, until it is written, is anything. Rejects with
   * 'lun-io', over by then. Some targets let a fenced initiator do it: nothing for nodes, but for tools on LUNs that no node uses. Left out where the device cannot.
   */
  readonly discard?: ((offset: number, bytes: number) => Promise<void>) | undefined
  close(): Promise<void>
  /** Where there can be several. */
  readonly paths?: readonly LunPath[]
}
