/** `matrix target` as a process of its own: served to our initiator, asked over its control socket, killed and started again. */
// time limit: 180 s
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { timingsFrom } from '../../src/base/timings.ts'
import { realHost } from '../../src/platform/real/host.ts'
import { openLun } from '../../src/san/index.ts'
import { RawInitiator } from '../helpers/raw-initiator.ts'
import { matrixTarget, TargetProcess } from '../helpers/target-process.ts'
import { freeBasePort } from './free-ports.ts'

const target = new TargetProcess({
  basePort: (await freeBasePort(2)) + 1,
  portals: 2,
  lunConfig: 'cache = "volatile"',
})

test.after(() => target.dispose())

test('it serves, is asked, loses its power, is killed, and what was durable is there', async () => {
  const said = await target.start()
  assert.ok(said.includes(`\n${target.url(1, 2)}\n`), said)
  const lun = await openLun(target.url(1), realHost, { timings: timingsFrom(8000) })
  await lun.write(0, [Buffer.alloc(4096, 1)], { purpose: 'data', durable: true })
  const raw = await (await RawInitiator.open(target.url(1, 2))).settle()
  assert.is(await raw.reserveOut('register', 0n, { second: 5n, aptpl: true }), '00')
  const { status, text } = await target.ask({ command: 'status' })
  assert.is(status, 0, text)
  const found = JSON.parse(text)
  assert.is(found.sessions.length, 2)
  assert.is(found.luns[0].reservations.registrations[0].key, '0x5')

  assert.match((await target.ask({ command: 'fault', operation: 'write', delayMs: 1, count: 1 })).text, /"id": 1/)
  assert.is((await target.ask({ command: 'cut', initiator: 'iqn.x:a' })).status, 0)
  while (raw.ended === undefined) await sleep(5)
  assert.match((await target.ask({ command: 'heal' })).text, /"healed": 1/)
  assert.is((await target.ask({ command: 'power-loss' })).status, 0)
  const buffer = Buffer.alloc(4096)
  await lun.read(0, buffer)
  assert.ok(buffer.equals(Buffer.alloc(4096, 1)))
  await lun.close()

  await target.end('SIGKILL')
  assert.match((await target.ask({ command: 'status' })).text, /no target runs with this configuration/)
  await target.start()
  const again = await (await RawInitiator.open(target.url(1, 2))).settle()
  assert.equal(await again.keys(), [5n])
  assert.equal(await again.read(0), Buffer.alloc(512, 1))
  again.end()
  assert.is(await target.end('SIGTERM'), 0)
  assert.is(statSync(target.image(1)).size, 64 * 2 ** 20)
  assert.is(readFileSync(target.image(1))[0], 1)
})

test('what is wrong is told: requests, a configuration, a port that is taken', async () => {
  await target.start()
  assert.match((await target.ask('nonsense')).text, /no request/)
  assert.match((await target.ask('{"command":"explode"}')).text, /no request: command/)
  assert.match((await target.ask({ command: 'cut', portal: 9 })).text, /there is no portal 9; there are 1…2/)
  assert.match((await target.ask({ command: 'resize', lun: 4 })).text, /there is no LUN 4; there are 1/)
  assert.match((await matrixTarget('run', '--config', target.config)).text, /cannot listen on 127\.0\.0\.1:\d+/)
  const wrong = join(target.dir, 'wrong.toml')
  writeFileSync(
    wrong,
    'name = "array"\nportals = []\nlunz = 1\nluns = [{ number = 1, path = "x", block_size = 1024 }]\n',
  )
  const { status, text } = await matrixTarget('run', '--config', wrong)
  assert.is(status, 78)
  for (const part of [
    /4 problems/,
    /name: found "array"/,
    /portals/,
    /lunz: unknown key; did you mean luns/,
    /512 or 4096/,
  ])
    assert.match(text, part)
  assert.is(await target.end('SIGTERM'), 0)
})

test.run()
