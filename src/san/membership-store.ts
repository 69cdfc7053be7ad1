/**
 * The membership database on the membership partition: two copies in turn, each a sealed block whose body is the database in
 * msgpack. The intact copy with the higher generation counts.
 *
 * Writing: read both, raise the generation by one, write the *other* copy (the older or damaged one), durably. A crash leaves either
 * the old state (the new copy is torn, fails its checksum, and is reported) or the new one; never neither.
 * Single writer: the administrator of the generation. A write that finds another generation than its caller has seen is refused.
 */
import { pack, unpack } from 'msgpackr'
import * as v from 'valibot'
import { assert } from '../base/assert.ts'
import { MatrixError } from '../base/errors.ts'
import { isUuid, type SealFormat, seal, type Unsealed, unseal } from '../base/layout.ts'
import { MAX_SLOTS, SECTOR_SIZE } from '../base/limits.ts'
import type { Log } from '../platform/log.ts'
import type { MembershipDatabase } from './database.ts'
import type { Lun } from './lun.ts'
import { DATABASE_A_OFFSET, DATABASE_B_OFFSET, DATABASE_COPY_BYTES } from './lun-layout.ts'

export const databaseFormat: SealFormat = { magic: 'MxfsMemb', version: 1 }

const copies = [
  { name: 'A', offset: DATABASE_A_OFFSET },
  { name: 'B', offset: DATABASE_B_OFFSET },
] as const

type CopyRead = {
  readonly place: (typeof copies)[number]
  readonly found: MembershipDatabase | Exclude<Unsealed, { kind: 'ok' }>
}

export class MembershipStore {
  readonly #lun: Lun
  readonly #log: Log

  constructor(lun: Lun, log: Log) {
    this.#lun = lun
    this.#log = log
  }

  /**
   * The newest intact copy. Rejects with MatrixError 'not-found' (never written), 'lun-damaged' (no copy is intact), 'format-version' or
   * 'lun-io'.
   */
  async read(): Promise<MembershipDatabase> {
    return this.#newest(await this.#readCopies()).database
  }

  /** Writes the first database, generation 1, of a freshly formatted LUN. Rejects with 'exists' when there is one, intact or not. */
  async create(database: Omit<MembershipDatabase, 'generation'>): Promise<MembershipDatabase> {
    const read = await this.#readCopies()
    if (read.some(({ found }) => !('kind' in found) || found.kind !== 'blank')) {
      throw new MatrixError('exists', `${this.#lun.identity} already bears a membership database`)
    }
    return this.#write(copies[0], { ...database, generation: 1 })
  }

  /** Replaces the database that `database` was derived from (its generation); gives what was written. Rejects with 'view-changed' when another writer was faster. */
  async write(database: MembershipDatabase): Promise<MembershipDatabase> {
    const { database: current, place } = this.#newest(await this.#readCopies())
    if (current.generation !== database.generation) {
      throw new MatrixError(
        'view-changed',
        `the membership database is at generation ${current.generation}, the change was made to ${database.generation}; read it again`,
      )
    }
    const other = place === copies[0] ? copies[1] : copies[0]
    return this.#write(other, { ...database, generation: current.generation + 1 })
  }

