// The real files and processes of this host, and the LUN driver over them.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { GiB, TiB } from '../../../src/base/units.ts'
import { realFiles } from '../../../src/platform/real/files.ts'
import { realHost } from '../../../src/platform/real/host.ts'
import { realProcesses } from '../../../src/platform/real/processes.ts'
import { openLun } from '../../../src/san/index.ts'

const test = suite('platform: real files and processes', { folder: '', path: '' })

test.before((context) => {
  context.folder = mkdtempSync(join(tmpdir(), 'matrixfs-files-'))
  context.path = join(context.folder, 'lun')
  writeFileSync(context.path, '')
  truncateSync(context.path, 8 * GiB)
})
test.after((context) => rmSync(context.folder, { recursive: true }))

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => assert.unreachable('it should have failed'),
    (error) => error,
  )

test('vectored writes land one after another, beyond 4 GiB and beyond IOV_MAX', async ({ path }) => {
  const file = await realFiles.open(path)
  assert.is(file.size, 8 * GiB)
  const many = Array.from({ length: 2500 }, (_, i) => Buffer.alloc(i % 3, i)) // empty ones among them
  await file.write(5 * GiB, many)
  const back = Buffer.alloc(many.reduce((sum, buffer) => sum + buffer.length, 0))
  await file.read(5 * GiB, back)
  assert.ok(back.equals(Buffer.concat(many)))
  await file.read(0, Buffer.alloc(0))
  await file.write(0, [])
  await file.flush()
  const end = await failure(file.read(8 * GiB - 10, Buffer.alloc(20)))
  assert.ok(isMatrixError(end, 'lun-io'))
  assert.match(end.message, /end of file after 10 bytes/)
  await file.close()
  const closed = await failure(file.flush())
  assert.ok(isMatrixError(closed, 'lun-io'))
})

test('a file that is missing, a directory and a device that is no file are refused by name', async ({ folder }) => {
  assert.ok(isMatrixError(await failure(realFiles.open(join(folder, 'none'))), 'not-found'))
  const directory = await failure(realFiles.open(folder))
  assert.ok(isMatrixError(directory, 'lun-io'))
  assert.match(directory.message, /is a directory/)
  assert.match((await failure(realFiles.open('/dev/null'))).message, /not a regular file/)
})

test('openLun chooses the driver by URL', async ({ path }) => {
  for (const url of [path, `file:${path}`, `file://${path}`, `file://localhost${path}`]) {
    const lun = await openLun(url, realHost)
    assert.is(lun.size, 8 * GiB)
    assert.is(lun.identity, path)
    await lun.close()
  }
  for (const url of ['nbd:/dev/sda', 'file://elsewhere/lun']) {
    const error = await failure(openLun(url, realHost))
    assert.ok(isMatrixError(error, 'config'), String(error))
    assert.match(error.message, /use file:\/absolute\/path/)
  }
})

test('file LUN: durable writes by the hundred, ranges checked, whole sectors only', async ({ path }) => {
  const lun = await openLun(path, realHost)
  const sector = (i: number) => Buffer.alloc(512, i)
  const writes = Array.from({ length: 200 }, (_, i) =>
    lun.write(i * 512, [sector(i)], { purpose: 'journal', durable: true }),
  )
  await Promise.all(writes)
  const raw = Buffer.alloc(512 * 200)
  await lun.read(0, raw)
  for (let i = 0; i < 200; i++) assert.is(raw[i * 512 + 511], i)
  assert.ok(isMatrixError(await failure(lun.read(lun.size - 100, Buffer.alloc(200))), 'lun-io'))
  assert.ok(isMatrixError(await failure(lun.write(lun.size, [sector(1)], { purpose: 'data' })), 'lun-io'))
  assert.ok(isMatrixError(await failure(lun.read(-1, Buffer.alloc(1))), 'lun-io'))
  assert.match((await failure(lun.write(100, [sector(1)], { purpose: 'data' }))).message, /whole sectors/)
  assert.ok(lun.size < TiB)
  await lun.close()
})

test('a process is known by boot, pid and start time: running, gone, reused pid, another host', async () => {
  const self = realProcesses.self()
  assert.is(realProcesses.state(self), 'running')
  assert.is(realProcesses.state({ ...self, startTime: self.startTime + 1 }), 'gone')
  assert.is(realProcesses.state({ ...self, bootId: 'another' }), 'elsewhere')
  assert.is(realProcesses.state({ ...self, pid: 2 ** 22 + 1 }), 'gone')
  const elsewhere = await failure(realProcesses.kill({ ...self, bootId: 'another' }))
  assert.ok(isMatrixError(elsewhere, 'not-found'))
})

test('kill waits until the process is gone, and never kills another one with its pid', async () => {
  const child = spawn('sleep', ['60'])
  const pid = child.pid as number
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const startTime = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19])
  const identity = { ...realProcesses.self(), pid, startTime }
  await realProcesses.kill({ ...identity, startTime: startTime + 1 })
  assert.is(realProcesses.state(identity), 'running')
  await realProcesses.kill(identity)
  assert.is(realProcesses.state(identity), 'gone')
})

test.run()
