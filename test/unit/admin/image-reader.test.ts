/** Questions to an image: a real one, of a filesystem with files in it, read by the real process. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ImageReader } from '../../../src/admin/image-reader.ts'
import { PathNames } from '../../../src/admin/path-names.ts'
import { MatrixError, type MatrixErrorCode } from '../../../src/base/errors.ts'
import { ROOT_INO } from '../../../src/base/ids.ts'
import { Image } from '../../../src/metadata/index.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { makeLocalMatrix } from '../../helpers/local-matrix.ts'

type Context = { dir: string; file: string; reader: ImageReader; image: Image }
const test = suite<Context>('admin image reader', {} as Context)
const root = { uid: 0, gid: 0, gids: [] }
const limits = { maxRows: 100, ms: 20_000 }

test.before(async (c) => {
  c.dir = mkdtempSync(join(tmpdir(), 'matrixfs-image-'))
  c.file = join(c.dir, 'home.sqlite')
  const matrix = await makeLocalMatrix()
  const { fs, volume } = matrix.nodes[0]!
  const directory = (await fs.mkdir(root, ROOT_INO, 'dir', { mode: 0o755 })).inode
  await fs.create(root, directory.ino, Buffer.from('é ü', 'utf8').toString('latin1'), { mode: 0o644 }, 'guarded')
  await fs.create(root, ROOT_INO, 'plain', { mode: 0o644 }, 'guarded')
  await fs.sync()
  volume.image.commit()
  c.image = await Image.load(volume.image.serialize(), c.file)
  await matrix.close()
  c.reader = new ImageReader(realClock)
})
test.after((c) => {
  c.reader.close()
  rmSync(c.dir, { recursive: true })
})

async function refusal(work: Promise<unknown>): Promise<{ code: MatrixErrorCode; message: string }> {
  try {
    await work
  } catch (error) {
    assert.instance(error, MatrixError)
    return error as MatrixError
  }
  return assert.unreachable('it was not refused') as never
}

test('rows come in the order of the columns, names as text, and paths', async (c) => {
  const { columns, rows, truncated } = await c.reader.query(
    c.file,
    'select utf8(name) n, path(ino) p, bytes(utf8(name)) = name same from dirent order by cookie, n',
    limits,
  )
  assert.equal(columns, ['n', 'p', 'same'])
  assert.equal(rows.map(([, path]) => path).sort(), ['/dir', '/dir/é ü', '/plain'])
  assert.ok(rows.every(([, , same]) => same === 1))
  assert.not(truncated)
})

test('more rows than wanted are cut, and that is said; large integers and blobs survive', async (c) => {
  const some = await c.reader.query(c.file, 'select ino from inode', { ...limits, maxRows: 2 })
  assert.is(some.rows.length, 2)
  assert.ok(some.truncated)
  const all = await c.reader.query(c.file, 'select ino from inode', { ...limits, maxRows: 4 })
  assert.is(all.rows.length, 4)
  assert.not(all.truncated)
  const odd = await c.reader.query(c.file, "select 9007199254740993 a, x'00ff' b, null c, 1.5 d", limits)
  assert.equal(odd.rows, [['9007199254740993', '00ff', null, 1.5]])
})

test('what would change something, or is none, is refused, and changes nothing', async (c) => {
  const before = readFileSync(c.file)
  for (const sql of [
    'delete from inode',
    'with gone as (select 1) delete from inode returning ino',
    '/* select */ insert into setting values (1, 2)',
    '-- select\nupdate inode set size = 1',
    "attach '/tmp/other.sqlite' as other",
    'pragma query_only = 0',
    'vacuum into "/tmp/copy.sqlite"',
    'select 1; delete from inode',
    'select * from nothing',
    'select',
    '',
    ';',
    'drop table inode',
    'begin',
  ]) {
    const { code } = await refusal(c.reader.query(c.file, sql, limits))
    assert.is(code, 'query', sql)
  }
  assert.equal(readFileSync(c.file), before)
  assert.is((await c.reader.query(c.file, 'select count(*) from inode', limits)).rows[0]?.[0], 4)
})

const endless = 'with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n'

test('a query without an end is stopped at its limit, its process with it, and the next one is answered', async (c) => {
  const { code, message } = await refusal(c.reader.query(c.file, endless, { ...limits, ms: 500 }))
  assert.is(code, 'timeout')
  assert.match(message, /500 ms/)
  assert.is((await c.reader.query(c.file, 'select 1', limits)).rows[0]?.[0], 1)
})

test('memory is bounded', async (c) => {
  const large =
    'with recursive n(i) as (select 1 union all select i + 1 from n where i < 9) select group_concat(hex(zeroblob(20000000))) from n'
  const { code } = await refusal(c.reader.query(c.file, large, limits))
  assert.is(code, 'query')
  assert.is((await c.reader.query(c.file, 'select 1', limits)).rows[0]?.[0], 1)
})

test('only so many run at once; whoever comes later is told so', async (c) => {
  const running = [1, 2, 3].map(() => refusal(c.reader.query(c.file, endless, { ...limits, ms: 1_000 })))
  const { code } = await refusal(c.reader.query(c.file, 'select 1', limits))
  assert.is(code, 'busy')
  await Promise.all(running)
})

test('paths of many inodes are found in one go; what has none is left out', async (c) => {
  const { rows } = await c.reader.query(c.file, 'select ino from inode order by ino', limits)
  const inos = rows.map(([ino]) => ino as number)
  const names = new PathNames(c.reader, realClock)
  let found = await names.of(c.file, 1, [...inos, 999_999])
  // nobody waits long for them; whoever asks again has them
  for (let tries = 0; found.size === 0 && tries < 50; tries++) {
    await sleep(100)
    found = await names.of(c.file, 1, [...inos, 999_999])
  }
  assert.equal([...found.values()].sort(), ['/', '/dir', '/dir/é ü', '/plain'])
  assert.not(found.has(999_999))
})

test('an image in memory, and one that is gone, are refused', async (c) => {
  assert.is((await refusal(c.reader.query(':memory:', 'select 1', limits))).code, 'query')
  assert.is((await refusal(c.reader.query(join(c.dir, 'gone'), 'select 1', limits))).code, 'not-found')
})

test.run()
