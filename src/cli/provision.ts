/**
 * Making a matrix out of bare LUNs, and filesystems on them. All of it works on LUNs that no node uses.
 *
 * Order, and what a crash leaves: labels are written before the database that names their LUNs, the first checkpoint of a filesystem
 * before its record. So what the database names is whole; LUNs that were being prepared are nobody's, and may be prepared
 * again (with `force`, as they bear a label).
 */
import { randomUUID } from 'node:crypto'
import { isName } from '../../config/index.ts'
import { crc32c } from '../base/crc32c.ts'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import { defaultTimings } from '../base/timings.ts'
import { formatFilesystem, type PlanOptions, planFilesystem } from '../metadata/index.ts'
import { realClock } from '../platform/real/clock.ts'
import { realHost } from '../platform/real/host.ts'
import {
  type FilesystemRecord,
  FS_AREA_OFFSET,
  formatLun,
  fsAreaEnd,
  type Label,
  type Lun,
  type LunRecord,
  labelledPart,
  type MembershipDatabase,
  openLun,
  Partitions,
  readLabel,
} from '../san/index.ts'
import { OfflineMatrix, refuseWhenInUse } from './offline-matrix.ts'
import { describePending } from './pending-change.ts'

export type NamedLun = { readonly name: string; readonly url: string }

export type FormatMatrixOptions = {
  readonly matrixName: string
  /** The first one bears the membership partition, or the first three do. */
  readonly luns: readonly NamedLun[]
  /** Membership partitions: of three, any one may be lost. */
  readonly partitions?: 1 | 3
  /** Overwrite what is on them. */
  readonly force?: boolean
}

/** Begins a new matrix. Nothing is written unless all LUNs may be. Rejects with what `formatLun` rejects with, 'config', 'in-use'. */
export async function formatMatrix({
  matrixName,
  luns,
  partitions = 1,
  force = false,
}: FormatMatrixOptions): Promise<Label[]> {
  checkNames([matrixName, ...luns.map(({ name }) => name)])
  checkDistinct(luns)
  if (luns.length < partitions)
    throw new MatrixError(
      'config',
      `${partitions} membership partitions need ${partitions} LUNs, there are ${luns.length}`,
    )
  const matrixUuid = randomUUID()
  const labels = await withLuns(luns, async (opened) => {
    await refuseLiveMembership(opened, urlsOf(luns))
    const made: Label[] = []
    // The membership LUNs last: until a majority has its label there is no matrix.
    for (const index of [...luns.keys()].reverse()) {
      const lunName = luns[index]!.name
      const options = {
        matrixUuid,
        matrixName,
        lunUuid: randomUUID(),
        lunName,
        partitions: index < partitions ? partitions : (0 as const),
      }
      made.unshift(await formatLun(opened[index]!, options, { force }))
    }
    return made
  })
  const matrix = await OfflineMatrix.open(luns.slice(0, partitions).map(({ url }) => url))
  try {
    await matrix.createDatabase({ matrixUuid, matrixName, luns: labels.map(entryOf), filesystems: [] })
  } finally {
    await matrix.close()
  }
  return labels
}

export type AddLunsOptions = {
  /** LUNs of the matrix that gets the new ones: a majority of those with its membership partitions. */
  readonly into: readonly string[]
  readonly luns: readonly NamedLun[]
  readonly force?: boolean
}

