/**
 * A matrix of two nodes on block devices, one with sectors of 4096 bytes and one of 512: made with the commands of an operator, served by two
 * `matrixd`. One dies by SIGKILL, the other goes on; it comes back, and everything that was answered is there.
 */
// time limit: 120 s
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { GiB, MiB } from '../../src/base/units.ts'
import { makeLoopDevice } from '../helpers/loop-device.ts'
import { freeBasePort } from './free-ports.ts'
import { HttpClient } from './http-client.ts'

const root = new URL('../..', import.meta.url).pathname
const dir = mkdtempSync(join(tmpdir(), 'matrixfs-e2e-block-'))
const loops = ([4096, 512] as const).flatMap((sectorSize) => makeLoopDevice(GiB, sectorSize) ?? [])
const urls = loops.map(({ path }) => `block:${path}`)
const base = await freeBasePort(2)
const running = new Map<number, ChildProcess>()

function configure(node: number): void {
  const nodes = [1, 2].map(
    (n) => `[[nodes]]\nname = "n${n}"\nslot = ${n - 1}\nmesh = "127.0.0.1:${base + 100 * n + 1}"`,
  )
  const luns = urls.map((url) => `[[luns]]\nurl = "${url}"`)
  writeFileSync(
    join(dir, `n${node}.toml`),
    `[matrix]\nname = "block"\nsecret_file = "secret"\n[node]\nname = "n${node}"\nstate_dir = "n${node}"
${[...nodes, ...luns].join('\n')}
[http]\nlisten = "127.0.0.1:${base + 100 * node + 80}"\nuid = 0\ngid = 0
[[exports]]\npath = "/home"\nfilesystem = "home"\n`,
  )
}

function matrix(...args: string[]): string {
  const command = [join(root, 'src/cli/main.ts'), ...args]
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { encoding: 'utf8', timeout: 60_000 })
  assert.is(status, 0, stderr)
  return stdout
}

async function start(node: number): Promise<HttpClient> {
  const command = [join(root, 'src/node/main.ts'), '--config', join(dir, `n${node}.toml`)]
  const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'inherit'] })
  running.set(node, child)
  for await (const line of createInterface(child.stdout!)) if (line.includes('matrixd ready')) break
  child.stdout!.resume()
  assert.is(child.exitCode, null, `n${node} has ended`)
  return new HttpClient(`http://127.0.0.1:${base + 100 * node + 80}/home/`)
}

async function end(node: number, signal: NodeJS.Signals): Promise<number | null> {
  const child = running.get(node) as ChildProcess
  running.delete(node)
  child.kill(signal)
  const [code] = await once(child, 'exit')
  return code
}

test.after(() => {
  for (const child of running.values()) child.kill('SIGKILL')
  for (const loop of loops) loop.remove()
  rmSync(dir, { recursive: true })
})

const check = loops.length === 2 ? test : test.skip

check('two nodes on block devices: written at one, read at the other, across a death and a restart', async () => {
  writeFileSync(join(dir, 'secret'), 'sixteen characters at least\n', { mode: 0o600 })
  for (const node of [1, 2]) configure(node)
  matrix('lun', 'format', ...urls, '--matrix', 'block')
  matrix('fs', 'create', 'home', '--lun', ...urls)
  const [first, second] = await Promise.all([start(1), start(2)])
  const large = Buffer.alloc(20 * MiB, 'matrix')
  await first.put('large', large)
  assert.ok((await second.get('large'))?.equals(large))
  for (let i = 0; i < 30; i++) await (i % 2 ? first : second).put(`f${i}`, Buffer.from(`content ${i}`))
  for (let i = 0; i < 30; i++) assert.is(String(await (i % 2 ? second : first).get(`f${i}`)), `content ${i}`)

  await end(2, 'SIGKILL')
  await first.put('after', Buffer.from('written after the death'))
  assert.is(String(await first.get('f28')), 'content 28')
  const back = await start(2)
  assert.is(String(await back.get('after')), 'written after the death')
  assert.ok((await back.get('large'))?.equals(large))

  for (const client of [first, second, back]) client.close()
  assert.equal(await Promise.all([end(1, 'SIGTERM'), end(2, 'SIGTERM')]), [0, 0])
  assert.match(matrix('fs', 'check', 'home', '--lun', ...urls), /filesystem home is sound: 33 inodes/)
})

test.run()
