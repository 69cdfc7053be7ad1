/** Which node sees which LUN by which path, and how its probes find it there: asked of all nodes by way of the one of this machine. */
import { formatSize } from '../base/units.ts'
import { type AskNode, lunsOf } from './lun-change.ts'
import { formatTable } from './table.ts'

export type LunSeen = {
  readonly lun: string
  /** As the list has it, bytes; undefined when it is not in the list. */
  readonly size: number | undefined
  readonly node: string
  readonly path?: string | undefined
  /** Bytes of the device there. */
  readonly deviceSize?: number | undefined
  /** 'up', 'slow', 'failing', 'foreign', 'missing', or 'unknown' when the node does not say. */
  readonly state: string
  readonly reason?: string | undefined
}

/** By LUN, in the order of the list, then by node. */
export async function lunsSeen(ask: AskNode): Promise<readonly LunSeen[]> {
  const { luns } = await lunsOf(ask)
  const { looks = [] } = await ask({ command: 'look-at-luns' })
  const listed = luns.flatMap(({ uuid, name: lun, size }) =>
    looks.map(({ node, sights }): LunSeen => {
      if (typeof sights === 'string') return { lun, size, node, state: 'unknown', reason: sights }
      const sight = sights.find((each) => each.uuid === uuid)
      if (!sight) return { lun, size, node, state: 'missing', reason: 'the node does not know of it yet' }
      const { path, size: deviceSize, state, reason } = sight
      return { lun, size, node, path, deviceSize, state, reason }
    }),
  )
  return listed
}

export function describeSeen(seen: readonly LunSeen[]): string {
  const rows = seen.map(({ lun, size, node, path = '-', deviceSize, state, reason }, i) => {
    const isFirst = seen[i - 1]?.lun !== lun
    // a device that has more than is used can be grown into
    const more = size !== undefined && deviceSize !== undefined && deviceSize !== size ? formatSize(deviceSize) : ''
    const why = reason === undefined ? state : `${state}: ${reason}`
    return [isFirst ? lun : '', isFirst && size !== undefined ? formatSize(size) : '', node, path, more, why]
  })
  return formatTable(['LUN', 'used', 'node', 'path', 'device', 'state'], rows)
}
