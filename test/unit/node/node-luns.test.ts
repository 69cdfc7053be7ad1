/** How a node finds LUNs: where its file says by now, where another has found it, and where it was found before. */
import { linkSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { addedLunsFile, loadConfig, readAddedLuns } from '../../../config/index.ts'
import { isMatrixError } from '../../../src/base/errors.ts'
import { MiB } from '../../../src/base/units.ts'
import { lunUrls } from '../../../src/cli/lun-options.ts'
import { NodeLuns } from '../../../src/node/node-luns.ts'
import { silentLog } from '../../../src/platform/index.ts'
import { realHost } from '../../../src/platform/real/host.ts'
import { formatLun, openLun } from '../../../src/san/index.ts'

type Context = { dir: string; file: string }
const test = suite<Context>('node: LUN finder', { dir: '', file: '' })
const matrixUuid = '00000000-0000-4000-8000-000000000001'
const uuidOf = (n: number) => `00000000-0000-4000-8000-00000000001${n}`

/** A configuration that names these LUNs. */
function configure({ dir, file }: Context, ...names: string[]): void {
  const luns = names.map((name) => `[[luns]]\nurl = "file:${name}"\n`).join('')
  const text = `[matrix]\nname = "m"\nsecret = "sixteen characters"\n[node]\nname = "n1"\nslot = 0\nmesh = "127.0.0.1:1"\nstate_dir = "${dir}"\n${luns}`
  writeFileSync(file, text, { mode: 0o600 })
}

async function label({ dir }: Context, n: number): Promise<string> {
  const path = join(dir, `lun${n}`)
  writeFileSync(path, '')
  truncateSync(path, 64 * MiB)
  const lun = await openLun(path, realHost)
  const options = { matrixUuid, matrixName: 'm', lunUuid: uuidOf(n), lunName: `lun${n}`, partitions: 0 as const }
  await formatLun(lun, options)
  await lun.close()
  return `file:${path}`
}

function finderOf({ file }: Context): NodeLuns {
  return new NodeLuns(loadConfig(file), realHost, silentLog)
}

async function where(finder: NodeLuns, n: number, hint?: string): Promise<string | undefined> {
  const found = await finder.find(uuidOf(n), hint)
  if (found) assert.is(found.label.lunName, `lun${n}`)
  await found?.lun.close()
  return found?.lun.identity
}

test.before.each((context) => {
  context.dir = mkdtempSync(join(tmpdir(), 'matrixfs-finder-'))
  context.file = join(context.dir, 'n1.toml')
})
test.after.each(({ dir }) => rmSync(dir, { recursive: true, force: true }))

test('a LUN is found where the configuration names it by now, and then nothing is remembered', async (context) => {
  const { dir } = context
  configure(context, 'lun1')
  await label(context, 1)
  await label(context, 2)
  const finder = finderOf(context)
  assert.is(await where(finder, 2), undefined)
  configure(context, 'lun1', 'absent', 'lun2')
  assert.is(await where(finder, 2), join(dir, 'lun2'))
  writeFileSync(context.file, 'this is no configuration')
  assert.is(await where(finder, 1), join(dir, 'lun1'), 'as it was at the start')
  assert.equal(readAddedLuns(dir), [])
})

test('a LUN that another node has found is remembered, also for tools, until it is none of the matrix any more', async (context) => {
  const { dir, file } = context
  configure(context, 'lun1')
  await label(context, 1)
  const url = await label(context, 2)
  assert.is(await where(finderOf(context), 2, `file:${dir}/lun1`), undefined, 'another one is there')
  assert.is(await where(finderOf(context), 2, url), join(dir, 'lun2'))
  assert.equal(readAddedLuns(dir), [{ uuid: uuidOf(2), url }])
  assert.equal(lunUrls({ config: file }), [`file:${dir}/lun1`, url])
  const next = finderOf(context)
  assert.is(await where(next, 2), join(dir, 'lun2'))
  next.forget(uuidOf(1))
  next.forget(uuidOf(2))
  assert.equal(readAddedLuns(dir), [])
  assert.is(await where(finderOf(context), 2), undefined)
})

test('a node takes its own way to a LUN, not that of the node that asked for it', async (context) => {
  const { dir } = context
  await label(context, 2)
  linkSync(join(dir, 'lun2'), join(dir, 'the-way-of-n2'))
  configure(context, 'lun1', 'lun2')
  for (let i = 0; i < 20; i++)
    assert.is(await where(finderOf(context), 2, `file:${dir}/the-way-of-n2`), join(dir, 'lun2'))
  assert.equal(readAddedLuns(dir), [])
})

test('bad input: a damaged luns.json is told, with what to do', (context) => {
  configure(context, 'lun1')
  const path = addedLunsFile(context.dir)
  for (const text of ['', '{', '{"luns":[{"uuid":1}]}', '[]']) {
    writeFileSync(path, text)
    try {
      finderOf(context)
      assert.unreachable(text)
    } catch (error) {
      assert.ok(isMatrixError(error, 'config'), String(error))
      assert.match(error.message, /luns\.json is damaged.*remove it, and name all LUNs under luns/)
    }
  }
  assert.is(readFileSync(path, 'utf8'), '[]')
})

test.run()
