/**
 * Checks a filesystem from outside: builds its image in memory as a node would, from the newest checkpoint and the journals, and asks
 * it. Reads only. Journals of nodes that are surely down are read to their end, those of running ones as far as they are known
 * durable: the image equals a vector in both cases, and an image that equals a vector has to be sound.
 */
import { MatrixError } from '../base/errors.ts'
import { formatVector } from '../base/vector.ts'
import { Volume } from '../metadata/index.ts'
import { realClock } from '../platform/real/clock.ts'
import { checkImage, type Finding } from '../recovery/index.ts'
import type { Lun } from '../san/index.ts'
import type { OfflineMatrix } from './offline-matrix.ts'
import { toolLog } from './tool-log.ts'

export type CheckResult = { readonly findings: readonly Finding[]; readonly inodes: number; readonly vector: string }

/** Rejects with MatrixError 'not-found', 'checkpoint-damaged', 'journal-damaged' or 'lun-io'. */
export async function checkFilesystem(matrix: OfflineMatrix, name: string): Promise<CheckResult> {
  const database = await matrix.readDatabase()
  const record = database.filesystems.find((filesystem) => filesystem.name === name)
  if (!record) {
    const known = database.filesystems.map((filesystem) => filesystem.name).join(', ') || 'none'
    throw new MatrixError('not-found', `matrix ${database.matrixName} has no filesystem ${name} (it has: ${known})`)
  }
  const luns = record.luns.map((uuid) => {
    const found = matrix.luns.find(({ label }) => label.lunUuid === uuid)
    if (found) return readOnly(found.lun)
    const { name: lunName = uuid } = database.luns.find((lun) => lun.uuid === uuid) ?? {}
    throw new MatrixError('not-found', `filesystem ${name} also lies on LUN ${lunName}; name its URL, too`)
  })
  const nodes = await matrix.nodes()
  const incarnationOf = (slot: number) => nodes.find((node) => node.slot === slot)?.incarnation
  const volume = await Volume.open({
    luns,
    record,
    slot: 0,
    incarnation: incarnationOf(0) ?? 0,
    databasePath: ':memory:',
    clock: realClock,
    log: toolLog,
    incarnations: incarnationOf,
    onFatal() {},
    requestCheckpoint() {},
  })
  try {
    for (const { slot, incarnation, seen } of nodes) {
      if (slot < record.slots && (seen === 'down' || seen === 'died')) await volume.findEnd(slot, incarnation)
    }
    const { image, layout } = volume
    const findings = checkImage(image, layout)
    return { findings, inodes: image.totals().inodes, vector: formatVector(image.vector) }
  } finally {
    await volume.close({ clean: false })
  }
}

/** A LUN that nothing can be written to. */
function readOnly(lun: Lun): Lun {
  return {
    identity: lun.identity,
    size: lun.size,
    read: (offset, buffer) => lun.read(offset, buffer),
    write: () => Promise.reject(new MatrixError('lun-io', `${lun.identity} is open for reading only`)),
    flush: () => lun.flush(),
    close: () => Promise.resolve(),
  }
}
