import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { realProcesses } from '../../../src/platform/real/processes.ts'
import { realPrograms } from '../../../src/platform/real/programs.ts'

const test = suite('platform: programs')
const dir = mkdtempSync(join(tmpdir(), 'matrixfs-programs-'))
test.after(() => rmSync(dir, { recursive: true }))

function script(name: string, text: string, mode = 0o755): string {
  const path = join(dir, name)
  writeFileSync(path, `#!/bin/sh\n${text}\n`)
  chmodSync(path, mode)
  return path
}

function run(path: string, more: { args?: string[]; timeoutMs?: number; abort?: AbortSignal } = {}) {
  const { args = [], timeoutMs = 60_000, abort } = more
  return realPrograms.run({ path, args, env: { MATRIXFS_NODE: 'n 2' }, timeoutMs, abort })
}

/** Whether a process is there and is no corpse. */
function runs(pid: number): boolean {
  return realProcesses.state({ ...realProcesses.self(), pid, startTime: startTimeOf(pid) }) === 'running'
}
function startTimeOf(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[19])
  } catch {
    return -1
  }
}

test('arguments and environment arrive as they are, by no shell; the code comes back', async () => {
  const path = script('says', 'printf "%s|" "$@" "$MATRIXFS_NODE"; exit 3')
  const end = await run(path, { args: ['a b', '$(id)', '*'] })
  assert.equal(end, { how: 'exited', code: 3, output: ['a b|$(id)|*|n 2|'] })
})

test('its standard input is empty', async () => {
  const end = await run(script('reads', 'cat; echo over'))
  assert.equal(end, { how: 'exited', code: 0, output: ['over'] })
})

test('what it writes never makes it wait; the last lines are kept', async () => {
  const end = await run(script('prints', 'seq 1 200000; seq 1 200000 >&2; exit 1'))
  assert.is(end.code, 1)
  assert.is(end.output.length, 20)
  assert.ok(end.output.includes('200000'))
})

test('one that hangs is killed after its time, with all that it has started', async () => {
  const path = script('hangs', `sleep 1000 & echo $! > ${dir}/child; echo waiting; wait`)
  const end = await run(path, { timeoutMs: 500 })
  assert.equal(end, { how: 'timeout', output: ['waiting'] })
  const child = Number(readFileSync(join(dir, 'child'), 'utf8'))
  while (runs(child)) await new Promise((resolve) => setTimeout(resolve, 5))
})

test('an abandoned one is killed, also when it was abandoned before', async () => {
  const abort = new AbortController()
  const begun = run(script('stays', `touch ${dir}/begun; exec sleep 1000`), { abort: abort.signal })
  while (!existsSync(join(dir, 'begun'))) await new Promise((resolve) => setTimeout(resolve, 5))
  abort.abort()
  assert.is((await begun).how, 'aborted')
  assert.is((await run(join(dir, 'stays'), { abort: abort.signal })).how, 'aborted')
})

test('one that is killed by somebody else has no code', async () => {
  assert.equal(await run(script('dies', 'kill -9 $$')), { how: 'killed', output: [''] })
})

test('what it leaves in the background does not hold it up', async () => {
  const end = await run(script('leaves', `sleep 1000 & echo $! > ${dir}/left; exit 0`))
  assert.is(end.code, 0)
  process.kill(Number(readFileSync(join(dir, 'left'), 'utf8')), 'SIGKILL')
})

test('what cannot be started is said to be so', async () => {
  for (const [path, why] of [
    [join(dir, 'missing'), /missing cannot be started: ENOENT/],
    [script('closed', 'exit 0', 0o644), /closed cannot be started: EACCES/],
    [dir, /cannot be started: EACCES/],
  ] as const) {
    const error = await run(path).catch((caught) => caught)
    assert.ok(isMatrixError(error, 'not-found'), String(error))
    assert.match(error.message, why)
  }
  const error = await run(join(dir, 'says'), { args: ['a\0b'] }).catch((caught) => caught)
  assert.ok(isMatrixError(error, 'not-found'), String(error))
})

test.run()
