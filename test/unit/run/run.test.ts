import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

const repo = fileURLToPath(new URL('../../..', import.meta.url))
const test = suite<{ root: string }>('test/run.ts')

const GOOD = `
import { test } from 'uvu'
import * as assert from 'uvu/assert'
test('adds', () => { assert.is(1 + 1, 2) })
test('adds more', async () => { assert.is(2 + 2, 4) })
test.run()
`

test.before.each((state) => {
  state.root = mkdtempSync(join(tmpdir(), 'matrixfs-run-'))
  symlinkSync(join(repo, 'node_modules'), join(state.root, 'node_modules'))
  writeFileSync(join(state.root, 'package.json'), '{"type":"module"}')
})

test.after.each((state) => {
  rmSync(state.root, { recursive: true, force: true })
})

function write(root: string, name: string, text: string): void {
  const path = join(root, name)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

function run(root: string, ...args: string[]): { code: number | null; out: string; last: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(repo, 'test/run.ts'), '--root', root, '--time-limit', '20', ...args],
    { encoding: 'utf8', timeout: 60_000 },
  )
  const out = stdout + stderr
  return { code: status, out, last: stdout.trimEnd().split('\n').at(-1)! }
}

/** A killed process may stay as a zombie for a while: that is dead, too. */
function lives(pid: number): boolean {
  const state = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).stdout.trim()
  return state !== '' && !state.startsWith('Z')
}

test('counts what passed, in all folders, and ends with the summary', ({ root }) => {
  write(root, 'test/unit/a.test.ts', GOOD)
  write(root, 'test/e2e/deep/b.test.ts', GOOD)
  write(root, 'test/unit/helper.ts', 'throw new Error("not a test file")')
  const { code, out, last } = run(root)
  assert.is(code, 0, out)
  assert.is(last, '4 passed, 0 failed')
  assert.match(out, /^ok {3}test\/unit\/a\.test\.ts {2}2 passed {2}\d+\.\d s$/m)
  assert.match(out, /^ok {3}test\/e2e\/deep\/b\.test\.ts/m)
})

test('prints the whole output of a file with a failed test', ({ root }) => {
  write(root, 'test/ok.test.ts', `console.log('quiet please')\n${GOOD}`)
  write(
    root,
    'test/bad.test.ts',
    `import { suite } from 'uvu'
import * as assert from 'uvu/assert'
const one = suite('one'), two = suite('two')
console.log('a word before')
one('good', () => {})
one('wrong', () => { assert.is(1, 2) })
one.skip('later', () => {})
two('good too', () => {})
one.run()
two.run()
`,
  )
  const { code, out, last } = run(root)
  assert.is(code, 1)
  assert.is(last, '4 passed, 1 failed')
  assert.match(out, /^FAIL test\/bad\.test\.ts {2}2 passed, 1 failed, 1 skipped/m)
  assert.match(out, 'a word before')
  assert.match(out, 'wrong')
  assert.not.match(out, 'quiet please')
})

test('a file that reports no tests is a failure', ({ root }) => {
  write(root, 'test/norun.test.ts', GOOD.replace('test.run()', ''))
  write(root, 'test/none.test.ts', `import { test } from 'uvu'\ntest.run()\n`)
  const { code, out, last } = run(root)
  assert.is(code, 1)
  assert.is(last, '0 passed, 2 failed')
  assert.match(out, /norun\.test\.ts reported no tests/)
  assert.match(out, /none\.test\.ts has no tests that run/)
})

test('a crash, an exit code and a signal are failures', ({ root }) => {
  write(root, 'test/syntax.test.ts', 'const = 1')
  write(root, 'test/code.test.ts', `${GOOD}process.on('exit', () => { process.exitCode = 3 })\n`)
  write(
    root,
    'test/signal.test.ts',
    GOOD.replace("test('adds more', async () => {", "test('dies', async () => { process.kill(process.pid, 'SIGKILL');"),
  )
  const { code, out, last } = run(root)
  assert.is(code, 1)
  assert.is(last, '2 passed, 3 failed')
  assert.match(out, /syntax\.test\.ts ended with code 1 before/)
  assert.match(out, /code\.test\.ts all its tests passed, but it ended with code 3/)
  assert.match(out, /signal\.test\.ts killed by SIGKILL, in the test "dies"/)
})

test('a before hook that throws is a failure, though uvu ends with code 0', ({ root }) => {
  write(
    root,
    'test/before.test.ts',
    GOOD.replace('test.run()', `test.before(() => { throw new Error('x') })\ntest.run()`),
  )
  const { code, out, last } = run(root)
  assert.is(code, 1)
  assert.is(last, '0 passed, 2 failed')
  assert.match(out, /a `before` hook threw/)
})

test('a test that never settles is named', ({ root }) => {
  write(root, 'test/never.test.ts', GOOD.replace('async () => {', 'async () => { await new Promise(() => {});'))
  const { code, out, last } = run(root)
  assert.is(code, 1)
  assert.is(last, '0 passed, 1 failed')
  assert.match(out, /never\.test\.ts ended with code 1 before its tests had ended, in the test "adds more"/)
})

test('hanging files are killed with all their processes, and what hung is named', ({ root }) => {
  write(
    root,
    'test/hang.test.ts',
    `// time limit: 2 s
import { spawn } from 'node:child_process'
import { test } from 'uvu'
test('fine', () => {})
test('spins', () => {
  const child = spawn('sleep', ['600'], { stdio: 'inherit' })
  console.log('sleeper', child.pid)
  for (;;);
})
test.run()
`,
  )
  write(root, 'test/open.test.ts', `// time limit: 2 s\nsetInterval(() => {}, 1000)\n${GOOD}`)
  const { code, out, last } = run(root)
  assert.is(code, 1)
  assert.is(last, '2 passed, 2 failed')
  assert.match(out, /hang\.test\.ts still running after 2 s, in the test "spins"/)
  assert.match(out, /open\.test\.ts still running after 2 s; its tests had ended, so something is still open/)
  const tail = out.slice(out.indexOf('\nfailed:\n'))
  const sleeper = Number(/sleeper (\d+)/.exec(tail)![1])
  assert.not(lives(sleeper), 'the sleeper lives on')
})

test('filters choose files, and nothing to run is a failure', ({ root }) => {
  write(root, 'test/unit/a.test.ts', GOOD)
  write(root, 'test/unit/b.test.ts', 'throw new Error("not wanted")')
  assert.is(run(root, 'unit/a').last, '2 passed, 0 failed')
  assert.is(run(root, './test/unit/a.test.ts').code, 0)
  const none = run(root, 'nosuch')
  assert.is(none.code, 1)
  assert.is(none.last, '0 passed, 0 failed')
  assert.match(none.out, 'no test file matches nosuch')
})

test('a tree without tests is a failure', ({ root }) => {
  const { code, last } = run(root)
  assert.is(code, 1)
  assert.is(last, '0 passed, 0 failed')
})

test('--list names files and limits, --help explains, a wrong option is refused', ({ root }) => {
  write(root, 'test/unit/a.test.ts', GOOD)
  write(root, 'test/unit/slow.test.ts', `// time limit: 300 s\n${GOOD}`)
  assert.is(run(root, '--list').out, 'test/unit/slow.test.ts  300 s\ntest/unit/a.test.ts  20 s\n')
  assert.match(run(root, '--help').out, /usage: npm test/)
  assert.is(run(root, '--nosuch').code, 2)
})

test.run()
