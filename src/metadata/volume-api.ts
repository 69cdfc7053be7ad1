/**
 * What the filesystem (fs/) needs of the journaled image, and what recovery and the node drive. `volume.ts` implements it:
 * image, own journal, peers' journals and checkpoints of one mounted filesystem on this node.
 */
import type { Lsn, Slot } from '../base/ids.ts'
import type { MaybePromise } from '../base/maybe-promise.ts'
import type { Vector } from '../base/vector.ts'
import type { FsLayout } from './fs-layout.ts'
import type { Image } from './image/image.ts'
import type { Mutation } from './image/mutation.ts'

export interface VolumeApi {
  readonly slot: Slot
  readonly image: Image
  /**
   * Validates and applies one transaction to the image and appends it to the collecting frame; all or nothing, synchronous. Own reads
   * see it at once. Durable once a later `afterDurable` callback ran. Throws FsError 'ENOSPC' when the journal has no room left for
   * anything but frees (nothing applied), MatrixError 'withdrawn'.
   */
  commit(mutations: readonly Mutation[]): void
  /** Runs `done` once everything committed so far is durable: within the call when it already is. Shares one flush with others. `done` gets an error when the node withdrew first. */
  afterDurable(done: (error?: Error) => void): void
  flush(): Promise<void>
  /** Own durable LSN and everything applied from peers: what an LVB may carry. */
  durableVector(): Vector
  /** Reads and applies peers' journals until the image covers `vector`. */
  applyTo(vector: Vector): Promise<void>
  /** True when the image covers `vector` already (fast path of `acquired`). */
  hasApplied(vector: Vector): boolean
  /** Waits, if need be, until the journal has room for ordinary transactions again; not for ever. Ask before a transaction that is no free. */
  room(): MaybePromise<void>
  /** An ordinary transaction would be taken now. */
  readonly hasRoom: boolean
  /** Allocation groups and where blocks lie. */
  readonly layout: FsLayout
  /** Create no inode beyond so many: a checkpoint must hold them all. */
  readonly maxFiles: number
}

export type JournalPosition = { readonly slot: Slot; readonly lsn: Lsn }
