/**
 * The LUNs of one filesystem as this node uses them: as the membership database has it, and as the administrator has told since
 * (lun-change.ts, docs/decisions/0013-luns-of-filesystems.md).
 *
 * Invariants
 *   1. What this node has acknowledged it goes by, before it knows whether that is finished.
 *   2. Space is added only of what is finished, or was by the last change that this node knows to be finished: the rest may be taken back.
 */
import { isFsError, MatrixError } from '../base/errors.ts'
import type { DrainProgress, MatrixFilesystem } from '../metadata/index.ts'
import type { Clock, Log } from '../platform/index.ts'
import { type FilesystemRecord, filesystemAfter, type Lun, type PlaceChange } from '../san/index.ts'

/** Space of a new LUN that could not be added is added later, ms. */
const ADD_AGAIN_MS = 5_000

export type MountLunsHost = {
  readonly clock: Clock
  readonly log: Log
  readonly fs: Pick<MatrixFilesystem, 'useLuns' | 'addSpace' | 'drain' | 'isEmptied'>
  /** The LUNs with these UUIDs, in their order, through this node's pseudo storage drivers; a hole stays one. */
  gates(uuids: readonly (string | null)[]): readonly (Lun | undefined)[]
  /** The filesystem serves verbs. */
  started(): Promise<void> | undefined
  /** It has withdrawn. */
  isOver(): boolean
}

export class MountLuns {
  readonly #host: MountLunsHost
  #record: FilesystemRecord
  /** A change of its LUNs that this node was told of, and the record once it is finished. */
  #told: { readonly change: PlaceChange; readonly after: FilesystemRecord } | undefined
  /** A LUN whose new size may be taken back yet. */
  #resizing: string | undefined
  /** Its LUNs, their sizes, and which of them are drained, as used now. */
  #used: string

  /** The filesystem uses the LUNs of the record already, and drains none. */
  constructor(record: FilesystemRecord, host: MountLunsHost) {
    this.#host = host
    this.#record = record
    this.#used = stateOf({ ...record, draining: [] }, host.gates(record.luns))
    this.#use(record)
  }

  get record(): FilesystemRecord {
    return this.#record
  }

  /** As the membership database has it. */
  follow(record: FilesystemRecord): void {
    this.#record = record
    this.#told = undefined
    this.#resizing = undefined
    this.#use(record)
  }

  #use(record: FilesystemRecord): void {
    const gates = this.#host.gates(record.luns)
    const state = stateOf(record, gates)
    if (state === this.#used) return
    this.#used = state
    const { luns, draining = [] } = record
    this.#host.fs.useLuns(
      gates,
      draining.map((uuid) => luns.indexOf(uuid)),
    )
  }

  /** The LUN is to be used in another size, that its gate has by now; that may be taken back yet. */
  resize(uuid: string): void {
    if (this.#host.isOver() || !this.#record.luns.includes(uuid)) return
    this.#resizing = uuid
    this.#use(this.#told?.after ?? this.#record)
  }

  /** It is used in that size for good: whoever asked for it makes the new space free. Gives how many bytes. */
  async resized(uuid: string): Promise<number> {
    this.#mustLive()
    if (this.#resizing === uuid) this.#resizing = undefined
    return this.#addSpace()
  }

  /**
   * A change of its LUNs has begun: peers may go by it before this node hears more of it. Whoever is told of another one may take the one
   * before for finished, unless it is taken back with it, or told again: two are never pending at once.
   */
  change(change: PlaceChange): void {
    this.#mustLive()
    const before = this.#told
    if (before && !isSettledBy(before.change, change)) this.#record = before.after
    const after = filesystemAfter(this.#record, change)
    this.#told = { change, after }
    this.#use(after)
  }

  /** The administrator: a change of LUNs is finished. Whoever asked for it makes new space free; if nobody does, this node. */
  settle(record: FilesystemRecord): void {
    if (this.#host.isOver()) return
    this.follow(record)
    this.#host.clock.after(ADD_AGAIN_MS, () => void this.addSpaceSoon())
  }

  /** What was asked for is complete: `hold` says that the database has it so. Throws MatrixError 'view-changed' when this node has not heard of it. */
  #complete(hold: (record: FilesystemRecord) => boolean): void {
    this.#mustLive()
    if (this.#told && hold(this.#told.after)) this.#record = this.#told.after
    if (!hold(this.#record))
      throw new MatrixError(
        'view-changed',
        `this node has not heard how the LUNs of ${this.#record.name} have changed: ask again`,
      )
  }

  /** The LUN is the filesystem's, and written to: what is not free there yet becomes so. Gives how many bytes. */
  async extended(uuid: string): Promise<number> {
    this.#complete(({ luns, draining }) => luns.includes(uuid) && !draining?.includes(uuid))
    return this.#addSpace()
  }

  /** The LUN is being drained: moves data off it, for about `limitMs`. Rejects with MatrixError 'no-space'. */
  async drain(uuid: string, limitMs: number): Promise<DrainProgress> {
    this.#complete(({ draining }) => draining?.includes(uuid) === true)
    await this.#host.started()
    return this.#host.fs.drain(this.#record.luns.indexOf(uuid), limitMs)
  }

  /** Nothing of the filesystem is on the LUN with this index, nor can get there while it is being drained. */
  async isEmptied(index: number): Promise<boolean> {
    this.#mustLive()
    await this.#host.started()
    return this.#host.fs.isEmptied(index)
  }

  async #addSpace(): Promise<number> {
    await this.#host.started()
    // not of what is only about to become the filesystem's: that may be taken back
    const { luns } = this.#record
    const settled = luns.flatMap((uuid, index) => (uuid === null || uuid === this.#resizing ? [] : [index]))
    const bytes = await this.#host.fs.addSpace(settled).catch((error) => {
      if (!isFsError(error)) throw error
      throw new MatrixError('timeout', `the new space could not be added yet: ${error.message}`)
    })
    if (bytes > 0) this.#host.log.info({ filesystem: this.#record.name, bytes }, 'new space is free')
    return bytes
  }

  /** What nobody was left to add, or could. */
  async addSpaceSoon(): Promise<void> {
    if (this.#host.isOver()) return
    try {
      await this.#addSpace()
    } catch (error) {
      if (this.#host.isOver()) return
      this.#host.log.warn({ error: String(error) }, 'new space could not be added, it is tried again')
      this.#host.clock.after(ADD_AGAIN_MS, () => void this.addSpaceSoon())
    }
  }

  #mustLive(): void {
    if (this.#host.isOver()) throw new MatrixError('withdrawn', `this node has withdrawn from ${this.#record.name}`)
  }
}

function stateOf({ luns, draining = [] }: FilesystemRecord, gates: readonly (Lun | undefined)[]): string {
  return JSON.stringify([luns, draining, gates.map((gate) => gate?.size)])
}

/** `change` is `before` told again, or takes it back. */
function isSettledBy(before: PlaceChange, change: PlaceChange): boolean {
  if (before.lun.uuid !== change.lun.uuid || before.place.index !== change.place.index) return false
  return change.kind === before.kind || (before.kind === 'extend' && change.kind === 'retract')
}
