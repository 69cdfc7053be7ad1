/** Every SQL statement of the image, prepared once per connection. Reads are for everybody, writes only for apply.ts. */
import type Database from 'better-sqlite3'
import { inodeFields } from './mutation-fields.ts'

/** A row of `inode` in column order, the order of `inodeFields`. */
export type InodeRow = [...numbers: number[], target: string]
/** The same, and how many blocks its extents map. */
export type StoredInodeRow = [...inode: InodeRow, blocks: number]
export type DirentRow = [name: string, cookie: number, ino: number, type: number]
export type ExtentRow = [block: number, count: number, address: number]
export type DavLockRow = [
  ino: number,
  token: string,
  dir: number,
  shared: 0 | 1,
  infinite: 0 | 1,
  expires: number,
  principal: string,
  owner: string,
  root: string,
]
/** `exclusive` is 0 or 1. */
export type RangeLockRow = [client: string, owner: string, start: number, end: number, exclusive: number]
export type RangeWaitRow = [...lock: RangeLockRow, place: number, slot: number, incarnation: number]
export type NfsClientRow = [name: string, address: string, state: number, facts: string]
export type SpaceRow = [address: number, count: number]

/** What a range lock counts for, against limits: 1, and more when its owner has a long name. */
export function rangeWeight(client: string, owner: string): number {
  return 1 + Math.floor((Buffer.byteLength(client) + Buffer.byteLength(owner)) / RANGE_WEIGHT_BYTES)
}
const RANGE_WEIGHT_BYTES = 128
export const RANGE_WEIGHT_SQL = `1 + (octet_length(client) + octet_length(owner)) / ${RANGE_WEIGHT_BYTES}`

export type Statements = ReturnType<typeof prepareStatements>

