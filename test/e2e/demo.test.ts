/** The contract of `matrix demo`: what it prints and writes, nodes that die and come back, kept data, clean ends. */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Demo, type DemoOptions, sanKind } from './demo.ts'
import { freeBasePort } from './free-ports.ts'

const cli = join(new URL('../..', import.meta.url).pathname, 'src/cli/main.ts')

const dir = mkdtempSync(join(tmpdir(), 'matrixfs-e2e-demo-'))
const options: DemoOptions = { dir, nodes: 3, lunSize: '256MiB', basePort: await freeBasePort(4) }
let demo = new Demo(options)

function matrix(...args: string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8' })
}

/** True while the process runs; an entry in the process table that nobody has collected yet is no process any more. */
function exists(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat[stat.lastIndexOf(')') + 2] !== 'Z'
  } catch {
    return false
  }
}

async function put(node: string, name: string, text: string): Promise<void> {
  const response = await fetch(`${demo.node(node).http.url}${name}`, { method: 'PUT', body: text })
  assert.ok(response.ok, `PUT ${name} at ${node}: ${response.status}`)
}

async function get(node: string, name: string): Promise<string> {
  const response = await fetch(`${demo.node(node).http.url}${name}`)
  assert.is(response.status, 200, `GET ${name} at ${node}`)
  return response.text()
}

/** Waits until the demo has printed a line that matches. */
async function told(line: RegExp): Promise<void> {
  for (let waited = 0; !line.test(demo.output); waited += 50) {
    assert.ok(waited < 5000, `the demo never said ${line}:\n${demo.output}`)
    await sleep(50)
  }
}

test('R45 R46 R107 three nodes come up, matrix.json says how to reach them, each serves the same files', async () => {
  const tookMs = await demo.start()
  console.log(`up after ${(tookMs / 1000).toFixed(1)} s`)
  const { basePort = 0 } = options
  assert.equal(
    demo.matrix.nodes.map(({ name, nfs, http, admin }) => ({ name, nfs, http, admin })),
    [1, 2, 3].map((number) => ({
      name: `n${number}`,
      nfs: {
        host: '127.0.0.1',
        port: basePort + 100 * number + 49,
        mountPort: basePort + 100 * number + 49,
        portmapPort: basePort + 100 * number + 11,
        export: '/home',
      },
      http: { url: `http://127.0.0.1:${basePort + 100 * number + 80}/home/` },
      admin: { url: `http://127.0.0.1:${basePort + 100 * number + 90}/_admin/` },
    })),
  )
  const luns = demo.matrix.luns.map(({ name, path, url }) => `${name} ${path ?? url?.replace(/.*\//, 'target/')}`)
  assert.equal(
    luns,
    ['lun1', 'lun2'].map((name, i) => `${name} ${sanKind() ? `target/${i + 1}` : join(dir, `${name}.img`)}`),
  )
  for (const { pid } of demo.matrix.nodes) assert.ok(exists(pid))
  await put('n1', 'greeting', 'hello from n1')
  assert.is(await get('n2', 'greeting'), 'hello from n1')
  await put('n3', 'greeting', 'changed at n3')
  assert.is(await get('n1', 'greeting'), 'changed at n3')
})

test('a second demo in the same folder is refused, and so is one on its ports', () => {
  const same = matrix('demo', '--dir', dir)
  assert.is(same.status, 1)
  assert.match(same.stderr, /already runs in/)
  const other = mkdtempSync(join(tmpdir(), 'matrixfs-e2e-demo-'))
  const ports = matrix('demo', '--dir', other, '--lun-size', '128MiB', '--base-port', `${options.basePort}`)
  rmSync(other, { recursive: true, force: true })
  assert.is(ports.status, 1)
  assert.match(ports.stderr, /in use by another program[\s\S]*--base-port/)
})

