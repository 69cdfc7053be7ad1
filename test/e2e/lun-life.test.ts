/**
 * A LUN comes and another goes while the filesystem is in use, and everything that is in it is read and compared all the time: a LUN is added, the filesystem
 * grown onto it, the one it had beside its first drained and removed; a node dies in the middle of that, and another goes on.
 */
// time limit: 240 s
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Demo, spareLun } from './demo.ts'
import { freeBasePort } from './free-ports.ts'

const cli = join(new URL('../..', import.meta.url).pathname, 'src/cli/main.ts')
const dir = mkdtempSync(join(tmpdir(), 'matrixfs-e2e-life-'))
const demo = new Demo({ dir, nodes: 2, lunSize: '256MiB', basePort: await freeBasePort(2) })
const FILES = 24
/** Their URLs, wherever the demo has its LUNs. */
let [lun2, lun3] = ['', '']

function matrix(...args: string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8' })
}
const at = (node: string) => ['--config', join(dir, `${node}.toml`)]

async function beside(...args: string[]): Promise<{ status: number | null; text: string }> {
  const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  child.stdout.on('data', (chunk) => (text += chunk))
  child.stderr.on('data', (chunk) => (text += chunk))
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { status, text }
}

/** Content that is known by its name and round. */
function contentOf(file: number, round: number): Buffer {
  const seed = createHash('sha256').update(`${file}/${round}`).digest()
  return Buffer.concat(Array.from({ length: 3000 + 500 * (file % 7) }, () => seed))
}

/** What each file holds by now. */
const rounds = Array.from({ length: FILES }, () => 0)

async function put(node: string, file: number): Promise<void> {
  const round = (rounds[file] as number) + 1
  const body = new Uint8Array(contentOf(file, round))
  const answer = await fetch(`${demo.node(node).http.url}f${file}`, { method: 'PUT', body })
  assert.ok(answer.ok, `PUT f${file} at ${node}: ${answer.status}`)
  rounds[file] = round
}

async function verify(node: string, file: number): Promise<void> {
  const answer = await fetch(`${demo.node(node).http.url}f${file}`)
  assert.is(answer.status, 200, `GET f${file} at ${node}`)
  const found = Buffer.from(await answer.arrayBuffer())
  assert.ok(found.equals(contentOf(file, rounds[file] as number)), `f${file} at ${node} holds round ${rounds[file]}`)
}

/** Each worker has files of its own, writes them at one node and reads them at the other. */
function working(nodes: readonly [string, string]): { end(): Promise<number> } {
  let over = false
  let count = 0
  const work = async (worker: number): Promise<void> => {
    for (let i = 0; !over; i++) {
      const file = worker * 6 + (i % 6)
      await put(nodes[i % 2] as string, file)
      await verify(nodes[(i + 1) % 2] as string, file)
      await verify(nodes[i % 2] as string, worker * 6 + ((i + 3) % 6))
      count++
      await sleep(5)
    }
  }
  const all = Promise.all(Array.from({ length: FILES / 6 }, (_, worker) => work(worker)))
  all.catch(() => {})
  return {
    async end() {
      over = true
      await all
      return count
    },
  }
}

test.before(async () => {
  await demo.start()
  const { path, url } = demo.matrix.luns[1]!
  lun2 = url ?? `file:${path}`
  lun3 = await spareLun(join(dir, 'lun3.img'), 256 * 2 ** 20)
  for (let file = 0; file < FILES; file++) await put('n1', file)
})

test('added, grown onto, drained and removed, under a workload that compares', async () => {
  const work = working(['n1', 'n2'])
  for (const [words, told] of [
    [['lun', 'add', lun3, ...at('n1')], /is LUN lun3 of matrix demo/],
    [['fs', 'grow', 'home', 'lun3', ...at('n2')], /filesystem home is on LUN lun3, too: .* more/],
    [['lun', 'drain', 'lun2', ...at('n1')], /lun2/],
    [['lun', 'remove', 'lun2', ...at('n2')], /LUN lun2 is none of matrix demo any more/],
  ] as const) {
    const { status, text } = await beside(...words)
    assert.is(status, 0, `${words.join(' ')}\n${text}`)
    assert.match(text, told)
  }
  assert.ok((await work.end()) > 0)
  for (let file = 0; file < FILES; file++) await verify('n2', file)
  assert.match(demo.check(), /filesystem home is sound/)
})

test('a drain that dies with its node is finished by another, and so it stays after a restart', async () => {
  const added = matrix('lun', 'add', lun2, '--name', 'again', '--force', ...at('n1'))
  assert.is(added.status, 0, added.stderr)
  assert.is(matrix('fs', 'grow', 'home', 'again', ...at('n1')).status, 0)
  for (let file = 0; file < FILES; file++) await put('n1', file)
  const draining = beside('lun', 'drain', 'lun3', ...at('n2'))
  demo.kill('n2')
  await draining
  const { status, text } = await beside('lun', 'drain', 'lun3', ...at('n1'))
  assert.is(status, 0, text)
  for (let file = 0; file < FILES; file++) await verify('n1', file)
  await demo.startNode('n2')
  assert.is(matrix('lun', 'remove', 'lun3', ...at('n2')).status, 0)
  await demo.stop()
  await demo.start()
  for (let file = 0; file < FILES; file++) await verify('n2', file)
  assert.match(demo.check(), /filesystem home is sound/)
})

test.after(async () => {
  await demo.dispose()
  rmSync(dir, { recursive: true, force: true })
})

test.run()
