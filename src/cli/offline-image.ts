/**
 * The image of a filesystem, built in memory from its LUNs alone as a node would build it, from the newest checkpoint and the journals. Reads only. Journals of nodes that
 * are surely down are read to their end, those of running ones as far as they are known durable: the image equals a vector in both cases.
 *
 * Whose frames count is told by seals and incarnations. When those have changed by the time the image is built, because a node
 * died or started meanwhile, it is built again.
 */
import { isMatrixError, MatrixError } from '../base/errors.ts'
import { Volume } from '../metadata/index.ts'
import { silentLog } from '../platform/index.ts'
import { realClock } from '../platform/real/clock.ts'
import type { Lun, MembershipDatabase } from '../san/index.ts'
import type { NodeSeen, OfflineMatrix } from './offline-matrix.ts'

/** Images built before a matrix whose nodes come and go all the time is given up. */
const BUILD_LIMIT = 5

/**
 * What `look` makes of a volume that has the image; it may be called several times, and the last result counts. Rejects with MatrixError 'not-found',
 * 'checkpoint-damaged', 'journal-damaged', 'lun-io', or 'view-changed': try again later.
 */
export async function lookAtImage<T>(matrix: OfflineMatrix, name: string, look: (volume: Volume) => T): Promise<T> {
  for (let built = 0; built < BUILD_LIMIT; built++) {
    const before = await stateOf(matrix)
    const result = await build(matrix, name, before, look)
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

async function build<T>(
  matrix: OfflineMatrix,
  name: string,
  { database, nodes }: State,
  look: (volume: Volume) => T,
): Promise<T> {
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
    return look(volume)
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