/** Adds LUNs to a matrix. Rejects as `formatMatrix`, and with 'exists' for a name the matrix has. */
export async function addLuns({ into, luns, force = false }: AddLunsOptions): Promise<Label[]> {
  checkNames(luns.map(({ name }) => name))
  checkDistinct([...into.map((url, index) => ({ name: `\0${index}`, url })), ...luns])
  const matrix = await OfflineMatrix.open(into)
  try {
    const database = await matrix.readDatabase()
    refuseWhilePending(database)
    const twin = luns.find(({ name }) => database.luns.some((lun) => lun.name === name))
    if (twin)
      throw new MatrixError(
        'exists',
        `matrix ${database.matrixName} has a LUN ${twin.name} already; choose another --name`,
      )
    await matrix.refuseWhenInUse()
    const labels = await withLuns(luns, async (opened) => {
      await refuseLiveMembership(opened, urlsOf(luns))
      const made: Label[] = []
      for (const [index, { name }] of luns.entries()) {
        const { matrixUuid, matrixName } = database
        const options = { matrixUuid, matrixName, lunUuid: randomUUID(), lunName: name, partitions: 0 as const }
        made.push(await formatLun(opened[index]!, options, { force }))
      }
      return made
    })
    await matrix.writeDatabase({ ...database, luns: [...database.luns, ...labels.map(entryOf)] })
    return labels
  } finally {
    await matrix.close()
  }
}

export type CreateFilesystemOptions = {
  readonly name: string
  /** LUNs of the matrix, among them the one with the membership partition. */
  readonly urls: readonly string[]
  /** Names of those it gets; the first one carries journals and checkpoints. Left out: all that bear no filesystem yet. */
  readonly lunNames?: readonly string[]
  readonly plan?: PlanOptions
  readonly spread?: 'free' | 'stripe'
  /** Give the space of the LUNs back to the array first. */
  readonly discard?: boolean
}

/** Makes an empty filesystem. Rejects with 'exists', 'not-found', 'in-use', 'lun-too-small', 'lun-io' or 'config'. */
export async function createFilesystem({
  name,
  urls,
  lunNames,
  plan,
  spread,
  discard = false,
}: CreateFilesystemOptions): Promise<FilesystemRecord> {
  checkNames([name])
  const matrix = await OfflineMatrix.open(urls)
  try {
    const database = await matrix.readDatabase()
    refuseWhilePending(database)
    if (database.filesystems.some((other) => other.name === name)) {
      throw new MatrixError('exists', `matrix ${database.matrixName} has a filesystem ${name} already`)
    }
    const used = new Set(database.filesystems.flatMap((other) => other.luns))
    const free = matrix.luns.filter(({ label }) => !used.has(label.lunUuid))
    const chosen = lunNames?.map((lunName) => {
      const lun = matrix.luns.find(({ label }) => label.lunName === lunName)
      if (!lun) throw new MatrixError('not-found', `LUN ${lunName} is not among those given; name its URL, too`)
      if (free.includes(lun)) return lun
      throw new MatrixError('in-use', `LUN ${lunName} bears another filesystem already`)
    })
    const luns = chosen ?? free
    if (luns.length === 0)
      throw new MatrixError('no-space', 'every LUN bears a filesystem already; add one with: matrix lun format')
    const stranger = luns.find(({ label }) => !database.luns.some(({ uuid }) => uuid === label.lunUuid))
    if (stranger)
      throw new MatrixError('not-found', `LUN ${stranger.label.lunName} is labelled, but the matrix does not know it`)
    await matrix.refuseWhenInUse()
    // a label may be ahead of the list (recovery/lun-change.ts)
    const listed = (label: Label) => database.luns.find(({ uuid }) => uuid === label.lunUuid) as LunRecord

    const uuid = randomUUID()
    const record: FilesystemRecord = {
      name,
      uuid,
      fsid: newFsid(uuid, database.filesystems),
      luns: luns.map(({ label }) => label.lunUuid),
      ...planFilesystem(
        luns.map(({ label }) => listed(label).size),
        plan,
      ),
      ...(spread && spread !== 'free' && { spread }),
      seals: [],
    }
    if (discard) await discardSpace(luns.map(({ label, lun }) => ({ lun, label, size: listed(label).size })))
    await formatFilesystem(
      luns.map(({ label, lun }) => labelledPart({ label: { size: listed(label).size }, lun })),
      record,
      { now: realClock.wall() },
    )
    await matrix.writeDatabase({ ...database, filesystems: [...database.filesystems, record] })
    return record
  } finally {
    await matrix.close()
  }
}

