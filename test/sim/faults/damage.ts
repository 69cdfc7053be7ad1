/**
 * What the LUNs hold is damaged where it is elsewhere, too, so that nothing may be lost by it:
 *
 *   label                 one of the two copies on a LUN
 *   lease sector          of a node on one of three membership partitions
 *   membership partition  everything on one of three: both copies of the database, and all lease sectors
 *
 * A partition that a majority of writes has passed over holds nothing that counts; the one that is damaged may hold one of only two
 * copies of what is newest. That would be the only majority there is, so it is damaged only where all three agree.
 *
 * Bits rot, something else is there (as after a misdirected write), or nothing.
 */
import { SECTOR_SIZE } from '../../../src/base/limits.ts'
import {
  DATABASE_A_OFFSET,
  DATABASE_B_OFFSET,
  DATABASE_COPY_BYTES,
  LABEL_A_OFFSET,
  labelBOffset,
  leaseOffset,
} from '../../../src/san/lun-layout.ts'
import type { SimDisk } from '../lun.ts'
import type { Fate } from './fate.ts'

export function damage(fate: Fate): void {
  const { prng, matrix } = fate
  const { disks, nodes } = matrix
  const kinds = [
    'label',
    ...(matrix.partitions === 3 ? (['lease sector', 'membership partition'] as const) : []),
  ] as const
  fate.again(500, 6000, () => {
    const kind = prng.pick(kinds)
    fate.count(`damaged ${kind}`)
    if (kind === 'label') {
      const disk = prng.pick(disks)
      // copy A tells where copy B is, unless that is at the end of the device
      if (disk === disks[0] && matrix.hasOutgrown(disk)) return
      // always the same copy of a LUN: it is repaired only when a node starts
      spoil(fate, disk, disk === disks[0] ? LABEL_A_OFFSET : labelBOffset(disk.size))
      return
    }
    const leases = kind === 'lease sector' ? [prng.pick(nodes)] : nodes
    for (const { slot } of leases) {
      const offset = leaseOffset(slot)
      if (agree(disks, (disk) => disk.peek(offset, SECTOR_SIZE).toString('latin1'))) spoil(fate, last(disks), offset)
    }
    if (kind === 'lease sector') return
    const places = [DATABASE_A_OFFSET, DATABASE_B_OFFSET]
    const copies = (disk: SimDisk) =>
      places
        .map((at) => disk.peek(at, DATABASE_COPY_BYTES).toString('latin1'))
        .sort()
        .join()
    if (agree(disks, copies)) for (const at of places) spoil(fate, last(disks), at)
  })
}

function agree(disks: readonly SimDisk[], what: (disk: SimDisk) => string): boolean {
  return new Set(disks.map(what)).size === 1
}

function last(disks: readonly SimDisk[]): SimDisk {
  return disks[disks.length - 1] as SimDisk
}

function spoil({ prng, matrix }: Fate, disk: SimDisk, offset: number): void {
  const sector = disk.peek(offset, SECTOR_SIZE)
  const how = prng.pick(['rot', 'other', 'blank'] as const)
  if (how === 'rot') {
    const at = prng.below(64)
    sector[at] = (sector[at] as number) ^ (1 << prng.below(8))
  } else if (how === 'other') sector.set(prng.bytes(SECTOR_SIZE))
  else sector.fill(0)
  matrix.world.trace(`${disk.name} is damaged at ${offset}: ${how}`)
  disk.poke(offset, sector)
}
