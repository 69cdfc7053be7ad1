/**
 * The metadata image: this node's SQLite database of the whole filesystem (R126), a cache of what checkpoint and journals
 * on the LUN say. Reads are here; the one way to change it is `apply.ts`.
 *
 * Invariants
 * 1. What is committed equals a vector: the rows of the tables `vector` and `done` are committed together with what was applied up to there.
 * 2. At most one transaction is open. It holds frames not yet committed (commit-pacer.ts), and the own one that collects.
 * 3. `synchronous` is off: after an unclean stop the file is worthless and is overwritten from a checkpoint.
 * 4. `totals` follows every mutation, so that statfs never counts rows.
 */
import { createHash } from 'node:crypto'
import Database from 'better-sqlite3'
import { assert } from '../../base/assert.ts'
import { MatrixError } from '../../base/errors.ts'
import type { BlockAddress, Ino, Lsn, Slot } from '../../base/ids.ts'
import type { Life } from '../../base/life.ts'
import { emptyVector, type MutableVector, type Vector } from '../../base/vector.ts'
import { type DonePageRow, DoneRequests } from './done-requests.ts'
import { moveTo, serialized } from './image-file.ts'
import type { DavLockRecord, FileName, InodeRecord } from './mutation.ts'
import {
  type DirentRecord,
  davLockOfRow,
  direntOfRow,
  type ExtentRecord,
  extentOfRow,
  inodeOfRow,
  type NfsClientRecord,
  nfsClientOf,
  type SpaceRecord,
  type StoredInode,
  spaceOfRow,
  storedOfRow,
} from './rows.ts'
import { SCHEMA_VERSION, schemaSql, tableNames, tables } from './schema.ts'
import {
  type DavLockRow,
  type DirentRow,
  type ExtentRow,
  type InodeRow,
  type NfsClientRow,
  prepareStatements,
  RANGE_WEIGHT_SQL,
  type RangeLockRow,
  type RangeWaitRow,
  type SpaceRow,
  type Statements,
  type StoredInodeRow,
} from './statements.ts'

/** `freedBlocks` are free but not yet back in their groups; `rangeWeight` is of all range locks. */
export type ImageTotals = { inodes: number; freeBlocks: number; freedBlocks: number; rangeWeight: number }
export class Image {
  #db: Database.Database
  #statements: Statements
  #vector: MutableVector
  #advanced = new Set<Slot>()
  #totals: ImageTotals
  #done: DoneRequests
  #deadProperties: number
  #davLocks: number
  #rangeWeights: Map<string, number>
  #inTransaction = false
  #uncommitted = 0
  /** Told once when the database cannot be used any more. */
  onDamage: ((error: MatrixError) => void) | undefined