/** Of where the filesystem will lie: labels and membership partitions stay. Nothing is discarded unless all can be. */
async function discardSpace(luns: readonly { lun: Lun; label: Label; size: number }[]): Promise<void> {
  for (const { lun, label } of luns)
    if (!lun.discard)
      throw new MatrixError(
        'config',
        `LUN ${label.lunName} (${lun.identity}) does not take space back: leave --discard out`,
      )
  for (const { lun, size } of luns) await lun.discard?.(FS_AREA_OFFSET, fsAreaEnd(size) - FS_AREA_OFFSET)
}

/**
 * Marks a filesystem in error, as nodes do when its LUNs fail (recovery/isolation.ts): they can then be started without them. Rejects with 'not-found', 'in-use'
 * while a node runs.
 */
export async function isolateFilesystem(name: string, urls: readonly string[]): Promise<void> {
  const matrix = await OfflineMatrix.open(urls, { mayMiss: true })
  try {
    const database = await matrix.readDatabase()
    refuseWhilePending(database)
    const record = database.filesystems.find((each) => each.name === name)
    if (!record) {
      const known = database.filesystems.map((each) => each.name).join(', ') || 'none'
      throw new MatrixError('not-found', `matrix ${database.matrixName} has no filesystem ${name}; it has ${known}`)
    }
    if (record.error !== undefined) return
    await matrix.refuseWhenInUse()
    const filesystems = database.filesystems.map((each) =>
      each === record ? { ...record, error: 'isolated by matrix fs isolate' } : each,
    )
    await matrix.writeDatabase({ ...database, filesystems })
  } finally {
    await matrix.close()
  }
}

/** A change that nodes have begun is theirs to finish: some may have closed the LUN, or opened it. */
function refuseWhilePending({ pending }: MembershipDatabase): void {
  if (!pending) return
  throw new MatrixError('in-use', `${describePending(pending)}; start one of them: it does that at once`)
}

function newFsid(uuid: string, others: readonly FilesystemRecord[]): number {
  let fsid = crc32c(Buffer.from(uuid))
  while (fsid === 0 || others.some((other) => other.fsid === fsid)) fsid = (fsid + 1) % 2 ** 32
  return fsid
}

function urlsOf(luns: readonly NamedLun[]): string[] {
  return luns.map(({ url }) => url)
}

function entryOf({ lunUuid, lunName, size }: Label): { uuid: string; name: string; size: number } {
  return { uuid: lunUuid, name: lunName, size }
}

export function checkNames(names: readonly string[]): void {
  const wrong = names.find((name) => !isName(name))
  if (wrong === undefined) return
  throw new MatrixError('config', `"${wrong}" is no name: allowed are 1…32 characters a-z, 0-9, - and _`)
}

function checkDistinct(luns: readonly NamedLun[]): void {
  for (const key of ['name', 'url'] as const) {
    const twin = luns.find((lun, index) => luns.findIndex((other) => other[key] === lun[key]) < index)
    if (twin) throw new MatrixError('config', `${twin[key]} is given twice`)
  }
}

async function withLuns<T>(luns: readonly NamedLun[], work: (opened: readonly Lun[]) => Promise<T>): Promise<T> {
  const opened: Lun[] = []
  try {
    for (const { url } of luns) opened.push(await openLun(url, realHost))
    return await work(opened)
  } finally {
    for (const lun of opened) await lun.close()
  }
}

/** Not even `force` takes a membership partition away from nodes that run; one alone of three is watched by itself. */
export async function refuseLiveMembership(luns: readonly Lun[], urls: readonly string[]): Promise<void> {
  for (const lun of luns) {
    try {
      const { label } = await readLabel(lun)
      if (label.partitions === 0) continue
    } catch (error) {
      if (isMatrixError(error, 'lun-unlabelled', 'lun-damaged', 'lun-foreign', 'format-version')) continue
      throw error
    }
    await refuseWhenInUse(new Partitions([lun], { clock: realClock, timings: defaultTimings }), urls)
  }
}
