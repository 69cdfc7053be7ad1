// time limit: 180 s
/** Programs at the mounts of two nodes lock the same file: by the kernel's own calls, each sees what the other holds. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Demo } from './demo.ts'
import { freeBasePort } from './free-ports.ts'
import { type Answer, EX, Locker, NB, SH, UN } from './locker.ts'

const EINTR = 4
const EAGAIN = 11
const EDEADLK = 35
/** A lock that is released is granted elsewhere within so long: far less on an idle machine. */
const GRANT_MS = 5000
/** Transactions of each program. */
const COUNTS = 40

const dir = mkdtempSync(join(tmpdir(), 'matrixfs-e2e-locks-'))
const demo = new Demo({ dir, nodes: 2, lunSize: '128MiB', basePort: await freeBasePort(2), mount: true })
const cli = join(new URL('../..', import.meta.url).pathname, 'src/cli/main.ts')
const lockers: Locker[] = []
let files = 0

/** Two programs, at one node each, with the same new file open. */
async function twoWithOneFile(): Promise<[Locker, Locker, string]> {
  const file = `f${++files}`
  const pair: [Locker, Locker] = [new Locker(), new Locker()]
  lockers.push(...pair)
  writeFileSync(join(demo.node('n1').mount as string, file), '')
  for (const [i, locker] of pair.entries())
    assert.equal(await locker.open(join(demo.node(`n${i + 1}`).mount as string, file)), {})
  return [...pair, file]
}

async function isSettled(promise: Promise<unknown>, withinMs: number): Promise<boolean> {
  let settled = false
  promise.then(() => (settled = true))
  for (const until = Date.now() + withinMs; !settled && Date.now() < until; )
    await new Promise((resolve) => setTimeout(resolve, 10))
  return settled
}

async function granted(answer: Promise<Answer>): Promise<void> {
  assert.ok(await isSettled(answer, GRANT_MS), 'it was granted')
  assert.equal(await answer, {})
}

test.before(async () => {
  closeSync(openSync('/dev/fuse', 'r+'))
  await demo.start()
})

test('R129 fcntl: denied at the other node, seen there, waited for, and granted once it is released', async () => {
  const [a, b] = await twoWithOneFile()
  assert.equal(await a.lockf(EX | NB, 0, 10), {})
  assert.equal(await b.lockf(EX | NB, 5, 10), { errno: EAGAIN })
  assert.equal(await b.lockf(EX | NB, 10, 10), {})
  const { type, start, length } = await b.getlk(0, 100)
  assert.equal([type, start, length], [1, 0, 10])
  assert.is((await b.getlk(10, 10)).type, 2, 'nobody else has what it has itself')
  assert.is((await a.getlk(10, 0)).start, 10)
  const wait = b.lockf(SH, 0, 10)
  assert.not.ok(await isSettled(wait, 300))
  assert.equal(await a.lockf(UN, 0, 10), {})
  await granted(wait)
  assert.equal(await a.lockf(EX | NB, 0, 1), { errno: EAGAIN })
  assert.equal(await a.lockf(SH | NB, 0, 1), {})
})

