/** Scripts that are run by hand: --help, and options that there are not. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const folder = new URL('../../e2e', import.meta.url).pathname

function run(script: string, ...args: string[]): { readonly status: number | null; readonly text: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(folder, script), ...args], { encoding: 'utf8' })
  return { status, text: (stdout + stderr).trim() }
}

for (const script of ['fence-trials.ts', 'paths.ts', 'san.ts'])
  test(`${script}: what is no option of it ends it with a clear message and exit code 2, before anything is started`, () => {
    assert.equal(run(script, '--wrong'), { status: 2, text: "Unknown option '--wrong'; --help tells the options" })
    assert.equal(run(script, 'word'), { status: 2, text: "Unexpected argument 'word'; --help tells the options" })
    assert.match(run(script, '--help').text, /--help|--target/)
    assert.is(run(script, '--help').status, 0)
  })

test('values that cannot be are named with what can', () => {
  assert.equal(run('paths.ts', '--target', 'lio'), { status: 2, text: '--target lio: of tgt, own' })
  assert.equal(run('fence-trials.ts', '--seed'), {
    status: 2,
    text: "Option '--seed <value>' argument missing; --help tells the options",
  })
  assert.equal(run('san.ts', '--san', 'own,lio'), { status: 2, text: '--san lio: of tgt, own, files' })
  assert.match(run('san.ts', '--only', 'tree,forest').text, /^--only forest: of demo, http-programs/)
})

test.run()
