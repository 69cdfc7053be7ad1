import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { loadConfig, writeRunFile } from '../../../../config/index.ts'
import { isMatrixError } from '../../../../src/base/errors.ts'
import { MiB } from '../../../../src/base/units.ts'
import { lockFolder, runningDemo } from '../../../../src/cli/demo/demo-lock.ts'
import { DemoLayout, type DemoSettings, nodeConfigText, nodeNames, portsOf } from '../../../../src/cli/demo/layout.ts'
import { writeMatrixFile } from '../../../../src/cli/demo/matrix-file.ts'
import { readable } from '../../../../src/cli/demo/node-process.ts'
import { checkPorts } from '../../../../src/cli/demo/ports.ts'
import { realProcesses } from '../../../../src/platform/real/processes.ts'

const test = suite<{ layout: DemoLayout }>('demo folder')
const settings: DemoSettings = {
  ...{ nodes: 3, basePort: 23_000, lunBytes: 128 * MiB, lunUrls: [], san: false, mount: false },
  provisioned: true,
}

test.before.each((context) => {
  context.layout = new DemoLayout(mkdtempSync(join(tmpdir(), 'matrixfs-demo-')))
})
test.after.each(({ layout }) => rmSync(layout.dir, { recursive: true, force: true }))

test('ports are those of the contract', () => {
  assert.equal(portsOf(20_000, 1), { mesh: 20_101, portmap: 20_111, nfs: 20_149, http: 20_180 })
  assert.equal(portsOf(30_000, 8), { mesh: 30_801, portmap: 30_811, nfs: 30_849, http: 30_880 })
})

test("every node's configuration file is right, and they agree", ({ layout }) => {
  writeFileSync(layout.secretFile, 'x'.repeat(64), { mode: 0o600 })
  const configs = nodeNames(8).map((name, index) => {
    writeFileSync(layout.configFile(name), nodeConfigText({ ...settings, nodes: 8 }, index + 1))
    return loadConfig(layout.configFile(name))
  })
  configs.forEach((config, index) => {
    assert.is(config.node.name, `n${index + 1}`)
    assert.is(config.node.slot, index)
    assert.is(config.stateDir, layout.stateFolder(`n${index + 1}`))
    assert.equal(config.nodes, configs[0]?.nodes)
    assert.equal(
      config.luns.map(({ url }) => url),
      ['lun1', 'lun2'].map((name) => `file:${layout.lunFile(name)}`),
    )
    assert.is(config.nfs?.listen.port, 23_000 + 100 * (index + 1) + 49)
    assert.equal(config.nfs?.portmap, { mode: 'own', port: 23_000 + 100 * (index + 1) + 11 })
    assert.equal(config.mounts, [])
  })
})

test('with --mount every node has a mount of its own, and matrix.json says where', ({ layout }) => {
  const mounting = { ...settings, mount: true }
  writeFileSync(layout.secretFile, 'x'.repeat(64), { mode: 0o600 })
  writeFileSync(layout.configFile('n2'), nodeConfigText(mounting, 2))
  const directory = join(layout.dir, 'mnt/n2')
  assert.equal(loadConfig(layout.configFile('n2')).mounts, [{ filesystem: 'home', directory }])
  assert.is(writeMatrixFile(layout, mounting).nodes[1]?.mount, directory)
})

test('matrix.json has the keys that other tools rely on', ({ layout }) => {
  mkdirSync(layout.runFolder)
  writeRunFile(layout.runFile('n2'), { process: { bootId: 'b', pid: 4711, startTime: 1 }, state: 'ready' })
  writeMatrixFile(layout, settings)
  const written = JSON.parse(readFileSync(layout.matrixFile, 'utf8'))
  assert.is(written.matrix, 'demo')
  assert.equal(written.nodes[1], {
    name: 'n2',
    pid: 4711,
    nfs: { host: '127.0.0.1', port: 23_249, mountPort: 23_249, portmapPort: 23_211, export: '/home' },
    http: { url: 'http://127.0.0.1:23280/home/' },
  })
  assert.equal(written.luns[0], { name: 'lun1', path: layout.lunFile('lun1') })
})

test('one demo per folder; one that died is no hindrance, nor is its pid when another process has it', ({ layout }) => {
  const lock = lockFolder(layout)
  assert.is(runningDemo(layout)?.process.pid, process.pid)
  try {
    lockFolder(layout)
    assert.unreachable()
  } catch (error) {
    assert.ok(isMatrixError(error, 'in-use'), String(error))
    assert.match((error as Error).message, /already runs in .*pid \d+/)
  }
  lock.stopping()
  assert.is(runningDemo(layout)?.state, 'stopping')
  lock.release()
  assert.not.ok(existsSync(layout.lockFile))
  writeRunFile(layout.lockFile, { process: { ...realProcesses.self(), startTime: 1 }, state: 'ready' })
  assert.is(runningDemo(layout), undefined)
  lockFolder(layout).release()
})

test('a port in use is named together with the option that helps', async () => {
  const server: Server = createServer()
  const port = await new Promise<number>((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)),
  )
  try {
    await checkPorts({ ...settings, nodes: 1, basePort: port - 149 })
    assert.unreachable()
  } catch (error) {
    assert.ok(isMatrixError(error, 'in-use'), String(error))
    assert.match((error as Error).message, new RegExp(`port ${port} \\(nfs of n1\\): in use[\\s\\S]*--base-port`))
  } finally {
    server.close()
  }
})

test('bad input: damaged settings are told, not guessed', ({ layout }) => {
  assert.is(layout.readSettings(), undefined)
  for (const text of ['', '{}', '{"nodes":99,"basePort":1,"lunBytes":1,"provisioned":true}']) {
    writeFileSync(layout.settingsFile, text)
    assert.throws(() => layout.readSettings(), /damaged.*--reset/)
  }
  layout.writeSettings(settings)
  assert.equal(layout.readSettings(), settings)
  const { mount, ...older } = settings
  writeFileSync(layout.settingsFile, JSON.stringify(older))
  assert.equal(layout.readSettings(), { ...settings, mount: false }, 'a folder of a version without mounts')
})

test('a log line reads as a sentence, and anything else as it is', () => {
  const line = '{"level":50,"time":"2026-01-02T03:04:05.000Z","node":"n1","ids":[1],"msg":"it broke"}'
  assert.is(readable(line), '2026-01-02T03:04:05.000Z error it broke node=n1 ids=[1]')
  assert.is(readable('Segmentation fault'), 'Segmentation fault')
})

test.run()
