/**
 * What a node is asked about LUNs by people and programs: to change what they are used for, with the part of it that is not the administrator's
 * (recovery/lun-change.ts), and how it sees them. All of it may be asked again, at this node or another.
 */
import { MatrixError } from '../base/errors.ts'
import { SECTOR_SIZE } from '../base/limits.ts'
import { formatSize } from '../base/units.ts'
import type { LunMembers, LunSight, LunWish, Mount } from '../recovery/index.ts'
import type { LunTable, MembershipDatabase } from '../san/index.ts'
import type { LunCare } from './lun-care.ts'

export type LunVerbsHost = {
  readonly members: Pick<LunMembers, 'ask' | 'look' | 'restore'>
  readonly luns: LunTable
  readonly care: Pick<LunCare, 'states'>
  mounts(): readonly Mount[]
  /** Rejects as `MembershipStore.read`. */
  readDatabase(): Promise<MembershipDatabase>
}

export class LunVerbs {
  readonly #host: LunVerbsHost

  constructor(host: LunVerbsHost) {
    this.#host = host
  }

  /** Asks the administrator to change what LUNs are used for, once. Rejects as `LunMembers.ask`. */
  change(wish: LunWish): Promise<void> {
    return this.#host.members.ask(wish)
  }

  /** A filesystem that is in error has its LUNs back: it is in service again, once. Rejects as `LunMembers.restore`, and with 'not-found'. */
  async restoreFilesystem(name: string): Promise<void> {
    const { filesystems, matrixName } = await this.#host.readDatabase()
    const record = filesystems.find((each) => each.name === name)
    if (!record) {
      const known = filesystems.map((each) => each.name).join(', ') || 'none'
      throw new MatrixError('not-found', `matrix ${matrixName} has no filesystem ${name}; it has ${known}`)
    }
    await this.#host.members.restore(record.fsid)
  }

  /**
   * A filesystem gets another LUN of the matrix, once; gives how many bytes that has made free, none when it had been done. Rejects as
   * `change`, with 'not-found' for what is not here, and 'withdrawn'.
   */
  async growFilesystem(fsid: number, uuid: string): Promise<number> {
    await this.change({ kind: 'extend', uuid, fsid })
    const mount = this.#host.mounts().find(({ record }) => record.fsid === fsid)
    if (!mount) throw new MatrixError('not-found', 'the filesystem is not mounted here: ask at another node')
    return mount.luns.extended(uuid)
  }

  /**
   * Moves what a filesystem has on the LUN elsewhere, for about `limitMs`, and gives the LUN up when nothing is left: to be asked again until
   * it is `done`, at any node. Rejects as `change`, and with 'no-space'.
   */
  async drainLun(uuid: string, limitMs: number): Promise<{ readonly leftBytes: number; readonly done: boolean }> {
    await this.change({ kind: 'drain', uuid })
    const { leftBytes, isEmpty } = await this.#mountOn(uuid).luns.drain(uuid, limitMs)
    if (isEmpty) await this.change({ kind: 'vacate', uuid })
    return { leftBytes, done: isEmpty }
  }

  /** The LUN is not to be drained any more; gives how many bytes of it that has made free again. Rejects as `change`. */
  async refillLun(uuid: string): Promise<number> {
    await this.change({ kind: 'refill', uuid })
    return this.#mountOn(uuid).luns.extended(uuid)
  }

  /**
   * Uses the whole of a LUN that has become larger; gives how many bytes that has made free in the filesystem on it. Rejects as `change`,
   * and with 'lun-too-small' when it has not.
   */
  async growLun(uuid: string): Promise<number> {
    const { luns } = await this.#host.readDatabase()
    const lun = luns.find((each) => each.uuid === uuid)
    const size = await this.#host.luns.measure(uuid)
    if (!lun || typeof size === 'string')
      throw new MatrixError('not-found', lun ? String(size) : 'the matrix does not have that LUN any more')
    if (size < lun.size + SECTOR_SIZE && this.#host.luns.gate(uuid).size === lun.size) {
      const mount = this.#findMountOn(uuid)
      const bytes = (await mount?.luns.resized(uuid)) ?? 0
      if (bytes > 0) return bytes
      throw new MatrixError(
        'lun-too-small',
        `LUN ${lun.name} has ${formatSize(size)} at this node, and is used whole: enlarge the device first`,
      )
    }
    await this.change({ kind: 'enlarge', uuid, size })
    return (await this.#findMountOn(uuid)?.luns.resized(uuid)) ?? 0
  }

  /** How every member sees the LUNs, as `LunMembers.look`. */
  lookEverywhere(): ReturnType<LunMembers['look']> {
    return this.#host.members.look()
  }

  /** How this node sees them. */
  async look(): Promise<readonly LunSight[]> {
    const states = this.#host.care.states()
    const open = this.#host.luns.entries.map(async ({ label: { lunUuid: uuid, lunName }, lun }): Promise<LunSight> => {
      const size = await this.#host.luns.measure(uuid)
      const { state = 'up', reason } = states[lunName] ?? {}
      const why = reason ?? (typeof size === 'string' ? size : undefined)
      return {
        ...{ uuid, path: lun.identity, state },
        ...(typeof size === 'number' && { size }),
        ...(why !== undefined && { reason: why }),
      }
    })
    const missing = this.#host.luns.missing.map((lun): LunSight => {
      return { uuid: lun.uuid, state: 'missing', reason: this.#host.luns.whyNot(lun) ?? 'it has just been opened' }
    })
    return [...(await Promise.all(open)), ...missing]
  }

  #findMountOn(uuid: string): Mount | undefined {
    return this.#host.mounts().find(({ record }) => record.luns.includes(uuid))
  }

  #mountOn(uuid: string): Mount {
    const mount = this.#findMountOn(uuid)
    if (!mount)
      throw new MatrixError('not-found', 'the filesystem on that LUN is not mounted here: ask at another node')
    return mount
  }
}
