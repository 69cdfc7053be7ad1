/**
 * The tables of the image: a SQLite database that every node rebuilds from checkpoint and journals. What it holds is a
 * function of the vector alone: no row depends on who built it. Names and targets are byte strings as latin1 text.
 */

/** `PRAGMA user_version` of an image; a checkpoint of a newer one is refused. */
export const SCHEMA_VERSION = 2

/** Tables with their columns in order, the key first: for creating, hashing and comparing. */
export const tables = {
  inode: {
    key: ['ino'],
    columns:
      'ino INTEGER PRIMARY KEY, generation INTEGER NOT NULL, type INTEGER NOT NULL, mode INTEGER NOT NULL, nlink INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL, size INTEGER NOT NULL, rdev_major INTEGER NOT NULL, rdev_minor INTEGER NOT NULL, atime_s INTEGER NOT NULL, atime_ns INTEGER NOT NULL, mtime_s INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_s INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, btime_s INTEGER NOT NULL, btime_ns INTEGER NOT NULL, change INTEGER NOT NULL, parent INTEGER NOT NULL, next_cookie INTEGER NOT NULL, target TEXT NOT NULL',
    options: 'STRICT',
  },
  dirent: {
    key: ['dir', 'name'],
    columns:
      'dir INTEGER NOT NULL, name TEXT NOT NULL, cookie INTEGER NOT NULL, ino INTEGER NOT NULL, type INTEGER NOT NULL, PRIMARY KEY (dir, name)',
    options: 'WITHOUT ROWID, STRICT',
  },
  extent: {
    key: ['ino', 'block'],
    columns:
      'ino INTEGER NOT NULL, block INTEGER NOT NULL, count INTEGER NOT NULL, address INTEGER NOT NULL, PRIMARY KEY (ino, block)',
    options: 'WITHOUT ROWID, STRICT',
  },
  free: {
    key: ['address'],
    columns: 'address INTEGER NOT NULL PRIMARY KEY, count INTEGER NOT NULL',
    options: 'WITHOUT ROWID, STRICT',
  },
  freed: {
    key: ['slot', 'address'],
    columns: 'slot INTEGER NOT NULL, address INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (slot, address)',
    options: 'WITHOUT ROWID, STRICT',
  },
  orphan: {
    key: ['slot', 'ino'],
    columns: 'slot INTEGER NOT NULL, ino INTEGER NOT NULL, PRIMARY KEY (slot, ino)',
    options: 'WITHOUT ROWID, STRICT',
  },
  slot_state: {
    key: ['slot'],
    columns: 'slot INTEGER NOT NULL PRIMARY KEY, ino_counter INTEGER NOT NULL',
    options: 'WITHOUT ROWID, STRICT',
  },
  setting: {
    key: ['key'],
    columns: 'key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL',
    options: 'WITHOUT ROWID, STRICT',
  },
  /** Requests that were done, in pages (done-requests.ts); written when the image commits, like `vector`. */
  done: {
    key: ['page'],
    columns: 'page INTEGER PRIMARY KEY, cells BLOB NOT NULL',
    options: 'STRICT',
  },
  /** Up to where each slot's journal has been applied: committed together with what was applied. */
  vector: {
    key: ['slot'],
    columns: 'slot INTEGER NOT NULL PRIMARY KEY, lsn INTEGER NOT NULL',
    options: 'WITHOUT ROWID, STRICT',
  },
} as const

export type TableName = keyof typeof tables
export const tableNames = Object.keys(tables) as TableName[]

/** Creates an empty image, or the tables that an image of an earlier version lacks. */
export const schemaSql = [
  ...tableNames.map((name) => `CREATE TABLE IF NOT EXISTS ${name} (${tables[name].columns}) ${tables[name].options}`),
  'CREATE UNIQUE INDEX IF NOT EXISTS dirent_cookie ON dirent (dir, cookie)',
  `PRAGMA user_version = ${SCHEMA_VERSION}`,
].join(';\n')
