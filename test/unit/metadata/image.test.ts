import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { apply } from '../../../src/metadata/image/apply.ts'
import { Image, type Mutation } from '../../../src/metadata/index.ts'
import { inode } from './fixture.ts'

function imageOf(...mutations: Mutation[]): Image {
  const image = Image.empty()
  image.begin()
  for (const mutation of mutations) apply(image, mutation)
  image.commit()
  return image
}

const dirent = (name: string, cookie: number, ino = 64): Mutation => ({
  op: 'putDirent',
  dir: 1,
  name,
  cookie,
  ino,
  type: 1,
})

test('every row comes back as it was put', () => {
  const record = inode(64, { size: 2 ** 44, mtimeS: -5, target: 'caf\xe9/\x01', change: 2 ** 52 })
  const image = imageOf(
    { op: 'putInode', inode: record },
    dirent('\xff\xfe', 7),
    { op: 'putOrphan', slot: 1, ino: 64 },
    { op: 'putSlot', slot: 1, inoCounter: 500 },
    { op: 'putSetting', key: 'k', value: 'v' },
    { op: 'putFreed', slot: 1, address: 2 ** 36 + 9, count: 3 },
  )
  assert.equal(image.inode(64), record)
  assert.equal(image.dirent(1, '\xff\xfe'), { name: '\xff\xfe', cookie: 7, ino: 64, type: 1 })
  assert.equal(image.orphans(1), [64])
  assert.equal(image.slotState(1), { inoCounter: 500 })
  assert.equal(image.settings(), new Map([['k', 'v']]))
  assert.equal(image.freed(1, 10), [{ address: 2 ** 36 + 9, count: 3 }])
  assert.equal(
    [image.inode(65), image.dirent(1, 'x'), image.slotState(2), image.setting('x')],
    Array(4).fill(undefined),
  )
})

test('entries come by cookie, names are told apart byte by byte', () => {
  const image = imageOf(dirent('b', 3), dirent('B', 4), dirent('a', 5))
  assert.equal(
    image.direntsAfter(1, 3, 10).map(({ name }) => name),
    ['B', 'a'],
  )
  assert.equal(
    image.direntsAfter(1, 0, 1).map(({ name }) => name),
    ['b'],
  )
  assert.ok(image.hasEntries(1))
  assert.not(image.hasEntries(2))
})

test('extents of a range include the one that reaches into it', () => {
  const extent = (block: number, count: number): Mutation => ({
    op: 'putExtent',
    ino: 64,
    block,
    count,
    address: 1000 + block,
  })
  const image = imageOf(extent(0, 10), extent(10, 10), extent(30, 5))
  const blocks = (from: number, to: number) => image.extentsIn(64, from, to).map(({ block }) => block)
  assert.equal(blocks(5, 6), [0])
  assert.equal(blocks(9, 31), [0, 10, 30])
  assert.equal(blocks(20, 30), [])
  assert.equal(image.extents(64).length, 3)
})

test('totals follow every change', () => {
  const image = imageOf(
    { op: 'putInode', inode: inode(64) },
    { op: 'putInode', inode: inode(65) },
    { op: 'putInode', inode: inode(65, { size: 5 }) },
    { op: 'removeInode', ino: 64 },
    { op: 'putFree', address: 100, count: 50 },
    { op: 'putFree', address: 100, count: 20 },
    { op: 'putFree', address: 200, count: 5 },
    { op: 'removeFree', address: 200 },
    { op: 'putFreed', slot: 0, address: 300, count: 7 },
    { op: 'putFreed', slot: 1, address: 310, count: 2 },
    { op: 'removeFreed', slot: 0, address: 300 },
  )
  assert.equal(image.totals(), { inodes: 1, freeBlocks: 20, freedBlocks: 2, rangeWeight: 0 })
})

const range = (client: string, start: number, end: number): Mutation => {
  return { op: 'putRangeLock', ino: 64, client, owner: 'p', start, end, exclusive: true }
}

test('byte-range locks by inode, and counted by client; put twice is put once', () => {
  const image = imageOf(
    ...[range('a', 0, 4), range('a', 0, 5), range('a', 9, 9), range('b', 6, 7)],
    { op: 'removeRangeLock', ino: 64, client: 'a', owner: 'p', start: 9 },
    {
      op: 'putRangeWait',
      ino: 65,
      place: 2,
      slot: 1,
      incarnation: 7,
      client: 'a',
      owner: 'p',
      start: 1,
      end: 2,
      exclusive: false,
    },
    {
      op: 'putRangeWait',
      ino: 65,
      place: 1,
      slot: 1,
      incarnation: 7,
      client: 'c',
      owner: 'p',
      start: 0,
      end: 2,
      exclusive: true,
    },
  )
  assert.equal(image.rangeLocks(64), [
    ['a', 'p', 0, 5, 1],
    ['b', 'p', 6, 7, 1],
  ])
  assert.equal([image.rangeWeightOf('a'), image.rangeWeightOf('c'), image.totals().rangeWeight], [1, 0, 2])
  assert.equal(
    image.rangeWaits(65).map(([client, , start, , , place]) => [client, start, place]),
    [
      ['c', 0, 1],
      ['a', 1, 2],
    ],
  )
  assert.equal(image.inosRangedBy('a'), [64, 65])
  assert.equal(image.inosWaitedFor('a', 'p'), [65])
  assert.equal(image.rangeClients('b', 'd'), ['b', 'c'])
  assert.equal(image.rangedInos(64, 9), [65])
})

