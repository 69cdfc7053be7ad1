/** Every check of fsck finds the damage it is for, and nothing in a sound image. */
import Database from 'better-sqlite3'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MAX_SLOTS } from '../../../src/base/limits.ts'
import { MiB } from '../../../src/base/units.ts'
import { schemaSql } from '../../../src/metadata/image/schema.ts'
import { FsLayout, planFilesystem } from '../../../src/metadata/index.ts'
import { checkImage } from '../../../src/recovery/index.ts'

const record = {
  ...planFilesystem([64 * MiB], { slots: 2, journalBytes: MiB, checkpointBytes: MiB, groupBlocks: 1024 }),
  name: 'home',
  uuid: '00000000-0000-4000-8000-000000000001',
  fsid: 1,
  luns: ['lun'],
  seals: [],
}
const layout = new FsLayout(record, [64 * MiB])
const FIRST = layout.groupRange(layout.groups()[0] as number).from
/** Inodes of slot 1: a directory, a file with two names and an extent of 10 blocks, an orphan. */
const [DIRECTORY, FILE, ORPHAN] = [1, 2, 3].map((counter) => counter * MAX_SLOTS + 1) as [number, number, number]

/** A sound image, as a database to damage. */
function soundImage() {
  const db = new Database(':memory:')
  db.exec(schemaSql)
  const inode = db.prepare(
    `INSERT INTO inode VALUES (:ino, 1, :type, 420, :nlink, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, :parent, :cookie, '')`,
  )
  inode.run({ ino: 1, type: 2, nlink: 3, parent: 1, cookie: 5 })
  inode.run({ ino: DIRECTORY, type: 2, nlink: 2, parent: 1, cookie: 4 })
  inode.run({ ino: FILE, type: 1, nlink: 2, parent: 0, cookie: 0 })
  inode.run({ ino: ORPHAN, type: 1, nlink: 0, parent: 0, cookie: 0 })
  const dirent = db.prepare('INSERT INTO dirent VALUES (?, ?, ?, ?, ?)')
  dirent.run(1, 'd', 3, DIRECTORY, 2)
  dirent.run(1, 'f', 4, FILE, 1)
  dirent.run(DIRECTORY, 'g', 3, FILE, 1)
  db.prepare('INSERT INTO orphan VALUES (1, ?)').run(ORPHAN)
  db.prepare('INSERT INTO slot_state VALUES (1, 4)').run()
  db.prepare('INSERT INTO extent VALUES (?, 0, 10, ?)').run(FILE, FIRST)
  db.prepare('INSERT INTO freed VALUES (1, ?, 5)').run(FIRST + 10)
  db.prepare('INSERT INTO free VALUES (?, ?)').run(FIRST + 15, layout.dataBlocks - 15)
  return db
}

function findings(damage = ''): string[] {
  const db = soundImage()
  db.exec(damage)
  const found = checkImage({ rows: (sql) => db.prepare(sql).raw().all() as unknown[][] }, layout)
  return [...new Set(found.map(({ check }) => check))]
}

test('a sound image has no findings', () => {
  assert.equal(findings(), [])
})

const damages: Record<string, string> = {
  root: 'DELETE FROM inode WHERE ino = 1',
  'property-owner': `INSERT INTO dead_property VALUES (999, 'p', 'v')`,
  'lock-owner': `INSERT INTO dav_lock VALUES (${ORPHAN}, 'urn:uuid:1', 1, 0, 0, 5, '', '', '/home/f')`,
  'dangling-name': `INSERT INTO dirent VALUES (1, 'x', 100, 999, 1)`,
  'name-in-no-directory': `UPDATE dirent SET dir = ${FILE} WHERE name = 'g'`,
  'wrong-type': `UPDATE dirent SET type = 5 WHERE name = 'f'`,
  cookie: 'UPDATE inode SET next_cookie = 4 WHERE ino = 1',
  'link-count': `UPDATE inode SET nlink = 7 WHERE ino = ${FILE}`,
  'directory-link-count': 'UPDATE inode SET nlink = 2 WHERE ino = 1',
  'directory-parent': `UPDATE inode SET parent = ${FILE} WHERE ino = ${DIRECTORY}`,
  unreachable: 'DELETE FROM orphan',
  orphan: `INSERT INTO dirent VALUES (1, 'back', 1000, ${ORPHAN}, 1)`,
  'inode-counter': 'UPDATE slot_state SET ino_counter = 3',
  'extent-owner': `UPDATE extent SET ino = ${DIRECTORY}`,
  'extent-overlap-in-file': `INSERT INTO extent VALUES (${FILE}, 9, 1, ${FIRST + 40})`,
  'space-overlap': `UPDATE freed SET address = ${FIRST + 9}`,
  'leaked-space': 'DELETE FROM freed',
}

for (const [check, damage] of Object.entries(damages)) {
  test(`damage is found: ${check}`, () => {
    assert.ok(findings(damage).includes(check), `${damage} gave ${findings(damage).join(', ') || 'no finding'}`)
  })
}

test.run()
