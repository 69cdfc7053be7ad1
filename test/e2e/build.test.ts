/** The published form: plain JavaScript in dist/, made by `npm run build`, that needs no type stripping. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { freeBasePort } from './free-ports.ts'

const root = new URL('../..', import.meta.url).pathname
/** Below the root, so that the built files find node_modules as an installed package would; ignored by git. */
const folder = join(root, 'var', `build-${process.pid}`)
const { version, bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  version: string
  bin: Record<'matrix' | 'matrixd', string>
}
const UP_LIMIT_MS = 30_000

test.before(() => {
  mkdirSync(folder, { recursive: true })
  copyFileSync(join(root, 'package.json'), join(folder, 'package.json'))
  const args = [join(root, 'tools/build.ts'), '--out', join(folder, 'dist')]
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  assert.is(status, 0, stdout)
})
test.after(() => rmSync(folder, { recursive: true, force: true }))

test('the programs that package.json names are there and know their version', () => {
  for (const path of Object.values(bin)) {
    assert.ok(existsSync(join(folder, path)), path)
    const { stdout } = spawnSync(process.execPath, [join(folder, path), '--version'], { encoding: 'utf8' })
    assert.is(stdout.trim(), version)
  }
})

test('a matrix of built programs comes up and serves', async () => {
  const port = await freeBasePort(1)
  const dir = join(folder, 'demo')
  const args = ['demo', '--dir', dir, '--nodes', '1', '--lun-size', '128MiB', '--base-port', `${port}`]
  const child = spawn(process.execPath, [join(folder, bin.matrix), ...args])
  try {
    await ready(child)
    const url = `http://127.0.0.1:${port + 180}/home/file`
    assert.is((await fetch(url, { method: 'PUT', body: 'built' })).status, 201)
    assert.is(await (await fetch(url)).text(), 'built')
    const page = await (await fetch(`http://127.0.0.1:${port + 180}/home/`)).text()
    for (const [, path = ''] of page.matchAll(/(?:src|href)="(\/\.matrixfs\/[^"]+)"/g)) {
      const asset = await fetch(`http://127.0.0.1:${port + 180}${path}`)
      assert.is(asset.status, 200, path)
      assert.ok((await asset.arrayBuffer()).byteLength > 100, path)
    }
    const admin = `http://127.0.0.1:${port + 190}/_admin/`
    for (const path of ['', 'ui/main.js', 'ui/page.css', 'lib/preact.mjs'])
      assert.is((await fetch(`${admin}${path}`)).status, 200, path)
    const sql = await fetch(`${admin}api/sql`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: '{"sql":"select path(ino) from inode order by ino"}',
    })
    assert.equal(((await sql.json()) as { rows: unknown }).rows, [['/'], ['/file']], 'asked in a process of its own')
  } finally {
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGINT')
    assert.is(await ended, 0)
  }
})

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = ''
    const timer = setTimeout(() => reject(new Error(`not ready after ${UP_LIMIT_MS} ms\n${output}`)), UP_LIMIT_MS)
    const take = (chunk: Buffer): void => {
      output += chunk
      if (!/^matrix ready$/m.test(output)) return
      clearTimeout(timer)
      resolve()
    }
    child.stdout?.on('data', take)
    child.stderr?.on('data', take)
    child.on('exit', () => reject(new Error(`ended before it was ready\n${output}`)))
  })
}

test.run()
