/**
 * What it takes to make the list of LUNs, or a filesystem's, as somebody wants it: a change, nothing since it is so already, or it cannot
 * be. Decided by what the membership database says.
 */
import { MatrixError } from '../base/errors.ts'
import { formatSize } from '../base/units.ts'
import { GROUPS_PER_LUN, groupsOf } from '../metadata/index.ts'
import { type LunPlace, MAX_ENTRIES, type MembershipDatabase } from '../san/index.ts'
import type { Change, LunWish } from './lun-protocol.ts'

type Wish<Kind extends LunWish['kind']> = Extract<LunWish, { kind: Kind }>
type Outcome = Change | MatrixError | undefined

export function toAdd({ luns, matrixName }: MembershipDatabase, { lun, hint }: Wish<'add'>): Outcome {
  const same = luns.find(({ uuid }) => uuid === lun.uuid)
  if (same && same.name === lun.name && same.size === lun.size) return undefined
  if (same)
    return new MatrixError('exists', `the LUN is in matrix ${matrixName} as ${same.name}, with ${same.size} bytes`)
  if (luns.some(({ name }) => name === lun.name))
    return new MatrixError('exists', `matrix ${matrixName} has a LUN ${lun.name} already; choose another name`)
  if (luns.length >= MAX_ENTRIES)
    return new MatrixError('no-space', `matrix ${matrixName} has ${luns.length} LUNs, which is the most it can have`)
  return { kind: 'add', lun, ...(hint !== undefined && { hint }) }
}

export function toRemove(
  { luns, filesystems }: MembershipDatabase,
  uuid: string,
  mayBearPartition: (uuid: string) => boolean,
): Outcome {
  const lun = luns.find((each) => each.uuid === uuid)
  if (!lun) return undefined
  const user = filesystems.find((filesystem) => filesystem.luns.includes(uuid))
  if (user)
    return new MatrixError(
      'in-use',
      `filesystem ${user.name} is on LUN ${lun.name}: it cannot be removed before it is drained (matrix lun drain)`,
    )
  if (mayBearPartition(uuid))
    return new MatrixError(
      'in-use',
      `LUN ${lun.name} bears a membership partition of the matrix, or may (not all are in reach): it cannot be removed`,
    )
  return { kind: 'remove', lun }
}

export function toExtend(
  { luns, filesystems, matrixName }: MembershipDatabase,
  { uuid, fsid }: Wish<'extend'>,
): Outcome {
  const filesystem = filesystems.find((each) => each.fsid === fsid)
  const lun = luns.find((each) => each.uuid === uuid)
  if (!filesystem) return new MatrixError('not-found', `matrix ${matrixName} has no such filesystem any more`)
  if (!lun) return new MatrixError('not-found', `matrix ${matrixName} does not have that LUN any more`)
  if (filesystem.luns.includes(uuid)) return undefined
  const user = filesystems.find((other) => other.luns.includes(uuid))
  if (user)
    return new MatrixError('in-use', `filesystem ${user.name} is on LUN ${lun.name} already; choose another LUN`)
  if (filesystem.error !== undefined)
    return new MatrixError('in-use', `filesystem ${filesystem.name} is in error and cannot grow: ${filesystem.error}`)
  const index = filesystem.luns.length
  if (index >= MAX_ENTRIES)
    return new MatrixError(
      'no-space',
      `filesystem ${filesystem.name} has had ${index} LUNs, which is the most it can have`,
    )
  const groups = groupsOf(filesystem, index, lun.size)
  if (groups > GROUPS_PER_LUN)
    return new MatrixError(
      'config',
      `LUN ${lun.name} (${formatSize(lun.size)}) would have ${groups} allocation groups in filesystem ${filesystem.name}, more than ${GROUPS_PER_LUN}; use smaller LUNs`,
    )
  return { kind: 'extend', lun, place: { fsid, index } }
}

export function toEnlarge(
  { luns, filesystems, matrixName }: MembershipDatabase,
  { uuid, size }: Wish<'enlarge'>,
): Outcome {
  const lun = luns.find((each) => each.uuid === uuid)
  if (!lun) return new MatrixError('not-found', `matrix ${matrixName} does not have that LUN any more`)
  if (lun.size >= size) return undefined
  const filesystem = filesystems.find((each) => each.luns.includes(uuid))
  const groups = filesystem ? groupsOf(filesystem, filesystem.luns.indexOf(uuid), size) : 0
  if (groups > GROUPS_PER_LUN)
    return new MatrixError(
      'config',
      `LUN ${lun.name} with ${formatSize(size)} would have ${groups} allocation groups, more than ${GROUPS_PER_LUN}`,
    )
  return { kind: 'enlarge', lun: { ...lun, size } }
}

export function toDrain(database: MembershipDatabase, uuid: string): Outcome {
  const used = useOf(database, uuid)
  if (used instanceof MatrixError) return used
  const { lun, filesystem, place } = used
  if (filesystem.draining?.includes(uuid)) return undefined
  if (filesystem.error !== undefined)
    return new MatrixError('in-use', `filesystem ${filesystem.name} is in error: ${filesystem.error}`)
  if (place.index === 0)
    return new MatrixError(
      'in-use',
      `LUN ${lun.name} is the first of filesystem ${filesystem.name}: it carries its journals and checkpoints, and cannot be drained`,
    )
  return { kind: 'drain', lun, place }
}

export function toRefill(database: MembershipDatabase, uuid: string): Outcome {
  const used = useOf(database, uuid)
  if (used instanceof MatrixError) return used
  const { lun, filesystem, place } = used
  return filesystem.draining?.includes(uuid) ? { kind: 'refill', lun, place } : undefined
}

export async function toVacate(
  database: MembershipDatabase,
  uuid: string,
  isEmptied: (place: LunPlace) => Promise<boolean>,
): Promise<Outcome> {
  const used = useOf(database, uuid)
  if (used instanceof MatrixError) return undefined
  const { lun, filesystem, place } = used
  if (!filesystem.draining?.includes(uuid) || !(await isEmptied(place)))
    return new MatrixError('in-use', `filesystem ${filesystem.name} has data on LUN ${lun.name}`)
  return { kind: 'vacate', lun, place }
}

/** The filesystem that is on a LUN. */
function useOf({ luns, filesystems, matrixName }: MembershipDatabase, uuid: string) {
  const lun = luns.find((each) => each.uuid === uuid)
  if (!lun) return new MatrixError('not-found', `matrix ${matrixName} does not have that LUN any more`)
  const filesystem = filesystems.find((each) => each.luns.includes(uuid))
  if (!filesystem) return new MatrixError('not-found', `no filesystem is on LUN ${lun.name}`)
  return { lun, filesystem, place: { fsid: filesystem.fsid, index: filesystem.luns.indexOf(uuid) } }
}