  async #write(place: (typeof copies)[number], database: MembershipDatabase): Promise<MembershipDatabase> {
    const problem = problemOf(database)
    assert(problem === undefined, `membership database: ${problem}`)
    const block = seal(databaseFormat, pack(database), SECTOR_SIZE)
    if (block.length > DATABASE_COPY_BYTES) {
      throw new MatrixError(
        'no-space',
        `the membership database needs ${block.length} bytes, there are ${DATABASE_COPY_BYTES}`,
      )
    }
    await this.#lun.write(place.offset, [block], { purpose: 'membership', durable: true })
    return database
  }

  async #readCopies(): Promise<CopyRead[]> {
    const read: CopyRead[] = []
    for (const place of copies) {
      const block = Buffer.alloc(DATABASE_COPY_BYTES)
      await this.#lun.read(place.offset, block)
      read.push({ place, found: decode(block) })
    }
    return read
  }

  #newest(read: readonly CopyRead[]): { database: MembershipDatabase; place: (typeof copies)[number] } {
    let best: { database: MembershipDatabase; place: (typeof copies)[number] } | undefined
    const problems: string[] = []
    for (const { place, found } of read) {
      if (!('kind' in found)) {
        if (!best || found.generation > best.database.generation) best = { database: found, place }
      } else if (found.kind === 'newer') {
        // an older copy beside it is out of date: using it would undo what the newer program wrote
        throw new MatrixError(
          'format-version',
          `the membership database on ${this.#lun.identity} was written by a newer matrixfs (version ${found.version}); upgrade this node`,
        )
      } else if (found.kind !== 'blank') {
        problems.push(`copy ${place.name}: ${found.kind === 'damaged' ? found.why : 'something else is there'}`)
      }
    }
    if (best) {
      if (problems.length > 0) {
        this.#log.warn(
          { lun: this.#lun.identity, problems },
          'one copy of the membership database is damaged; the other is used',
        )
      }
      return best
    }
    if (problems.length > 0) {
      throw new MatrixError(
        'lun-damaged',
        `no intact copy of the membership database on ${this.#lun.identity}: ${problems.join('; ')}; restore bytes ${DATABASE_A_OFFSET} to ${DATABASE_B_OFFSET + DATABASE_COPY_BYTES} from a backup`,
      )
    }
    throw new MatrixError('not-found', `${this.#lun.identity} bears no membership database`)
  }
}

function decode(block: Buffer): CopyRead['found'] {
  const found = unseal(databaseFormat, block)
  if (found.kind !== 'ok') return found
  let value: unknown
  try {
    value = unpack(found.body)
  } catch (error) {
    return { kind: 'damaged', why: `not msgpack (${error instanceof Error ? error.message : error})` }
  }
  const why = problemOf(value)
  return why === undefined ? (value as MembershipDatabase) : { kind: 'damaged', why }
}

// ---- what a database may hold ----

/** Filesystems and LUNs of one matrix, and seals of one filesystem: bound the database well below its copy's size. */
const MAX_ENTRIES = 256
const MAX_SEALS = 4096

const natural = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const positive = v.pipe(v.number(), v.safeInteger(), v.minValue(1))
const uuid = v.pipe(v.string(), v.check(isUuid, 'is no UUID'))
const name = v.pipe(v.string(), v.minLength(1), v.maxLength(64))

const filesystem = v.strictObject({
  name,
  uuid,
  fsid: v.pipe(positive, v.maxValue(2 ** 32 - 1)),
  luns: v.pipe(v.array(uuid), v.minLength(1), v.maxLength(MAX_ENTRIES)),
  slots: v.pipe(positive, v.maxValue(MAX_SLOTS)),
  journalBytes: positive,
  checkpointBytes: positive,
  groupBlocks: positive,
  seals: v.pipe(
    v.array(v.strictObject({ slot: v.pipe(natural, v.maxValue(MAX_SLOTS - 1)), incarnation: positive, lsn: natural })),
    v.maxLength(MAX_SEALS),
  ),
  error: v.optional(v.string()),
})

const database = v.strictObject({
  matrixUuid: uuid,
  matrixName: name,
  generation: positive,
  luns: v.pipe(v.array(v.strictObject({ uuid, name, size: positive })), v.maxLength(MAX_ENTRIES)),
  filesystems: v.pipe(v.array(filesystem), v.maxLength(MAX_ENTRIES)),
})

/** What is wrong with `value` as a database, naming the place; undefined when nothing is. */
function problemOf(value: unknown): string | undefined {
  const result = v.safeParse(database, value)
  if (!result.success) {
    const issue = result.issues[0]
    return `${v.getDotPath(issue) ?? 'the whole'}: ${issue.message}`
  }
  const { luns, filesystems } = result.output
  const known = new Set(luns.map((lun) => lun.uuid))
  if (known.size < luns.length) return 'luns: a UUID twice'
  if (new Set(luns.map((lun) => lun.name)).size < luns.length) return 'luns: a name twice'
  if (new Set(filesystems.map((fs) => fs.name)).size < filesystems.length) return 'filesystems: a name twice'
  if (new Set(filesystems.map((fs) => fs.fsid)).size < filesystems.length) return 'filesystems: an fsid twice'
  for (const fs of filesystems) {
    const stranger = fs.luns.find((lun) => !known.has(lun))
    if (stranger) return `filesystems.${fs.name}: unknown LUN ${stranger}`
  }
  return undefined
}
