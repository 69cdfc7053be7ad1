// time limit: 360 s
/**
 * Two filesystems of two real nodes, each on a LUN of its own at our target, and one LUN fails: by errors, then by silence. Its filesystem goes out of service at both nodes, the
 * operator is told, and the other is served as ever; mended, it comes back by `matrix fs restore` (R31, R61–R63).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Fault } from '../../src/san/index.ts'
import { OwnTarget } from '../helpers/own-target.ts'
import { freeBasePort } from './free-ports.ts'

const root = new URL('../..', import.meta.url).pathname
const target = new OwnTarget({ luns: [{}, {}], lunBytes: 256 * 2 ** 20 })
const dir = mkdtempSync(join(tmpdir(), 'matrixfs-e2e-lun-failure-'))
const base = await freeBasePort(2)
const running = new Map<number, ChildProcess>()
const configOf = (node: number) => join(dir, `n${node}.toml`)
const urlOf = (node: number, path: string) => `http://127.0.0.1:${base + 100 * node + 80}${path}`
/** Generous: the machine may be busy with other tests. */
const PATIENCE_MS = 60_000

function configure(node: number): void {
  const nodes = [1, 2].map(
    (n) => `[[nodes]]\nname = "n${n}"\nslot = ${n - 1}\nmesh = "127.0.0.1:${base + 100 * n + 1}"\n`,
  )
  const exports = ['home', 'other'].map((name) => `[[exports]]\npath = "/${name}"\nfilesystem = "${name}"\n`)
  mkdirSync(join(dir, `n${node}`))
  writeFileSync(
    configOf(node),
    `[matrix]\nname = "san"\nsecret_file = "secret"\n[node]\nname = "n${node}"\nstate_dir = "n${node}"\n${nodes.join('')}
[[luns]]\nurl = "${target.url(1)}"\n[[luns]]\nurl = "${target.url(2)}"\n[timings]\nio_timeout = "1s"
[http]\nlisten = "127.0.0.1:${base + 100 * node + 80}"\nuid = 0\ngid = 0\n${exports.join('')}`,
  )
}

/** The target is in this process, which has to go on meanwhile. */
async function matrix(...args: string[]): Promise<{ readonly status: number | null; readonly text: string }> {
  const child = spawn(process.execPath, [join(root, 'src/cli/main.ts'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += chunk))
  return { status: await new Promise((resolve) => child.once('close', resolve)), text }
}

async function matrixDoes(...args: string[]): Promise<string> {
  const { status, text } = await matrix(...args)
  assert.is(status, 0, `${args.join(' ')}\n${text}`)
  return text
}

async function start(node: number): Promise<void> {
  const child = spawn(process.execPath, [join(root, 'src/node/main.ts'), '--config', configOf(node)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.set(node, child)
  child.stderr.pipe(createWriteStream(join(dir, `n${node}.log`), { flags: 'a' }))
  await new Promise<void>((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`n${node} ${why}\n${logOf(node).slice(-4000)}`))
    const limit = setTimeout(() => fail('is not ready'), PATIENCE_MS)
    child.once('exit', (code, signal) => {
      clearTimeout(limit)
      running.delete(node)
      fail(`has ended: ${code ?? signal}`)
    })
    child.stdout.on('data', (chunk) => {
      if (!String(chunk).includes('matrixd ready')) return
      clearTimeout(limit)
      resolve()
    })
  })
}

async function stop(node: number): Promise<void> {
  const child = running.get(node) as ChildProcess
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  await gone
}

const logOf = (node: number) => readFileSync(join(dir, `n${node}.log`), 'utf8')

async function put(node: number, path: string, body: string): Promise<number> {
  return (await fetch(urlOf(node, path), { method: 'PUT', body, signal: AbortSignal.timeout(PATIENCE_MS) })).status
}

async function get(node: number, path: string): Promise<string> {
  const answer = await fetch(urlOf(node, path), { signal: AbortSignal.timeout(PATIENCE_MS) })
  return `${answer.status} ${await answer.text()}`
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const began = performance.now(); !(await holds()); await sleep(200))
    assert.ok(performance.now() - began < PATIENCE_MS, `${what}, in ${PATIENCE_MS} ms`)
}