test('an image from before there were byte-range locks gets their tables', async () => {
  const old = imageOf({ op: 'putInode', inode: inode(64) })
  const db = new Database(old.serialize())
  for (const table of ['range_lock', 'range_wait', 'nfs_client']) db.exec(`DROP TABLE ${table}`)
  db.pragma('user_version = 1')
  const image = await Image.load(db.serialize())
  assert.is(image.hash(), old.hash())
  assert.equal(image.rangeLocks(64), [])
})

const misfits: [what: string, ...mutations: Mutation[]][] = [
  ['remove of a missing inode', { op: 'removeInode', ino: 64 }],
  ['remove of a missing entry', { op: 'removeDirent', dir: 1, name: 'x' }],
  ['remove of a missing extent', { op: 'removeExtent', ino: 64, block: 0 }],
  ['remove of missing free space', { op: 'removeFree', address: 5 }],
  ['remove of missing freed space', { op: 'removeFreed', slot: 0, address: 5 }],
  ['remove of a missing orphan', { op: 'removeOrphan', slot: 0, ino: 64 }],
  ['remove of a missing range lock', { op: 'removeRangeLock', ino: 64, client: 'a', owner: 'p', start: 0 }],
  ['remove of a missing waiter', { op: 'removeRangeWait', ino: 64, place: 1 }],
  ['remove of a missing client', { op: 'removeNfsClient', slot: 0, name: 'a' }],
  ['two entries with one cookie', dirent('a', 3), dirent('b', 3)],
  [
    'an extent within another',
    { op: 'putExtent', ino: 64, block: 0, count: 10, address: 0 },
    { op: 'putExtent', ino: 64, block: 9, count: 1, address: 100 },
  ],
  [
    'an extent over the next',
    { op: 'putExtent', ino: 64, block: 5, count: 1, address: 0 },
    { op: 'putExtent', ino: 64, block: 0, count: 6, address: 100 },
  ],
  [
    'an extent that grows over the next',
    { op: 'putExtent', ino: 64, block: 0, count: 5, address: 0 },
    { op: 'putExtent', ino: 64, block: 5, count: 1, address: 50 },
    { op: 'putExtent', ino: 64, block: 0, count: 6, address: 100 },
  ],
  ['free space twice', { op: 'putFree', address: 0, count: 10 }, { op: 'putFree', address: 9, count: 2 }],
]
for (const [what, ...mutations] of misfits)
  test(`damage: ${what}`, () => {
    assert.throws(
      () => imageOf(...mutations),
      (error: unknown) => isMatrixError(error, 'journal-damaged'),
    )
  })

test('equal rows have equal hashes, whatever the history; one changed row changes it', () => {
  const a = imageOf(dirent('a', 3), dirent('b', 4))
  const b = imageOf(dirent('b', 9), dirent('a', 3), { op: 'removeDirent', dir: 1, name: 'b' }, dirent('b', 4))
  assert.is(a.hash(), b.hash())
  b.begin()
  b.advance(2, 512)
  b.commit()
  assert.not.equal(a.hash(), b.hash(), 'the vector counts too')
})

test('a serialized image opens in memory and over any old file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'image-'))
  try {
    const path = join(folder, 'image.db')
    for (const ino of [64, 65, 66]) {
      const image = imageOf({ op: 'putInode', inode: inode(ino) })
      const bytes = image.serialize()
      for (const where of [':memory:', path]) {
        const loaded = await Image.load(bytes, where)
        assert.is(loaded.hash(), image.hash())
        loaded.begin()
        apply(loaded, { op: 'putInode', inode: inode(1000) })
        loaded.commit()
        // a file image in WAL mode gives a self-contained copy as well
        const again = await Image.load(loaded.serialize())
        assert.is(again.hash(), loaded.hash())
        loaded.close()
      }
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
})

for (const [what, bytes] of [
  ['garbage', Buffer.alloc(8192, 7)],
  ['nothing', Buffer.alloc(0)],
  ['zeroes', Buffer.alloc(4096)],
] as const)
  test(`${what} is no image`, async () => {
    let error: unknown
    await Image.load(bytes).catch((e) => (error = e))
    assert.ok(isMatrixError(error, 'checkpoint-damaged'), String(error))
  })

test.run()
