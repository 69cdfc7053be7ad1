/**
 * The members' side of recovery on one node: answers the administrator's requests (protocol.ts), and keeps the node's mounts.
 * Registered with the cluster as a view listener.
 */
import { isMatrixError, MatrixError } from '../base/errors.ts'
import type { Lsn, Slot, ViewId } from '../base/ids.ts'
import { type Mesh, presentView, type View, type ViewListener } from '../cluster/index.ts'
import type { Log } from '../platform/index.ts'
import type { FilesystemRecord } from '../san/index.ts'
import type { Mount } from './mount.ts'
import { volumeNote, volumeQuestion } from './mount-notes.ts'
import { decodeRequest, type Floor, type RecoverAnswer } from './protocol.ts'

export type MembersHost = {
  readonly mesh: Mesh
  readonly log: Log
  /** Opens a filesystem on this node (image loaded, nothing written). */
  openMount(record: FilesystemRecord): Promise<Mount>
  /** The administrator as announced in the present view. */
  administrator(): Slot | undefined
  /** Checks that this node sees the database of SAN generation `generation`, then writes 'active' into its lease sector, durably. */
  join(generation: number): Promise<void>
  /** The administrator has no use for this node: it halts. */
  refuse(reason: string): void
  /** This node is about to grant locks: from now on its state must not be merged with another's. */
  serving(): void
}

export class Members implements ViewListener {
  #host: MembersHost
  #mounts = new Map<number, Mount>()
  #opening = new Map<number, Promise<Mount>>()
  readonly #left = new Set<number>()

  constructor(host: MembersHost) {
    this.#host = host
    host.mesh.onRequest('recovery', (from, body) => this.#answer(from, body))
    host.mesh.onMessage('lock', (from, payload) => this.#lockMessage(from, payload))
    host.mesh.onMessage('volume', (from, payload) => this.#volumeNote(from, payload))
    host.mesh.onRequest('volume', (_from, body) => this.#volumeQuestion(body))
  }

  get mounts(): readonly Mount[] {
    return [...this.#mounts.values()]
  }

  /** Filesystems that this life has written to, and has left since they are in error: it never mounts them again (isolation.ts, invariant 2). */
  get left(): readonly number[] {
    return [...this.#left]
  }

  /** The mount of a filesystem, opened when it is not yet; concurrent callers share one opening. */
  async mount(record: FilesystemRecord): Promise<Mount> {
    const found = this.#mounts.get(record.fsid)
    if (found) return found
    if (this.#left.has(record.fsid))
      throw new MatrixError('withdrawn', `this life of the node has left ${record.name} when it was marked in error`)
    let opening = this.#opening.get(record.fsid)
    if (!opening) {
      opening = this.#host.openMount(record).finally(() => this.#opening.delete(record.fsid))
      this.#opening.set(record.fsid, opening)
    }
    const mount = await opening
    this.#mounts.set(record.fsid, mount)
    return mount
  }

  blocked(): void {
    for (const mount of this.#mounts.values()) mount.freeze()
  }

  installed(view: View): void {
    for (const mount of this.#mounts.values()) mount.installed(view)
  }

  async #answer(from: Slot, body: unknown): Promise<unknown> {
    const message = decodeRequest(body)
    presentView(this.#host.mesh, message.view)
    if (from !== this.#host.administrator())
      throw new MatrixError('protocol', `slot ${from} is not the administrator of view ${message.view}`)
    switch (message.kind) {
      case 'import':
        await this.#host.join(message.generation)
        return true
      case 'recover':
        return this.#recover(message.view, message.filesystems)
      case 'hold-checkpoints':
        await this.#mounts.get(message.fsid)?.holdCheckpoints()
        return true
      case 'publish':
        await this.#publish(message.fsid)
        return true
      case 'refuse':
        this.#host.refuse(message.reason)
        return true
      case 'resume':
        await this.#resume(message.view, message.floors)
        return true
    }
  }

  async #recover(viewId: ViewId, filesystems: readonly FilesystemRecord[]): Promise<RecoverAnswer> {
    const ends: { fsid: number; lsn: Lsn }[] = []
    const damaged: { fsid: number; reason: string }[] = []
    const failed: { fsid: number; reason: string; ended: boolean }[] = []
    await Promise.all(
      filesystems.map(async (record) => {
        const { fsid } = record
        try {
          const mount = await this.mount(record)
          const view = presentView(this.#host.mesh, viewId)
          ends.push({ fsid, lsn: await mount.recover(record, view) })
        } catch (error) {
          if (isMatrixError(error, 'lun-io', 'withdrawn')) {
            const ended = isMatrixError(error, 'withdrawn') || this.#mounts.get(fsid)?.state === 'withdrawn'
            failed.push({ fsid, reason: error.message, ended })
          } else if (isMatrixError(error, 'journal-damaged', 'checkpoint-damaged'))
            damaged.push({ fsid, reason: error.message })
          else throw error
        }
      }),
    )
    presentView(this.#host.mesh, viewId)
    this.#isolateAllBut(filesystems)
    return { ends, damaged, failed }
  }

  async #publish(fsid: number): Promise<void> {
    const mount = this.#mounts.get(fsid)
    if (!mount) throw new MatrixError('not-found', `filesystem ${fsid} has no image here`)
    await mount.publishHeld()
  }

  /** The administrator recovers what is sound; what else is mounted here is in error. */
  #isolateAllBut(filesystems: readonly FilesystemRecord[]): void {
    for (const [fsid, mount] of this.#mounts) {
      if (filesystems.some((record) => record.fsid === fsid)) continue
      mount.isolate()
      this.#mounts.delete(fsid)
      if (mount.hasWritten) this.#left.add(fsid)
    }
  }

  async #resume(viewId: ViewId, floors: readonly Floor[]): Promise<void> {
    const view = presentView(this.#host.mesh, viewId)
    this.#host.serving()
    await Promise.all(
      floors.map(({ fsid, vector }) => {
        const mount = this.#mounts.get(fsid)
        if (!mount) throw new MatrixError('protocol', `resume of filesystem ${fsid}, which was not recovered here`)
        return mount.resume(view, vector)
      }),
    )
  }

  #lockMessage(from: Slot, payload: Buffer): void {
    if (payload.length < 4) this.#host.log.warn({ from }, 'lock message too short')
    else this.#mounts.get(payload.readUInt32LE(0))?.locks.receive(from, payload.subarray(4))
  }

  #volumeNote(from: Slot, payload: Buffer): void {
    const note = volumeNote(payload)
    this.#mounts.get(note.fsid)?.note(from, note)
  }

  #volumeQuestion(body: unknown): unknown {
    const question = volumeQuestion(body)
    const mount = this.#mounts.get(question.fsid)
    // one that is not mounted here has no rows of which this node alone knows
    return mount ? mount.answer(question) : []
  }
}