  private constructor(db: Database.Database) {
    this.#db = db
    this.#statements = prepareStatements(db, (error) => this.#failed(error))
    this.#vector = new Map(this.#statements.vector.all() as [Slot, Lsn][])
    this.#done = new DoneRequests()
    if (!this.#done.load(this.#statements.donePages.all() as DonePageRow[]))
      throw new MatrixError('checkpoint-damaged', 'the image has pages of requests that are none')
    this.#totals = db
      .prepare(
        `SELECT (SELECT count(*) FROM inode) AS inodes, (SELECT coalesce(sum(count), 0) FROM free) AS freeBlocks, (SELECT coalesce(sum(count), 0) FROM freed) AS freedBlocks, (SELECT coalesce(sum(${RANGE_WEIGHT_SQL}), 0) FROM range_lock) AS rangeWeight`,
      )
      .get() as ImageTotals
    this.#deadProperties = rowCount(db, 'dead_property')
    this.#davLocks = rowCount(db, 'dav_lock')
    this.#rangeWeights = new Map(this.#statements.rangeWeights.all() as [string, number][])
  }

  /** An image without a row, in memory. */
  static empty(): Image {
    const db = new Database(':memory:')
    db.exec(schemaSql)
    return new Image(db)
  }

  /**
   * Opens what `serialize` gave. `path` is where the database goes, and no file is there; or ':memory:'. Throws MatrixError
   * 'checkpoint-damaged' when it is no image, 'format-version' when a newer matrixfs made it, 'image-damaged' when it cannot be
   * written to `path`.
   */
  static async load(bytes: Buffer, path = ':memory:'): Promise<Image> {
    let db: Database.Database
    try {
      db = new Database(bytes)
      const version = db.pragma('user_version', { simple: true }) as number
      if (version > SCHEMA_VERSION)
        throw new MatrixError(
          'format-version',
          `the image has schema ${version}, this matrixfs knows ${SCHEMA_VERSION}`,
        )
      if (version < 1) throw new MatrixError('checkpoint-damaged', 'the image has no schema')
      if (path !== ':memory:') db = await moveTo(db, path)
      if (version < SCHEMA_VERSION) db.exec(schemaSql)
      return new Image(db)
    } catch (error) {
      if (error instanceof MatrixError) throw error
      throw new MatrixError('checkpoint-damaged', `cannot open the image: ${String(error)}`, { cause: error })
    }
  }

  // ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

  inode(ino: Ino): InodeRecord | undefined {
    const row = this.#statements.inode.get(ino) as InodeRow | undefined
    return row && inodeOfRow(row)
  }

  storedInode(ino: Ino): StoredInode | undefined {
    const row = this.#statements.storedInode.get(ino) as StoredInodeRow | undefined
    return row && storedOfRow(row)
  }

  /** The inodes of a directory's entries with cookies `from` … `to`, in no order; an inode with two names there comes twice. */
  listedInodes(dir: Ino, from: number, to: number): StoredInode[] {
    return (this.#statements.listedInodes.all(dir, from, to) as StoredInodeRow[]).map(storedOfRow)
  }

  dirent(dir: Ino, name: FileName): DirentRecord | undefined {
    const row = this.#statements.dirent.get(dir, name) as DirentRow | undefined
    return row && direntOfRow(row)
  }

  /** Entries with a greater cookie, ascending by cookie, at most `limit`. */
  direntsAfter(dir: Ino, cookie: number, limit: number): DirentRecord[] {
    return (this.#statements.direntsAfter.all(dir, cookie, limit) as DirentRow[]).map(direntOfRow)
  }

  hasEntries(dir: Ino): boolean {
    return this.#statements.hasEntries.get(dir) !== undefined
  }

  /** All extents of an inode, ascending. */
  extents(ino: Ino): ExtentRecord[] {
    return (this.#statements.extents.all(ino) as ExtentRow[]).map(extentOfRow)
  }

  /** Extents that touch file blocks fromBlock … toBlock-1, whole, ascending. */
  extentsIn(ino: Ino, fromBlock: number, toBlock: number): ExtentRecord[] {
    const out = (this.#statements.extentsFrom.all(ino, fromBlock, toBlock) as ExtentRow[]).map(extentOfRow)
    const before = this.#statements.extentBefore.get(ino, fromBlock) as ExtentRow | undefined
    if (before && before[0] + before[1] > fromBlock) out.unshift(extentOfRow(before))
    return out
  }

  /** Inodes above `after` with extents there, ascending. */
  inodesOn({ from, to }: { readonly from: BlockAddress; readonly to: BlockAddress }, after: Ino, limit: number): Ino[] {
    return this.#statements.inodesOn.all(after, from, to, limit) as Ino[]
  }

  /** Free extents that begin in from … to-1 (a group's range holds them whole), ascending. */
  freeIn(range: { readonly from: BlockAddress; readonly to: BlockAddress }): SpaceRecord[] {
    return (this.#statements.freeIn.all(range.from, range.to) as SpaceRow[]).map(spaceOfRow)
  }

  /** Blocks of from … to-1 that are in rows of these tables; of `extent` it looks at every one. */
  spaceIn(
    { from, to }: { readonly from: BlockAddress; readonly to: BlockAddress },
    tables: readonly ('free' | 'freed' | 'extent')[] = ['free', 'freed', 'extent'],
  ): number {
    const { spaceFree: free, spaceFreed: freed, spaceMapped: extent } = this.#statements
    const sums = { free, freed, extent }
    return tables.reduce((sum, table) => sum + (sums[table].get(from, to) as number), 0)
  }

  /** Space that transactions of `slot` freed, ascending by address. */
  freed(slot: Slot, limit: number): SpaceRecord[] {
    return (this.#statements.freed.all(slot, limit) as SpaceRow[]).map(spaceOfRow)
  }

  orphans(slot: Slot, limit = Number.MAX_SAFE_INTEGER): Ino[] {
    return this.#statements.orphans.all(slot, limit) as Ino[]
  }

  rangeLocks(ino: Ino): RangeLockRow[] {
    return this.#statements.rangeLocks.all(ino) as RangeLockRow[]
  }

  /** In order of their places. */
  rangeWaits(ino: Ino): RangeWaitRow[] {
    return this.#statements.rangeWaits.all(ino) as RangeWaitRow[]
  }

  rangeWaiters(ino: Ino): number {
    return this.#statements.rangeWaiters.get(ino) as number
  }

  /** Inodes in whose lines the owner waits. */
  inosWaitedFor(client: string, owner: string): Ino[] {
    return this.#statements.inosWaitedFor.all(client, owner) as Ino[]
  }

  /** Inodes of which the client holds or waits for bytes. */
  inosRangedBy(client: string): Ino[] {
    return this.#statements.inosRangedBy.all(client, client) as Ino[]
  }

  /** Clients from `from` to before `to` that hold or wait for bytes of any inode. */
  rangeClients(from: string, to: string): string[] {
    return this.#statements.rangeClients.all(from, to, from, to) as string[]
  }

  /** Clients whose names sort after `after`, with how many inodes they have locks or requests of, locks, and requests that wait. */
  rangeCounts(after: string, limit: number): [client: string, inodes: number, held: number, waiting: number][] {
    return this.#statements.rangeCounts.all(after, after, limit) as [string, number, number, number][]
  }

  /** Inodes above `after` that have range locks or waiters, ascending. */
  rangedInos(after: Ino, limit: number): Ino[] {
    return this.#statements.rangedInos.all(after, after, limit) as Ino[]
  }

  /** Lives in which somebody waits in a line, with the inode; each once. */
  rangeWaitLives(): { readonly ino: Ino; readonly life: Life }[] {
    return (this.#statements.rangeWaitLives.all() as [number, number, number][]).map(([ino, slot, incarnation]) => {
      return { ino, life: { slot, incarnation } }
    })
  }

  /** Weight of the range locks that the client holds. Costs nothing. */
  rangeWeightOf(client: string): number {
    return this.#rangeWeights.get(client) ?? 0
  }

  nfsClients(slot: Slot): NfsClientRecord[] {
    return (this.#statements.nfsClients.all(slot) as NfsClientRow[]).map(nfsClientOf)
  }

  /** Those of all slots; one may be there several times. */
  allNfsClients(): NfsClientRecord[] {
    return (this.#statements.allNfsClients.all() as NfsClientRow[]).map(nfsClientOf)
  }

  nfsClient(slot: Slot, name: string): NfsClientRecord | undefined {
    return this.nfsClients(slot).find((client) => client.name === name)
  }

  slotState(slot: Slot): { readonly inoCounter: number } | undefined {
    const inoCounter = this.#statements.slotState.get(slot) as number | undefined
    return inoCounter === undefined ? undefined : { inoCounter }
  }

  setting(key: string): string | undefined {
    return this.#statements.setting.get(key) as string | undefined
  }

  settings(): Map<string, string> {
    return new Map(this.#statements.settings.all() as [string, string][])
  }

  /** Requests of clients that have been done. */
  get done(): DoneRequests {
    return this.#done
  }

  /** Dead properties of an inode, by name. */
  deadProperties(ino: Ino): Map<string, string> {
    return new Map(this.#deadProperties === 0 ? [] : (this.#statements.deadProperties.all(ino) as [string, string][]))
  }

  /** WebDAV locks on an inode, expired ones too, by token. */
  davLocks(ino: Ino): DavLockRecord[] {
    if (this.#davLocks === 0) return []
    return (this.#statements.davLocks.all(ino) as DavLockRow[]).map(davLockOfRow)
  }

  allDavLocks(): DavLockRecord[] {
    if (this.#davLocks === 0) return []
    return (this.#statements.allDavLocks.all() as DavLockRow[]).map(davLockOfRow)
  }

  /** Those whose time was over before `wall`, the longest expired first. */
  expiredDavLocks(wall: number, limit: number): DavLockRecord[] {
    if (this.#davLocks === 0) return []
    return (this.#statements.expiredDavLocks.all(wall, limit) as DavLockRow[]).map(davLockOfRow)
  }

  /** Rows of `dav_lock`; costs nothing. */
  get davLockCount(): number {
    return this.#davLocks
  }

  /** Counted as the image changes; costs nothing. */
  totals(): Readonly<ImageTotals> {
    return this.#totals
  }

  /** Up to where each slot's journal is applied. */
  get vector(): Vector {
    return this.#vector
  }

  /** Where the database is; ':memory:' when in no file. */
  get file(): string {
    return this.#db.name
  }

  /** Pages × page size, bytes. */
  get bytes(): number {
    return (
      (this.#db.pragma('page_count', { simple: true }) as number) *
      (this.#db.pragma('page_size', { simple: true }) as number)
    )
  }

  /** Runs a query of fsck or a test; rows as arrays. The image is not for changing this way. */
  rows(sql: string, ...values: unknown[]): unknown[][] {
    const statement = this.#db.prepare(sql)
    assert(statement.readonly, 'queries only')
    return statement.raw().all(...values) as unknown[][]
  }

  // ── changing: for apply.ts and the volume ────────────────────────────────────────────────────────────────────────

  /** For apply.ts only. */
  get statements(): Statements {
    return this.#statements
  }

  /** For apply.ts only: another mutation. */
  applied(): void {
    this.#uncommitted++
  }

  /** For apply.ts only: follows what it does. */
  count(inodes: number, freeBlocks: number, freedBlocks: number): void {
    this.#totals.inodes += inodes
    this.#totals.freeBlocks += freeBlocks
    this.#totals.freedBlocks += freedBlocks
  }

  /** For apply.ts only, as `count`. */
  countDav(deadProperties: number, davLocks: number): void {
    this.#deadProperties += deadProperties
    this.#davLocks += davLocks
  }

  /** For apply.ts only: the client's range locks weigh so much more. */
  weighRanges(client: string, more: number): void {
    const weight = this.rangeWeightOf(client) + more
    if (weight > 0) this.#rangeWeights.set(client, weight)
    else this.#rangeWeights.delete(client)
    this.#totals.rangeWeight += more
  }

  get inTransaction(): boolean {
    return this.#inTransaction
  }

  /** Mutations applied since the last commit. */
  get uncommitted(): number {
    return this.#uncommitted
  }

  /** Opens the transaction unless it is open. */
  begin(): void {
    if (this.#inTransaction) return
    this.#statements.begin.run()
    this.#inTransaction = true
  }

  /** Commits what was applied together with the vector; nothing when no transaction is open. */
  commit(): void {
    if (!this.#inTransaction) return
    this.#writeLate()
    this.#statements.commit.run()
    this.#inTransaction = false
    this.#uncommitted = 0
  }

  /** Slot's journal is applied up to `lsn` now; committed with the open transaction. */
  advance(slot: Slot, lsn: Lsn): void {
    assert(this.#inTransaction, 'a vector advances with what was applied')
    assert(lsn >= (this.#vector.get(slot) ?? 0), `LSN of slot ${slot} goes back`)
    this.#vector.set(slot, lsn)
    this.#advanced.add(slot)
  }

  /** A file image of the committed state that opens by itself (no WAL); within this turn of the event loop. */
  serialize(): Buffer {
    assert(!this.#inTransaction, 'only a committed state equals a vector')
    try {
      return serialized(this.#db)
    } catch (error) {
      throw this.#failed(error)
    }
  }

  /** Takes over the other's database, as if this had always been it: holders of this image see the other's rows from now on. */
  adopt(other: Image): void {
    this.#db.close()
    this.#db = other.#db
    this.#statements = other.#statements
    this.#vector = other.#vector
    this.#advanced = other.#advanced
    this.#totals = other.#totals
    this.#done = other.#done
    this.#deadProperties = other.#deadProperties
    this.#davLocks = other.#davLocks
    this.#rangeWeights = other.#rangeWeights
    this.#inTransaction = other.#inTransaction
    this.#uncommitted = other.#uncommitted
    other.onDamage = (error) => this.onDamage?.(error)
  }

  /** Equal for two images if and only if all their rows are: every table in key order, the vector included. */
  hash(): string {
    if (this.#inTransaction) this.#writeLate()
    const hash = createHash('sha256')
    for (const name of tableNames) {
      hash.update(`${name}\n`)
      const rows = this.#db.prepare(`SELECT * FROM ${name} ORDER BY ${tables[name].key.join(', ')}`).raw()
      for (const row of rows.iterate()) hash.update(`${JSON.stringify(row)}\n`)
    }
    return hash.digest('hex')
  }

  close(): void {
    this.#db.close()
    this.#vector = new Map(emptyVector)
    this.#inTransaction = false
  }

  /** A constraint that does not hold is the mutation's fault; anything else that SQLite reports is the database's. */
  #failed(error: unknown): unknown {
    const code = error instanceof Database.SqliteError ? error.code : undefined
    if (code === undefined || code.startsWith('SQLITE_CONSTRAINT')) return error
    const damage = new MatrixError(
      'image-damaged',
      `the image ${this.#db.name} cannot be used: ${code}, ${String(error)}`,
    )
    this.onDamage?.(damage)
    return damage
  }

  /** What is kept in memory until the commit. */
  #writeLate(): void {
    this.#done.takeChanged((number, bytes) => this.#statements.putDonePage.run(number, bytes))
    for (const slot of this.#advanced) this.#statements.putVector.run(slot, this.#vector.get(slot))
    this.#advanced.clear()
  }
}

function rowCount(db: Database.Database, table: 'dead_property' | 'dav_lock'): number {
  return db.prepare(`SELECT count(*) FROM ${table}`).pluck().get() as number
}
