/**
 * Checks a filesystem from outside: builds its image in memory as a node would, from the newest checkpoint and the journals, and asks
 * it. Reads only. Journals of nodes that are surely down are read to their end, those of running ones as far as they are known
 * durable: the image equals a vector in both cases, and an image that equals a vector has to be sound.
 *
 * Whose frames count is told by seals and incarnations. When those have changed by the time the image is built, because a node
 * died or started meanwhile, it is built again.
 */
import { isMatrixError, MatrixError } from '../base/errors.ts'
import { formatVector } from '../base/vector.ts'
import { Volume } from '../metadata/index.ts'
import { silentLog } from '../platform/index.ts'
import { realClock } from '../platform/real/clock.ts'
import { checkImage, type Finding } from '../recovery/index.ts'
import type { Lun, MembershipDatabase } from '../san/index.ts'
import type { NodeSeen, OfflineMatrix } from './offline-matrix.ts'

export type CheckResult = { readonly findings: readonly Finding[]; readonly inodes: number; readonly vector: string }

/** Images built before a matrix whose nodes come and go all the time is given up. */
const BUILD_LIMIT = 5

/** Rejects with MatrixError 'not-found', 'checkpoint-damaged', 'journal-damaged', 'lun-io', or 'view-changed': try again later. */
export async function checkFilesystem(matrix: OfflineMatrix, name: string): Promise<CheckResult> {
  for (let built = 0; built < BUILD_LIMIT; built++) {
    const before = await stateOf(matrix)
    const result = await checkOnce(matrix, name, before)
    const after = await stateOf(matrix)
    if (after.stamp === before.stamp) return result
  }
  throw new MatrixError('view-changed', `nodes came and went during each of ${BUILD_LIMIT} attempts; try again later`)
}

type State = {
  readonly database: MembershipDatabase
  readonly nodes: readonly NodeSeen[]
  /** Equal for two states with the same seals and incarnations. */
  readonly stamp: string
}

async function stateOf(matrix: OfflineMatrix): Promise<State> {
  const nodes = await matrix.nodes()
  const database = await matrix.readDatabase()
  const lives = nodes.map(({ slot, incarnation }) => `${slot}@${incarnation}`)
  return { database, nodes, stamp: `${database.generation} ${lives.join(' ')}` }
}

async function checkOnce(matrix: OfflineMatrix, name: string, { database, nodes }: State): Promise<CheckResult> {
  const record = database.filesystems.find((filesystem) => filesystem.name === name)
  if (!record) {
    const known = database.filesystems.map((filesystem) => filesystem.name).join(', ') || 'none'
    throw new MatrixError('not-found', `matrix ${database.matrixName} has no filesystem ${name} (it has: ${known})`)
  }
  const luns = record.luns.map((uuid) => {
    if (uuid === null) return undefined
    const found = matrix.luns.find(({ label }) => label.lunUuid === uuid)
    if (found) return readOnly(found.lun)
    const { name: lunName = uuid } = database.luns.find((lun) => lun.uuid === uuid) ?? {}
    throw new MatrixError('not-found', `filesystem ${name} also lies on LUN ${lunName}; name its URL, too`)
  })
  const lives = nodes.filter(({ slot }) => slot < record.slots)
  let fatal: Error | undefined
  const volume = await Volume.open({
    luns,
    record,
    slot: 0,
    incarnation: 0,
    newImageFile: () => ':memory:',
    clock: realClock,
    log: silentLog,
    incarnations: () => undefined,
    onFatal: (error) => {
      fatal = error
    },
    requestCheckpoint() {},
  })
  try {
    for (const { slot, incarnation } of lives) volume.setIncarnation(slot, incarnation)
    await volume.tail()
    for (const { slot, incarnation, seen } of lives) {
      if (seen === 'down' || seen === 'died') await volume.findEnd(slot, incarnation, 'report')
    }
    const { image, layout } = volume
    // what a running node has written last is not known to be durable yet
    return {
      findings: checkImage(image, layout, 'behind'),
      inodes: image.totals().inodes,
      vector: formatVector(image.vector),
    }
  } catch (error) {
    throw causeOf(fatal ?? error)
  } finally {
    await volume.close({ clean: false })
  }
}

/** A volume that withdraws tells why in the cause. */
function causeOf(error: unknown): unknown {
  return isMatrixError(error, 'withdrawn') && isMatrixError(error.cause) ? error.cause : error
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
