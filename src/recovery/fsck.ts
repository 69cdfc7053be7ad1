/**
 * fsck is SQL: each check is one query on an image, whose rows are what is wrong. It runs on any image at any vector, also of a
 * filesystem in use: every image at a vector is consistent, and a check that finds something has found a bug or damage.
 */
import { ROOT_INO } from '../base/ids.ts'
import { MAX_SLOTS } from '../base/limits.ts'
import { type FsLayout, lunRange, spaceMark } from '../metadata/index.ts'

/** What the checks need of an image: rows as arrays. */
export interface SqlReader {
  rows(sql: string): readonly (readonly unknown[])[]
}

export type Finding = { readonly check: string; readonly detail: string }

type Check = {
  readonly name: string
  /** Says what a row means, with its columns in `{0}`, `{1}` … */
  readonly says: string
  readonly sql: string
}

/** Rows listed per check: the first ones tell the story. */
const FINDINGS_PER_CHECK = 20

const checks: readonly Check[] = [
  {
    name: 'root',
    says: 'the root directory is missing or no directory',
    sql: `SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM inode WHERE ino = ${ROOT_INO} AND type = 2 AND parent = ${ROOT_INO})`,
  },
  {
    name: 'dangling-name',
    says: 'directory {0} names inode {1}, which does not exist',
    sql: 'SELECT d.dir, d.ino FROM dirent d LEFT JOIN inode i ON i.ino = d.ino WHERE i.ino IS NULL',
  },
  {
    name: 'name-in-no-directory',
    says: 'an entry lies in inode {0}, which is no directory',
    sql: 'SELECT DISTINCT d.dir FROM dirent d LEFT JOIN inode i ON i.ino = d.dir WHERE i.ino IS NULL OR i.type <> 2',
  },
  {
    name: 'wrong-type',
    says: 'directory {0} says that inode {1} is of type {2}; it is of type {3}',
    sql: 'SELECT d.dir, d.ino, d.type, i.type FROM dirent d JOIN inode i ON i.ino = d.ino WHERE i.type <> d.type',
  },
  {
    name: 'cookie',
    says: 'directory {0} has an entry with cookie {1}, its next one would be {2}',
    sql: 'SELECT d.dir, d.cookie, i.next_cookie FROM dirent d JOIN inode i ON i.ino = d.dir WHERE d.cookie >= i.next_cookie OR d.cookie < 3',
  },
  {
    name: 'link-count',
    says: 'inode {0} has link count {1} and {2} names',
    sql: `SELECT i.ino, i.nlink, coalesce(n.names, 0) FROM inode i
      LEFT JOIN (SELECT ino, count(*) AS names FROM dirent GROUP BY ino) n ON n.ino = i.ino
      WHERE i.type <> 2 AND i.nlink <> coalesce(n.names, 0)`,
  },
  {
    name: 'directory-link-count',
    says: 'directory {0} has link count {1} and {2} subdirectories',
    sql: `SELECT i.ino, i.nlink, coalesce(n.subdirs, 0) FROM inode i
      LEFT JOIN (SELECT dir, count(*) AS subdirs FROM dirent WHERE type = 2 GROUP BY dir) n ON n.dir = i.ino
      WHERE i.type = 2 AND NOT EXISTS (SELECT 1 FROM orphan o WHERE o.ino = i.ino) AND i.nlink <> 2 + coalesce(n.subdirs, 0)`,
  },
  {
    name: 'directory-parent',
    says: 'directory {0} says its parent is {1}, but {2} of that one’s entries name it',
    sql: `SELECT i.ino, i.parent, (SELECT count(*) FROM dirent d WHERE d.ino = i.ino AND d.dir = i.parent) AS here FROM inode i
      WHERE i.type = 2 AND i.ino <> ${ROOT_INO} AND NOT EXISTS (SELECT 1 FROM orphan o WHERE o.ino = i.ino)
      AND (here <> 1 OR (SELECT count(*) FROM dirent d WHERE d.ino = i.ino) <> 1)`,
  },
  {
    name: 'unreachable',
    says: 'inode {0} cannot be reached from the root and is no orphan',
    sql: `WITH RECURSIVE reached(ino) AS (
        VALUES (${ROOT_INO}) UNION SELECT d.ino FROM dirent d JOIN reached r ON d.dir = r.ino)
      SELECT ino FROM inode WHERE ino NOT IN reached AND ino NOT IN (SELECT ino FROM orphan)`,
  },
  {
    name: 'orphan',
    says: 'slot {0} lists orphan {1}, which is missing or has a name',
    sql: `SELECT o.slot, o.ino FROM orphan o LEFT JOIN inode i ON i.ino = o.ino
      WHERE i.ino IS NULL OR EXISTS (SELECT 1 FROM dirent d WHERE d.ino = o.ino)`,
  },
  {
    name: 'inode-counter',
    says: 'inode {0} was never handed out by slot {1}',
    sql: `SELECT i.ino, i.ino % ${MAX_SLOTS} FROM inode i LEFT JOIN slot_state s ON s.slot = i.ino % ${MAX_SLOTS}
      WHERE i.ino >= ${MAX_SLOTS} AND (s.slot IS NULL OR i.ino / ${MAX_SLOTS} >= s.ino_counter)`,
  },
  {
    name: 'extent-owner',
    says: 'inode {0} has extents and is missing or no regular file',
    sql: 'SELECT DISTINCT e.ino FROM extent e LEFT JOIN inode i ON i.ino = e.ino WHERE i.ino IS NULL OR i.type <> 1',
  },
  {
    name: 'property-owner',
    says: 'inode {0} has dead properties and is missing',
    sql: 'SELECT DISTINCT p.ino FROM dead_property p LEFT JOIN inode i ON i.ino = p.ino WHERE i.ino IS NULL',
  },
  {
    name: 'lock-owner',
    says: 'inode {0} has WebDAV locks and is missing or has no name',
    sql: `SELECT DISTINCT l.ino FROM dav_lock l LEFT JOIN inode i ON i.ino = l.ino
      WHERE i.ino IS NULL OR l.ino IN (SELECT ino FROM orphan)`,
  },
  {
    name: 'extent-overlap-in-file',
    says: 'inode {0}: the extent at block {1} overlaps the one before it',
    sql: `SELECT ino, block FROM (SELECT ino, block, lag(block + count) OVER (PARTITION BY ino ORDER BY block) AS previous FROM extent)
      WHERE block < previous`,
  },
  {
    name: 'space-overlap',
    says: '{0} {1} at block address {2} overlaps {3} {4}',
    sql: `WITH space(kind, owner, address, count) AS (
        SELECT 'extent of inode', ino, address, count FROM extent
        UNION ALL SELECT 'free space', 0, address, count FROM free
        UNION ALL SELECT 'freed space of slot', slot, address, count FROM freed)
      SELECT kind, owner, address, other, other_owner FROM (SELECT kind, owner, address,
        lag(address + count) OVER w AS previous, lag(kind) OVER w AS other, lag(owner) OVER w AS other_owner
        FROM space WINDOW w AS (ORDER BY address)) WHERE address < previous`,
  },
  {
    name: 'range-conflict',
    says: 'inode {0}: bytes from {1} are locked by {2} of {3} and by {4} of {5}',
    sql: `SELECT a.ino, b.start, a.owner, a.client, b.owner, b.client FROM range_lock a
      JOIN range_lock b ON a.ino = b.ino AND a.start <= b.start AND b.start <= a."end"
      WHERE (a.client <> b.client OR a.owner <> b.owner OR a.start <> b.start)
      AND (a.exclusive OR b.exclusive OR (a.client = b.client AND a.owner = b.owner))`,
  },
  {
    name: 'range',
    says: 'inode {0}: {1} of {2} locks or waits for bytes {3} to {4}, which is no range',
    sql: `SELECT ino, owner, client, start, "end" FROM range_lock WHERE "end" < start
      UNION ALL SELECT ino, owner, client, start, "end" FROM range_wait WHERE "end" < start`,
  },
]

