/**
 * The members' side of a change of LUNs on one node (lun-protocol.ts): does what the administrator of the present view says, and passes on
 * to it what is asked for here. Its LUNs themselves are in the table that it is given, its filesystems in their mounts.
 */
import { MatrixError } from '../base/errors.ts'
import type { Slot, ViewId } from '../base/ids.ts'
import { type Mesh, presentView, type View } from '../cluster/index.ts'
import type { LunPlace, LunTable, PendingChange, PlaceChange } from '../san/index.ts'
import type { Isolation } from './isolation.ts'
import type { LunChanges } from './lun-change.ts'
import {
  decodeLunRequest,
  decodeSights,
  type LunAnswer,
  type LunRequest,
  type LunSight,
  type LunTrial,
  type LunWish,
} from './lun-protocol.ts'
import type { MountLuns } from './mount-luns.ts'

/** The administrator has this long, changes that were asked for before included, ms. */
const ASK_LIMIT_MS = 120_000
/** A member has this long to say how it sees the LUNs, ms: a device that hangs may hold it up. */
const LOOK_LIMIT_MS = 20_000

export type LunMembersHost = {
  readonly mesh: Mesh
  /** The administrator as announced in the present view. */
  administrator(): Slot | undefined
  readonly luns: Pick<LunTable, 'add' | 'remove' | 'resize' | 'whyNot'>
  /** The LUNs of a filesystem; undefined while this node has none: it gets the database's record when it mounts it. */
  lunsOf(fsid: number): Pick<MountLuns, 'change'> | undefined
  /** Those of all filesystems that this node has mounted. */
  lunsOfAll(): readonly Pick<MountLuns, 'resize'>[]
  /** How this node sees the LUNs of the list, and those that it has open. */
  look(): Promise<readonly LunSight[]>
  /** Reads and writes it, and says why that fails; undefined when it does not. */
  tryLun(uuid: string): Promise<string | undefined>
  /** Filesystems that this life had mounted, and has left since they are in error. */
  left(): readonly number[]
  /** Judges filesystems whose LUNs fail, while this node is administrator. */
  readonly isolation: Pick<Isolation, 'told' | 'restore'>
  /** Does what is asked for while this node is administrator. */
  readonly changes: Pick<LunChanges, 'ask'>
}

export class LunMembers {
  readonly #host: LunMembersHost
  /** Generation of the last change that this node was told. */
  #told = 0

  constructor(host: LunMembersHost) {
    this.#host = host
    host.mesh.onRequest('lun', (from, body) => this.#answer(from, body))
  }

  /** Asks the administrator, once. Rejects as `LunChanges.ask`; and with 'view-changed' or 'timeout' when nobody could be asked, or has answered. */
  async ask(wish: LunWish): Promise<void> {
    await this.#tell((view) => ({ kind: 'ask', view, wish }))
  }

  /** A mount of this node has ended, by what its LUNs have answered. Rejects with 'view-changed' or 'timeout': tell it again. */
  async suspect(fsid: number, reason: string): Promise<void> {
    await this.#tell((view) => ({ kind: 'suspect', view, fsid, reason }))
  }

  /** Asks the administrator, once. Rejects as `Isolation.restore`, and as `ask`. */
  async restore(fsid: number): Promise<void> {
    await this.#tell((view) => ({ kind: 'restore', view, fsid }))
  }

  async #tell(request: (view: ViewId) => LunRequest): Promise<void> {
    const { mesh, administrator } = this.#host
    const slot = administrator()
    const { view } = mesh
    if (slot === undefined || !view)
      throw new MatrixError('view-changed', 'the matrix has no administrator at the moment: ask again')
    await mesh.request(slot, 'lun', request(view.id), ASK_LIMIT_MS)
  }

  /** How every member of the present view sees the LUNs; or why it does not say. */
  async look(): Promise<readonly { readonly node: string; readonly sights: readonly LunSight[] | string }[]> {
    const { mesh } = this.#host
    const { view } = mesh
    if (!view) throw new MatrixError('view-changed', 'this node is in no view at the moment: ask again')
    return Promise.all(
      view.members.map(async ({ slot, name: node }) => {
        const asked = mesh.request(slot, 'lun', { kind: 'look', view: view.id }, LOOK_LIMIT_MS)
        return { node, sights: await asked.then(decodeSights).catch((error) => String(error)) }
      }),
    )
  }

  async #answer(from: Slot, body: unknown): Promise<null | LunAnswer | LunTrial | readonly LunSight[]> {
    const message = decodeLunRequest(body)
    const { mesh, administrator, changes, isolation } = this.#host
    const view = presentView(mesh, message.view)
    if (message.kind === 'look') return this.#host.look()
    if (message.kind === 'change' || message.kind === 'try') {
      if (from !== administrator())
        throw new MatrixError('protocol', `slot ${from} is not the administrator of view ${view.id}`)
      if (message.kind === 'try') {
        const failed = await Promise.all(message.uuids.map((uuid) => this.#host.tryLun(uuid)))
        return { failed: failed.map((why) => why ?? null), left: [...this.#host.left()] }
      }
      return { refused: (await this.#change(view, message.change)) ?? null }
    }
    if (administrator() !== mesh.self)
      throw new MatrixError('view-changed', 'this node is not the administrator any more: ask again')
    if (message.kind === 'suspect') isolation.told(view, from, message.fsid, message.reason)
    else if (message.kind === 'restore') await isolation.restore(view, message.fsid)
    else await changes.ask(view, message.wish)
    return null
  }

  async #change(view: View, change: PendingChange): Promise<string | undefined> {
    const { mesh, luns } = this.#host
    // looked at in turn: what is left of an earlier view must not undo what was told in this one
    const check = (): void => {
      presentView(mesh, view.id)
      if (change.generation < this.#told)
        throw new MatrixError('protocol', `SAN generation ${change.generation} after ${this.#told}`)
      this.#told = change.generation
    }
    const { kind, lun, place } = change
    switch (kind) {
      case 'add':
        return luns.add(lun, change.hint, check)
      case 'remove':
        return luns.remove(lun, check)
      case 'enlarge':
      case 'keep': {
        const refused = await luns.resize(lun, check)
        if (refused === undefined) for (const each of this.#host.lunsOfAll()) each.resize(lun.uuid)
        return refused
      }
      default:
        check()
        return this.#changePlace({ kind, lun, place: place as LunPlace })
    }
  }

  #changePlace(change: PlaceChange & Pick<PendingChange, 'lun'>): string | undefined {
    const { luns, lunsOf } = this.#host
    const refused = change.kind === 'extend' ? luns.whyNot(change.lun) : undefined
    if (refused === undefined) lunsOf(change.place.fsid)?.change(change)
    return refused
  }
}