test('matrix locks shows who holds what, and who waits, wherever', async () => {
  const [a, b] = await twoWithOneFile()
  assert.equal(await a.lockf(EX, 5, 10), {})
  assert.equal(await a.flock(SH), {})
  const wait = b.lockf(EX, 0, 0)
  assert.not.ok(await isSettled(wait, 500))
  const { stdout } = spawnSync(process.execPath, [cli, 'locks', 'home', '--config', join(dir, 'n1.toml')], {
    encoding: 'utf8',
  })
  assert.match(stdout, /\d+ +5-14 +exclusive +held +@0\//)
  assert.match(stdout, /\d+ +flock +shared +held +@0\//)
  assert.match(stdout, /\d+ +0- +exclusive +waits at slot 1 +@1\//)
  assert.equal(await a.lockf(UN), {})
  await granted(wait)
})

test('matrix locks clients tells who has how many; what a living mount has is not freed', async () => {
  const [a, b] = await twoWithOneFile()
  assert.equal(await a.lockf(EX, 5, 10), {})
  assert.equal(await b.lockf(EX, 50, 10), {})
  const config = join(dir, 'n1.toml')
  const matrix = (...words: string[]) => {
    return spawnSync(process.execPath, [cli, 'locks', ...words, '--config', config], { encoding: 'utf8' })
  }
  const clients = JSON.parse(matrix('clients', 'home', '--json').stdout) as { client: string; held: number }[]
  assert.ok(clients.some(({ client, held }) => client.startsWith('@0/') && held > 0))
  assert.ok(clients.some(({ client, held }) => client.startsWith('@1/') && held > 0))
  const one = clients[0]?.client as string
  const refused = matrix('free', 'home', one, '--yes')
  assert.is(refused.status, 1)
  assert.match(refused.stderr, /local mount/)
  assert.match(matrix('free', 'home', 'nobody', '--yes').stderr, /nobody has no locks/)
  assert.match(matrix('free', 'home', one).stderr, /--yes/)
  assert.equal(await a.lockf(UN), {})
  assert.equal(await b.lockf(UN), {})
})

test('whoever waits is interrupted by a signal, and then has nothing', async () => {
  const [a, b] = await twoWithOneFile()
  assert.equal(await a.lockf(EX), {})
  const wait = b.lockf(EX)
  assert.not.ok(await isSettled(wait, 300))
  b.interrupt()
  assert.ok(await isSettled(wait, GRANT_MS))
  assert.equal(await wait, { errno: EINTR })
  assert.equal(await a.lockf(UN), {})
  assert.is((await a.getlk()).type, 2)
})

test('a process that closes any descriptor of the file, or ends, has no lock on it any more', async () => {
  const [a, b, file] = await twoWithOneFile()
  assert.equal(await a.lockf(EX), {})
  assert.equal(await a.open(join(demo.node('n1').mount as string, file), 'again'), {})
  assert.equal(await a.close('again'), {})
  assert.equal(await b.lockf(EX | NB), {})
  const wait = a.lockf(EX)
  assert.not.ok(await isSettled(wait, 300))
  await b.kill()
  await granted(wait)
})

test('two that wait for each other at two nodes: one is told', async () => {
  const [a, b] = await twoWithOneFile()
  assert.equal(await a.lockf(EX, 0, 1), {})
  assert.equal(await b.lockf(EX, 1, 1), {})
  const waits = [a.lockf(EX, 1, 1), b.lockf(EX, 0, 1)]
  const told = await Promise.race(waits.map(async (wait, i) => ({ answer: await wait, locker: [a, b][i] as Locker })))
  assert.equal(told.answer, { errno: EDEADLK })
  await told.locker.lockf(UN)
  for (const wait of waits) assert.ok(await isSettled(wait, GRANT_MS))
  assert.equal((await Promise.all(waits)).filter(({ errno }) => errno === undefined).length, 1)
})

test('flock: by open file, shared and exclusive; it and fcntl of one process do not see each other', async () => {
  const [a, b, file] = await twoWithOneFile()
  assert.equal(await a.flock(SH), {})
  assert.equal(await b.flock(SH | NB), {})
  assert.equal(await b.flock(EX | NB), { errno: EAGAIN })
  assert.equal(await a.lockf(EX | NB), {})
  assert.equal(await a.open(join(demo.node('n1').mount as string, file), 'other'), {})
  assert.equal(await b.flock(UN), {})
  // another open file of the same process is another owner
  assert.equal(await a.flock(EX | NB, 'other'), { errno: EAGAIN })
  const wait = b.flock(EX)
  assert.not.ok(await isSettled(wait, 300))
  assert.equal(await a.close('other'), {})
  assert.not.ok(await isSettled(wait, 100))
  assert.equal(await a.close(), {})
  await granted(wait)
})

const COUNTING = `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=100, isolation_level=None)
for i in range(int(sys.argv[2])):
    db.execute('BEGIN IMMEDIATE')
    n, = db.execute('SELECT n FROM counter').fetchone()
    db.execute('UPDATE counter SET n = ?', (n + 1,))
    db.execute('INSERT INTO entry VALUES (?, ?)', (n, sys.argv[3]))
    db.execute('COMMIT')
`

test('SQLite, by two programs at two nodes at once: no count is lost, and the database is whole', async () => {
  const place = (node: string) => join(demo.node(node).mount as string, 'counter.db')
  const python = (script: string, ...args: string[]) => spawn('python3', ['-c', script, ...args], { stdio: 'inherit' })
  const ended = (child: ChildProcess) => new Promise((resolve) => child.once('exit', resolve))
  const made = `import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript('CREATE TABLE counter (n); INSERT INTO counter VALUES (0); CREATE TABLE entry (n UNIQUE, who)')`
  assert.is(await ended(python(made, place('n1'))), 0)
  const counting = ['n1', 'n2'].map((node) => ended(python(COUNTING, place(node), String(COUNTS), node)))
  assert.equal(await Promise.all(counting), [0, 0])
  const looked = `import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); print(db.execute('PRAGMA integrity_check').fetchone()[0], db.execute('SELECT n FROM counter').fetchone()[0], db.execute('SELECT count(DISTINCT who) FROM entry').fetchone()[0])`
  for (const node of ['n1', 'n2']) {
    const { stdout } = spawnSync('python3', ['-c', looked, place(node)], { encoding: 'utf8' })
    assert.is(stdout.trim(), `ok ${2 * COUNTS} 2`)
  }
})

test('the node of a program that holds a lock dies: the lock goes with it, and whoever waits gets it', async () => {
  const [a, b] = await twoWithOneFile()
  assert.equal(await a.lockf(EX, 0, 10), {})
  assert.equal(await a.flock(EX), {})
  const wait = b.lockf(EX, 0, 10)
  assert.not.ok(await isSettled(wait, 300))
  demo.kill('n1')
  assert.ok(await isSettled(wait, 60_000))
  assert.equal(await wait, {})
  assert.equal(await b.flock(EX | NB), {})
})

test.after(async () => {
  for (const locker of lockers) await locker.kill()
  await demo.dispose()
  rmSync(dir, { recursive: true, force: true })
})

test.run()