/**
 * Runs every check; empty when the image is sound. `layout` tells how much data space there must be. An image that is 'behind' the record of `layout` may not
 * have seen yet that a LUN, which is none of the filesystem's any more, was emptied.
 */
export function checkImage(image: SqlReader, layout: FsLayout, at: 'record' | 'behind' = 'record'): readonly Finding[] {
  const findings: Finding[] = []
  for (const { name, says, sql } of checks) {
    for (const row of image.rows(`SELECT * FROM (${sql}) LIMIT ${FINDINGS_PER_CHECK}`)) {
      findings.push({ check: name, detail: says.replace(/\{(\d)\}/g, (_, i) => String(row[Number(i)])) })
    }
  }
  findings.push(...checkSpace(image, layout, at))
  return findings
}

/** Every data block that has ever become one is mapped, free or freed: what is missing has leaked. */
function checkSpace(image: SqlReader, layout: FsLayout, at: 'record' | 'behind'): readonly Finding[] {
  const findings: Finding[] = []
  for (let lun = 0; lun < layout.lunCount; lun++) {
    if (at === 'behind' && layout.record.luns[lun] === null) continue
    const { from, to } = lunRange(lun)
    const inRows = ['extent', 'free', 'freed'].map(
      (table) => `SELECT count FROM ${table} WHERE address >= ${from} AND address < ${to}`,
    )
    const known = Number(image.rows(`SELECT coalesce(sum(count), 0) FROM (${inRows.join(' UNION ALL ')})`)[0]?.[0])
    const mark = image.rows(`SELECT value FROM setting WHERE key = '${spaceMark(lun)}'`)[0]?.[0]
    // a LUN that has no mark and no row has just become one of the filesystem's; one with rows is from before there were marks
    const expected = mark !== undefined ? Number(mark) : lun > 0 && known === 0 ? 0 : layout.dataBlocksOf(lun)
    const add = (detail: string) => findings.push({ check: 'leaked-space', detail: `LUN ${lun}: ${detail}` })
    if (known < expected) add(`${expected - known} of ${expected} blocks are neither mapped nor free`)
    if (known > expected) add(`${known - expected} blocks more are mapped or free than its ${expected}`)
    if (expected > layout.dataBlocksOf(lun)) add(`${expected} blocks are in use, it has ${layout.dataBlocksOf(lun)}`)
  }
  return findings
}
