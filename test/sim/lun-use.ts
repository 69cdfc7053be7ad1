/**
 * What is claimed of the LUNs of the filesystem, which come and go (faults/lun-changes.ts, faults/drains.ts):
 *
 *   drained   whoever is told that a LUN is drained finds in the database that the filesystem is not on it any more; from then on no node writes to its
 *             filesystem area, until it is to become one of the filesystem's again
 *   end       when everything is healed, every node uses exactly the LUNs that the database names, and all of their space is in the image
 */

import { blocksKnown } from '../../src/metadata/index.ts'
import type { NodeCore } from '../../src/node/core.ts'
import type { Mount } from '../../src/recovery/index.ts'
import { type FilesystemRecord, FS_AREA_OFFSET, type MembershipDatabase } from '../../src/san/index.ts'
import type { AdministratorOracle } from './administrator-oracle.ts'
import type { SimDisk } from './lun.ts'
import type { SimWorld } from './world.ts'

type Node = {
  readonly name: string
  readonly core: NodeCore | undefined
  readonly mount: Pick<Mount, 'volume'> | undefined
}

export class LunUse {
  readonly #world: SimWorld
  readonly #databases: AdministratorOracle
  /** Somebody was told that they are drained, and they are not to be used again since. */
  readonly #drained = new Set<string>()

  constructor(world: SimWorld, databases: AdministratorOracle) {
    this.#world = world
    this.#databases = databases
    const { onNewest } = databases
    databases.onNewest = (database) => {
      onNewest(database)
      for (const uuid of this.#drained) if (isUsed(database, uuid)) this.#drained.delete(uuid)
    }
  }

  /** Call after other oracles have begun to watch. */
  watch(disk: SimDisk, uuid: () => string): void {
    const { onIssued } = disk
    disk.onIssued = (io, by) => {
      onIssued?.(io, by)
      if (io.op === 'write' && io.purpose === 'data' && io.offset >= FS_AREA_OFFSET && this.#drained.has(uuid()))
        this.#world.fail(
          new Error(`${disk.name} was drained, ${this.#world.now} ms: ${by.name} writes data at ${io.offset}`),
        )
    }
  }

  /** Somebody was told so, having asked when the newest database was number `asked` of all. */
  drained(uuid: string, asked: number): void {
    const databases = this.#databases.since(asked)
    if (!databases.some((database) => !isUsed(database, uuid)))
      throw new Error(`${uuid} was told drained; the database never said so`)
    const { newest } = this.#databases
    if (newest && !isUsed(newest, uuid)) this.#drained.add(uuid)
  }

  /** What is not yet as it has to be in the end. */
  disagreement(nodes: readonly Node[], record: FilesystemRecord): string | undefined {
    for (const { name, mount } of nodes) {
      if (!mount) continue
      const { layout, image } = mount.volume
      if (layout.lunCount !== record.luns.length)
        return `${name} uses ${layout.lunCount} LUNs for the filesystem, which has ${record.luns.length}`
      for (const [index, uuid] of record.luns.entries()) {
        if (uuid === null ? layout.dataBlocksOf(index) > 0 : layout.dataBlocksOf(index) === 0)
          return `${name} ${uuid === null ? 'still uses' : 'does not use'} LUN ${index} of the filesystem`
        if (uuid !== null && record.draining?.includes(uuid)) continue
        if (blocksKnown(image, index) !== layout.dataBlocksOf(index))
          return `LUN ${index} has blocks that the image of ${name} does not know`
      }
    }
    return undefined
  }
}

/** The filesystem is on the LUN, or is about to be. */
function isUsed({ filesystems, pending }: MembershipDatabase, uuid: string): boolean {
  return (
    filesystems.some(({ luns }) => luns.includes(uuid)) || (pending?.kind === 'extend' && pending.lun.uuid === uuid)
  )
}