/** Files of `home` are written at each node and read at the other until it is over; every request has to succeed. */
function working() {
  let isOver = false
  let worstMs = 0
  const at = async (node: number): Promise<number> => {
    for (let i = 0; ; i++) {
      if (isOver) return i
      const began = performance.now()
      assert.ok((await put(node, `/home/w${node}-${i}`, `${i}`)) < 300, `PUT ${i} at n${node}`)
      assert.is(await get(3 - node, `/home/w${node}-${i}`), `200 ${i}`)
      worstMs = Math.max(worstMs, performance.now() - began)
      await sleep(10)
    }
  }
  const all = Promise.all([at(1), at(2)])
  all.catch(() => {})
  return {
    async end() {
      isOver = true
      return { counts: await all, worstMs }
    },
  }
}

test.before(async () => {
  await target.start()
  writeFileSync(join(dir, 'secret'), 'sixteen characters at least\n', { mode: 0o600 })
  for (const node of [1, 2]) configure(node)
  await matrixDoes('lun', 'format', target.url(1), target.url(2), '--matrix', 'san')
  for (const [name, lun] of [
    ['home', 'lun1'],
    ['other', 'lun2'],
  ] as const)
    await matrixDoes('fs', 'create', name, '--on', lun, '--slots', '4', '--config', configOf(1))
  await Promise.all([start(1), start(2)])
})

const ways: readonly (readonly [string, Fault])[] = [
  ['answers with errors', { lun: 2, sense: { key: 4, asc: 0x44, ascq: 0 } }],
  ['does not answer any more', { lun: 2, hang: true }],
]

for (const [way, fault] of ways)
  test(`a LUN that ${way} takes its filesystem out of service, and nothing else; mended, it comes back`, async () => {
    assert.ok((await put(1, '/other/kept', way)) < 300)
    assert.is(await get(2, '/other/kept'), `200 ${way}`)
    const lives = [1, 2].map((node) => running.get(node)?.pid)
    const work = working()
    target.target.addFault(fault)
    const lost = await Promise.allSettled([put(1, '/other/lost', 'x'), put(2, '/other/lost2', 'x')])
    for (const each of lost) assert.ok(each.status === 'rejected' || each.value >= 500, JSON.stringify(each))
    const list = () => matrixDoes('fs', 'list', '--config', configOf(1))
    await until('other is in error', async () => /other .*LUN lun2 can be used by no node/s.test(await list()))
    await until('both have isolated it', async () =>
      [1, 2].every((node) => /"filesystem":"other".*isolated/.test(logOf(node))),
    )
    const { counts, worstMs } = await work.end()
    assert.ok(
      counts.every((count) => count > 10),
      `${counts}`,
    )
    assert.equal(
      [1, 2].map((node) => running.get(node)?.pid),
      lives,
      'no node has ended',
    )
    assert.ok(worstMs < PATIENCE_MS / 2, `${worstMs}`)
    assert.match(logOf(1) + logOf(2), /a LUN has failed: its filesystem is marked in error/)
    await until('the LUN is said to fail', async () =>
      /lun2.*failing/s.test(await matrixDoes('lun', 'show', '--config', configOf(2))),
    )
    assert.match(
      (await matrix('fs', 'restore', 'other', '--config', configOf(1))).text,
      /restart matrixd there first|cannot use LUN lun2/,
    )

    // a node that starts meanwhile serves what there is
    await stop(1)
    await start(1)
    assert.is(await get(1, '/home/w2-0'), '200 0')
    assert.match(await get(1, '/other/kept'), /^404/)

    target.target.removeFaults()
    const refused = await matrix('fs', 'restore', 'other', '--config', configOf(1))
    assert.is(refused.status, 1)
    assert.match(refused.text, /other was in use at n2 when it failed: restart matrixd there first/)
    await stop(2)
    await start(2)
    await until('it is restored', async () => {
      const { status, text } = await matrix('fs', 'restore', 'other', '--config', configOf(1))
      assert.ok(status === 0 || /cannot use LUN lun2/.test(text), text) // looked for anew every few seconds
      return status === 0
    })
    for (const node of [1, 2])
      await until(`other is served at n${node}`, async () => (await get(node, '/other/kept')) === `200 ${way}`)
    assert.ok((await put(2, '/other/new', way)) < 300)
    assert.is(await get(1, '/other/new'), `200 ${way}`)
    assert.not.match(await list(), /no node/)
  })

test('nothing is wrong with the filesystems after both nodes have ended', async () => {
  for (const node of [1, 2]) await stop(node)
  for (const name of ['home', 'other'])
    assert.match(
      await matrixDoes('fs', 'check', name, '--config', configOf(1)),
      new RegExp(`filesystem ${name} is sound`),
    )
})

test.after(async () => {
  for (const child of running.values()) child.kill('SIGKILL')
  await target.dispose()
  rmSync(dir, { recursive: true, force: true })
})

test.run()
