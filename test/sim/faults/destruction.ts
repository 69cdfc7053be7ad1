/**
 * The only copy of something on the LUNs is destroyed: in seeds of their own (mix.ts, 'damaged'), judged by rules of their own (run.ts).
 * What is destroyed belongs to the metadata, whose every block says what it is and has a checksum; file data has none.
 *
 *   bit rot            in a journal, not in the newest frames of it: without a successor the end of a journal is where it cannot be
 *                      read on; in a checkpoint, a manifest, or the membership database's newest copy
 *   misdirected write  a frame lands elsewhere in a journal, its own or another's: what was there is gone, and the frame missing
 */
import { SECTOR_SIZE } from '../../../src/base/limits.ts'
import { DATABASE_A_OFFSET, DATABASE_B_OFFSET } from '../../../src/san/lun-layout.ts'
import type { SimDisk } from '../lun.ts'
import type { Fate } from './fate.ts'

/** Newest frames of a journal that are let alone. */
const NEWEST = 3

type Written = { readonly offset: number; readonly bytes: number }

export function destruction(fate: Fate): void {
  const { prng, matrix } = fate
  const disk = matrix.disks[0] as SimDisk
  /** The latest frames of each node, oldest first. */
  const frames = new Map<string, Written[]>()
  const checkpoints: Written[] = []
  let misdirects = 0
  fate.hook([disk], Number.MAX_SAFE_INTEGER, ({ host, op, purpose, offset, bytes }) => {
    if (op !== 'write') return undefined
    if (purpose === 'checkpoint') checkpoints.push({ offset, bytes })
    if (purpose !== 'journal') return undefined
    const own = frames.get(host) ?? []
    frames.set(host, [...own.slice(-40), { offset, bytes }])
    if (misdirects === 0) return undefined
    const elsewhere = prng.pick([...frames.values()].flatMap((written) => written.slice(0, -NEWEST)))
    if (!elsewhere || elsewhere.offset === offset) return undefined
    misdirects--
    fate.count('misdirected write')
    matrix.world.trace(`a frame of ${host} for ${offset} lands at ${elsewhere.offset}`)
    return { landsAt: elsewhere.offset }
  })
  fate.again(2000, 12_000, () => {
    const kind = prng.pick(['journal', 'journal', 'checkpoint', 'manifest', 'database', 'write'] as const)
    switch (kind) {
      case 'journal':
        return rot(fate, disk, kind, prng.pick([[], ...frames.values()]).slice(0, -NEWEST))
      case 'checkpoint':
        return rot(fate, disk, kind, checkpoints.slice(-2))
      case 'manifest': {
        const { slot } = prng.pick(matrix.nodes)
        const offset = matrix.layout.manifestStart(slot, prng.below(2))
        return rot(fate, disk, kind, [{ offset, bytes: SECTOR_SIZE }])
      }
      case 'database':
        return rot(fate, disk, kind, [
          { offset: prng.pick([DATABASE_A_OFFSET, DATABASE_B_OFFSET]), bytes: SECTOR_SIZE },
        ])
      case 'write':
        misdirects++
    }
  })
}

/** One bit, somewhere in one of these. */
function rot(fate: Fate, disk: SimDisk, kind: string, where: readonly Written[]): void {
  if (where.length === 0) return
  const { prng, matrix } = fate
  const { offset, bytes } = prng.pick(where)
  const at = prng.below(bytes)
  const sector = offset + at - (at % 512)
  const content = disk.peek(sector, 512)
  content[at % 512] = (content[at % 512] as number) ^ (1 << prng.below(8))
  matrix.world.trace(`${disk.name} rots at ${offset + at}: ${kind}`)
  disk.poke(sector, content)
  fate.count(`bit rot: ${kind}`)
}
