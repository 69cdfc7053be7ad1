// time limit: 240 s
/** The POSIX suite: it finds what is wrong, agrees with this machine's own filesystem, and finds nothing wrong with the local mount. */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Demo } from '../../e2e/demo.ts'
import { freeBasePort } from '../../e2e/free-ports.ts'
import { groups } from './cases/index.ts'
import { allowed } from './differences.ts'
import { type Group, group } from './rules.ts'
import { type CaseResult, type GroupResult, runCases } from './runner.ts'

const main = new URL('main.ts', import.meta.url).pathname
/** Fewer assertions than this means that cases have gone missing. */
const MIN_ASSERTIONS = 3500
/** From a case's code; those below 20 and from 101 on are the rules of paths, which a kernel resolves by itself. */
const ownRules: readonly Group[] = groups.map(({ name, cases }) => ({
  name,
  cases: cases.filter(
    ({ code }) => Number(code.slice(name.length + 1)) >= 20 && Number(code.slice(name.length + 1)) < 100,
  ),
}))

let dir = ''
let demo: Demo | undefined

function casesOf(results: readonly GroupResult[]): CaseResult[] {
  return results.flatMap(({ cases }) => cases)
}

function failuresOf(results: readonly GroupResult[]): string[] {
  return casesOf(results).flatMap(({ code, failures }) =>
    failures.map(({ what, expected, found }) => `${code}: ${what}: expected ${expected}, found ${found}`),
  )
}

function assertionsOf(results: readonly GroupResult[]): number {
  return casesOf(results).reduce((sum, { asserted }) => sum + asserted, 0)
}

test.before(() => {
  if (process.getuid?.() !== 0) throw new Error('the POSIX suite acts as several users: run its test as root')
  dir = mkdtempSync(join(tmpdir(), 'matrixfs-posix-'))
})

test.after(async () => {
  await demo?.dispose()
  rmSync(dir, { recursive: true, force: true })
})

test('a wrong answer, a call that fails and one that hangs are failures that say so; the cases after them run', async () => {
  const wrong = group('wrong', (rule) => {
    rule(1, 'expects what is not so', async (t) => {
      await t.create('f', 0o600)
      await t.has('f', { mode: 0o644 })
      await t.fails('EEXIST', t.unlink('f'))
      await t.works(t.unlink('f'))
      await t.touches({ '.': '' }, () => t.create('g'))
      await t.holds('g', 'content')
    })
    rule(2, 'cannot be prepared', async (t) => {
      await t.unlink('missing')
      await t.gone('f')
    })
    rule(3, 'waits for ever', async (t) => {
      await t.mknod('p', 'fifo')
      await t.works(t.open('p', 'WRONLY'))
    })
    rule(4, 'is right', async (t) => {
      await t.fails('ENOENT', t.stat('f'))
    })
  })
  const results = await runCases({ dirs: [dir], groups: [wrong], limit: 3000 })
  assert.equal(failuresOf(results), [
    'wrong-1: mode of f: expected "0644", found "0600"',
    'wrong-1: unlink("f"): expected "EEXIST", found "ok"',
    'wrong-1: unlink("f"): expected "ok", found "ENOENT"',
    'wrong-1: times of . that moved: expected "", found "mc"',
    'wrong-1: content of g: expected "content", found ""',
    'wrong-2: the case runs to its end: expected no failure, found unlink("missing"): ENOENT',
    'wrong-3: the case runs to its end: expected no failure, found open("p", "WRONLY", 420) did not return within 3 s',
  ])
  assert.is(casesOf(results).length, 4)
})

test('what a case leaves open ends with it', async () => {
  const untidy = group('untidy', (rule) => {
    rule(1, 'leaves a descriptor, a program and a tree behind', async (t) => {
      await t.mkdir('d', 0)
      await t.mkdir('d/e', 0)
      await t.create('d/e/f', 0)
      await t.works(t.open('d/e/f', 'RDWR'))
    })
  })
  assert.equal(failuresOf(await runCases({ dirs: [dir], groups: [untidy] })), [])
})

test('a difference is allowed in its case, on its filesystem, with its answer', () => {
  assert.ok(allowed('read-22', ['fuse.matrixfs', 'rw'], '""'))
  assert.ok(allowed('read-22', ['ext4', 'rw', 'noatime'], '""'))
  assert.not(allowed('read-22', ['ext4', 'rw', 'relatime'], '""'))
  assert.not(allowed('read-22', ['fuse.matrixfs', 'rw'], '"mc"'))
  assert.not(allowed('read-24', ['fuse.matrixfs', 'rw'], '""'))
})

test('the command: last line and exit code, --list, --only, and what it says to a wrong call', () => {
  const run = (...args: string[]) => spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' })
  const one = run('--only', 'rename-21,unlink', dir)
  assert.is(one.status, 0, one.stdout + one.stderr)
  assert.match(one.stdout, /^ {2}unlink +\d+ ok$/m)
  assert.match(one.stdout.trimEnd().split('\n').at(-1)!, /^\d+ assertions, 0 failed$/)
  const list = run('--list').stdout.trimEnd().split('\n')
  assert.is(new Set(list.map((line) => line.split(' ')[0])).size, list.length)
  assert.is(list.length, groups.flatMap(({ cases }) => cases).length)
  const json = JSON.parse(run('--only', 'rename-21', '--json', dir).stdout)
  assert.equal([json.failed, json.runs[0].groups[0].cases[0].code], [0, 'rename-21'])
  for (const [args, message] of [
    [[], /which directory/],
    [[join(dir, 'missing')], /ENOENT/],
    [['--only', 'nothing', dir], /no group or case "nothing"/],
    [['--across', dir], /two directories/],
    [['--time-limit', 'x', dir], /seconds/],
  ] as const) {
    const result = run(...args)
    assert.is(result.status, 2)
    assert.match(result.stderr, message)
  }
})

test("this machine's own filesystem agrees with every case", async () => {
  const results = await runCases({ dirs: [dir], groups })
  assert.equal(failuresOf(results), [])
  assert.ok(assertionsOf(results) >= MIN_ASSERTIONS, `${assertionsOf(results)} assertions`)
  assert.equal(readdirSync(dir), [], 'nothing is left behind')
})

test('the local mount of a matrix agrees with every case at one node', async () => {
  accessSync('/dev/fuse', constants.R_OK | constants.W_OK)
  demo = new Demo({ nodes: 2, lunSize: '1GiB', basePort: await freeBasePort(2), mount: true })
  await demo.start()
  const results = await runCases({ dirs: [demo.node('n1').mount!], groups })
  assert.equal(failuresOf(results), [])
  assert.ok(assertionsOf(results) >= MIN_ASSERTIONS, `${assertionsOf(results)} assertions`)
})

test('what is done at one node is looked at through the other, by the same rules', async () => {
  const dirs = demo!.matrix.nodes.map(({ mount }) => mount!)
  assert.is(dirs.length, 2)
  assert.equal(failuresOf(await runCases({ dirs, groups: ownRules })), [])
  assert.equal(readdirSync(dirs[0]!), [], 'nothing is left behind')
})

test('afterwards the filesystem is whole', async () => {
  demo!.check() // while it serves: its own target ends with it
  await demo!.stop()
})

test.run()
