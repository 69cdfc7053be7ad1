/** `matrix lun add`, `import` and `remove`: what is labelled and what never is, and what is asked of the node, until it answers. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ControlRequest } from '../../../config/index.ts'
import { isMatrixError, MatrixError, type MatrixErrorCode } from '../../../src/base/errors.ts'
import { MiB } from '../../../src/base/units.ts'
import { type AskNode, addLun, importLun, type MatrixLuns, removeLun } from '../../../src/cli/lun-change.ts'
import { describeFound, placesOf, scanLuns } from '../../../src/cli/lun-scan.ts'
import { OfflineMatrix } from '../../../src/cli/offline-matrix.ts'
import { addLuns, createFilesystem, formatMatrix } from '../../../src/cli/provision.ts'
import { realHost } from '../../../src/platform/real/host.ts'
import { openLun, readLabel } from '../../../src/san/index.ts'

type Context = {
  dir: string
  luns: MatrixLuns
  asked: ControlRequest[]
  answers: MatrixError[]
  told: string[]
  ask: AskNode
}
const test = suite<Context>('matrix lun add and remove', {} as Context)

const matrixUuid = '00000000-0000-4000-8000-000000000001'
const lun1 = { uuid: '00000000-0000-4000-8000-000000000011', name: 'lun1', size: 64 * MiB }

test.before.each((c) => {
  c.dir = mkdtempSync(join(tmpdir(), 'matrixfs-lun-change-'))
  c.luns = { matrixUuid, matrixName: 'm', luns: [lun1] }
  c.asked = []
  c.answers = []
  c.told = []
  c.ask = async (request) => {
    if (request.command === 'luns') return { ok: true, luns: c.luns }
    c.asked.push(request)
    const answer = c.answers.shift()
    if (answer) throw answer
    return { ok: true }
  }
})
test.after.each(({ dir }) => rmSync(dir, { recursive: true, force: true }))

function blank({ dir }: Context, name: string, bytes = 64 * MiB): string {
  const path = join(dir, name)
  writeFileSync(path, '')
  truncateSync(path, bytes)
  return `file:${path}`
}

async function labelOf(url: string) {
  const lun = await openLun(url, realHost)
  try {
    return (await readLabel(lun)).label
  } finally {
    await lun.close()
  }
}

async function fails(work: Promise<unknown>, code: MatrixErrorCode, says: RegExp): Promise<void> {
  const error = await work.then(
    () => undefined,
    (reason) => reason,
  )
  assert.ok(isMatrixError(error, code), String(error))
  assert.match(error.message, says)
}

const add = (c: Context, url: string, more: { name?: string; force?: boolean } = {}) =>
  addLun({ url, ...more }, c.ask, (line) => c.told.push(line))

test('a blank LUN is labelled for the matrix, with the next free name, and asked for; again it is taken as it is', async (c) => {
  const url = blank(c, 'new.img')
  const { name, uuid, size, matrixName } = await add(c, url)
  assert.equal([name, size, matrixName], ['lun2', 64 * MiB, 'm'])
  const label = await labelOf(url)
  assert.equal([label.matrixUuid, label.lunUuid, label.lunName, label.partitions], [matrixUuid, uuid, 'lun2', 0])
  assert.equal(c.asked, [{ command: 'add-lun', lun: { uuid, name, size }, url }])
  assert.equal(await add(c, url), { uuid, name, size, matrixName })
  assert.equal(await add(c, url, { name: 'lun2' }), { uuid, name, size, matrixName })
  await fails(
    add(c, url, { name: 'other' }),
    'exists',
    /is labelled as LUN lun2 of matrix m: only --force labels it anew/,
  )
  const anew = await add(c, url, { name: 'other', force: true })
  assert.ok(anew.uuid !== uuid && anew.name === 'other')
})

test('a LUN of the list is never labelled anew, not even by force', async (c) => {
  const url = blank(c, 'new.img')
  const { uuid, name, size } = await add(c, url)
  for (const luns of [{ luns: [lun1, { uuid, name, size }] }, { pending: uuid }]) {
    Object.assign(c.luns, { luns: [lun1], pending: undefined }, luns)
    assert.is((await add(c, url, { force: true })).uuid, uuid)
    await fails(add(c, url, { force: true, name: 'other' }), 'exists', /it is that of the matrix/)
    assert.is((await labelOf(url)).lunUuid, uuid)
  }
})

test('bad input: other content, a foreign label, a name that is taken or none, a LUN that is too small, nothing there', async (c) => {
  const url = blank(c, 'precious.img')
  const fd = openSync(url.slice('file:'.length), 'r+')
  writeSync(fd, 'precious', 5 * MiB)
  closeSync(fd)
  await fails(add(c, url), 'lun-foreign', /not empty.*--force/)
  const foreign = blank(c, 'foreign.img')
  await formatMatrix({ matrixName: 'other', luns: [{ name: 'x', url: foreign }] })
  await fails(add(c, foreign), 'lun-foreign', /already is LUN "x" of matrix "other"/)
  await fails(add(c, blank(c, 'small', MiB)), 'lun-too-small', /at least 64 MiB/)
  await fails(add(c, blank(c, 'b'), { name: 'lun1' }), 'exists', /has a LUN lun1 already/)
  await fails(add(c, blank(c, 'b'), { name: 'Ö' }), 'config', /no name/)
  await fails(add(c, `file:${c.dir}/absent`), 'not-found', /absent/)
  await fails(add(c, 'nbd:/dev/sdx'), 'config', /not supported/)
  assert.equal(c.asked, [])
  assert.is((await add(c, url, { force: true })).name, 'lun2')
})

test('it is asked for again until the matrix has time for it; a refusal is final', async (c) => {
  c.answers.push(
    new MatrixError('view-changed', 'the matrix is recovering'),
    new MatrixError('view-changed', 'the matrix is recovering'),
    new MatrixError('peer-gone', 'n2 is gone'),
  )
  await add(c, blank(c, 'a'))
  assert.equal([c.asked.length, c.told], [4, ['waiting: the matrix is recovering', 'waiting: n2 is gone']])
  c.answers.push(new MatrixError('lun-refused', 'n2: does not find LUN lun3'))
  await fails(add(c, blank(c, 'b')), 'lun-refused', /n2: does not find/)
  assert.is(c.asked.length, 5)
})

test('a LUN is removed by its name', async (c) => {
  const tell = (line: string) => c.told.push(line)
  await fails(removeLun('lun9', c.ask, tell), 'not-found', /matrix m has no LUN lun9; it has lun1/)
  assert.equal(await removeLun('lun1', c.ask, tell), { ...lun1, matrixName: 'm' })
  assert.equal(c.asked, [{ command: 'remove-lun', uuid: lun1.uuid }])
  c.answers.push(new MatrixError('in-use', 'filesystem home is on LUN lun1'))
  await fails(removeLun('lun1', c.ask, tell), 'in-use', /home/)
})

test('a LUN that was removed is imported as it is; what bears no label of the matrix is not, and nothing is written', async (c) => {
  const tell = (line: string) => c.told.push(line)
  const url = blank(c, 'lun5.img')
  const added = await add(c, url, { name: 'lun5' })
  const before = readFileSync(join(c.dir, 'lun5.img'))
  c.asked = []
  assert.equal(await importLun(url, c.ask, tell), added)
  assert.equal(c.asked, [{ command: 'add-lun', lun: { uuid: added.uuid, name: 'lun5', size: 64 * MiB }, url }])
  assert.ok(readFileSync(join(c.dir, 'lun5.img')).equals(before))
  const other = blank(c, 'other.img')
  await formatMatrix({ matrixName: 'office', luns: [{ name: 'x', url: other }] })
  await fails(
    importLun(other, c.ask, tell),
    'lun-foreign',
    /is LUN x of matrix office, not of m: matrix lun add --force/,
  )
  await fails(importLun(blank(c, 'blank.img'), c.ask, tell), 'lun-unlabelled', /bears no matrixfs label/)
  assert.is(c.asked.length, 1)
})

test('while a change is pending that nodes have begun, nothing is changed without them', async (c) => {
  const [first, second] = [blank(c, 'lun1'), blank(c, 'lun2')]
  await formatMatrix({ matrixName: 'm', luns: [{ name: 'lun1', url: first }] })
  const matrix = await OfflineMatrix.open([first])
  const database = await matrix.readDatabase()
  const lun = { uuid: matrixUuid, name: 'lun2', size: 64 * MiB }
  await matrix.writeDatabase({ ...database, pending: { kind: 'add', lun, generation: 0 } })
  await matrix.close()
  const luns = [{ name: 'lun3', url: second }]
  await fails(addLuns({ into: [first], luns }), 'in-use', /lun2 is being added.*start one/)
  await fails(createFilesystem({ name: 'home', urls: [first] }), 'in-use', /lun2 is being added/)
})

test('a scan tells what lies in a folder, and whether the matrix has it', async (c) => {
  const other = blank(c, 'other.img')
  await formatMatrix({ matrixName: 'office', luns: [{ name: 'x', url: other }] })
  const own = blank(c, 'own.img')
  const added = await addLun({ url: own, name: 'lun5' }, c.ask, () => {})
  blank(c, 'empty.img', 100 * MiB)
  blank(c, 'tiny', 5)
  const kinds = async () => (await scanLuns([c.dir], c.luns)).map(({ url, kind }) => [url.split('/').pop(), kind])
  assert.equal(await kinds(), [
    ['empty.img', 'unlabelled'],
    ['other.img', 'foreign'],
    ['own.img', 'labelled'],
  ])
  c.luns = { ...c.luns, luns: [...c.luns.luns, { uuid: added.uuid, name: 'lun5', size: added.size }] }
  assert.equal((await kinds())[2], ['own.img', 'listed'])
  truncateSync(join(c.dir, 'own.img'), 128 * MiB)
  const told = describeFound(await scanLuns([own, `${own}.gone`], c.luns))
  assert.match(told, /own\.img +128 MiB +LUN lun5, uses 64 MiB of it \(matrix lun grow\)/)
  assert.match(told, /own\.img\.gone +.*there is no such file/)
  assert.is(describeFound([]), 'nothing there is large enough for a LUN')
  assert.equal(placesOf(['file:/srv/a.img', '/srv/b.img', 'file:///luns/c', 'iscsi://h/1']), ['/srv', '/luns'])
})

test.run()