/** `mtimeNs` → `mtime_ns`. */
export function columnOf(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

const inodeColumns = inodeFields.map(([name]) => columnOf(name))
const inodeValues = inodeColumns.slice(1)
const storedInode = [
  ...inodeColumns.map((column) => `inode.${column}`),
  '(SELECT coalesce(sum(count), 0) FROM extent WHERE extent.ino = inode.ino)',
].join(', ')

export function prepareStatements(db: Database.Database, failed: (error: unknown) => unknown) {
  const statements = prepare(db)
  for (const statement of Object.values(statements)) guard(statement, failed)
  return statements
}

/** Whatever a statement throws is first told to `failed`, which says what is thrown instead. */
function guard(statement: Database.Statement, failed: (error: unknown) => unknown): void {
  for (const method of ['run', 'get', 'all'] as const) {
    const plain = statement[method] as (...values: unknown[]) => never
    statement[method] = (...values: unknown[]) => {
      try {
        return plain.apply(statement, values)
      } catch (error) {
        throw failed(error)
      }
    }
  }
}

function spaceIn(table: 'free' | 'freed' | 'extent'): string {
  return `SELECT coalesce(sum(count), 0) FROM ${table} WHERE address >= ? AND address < ?`
}

/** Rows come as arrays (`raw`) and single values as themselves (`pluck`): half the cost of objects. */
function prepare(db: Database.Database) {
  const rows = (sql: string) => db.prepare(sql).raw()
  const value = (sql: string) => db.prepare(sql).pluck()
  return {
    begin: db.prepare('BEGIN'),
    commit: db.prepare('COMMIT'),

    inode: rows(`SELECT ${inodeColumns.join(', ')} FROM inode WHERE ino = ?`),
    storedInode: rows(`SELECT ${storedInode} FROM inode WHERE ino = ?`),
    listedInodes: rows(
      `SELECT ${storedInode} FROM dirent JOIN inode ON inode.ino = dirent.ino WHERE dir = ? AND cookie BETWEEN ? AND ?`,
    ),
    // both take the number last; neither is an error where the other is meant
    insertInode: db.prepare(
      `INSERT INTO inode (${inodeValues.join(', ')}, ino) VALUES (${'?, '.repeat(inodeValues.length)}?) ON CONFLICT (ino) DO NOTHING`,
    ),
    updateInode: db.prepare(
      `UPDATE inode SET ${inodeValues.map((column) => `${column} = ?`).join(', ')} WHERE ino = ?`,
    ),
    deleteInode: db.prepare('DELETE FROM inode WHERE ino = ?'),

    dirent: rows('SELECT name, cookie, ino, type FROM dirent WHERE dir = ? AND name = ?'),
    direntsAfter: rows(
      'SELECT name, cookie, ino, type FROM dirent WHERE dir = ? AND cookie > ? ORDER BY cookie LIMIT ?',
    ),
    hasEntries: value('SELECT 1 FROM dirent WHERE dir = ? LIMIT 1'),
    putDirent: db.prepare(
      'INSERT INTO dirent VALUES (?, ?, ?, ?, ?) ON CONFLICT (dir, name) DO UPDATE SET cookie = excluded.cookie, ino = excluded.ino, type = excluded.type',
    ),
    deleteDirent: db.prepare('DELETE FROM dirent WHERE dir = ? AND name = ?'),

    extents: rows('SELECT block, count, address FROM extent WHERE ino = ? ORDER BY block'),
    extentsFrom: rows(
      'SELECT block, count, address FROM extent WHERE ino = ? AND block >= ? AND block < ? ORDER BY block',
    ),
    extentBefore: rows(
      'SELECT block, count, address FROM extent WHERE ino = ? AND block < ? ORDER BY block DESC LIMIT 1',
    ),
    extentAfter: value('SELECT block FROM extent WHERE ino = ? AND block > ? ORDER BY block LIMIT 1'),
    inodesOn: value(
      'SELECT DISTINCT ino FROM extent WHERE ino > ? AND address >= ? AND address < ? ORDER BY ino LIMIT ?',
    ),
    putExtent: db.prepare('INSERT OR REPLACE INTO extent VALUES (?, ?, ?, ?)'),
    deleteExtent: db.prepare('DELETE FROM extent WHERE ino = ? AND block = ?'),

    freeIn: rows('SELECT address, count FROM free WHERE address >= ? AND address < ? ORDER BY address'),
    free: value('SELECT count FROM free WHERE address = ?'),
    freeBefore: rows('SELECT address, count FROM free WHERE address < ? ORDER BY address DESC LIMIT 1'),
    freeAfter: value('SELECT address FROM free WHERE address > ? ORDER BY address LIMIT 1'),
    putFree: db.prepare('INSERT OR REPLACE INTO free VALUES (?, ?)'),
    deleteFree: db.prepare('DELETE FROM free WHERE address = ?'),

    spaceFree: value(spaceIn('free')),
    spaceFreed: value(spaceIn('freed')),
    spaceMapped: value(spaceIn('extent')),

    freed: rows('SELECT address, count FROM freed WHERE slot = ? ORDER BY address LIMIT ?'),
    freedCount: value('SELECT count FROM freed WHERE slot = ? AND address = ?'),
    putFreed: db.prepare('INSERT OR REPLACE INTO freed VALUES (?, ?, ?)'),
    deleteFreed: db.prepare('DELETE FROM freed WHERE slot = ? AND address = ?'),

    orphans: value('SELECT ino FROM orphan WHERE slot = ? ORDER BY ino LIMIT ?'),
    putOrphan: db.prepare('INSERT OR REPLACE INTO orphan VALUES (?, ?)'),
    deleteOrphan: db.prepare('DELETE FROM orphan WHERE slot = ? AND ino = ?'),

    rangeLocks: rows(
      'SELECT client, owner, start, "end", exclusive FROM range_lock WHERE ino = ? ORDER BY client, owner, start',
    ),
    rangeWaits: rows(
      'SELECT client, owner, start, "end", exclusive, place, slot, incarnation FROM range_wait WHERE ino = ? ORDER BY place',
    ),
    rangeWaiters: value('SELECT count(*) FROM range_wait WHERE ino = ?'),
    inosWaitedFor: value('SELECT ino FROM range_wait WHERE client = ? AND owner = ?'),
    inosRangedBy: value(
      'SELECT ino FROM range_lock WHERE client = ? UNION SELECT ino FROM range_wait WHERE client = ?',
    ),
    rangeClients: value(
      'SELECT client FROM range_lock WHERE client >= ? AND client < ? UNION SELECT client FROM range_wait WHERE client >= ? AND client < ?',
    ),
    rangeCounts: rows(
      `SELECT client, count(DISTINCT ino), sum(held), sum(1 - held) FROM (
         SELECT client, ino, 1 held FROM range_lock WHERE client > ? UNION ALL SELECT client, ino, 0 FROM range_wait WHERE client > ?
       ) GROUP BY client ORDER BY client LIMIT ?`,
    ),
    rangedInos: value(
      'SELECT ino FROM range_lock WHERE ino > ? UNION SELECT ino FROM range_wait WHERE ino > ? ORDER BY ino LIMIT ?',
    ),
    rangeWaitLives: rows('SELECT DISTINCT ino, slot, incarnation FROM range_wait'),
    rangeWeights: rows(`SELECT client, sum(${RANGE_WEIGHT_SQL}) FROM range_lock GROUP BY client`),
    hasRangeLock: value('SELECT 1 FROM range_lock WHERE ino = ? AND client = ? AND owner = ? AND start = ?'),
    putRangeLock: db.prepare('INSERT OR REPLACE INTO range_lock VALUES (?, ?, ?, ?, ?, ?)'),
    deleteRangeLock: db.prepare('DELETE FROM range_lock WHERE ino = ? AND client = ? AND owner = ? AND start = ?'),
    putRangeWait: db.prepare('INSERT OR REPLACE INTO range_wait VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)'),
    deleteRangeWait: db.prepare('DELETE FROM range_wait WHERE ino = ? AND place = ?'),

    nfsClients: rows('SELECT name, address, state, facts FROM nfs_client WHERE slot = ? ORDER BY name'),
    allNfsClients: rows('SELECT name, address, state, facts FROM nfs_client ORDER BY name, slot'),
    putNfsClient: db.prepare('INSERT OR REPLACE INTO nfs_client VALUES (?, ?, ?, ?, ?)'),
    deleteNfsClient: db.prepare('DELETE FROM nfs_client WHERE slot = ? AND name = ?'),

    slotState: value('SELECT ino_counter FROM slot_state WHERE slot = ?'),
    putSlot: db.prepare('INSERT OR REPLACE INTO slot_state VALUES (?, ?)'),
    setting: value('SELECT value FROM setting WHERE key = ?'),
    settings: rows('SELECT key, value FROM setting ORDER BY key'),
    putSetting: db.prepare('INSERT OR REPLACE INTO setting VALUES (?, ?)'),

    deadProperties: rows('SELECT name, value FROM dead_property WHERE ino = ? ORDER BY name'),
    insertDeadProperty: db.prepare('INSERT INTO dead_property VALUES (?, ?, ?)'),
    updateDeadProperty: db.prepare('UPDATE dead_property SET value = ? WHERE ino = ? AND name = ?'),
    deleteDeadProperty: db.prepare('DELETE FROM dead_property WHERE ino = ? AND name = ?'),
    davLocks: rows('SELECT * FROM dav_lock WHERE ino = ? ORDER BY token'),
    allDavLocks: rows('SELECT * FROM dav_lock ORDER BY ino, token'),
    expiredDavLocks: rows('SELECT * FROM dav_lock WHERE expires < ? ORDER BY expires LIMIT ?'),
    insertDavLock: db.prepare('INSERT INTO dav_lock VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)'),
    deleteDavLock: db.prepare('DELETE FROM dav_lock WHERE ino = ? AND token = ?'),
    donePages: rows('SELECT page, cells FROM done ORDER BY page'),
    putDonePage: db.prepare('INSERT OR REPLACE INTO done VALUES (?, ?)'),

    vector: rows('SELECT slot, lsn FROM vector ORDER BY slot'),
    putVector: db.prepare('INSERT OR REPLACE INTO vector VALUES (?, ?)'),
  }
}
