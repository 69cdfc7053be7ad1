/** `matrix target` as a process of its own: served to our initiator, asked over its control socket, killed and started again. */
// time limit: 120 s
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { timingsFrom } from '../../src/base/timings.ts'
import { realHost } from '../../src/platform/real/host.ts'
import { openLun } from '../../src/san/index.ts'
import { RawInitiator } from '../helpers/raw-initiator.ts'
import { freeBasePort } from './free-ports.ts'

const main = new URL('../../src/cli/main.ts', import.meta.url).pathname
const dir = mkdtempSync(join(tmpdir(), 'matrixfs-e2e-target-'))
const config = join(dir, 'target.toml')
const base = await freeBasePort(2)
const name = 'iqn.2026-11.net.matrixfs.test:process'
const url = (portal: number) => `iscsi://127.0.0.1:${base + portal}/${name}/1`
const READY_MS = 30_000
let running: ChildProcess | undefined

writeFileSync(
  config,
  `name = "${name}"
portals = ["127.0.0.1:${base + 1}", "127.0.0.1:${base + 2}"]
[[luns]]
number = 1
path = "luns/one.img"
size = "64MiB"
cache = "volatile"
`,
)

async function start(): Promise<void> {
  const child = spawn(process.execPath, [main, 'target', 'run', '--config', config], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running = child
  let text = ''
  await new Promise<void>((resolve, reject) => {
    const limit = setTimeout(() => reject(new Error(`not ready:\n${text}`)), READY_MS)
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
        if (!/^target ready$/m.test(text)) return
        clearTimeout(limit)
        resolve()
      })
    child.once('exit', (code) => {
      clearTimeout(limit)
      reject(new Error(`ended with ${code}:\n${text}`))
    })
  })
  assert.match(text, new RegExp(`^${url(2)}$`, 'm'))
}

async function end(signal: NodeJS.Signals): Promise<number | null> {
  const child = running!
  const gone = new Promise<number | null>((resolve) => child.once('exit', resolve))
  child.kill(signal)
  return gone
}

/** Without holding up this process, which has connections of its own to the target. */
async function matrix(...args: string[]): Promise<{ readonly status: number | null; readonly text: string }> {
  const child = spawn(process.execPath, [main, 'target', ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
    })
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { status, text }
}
const ask = (request: object | string) =>
  matrix('ask', '--config', config, typeof request === 'string' ? request : JSON.stringify(request))

test.after(async () => {
  if (running && running.exitCode === null && running.signalCode === null) await end('SIGKILL')
  rmSync(dir, { recursive: true, force: true })
})

test('it serves, is asked, loses its power, is killed, and what was durable is there', async () => {
  await start()
  const lun = await openLun(url(1), realHost, { timings: timingsFrom(8000) })
  await lun.write(0, [Buffer.alloc(4096, 1)], { purpose: 'data', durable: true })
  const raw = await (await RawInitiator.open(url(2))).settle()
  assert.is(await raw.reserveOut('register', 0n, { second: 5n, aptpl: true }), '00')
  const status = await ask({ command: 'status' })
  assert.is(status.status, 0, status.text)
  const found = JSON.parse(status.text)
  assert.is(found.sessions.length, 2)
  assert.is(found.luns[0].reservations.registrations[0].key, '0x5')

  assert.is((await ask({ command: 'fault', operation: 'write', delayMs: 1, count: 1 })).status, 0)
  assert.is((await ask({ command: 'cut', initiator: 'iqn.x:a', mode: 'refuse' })).status, 0)
  while (raw.ended === undefined) await sleep(5)
  assert.match((await ask({ command: 'heal' })).text, /"healed": 1/)
  assert.is((await ask({ command: 'power-loss', survive: 0 })).status, 0)
  const buffer = Buffer.alloc(4096)
  await lun.read(0, buffer)
  assert.ok(buffer.equals(Buffer.alloc(4096, 1)))
  await lun.close()

  assert.is(await end('SIGKILL'), null)
  assert.match((await ask({ command: 'status' })).text, /no target runs with this configuration/)
  await start()
  const again = await (await RawInitiator.open(url(2))).settle()
  assert.equal(await again.keys(), [5n])
  assert.equal(await again.read(0), Buffer.alloc(512, 1))
  again.end()
  assert.is(await end('SIGTERM'), 0)
  assert.is(statSync(join(dir, 'luns/one.img')).size, 64 * 2 ** 20)
  assert.is(readFileSync(join(dir, 'luns/one.img'))[0], 1)
})

test('what is wrong is told: requests, a configuration, a port that is taken', async () => {
  await start()
  assert.match((await ask('nonsense')).text, /no request/)
  assert.match((await ask({ command: 'explode' })).text, /no request: command/)
  assert.match((await ask({ command: 'cut', portal: 9 })).text, /there is no portal 9; there are 1…2/)
  assert.match((await ask({ command: 'resize', lun: 4 })).text, /there is no LUN 4; there are 1/)
  assert.match((await matrix('run', '--config', config)).text, /cannot listen on 127\.0\.0\.1:\d+/)
  const wrong = join(dir, 'wrong.toml')
  writeFileSync(
    wrong,
    'name = "array"\nportals = []\nlunz = 1\nluns = [{ number = 1, path = "x", block_size = 1024 }]\n',
  )
  const { status, text } = await matrix('run', '--config', wrong)
  assert.is(status, 78)
  for (const part of [
    /4 problems/,
    /name: found "array"/,
    /portals/,
    /lunz: unknown key; did you mean luns/,
    /512 or 4096/,
  ])
    assert.match(text, part)
  assert.is(await end('SIGTERM'), 0)
})

test.run()