test('a node killed with SIGKILL stays dead until start-node brings it back', async () => {
  const { pid } = demo.node('n2')
  demo.kill('n2')
  await told(/n2 was killed by SIGKILL; it stays down until: .*demo start-node n2/)
  await put('n1', 'while-n2-was-dead', 'kept')
  assert.is(await get('n3', 'while-n2-was-dead'), 'kept')
  assert.not.ok(exists(pid))
  await demo.startNode('n2')
  assert.is.not(demo.node('n2').pid, pid)
  assert.ok(exists(demo.node('n2').pid), 'it survives the command that started it')
  assert.is(await get('n2', 'while-n2-was-dead'), 'kept')
  assert.match(matrix('demo', 'start-node', 'n2', '--dir', dir).stderr, /n2 is running already/)
  assert.match(matrix('demo', 'start-node', 'n9', '--dir', dir).stderr, /no node n9; this demo has n1, n2, n3/)
})

test('status and fs check read the LUNs while nodes serve', () => {
  const status = matrix('status', '--dir', dir)
  assert.is(status.status, 0, status.stderr)
  assert.match(status.stdout, /n2 +1 +running/)
  assert.match(demo.check(), /filesystem home is sound/)
  const create = matrix('fs', 'create', 'other', '--dir', dir)
  assert.is(create.status, 1)
})

test('R111: add-node adds a node that no other was told of; it serves, and stop-node takes it away', async () => {
  const added = matrix('demo', 'add-node', '--dir', dir)
  assert.is(added.status, 0, added.stderr)
  await told(/n4 serves again/)
  assert.is(await get('n4', 'while-n2-was-dead'), 'kept')
  await put('n4', 'from-n4', 'new here')
  assert.is(await get('n1', 'from-n4'), 'new here')
  assert.match(matrix('status', '--dir', dir).stdout, /n4 +3 +running/)
  assert.is(matrix('demo', 'stop-node', 'n4', '--dir', dir).status, 0)
  await told(/n4 has stopped/)
  assert.is(await get('n2', 'from-n4'), 'new here')
})

test('Ctrl-C stops every node, also one that start-node started, and the data is there at the next start', async () => {
  const pids = demo.matrix.nodes.map(({ pid }) => pid)
  await demo.stop()
  for (const pid of pids) assert.not.ok(exists(pid), `pid ${pid} is left`)
  assert.not.ok(existsSync(join(dir, 'matrix.json')))
  assert.match(demo.output, /all nodes have stopped/)
  assert.not.match(demo.output, /had to be killed/)
  assert.match(matrix('demo', 'start-node', 'n1', '--dir', dir).stderr, /no demo runs in/)
  if (!sanKind())
    assert.match(matrix('demo', '--dir', dir, '--lun-size', '512MiB').stderr, /LUNs of 256 MiB; leave --lun-size out/)
  const elsewhere = ['--lun', 'iscsi://127.0.0.1/iqn.2026-11.net.matrixfs.test:other/1']
  assert.match(matrix('demo', '--dir', dir, ...elsewhere).stderr, /is on other LUNs .*leave --lun out/)
  // the target of the demo ends with it
  const fromOutside = sanKind() === 'own' ? '' : demo.check()
  demo = new Demo(options)
  await demo.start()
  assert.match(fromOutside || demo.check(), /filesystem home is sound: 4 inodes/)
  assert.is(await get('n3', 'greeting'), 'changed at n3')
})

test('all nodes killed at once, and the demo too: the next start clears up, and nothing is lost', async () => {
  await put('n2', 'last', 'words')
  const survivor = demo.node('n3').pid
  demo.kill('n1')
  demo.kill('n2')
  demo.killDemo()
  demo = new Demo(options)
  await demo.start()
  assert.match(demo.output, /stopping n3 .* left by a demo that was killed/)
  assert.not.ok(exists(survivor))
  assert.is(await get('n1', 'last'), 'words')
  assert.match(demo.check(), /filesystem home is sound/)
})

test.after(async () => {
  await demo.dispose()
  rmSync(dir, { recursive: true, force: true })
})

test.run()
