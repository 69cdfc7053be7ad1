/**
 * The membership database as the membership partitions hold it together: two copies on each (database-copies.ts), a majority of the
 * partitions decides, the newest copy met counts.
 *
 * Single writer: the administrator of a term of the SAN locks. Its writes outrank whatever an earlier administrator wrote on a minority
 * and nobody met when it took over. A change to a database that is not the newest is refused.
 *
 * Generations
 *   1. Every write raises it. Nothing that this process has ever tried to write, and that may be on some partition, is outranked by less.
 *   2. `pending` has the generation after the database's. Only `finish` writes that one, with the list that members were told;
 *      every other write jumps over it. So one generation never stands for two lists of LUNs.
 *
 * Writes of one process go one after another, each with its look at what is there.
 */

import { assert } from '../base/assert.ts'
import { brokenRules } from '../base/broken-rules.ts'
import { MatrixError } from '../base/errors.ts'
import { Turns } from '../base/turns.ts'
import type { Log } from '../platform/log.ts'
import { databaseAfter, type MembershipDatabase, parseDatabase } from './database.ts'
import { encodeDatabase, isNewer, type PartitionRead, readPartition, writePartition } from './database-copies.ts'
import { DATABASE_A_OFFSET, DATABASE_B_OFFSET, DATABASE_COPY_BYTES } from './lun-layout.ts'
import type { Partitions } from './partitions.ts'

export class MembershipStore {
  readonly #partitions: Partitions
  readonly #log: Log
  /** The highest generation that a write of this process has carried, whatever became of it. */
  #tried = 0
  #isDecided = true
  readonly #turns = new Turns()

  constructor(partitions: Partitions, log: Log) {
    this.#partitions = partitions
    this.#log = log
  }

  /**
   * The newest intact copy. Rejects with MatrixError 'not-found' (never written), 'lun-damaged' (no copy is intact), 'format-version' or
   * 'lun-io'.
   */
  async read(): Promise<MembershipDatabase> {
    return this.#newest(await this.#partitions.readMost(readPartition))
  }

  /** As `read`, once the writes that were asked for before are over. */
  readInTurn(): Promise<MembershipDatabase> {
    return this.#turns.take(() => this.read())
  }

  /** False after a write that failed, until the next one succeeds: a copy of it may be on a partition that nobody has looked at. */
  get isDecided(): boolean {
    return this.#isDecided
  }

  /** Writes the first database, generation 1, of freshly formatted LUNs. Rejects with 'exists' when there is one, intact or not. */
  async create(database: Omit<MembershipDatabase, 'generation' | 'term' | 'pending'>): Promise<MembershipDatabase> {
    const read = await this.#partitions.readMost(readPartition)
    if (read.some(({ database, problems, newer }) => database || problems.length > 0 || newer !== undefined)) {
      throw new MatrixError('exists', `${this.#partitions.identity} already bears a membership database`)
    }
    return this.#write({ ...database, term: 0, generation: 1 })
  }

  /**
   * Replaces the database that `database` was derived from (its generation); `database.term` is that of its writer. Gives what was
   * written. Rejects with 'view-changed' when another writer was faster.
   */
  write(database: MembershipDatabase): Promise<MembershipDatabase> {
    return this.#turns.take(async () => {
      const current = await this.#current(database)
      const generation = Math.max(current.generation, current.pending?.generation ?? 0, this.#tried) + 1
      const { pending } = database
      return this.#write({
        ...database,
        generation,
        ...(pending && { pending: { ...pending, generation: generation + 1 } }),
      })
    })
  }

  /**
   * Writes what `database.pending` leads to, under its generation, and clears it. Rejects as `write`, and with 'view-changed' when
   * that generation has been tried: then `pending` has to be written anew, and to be told with a higher one.
   */
  finish(database: MembershipDatabase): Promise<MembershipDatabase> {
    return this.#turns.take(async () => {
      await this.#current(database)
      const { pending, ...rest } = database
      assert(pending, 'no change of LUNs is pending')
      if (pending.generation <= this.#tried)
        throw new MatrixError('view-changed', `SAN generation ${pending.generation} has been tried before`)
      return this.#write({ ...databaseAfter(rest, pending), generation: pending.generation })
    })
  }

  /** The newest database, when a change was made to it. */
  async #current(database: MembershipDatabase): Promise<MembershipDatabase> {
    const current = await this.read()
    if (!brokenRules.generation && (current.generation !== database.generation || current.term > database.term)) {
      throw new MatrixError(
        'view-changed',
        `the membership database is at generation ${current.generation} of term ${current.term}, the change was made to ${database.generation} in term ${database.term}; read it again`,
      )
    }
    return current
  }

  /** Resolves once every write of this process has landed, or never will. */
  async settled(): Promise<void> {
    await this.#turns.over()
    await this.#partitions.settled(DATABASE_A_OFFSET)
  }

  async #write(database: MembershipDatabase): Promise<MembershipDatabase> {
    const problem = parseDatabase(database)
    assert(typeof problem !== 'string', `membership database: ${problem}`)
    const block = encodeDatabase(database)
    this.#tried = Math.max(this.#tried, database.generation)
    if (block.length > DATABASE_COPY_BYTES) {
      throw new MatrixError(
        'no-space',
        `the membership database needs ${block.length} bytes, there are ${DATABASE_COPY_BYTES}`,
      )
    }
    this.#tried = Math.max(this.#tried, database.generation)
    this.#isDecided = false
    await this.#partitions.most((lun) => writePartition(lun, block), DATABASE_A_OFFSET)
    this.#isDecided = true
    return database
  }

  #newest(read: readonly PartitionRead[]): MembershipDatabase {
    const newer = read.find((partition) => partition.newer !== undefined)
    if (newer) {
      // an older copy beside it is out of date: using it would undo what the newer program wrote
      throw new MatrixError(
        'format-version',
        `the membership database on ${newer.lun.identity} was written by a newer matrixfs (version ${newer.newer}); upgrade this node`,
      )
    }
    let best: MembershipDatabase | undefined
    for (const { database } of read) if (database && (!best || isNewer(database, best))) best = database
    const damaged = read.filter(({ problems }) => problems.length > 0)
    const problems = damaged.flatMap((partition) => partition.problems)
    if (best) {
      if (damaged.length > 0) {
        this.#log.warn(
          { luns: damaged.map(({ lun }) => lun.identity), problems },
          'a copy of the membership database is damaged; another is used',
        )
      }
      return best
    }
    if (damaged.length > 0) {
      throw new MatrixError(
        'lun-damaged',
        `no intact copy of the membership database on ${damaged.map(({ lun }) => lun.identity).join(', ')}: ${problems.join('; ')}; restore bytes ${DATABASE_A_OFFSET} to ${DATABASE_B_OFFSET + DATABASE_COPY_BYTES} from a backup`,
      )
    }
    throw new MatrixError('not-found', `${this.#partitions.identity} bears no membership database`)
  }
}
