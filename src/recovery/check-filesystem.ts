/** `matrix fs check`: an image of its own, built from the LUNs alone, and the checks of fsck.ts on it; writes nothing. */
import { fromPairs, toPairs, type Vector } from '../base/vector.ts'
import { Volume } from '../metadata/index.ts'
import type { Clock, Log } from '../platform/index.ts'
import type { FilesystemRecord, LeaseSector, Lun } from '../san/index.ts'
import { checkImage, type Finding } from './fsck.ts'

export type CheckOptions = {
  /** In the record's order. */
  readonly luns: readonly Lun[]
  readonly record: FilesystemRecord
  /** Who has ever used a slot. */
  readonly sectors: readonly LeaseSector[]
  /** Surely not running any more: its journal is read to its end. A running one's as far as it is known durable. */
  isDead(sector: LeaseSector): boolean
  readonly clock: Clock
  readonly log: Log
}

export type CheckReport = {
  readonly findings: readonly Finding[]
  /** What the checked image has applied: every image at a vector must be sound. */
  readonly vector: Vector
  readonly inodes: number
  readonly freeBlocks: number
  readonly dataBlocks: number
}

/** Rejects with MatrixError 'checkpoint-damaged', 'journal-damaged', 'lun-io'. */
export async function checkFilesystem({
  luns,
  record,
  sectors,
  isDead,
  clock,
  log,
}: CheckOptions): Promise<CheckReport> {
  let fatal: Error | undefined
  const incarnations = new Map(sectors.map((sector) => [sector.slot, sector.incarnation]))
  const volume = await Volume.open({
    luns,
    record,
    slot: 0,
    incarnation: incarnations.get(0) ?? 0,
    newImageFile: () => ':memory:',
    clock,
    log,
    incarnations: (slot) => incarnations.get(slot),
    onFatal: (error) => {
      fatal = error
    },
    requestCheckpoint: () => {},
  })
  try {
    for (const sector of sectors) {
      if (sector.slot < record.slots && isDead(sector)) await volume.findEnd(sector.slot, sector.incarnation, 'report')
    }
    await volume.tail()
    if (fatal) throw fatal
    const findings = checkImage(volume.image, volume.layout)
    const totals = volume.image.totals()
    return {
      findings,
      vector: fromPairs(toPairs(volume.image.vector)),
      inodes: totals.inodes,
      freeBlocks: totals.freeBlocks,
      dataBlocks: volume.layout.dataBlocks,
    }
  } finally {
    await volume.close({ clean: false })
  }
}
