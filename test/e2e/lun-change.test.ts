/**
 * A LUN is added to a matrix that runs and is removed from it, while files are written at every node: no call fails, every node opens and closes
 * it, also one that starts later; and a filesystem on it is served by nodes whose configuration does not name it.
 */
// time limit: 300 s
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Demo, sanKind, spareLun } from './demo.ts'
import { freeBasePort } from './free-ports.ts'

const cli = join(new URL('../..', import.meta.url).pathname, 'src/cli/main.ts')
const dir = mkdtempSync(join(tmpdir(), 'matrixfs-e2e-lun-'))
const demo = new Demo({ dir, nodes: 2, lunSize: '256MiB', basePort: await freeBasePort(2) })
/** Its URL, wherever the demo has its LUNs. */
let lun3 = ''

function matrix(...args: string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8' })
}

function at(node: string): string[] {
  return ['--config', join(dir, `${node}.toml`)]
}

/** The LUNs that a node has open. */
function lunsOf(node: string): string[] {
  const { status, stdout, stderr } = matrix('counters', '--json', ...at(node))
  assert.is(status, 0, stderr)
  return Object.keys(JSON.parse(stdout).luns).sort()
}

/** Puts files at both nodes and reads each at the other, until `end`; gives how many. */
function working(): { end(): Promise<number> } {
  let over = false
  const work = async (here: string, there: string): Promise<number> => {
    for (let i = 0; ; i++) {
      if (over) return i
      const name = `${here}-${i}`
      const put = await fetch(`${demo.node(here).http.url}${name}`, { method: 'PUT', body: name })
      assert.ok(put.ok, `PUT ${name}: ${put.status}`)
      const get = await fetch(`${demo.node(there).http.url}${name}`)
      assert.is(await get.text(), name)
      await sleep(5)
    }
  }
  const both = Promise.all([work('n1', 'n2'), work('n2', 'n1')])
  both.catch(() => {})
  return {
    async end() {
      over = true
      const [one, two] = await both
      return Math.min(one, two)
    },
  }
}

/** As `matrix`, but this process goes on meanwhile. */
async function matrixBeside(...args: string[]): Promise<{ status: number | null; text: string }> {
  const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  child.stdout.on('data', (chunk) => (text += chunk))
  child.stderr.on('data', (chunk) => (text += chunk))
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { status, text }
}

test.before(async () => {
  await demo.start()
  lun3 = await spareLun(join(dir, 'lun3.img'), 256 * 2 ** 20)
})

test('R100: a LUN is added by any node while files are written at all of them', async () => {
  const work = working()
  const { status, text } = await matrixBeside('lun', 'add', lun3, ...at('n2'))
  assert.is(status, 0, text)
  assert.match(text, /is LUN lun3 of matrix demo, 256 MiB: every node has opened it/)
  assert.ok((await work.end()) > 0)
  for (const node of ['n1', 'n2']) assert.equal(lunsOf(node), ['lun1', 'lun2', 'lun3'])
  assert.ok(/lun3 +256 MiB +(\S+)/.exec(matrix('status', '--dir', dir).stdout)?.[1]?.startsWith(lun3))
  assert.match(matrix('timeline', ...at('n1')).stdout, /finish add lun3/)
  assert.is(matrix('lun', 'add', lun3, ...at('n1')).status, 0, 'again')
})

test('what cannot be is refused with the reason', () => {
  const used = matrix('lun', 'remove', 'lun2', ...at('n1'))
  assert.equal([used.status, /filesystem home is on LUN lun2/.test(used.stderr)], [1, true], used.stderr)
  const unknown = matrix('lun', 'remove', 'lun9', ...at('n1'))
  assert.match(unknown.stderr, /has no LUN lun9; it has lun1, lun2, lun3/)
  const content = join(dir, 'content.img')
  writeFileSync(content, 'precious'.padEnd(64 * 2 ** 20))
  assert.match(matrix('lun', 'add', `file:${content}`, ...at('n1')).stderr, /not empty.*--force/)
  assert.match(readFileSync(content, 'latin1').slice(0, 20), /^precious/)
})

test('a node that starts finds it where it has found it before; when it comes back from death, too', async () => {
  demo.kill('n2')
  const work = matrix('lun', 'add', lun3, ...at('n1'))
  assert.is(work.status, 0, work.stderr)
  await demo.startNode('n2')
  assert.equal(lunsOf('n2'), ['lun1', 'lun2', 'lun3'])
})

test('a filesystem on it is made while no node runs, and holds the LUN', async () => {
  // not the demo, which may be the target, too
  for (const node of ['n1', 'n2']) await demo.drill('stop-node', node)
  const made = await matrixBeside('fs', 'create', 'more', '--on', 'lun3', '--dir', dir)
  assert.is(made.status, 0, made.text)
  await Promise.all(['n1', 'n2'].map((node) => demo.startNode(node)))
  assert.match(matrix('lun', 'remove', 'lun3', ...at('n1')).stderr, /filesystem more is on LUN lun3/)
})

test('a LUN that no filesystem uses is removed while files are written; nobody has it open or finds it again', async () => {
  const spare = await spareLun(join(dir, 'spare.img'), 256 * 2 ** 20)
  assert.is(matrix('lun', 'add', spare, '--name', 'spare', ...at('n1')).status, 0)
  const work = working()
  const { status, text } = await matrixBeside('lun', 'remove', 'spare', ...at('n2'))
  assert.is(status, 0, text)
  assert.match(text, /LUN spare is none of matrix demo any more: every node has closed it/)
  assert.ok((await work.end()) > 0)
  for (const node of ['n1', 'n2']) {
    assert.equal(lunsOf(node), ['lun1', 'lun2', 'lun3'])
    const { pid } = demo.node(node)
    const open = spawnSync('ls', ['-l', `/proc/${pid}/fd`], { encoding: 'utf8' }).stdout
    assert.ok((sanKind() || open.includes('lun1.img')) && !open.includes('spare.img'), open)
  }
  demo.kill('n1')
  await demo.startNode('n1')
  assert.equal(lunsOf('n1'), ['lun1', 'lun2', 'lun3'])
  assert.match(demo.check(), /filesystem home is sound/)
  if (!sanKind()) assert.ok(existsSync(join(dir, 'spare.img')))
  const back = matrix('lun', 'import', spare, ...at('n2'))
  assert.is(back.status, 0, back.stderr)
  assert.match(back.stdout, /is LUN spare of matrix demo again, 256 MiB: every node has opened it/)
  for (const node of ['n1', 'n2']) assert.equal(lunsOf(node), ['lun1', 'lun2', 'lun3', 'spare'])
})

test.after(async () => {
  await demo.dispose()
  rmSync(dir, { recursive: true, force: true })
})

test.run()
