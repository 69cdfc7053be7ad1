/** `matrix completion`, asked as the shells ask it: bash always, zsh and fish where they are installed. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { completionScript } from '../../../src/cli/completion.ts'
import { program } from '../../../src/cli/main.ts'

const test = suite<{ dir: string }>('completion')

/** What is typed, the last word up to the cursor; and candidates that have to be, and that must not be, among those offered. */
const CASES: readonly (readonly [words: string, has: readonly string[], hasNot: readonly string[]])[] = [
  ['matrix ', ['status', 'lun', 'completion'], ['add']],
  ['matrix l', ['lun', 'locks', 'log'], ['status']],
  ['matrix lun ', ['add', 'format', 'show'], ['status']],
  ['matrix lun format --p', ['--partitions'], ['--matrix']],
  ['matrix lun format --partitions ', ['1', '3'], ['add']],
  ['matrix fs create home --spread s', ['stripe'], ['free']],
  ['matrix completion ', ['bash', 'zsh', 'fish'], []],
  ['matrix report w', ['waits'], ['luns']],
  // a value of an option is no command
  ['matrix demo --dir cut ', ['start-node', 'heal'], []],
  ['matrix status --config ./n', ['./n1.toml'], ['--node']],
]

test.before((context) => {
  context.dir = mkdtempSync(join(tmpdir(), 'matrixfs-completion-'))
  writeFileSync(join(context.dir, 'n1.toml'), '')
})
test.after(({ dir }) => rmSync(dir, { recursive: true }))

function run(shell: string, script: string, cwd: string): string {
  const args =
    shell === 'zsh' ? ['-f', '-c', script] : shell === 'fish' ? ['--no-config', '-c', script] : ['--norc', '-c', script]
  const { status, stdout, stderr, error } = spawnSync(shell, args, { cwd, encoding: 'utf8', timeout: 20_000 })
  assert.is(error, undefined)
  assert.is(status, 0, stderr)
  assert.is(stderr, '')
  return stdout
}

function isInstalled(shell: string): boolean {
  if (spawnSync(shell, ['-c', 'true']).status === 0) return true
  process.stdout.write(`not tried: ${shell} is not installed (apt-get install ${shell})\n`)
  return false
}

function check(offered: (words: string) => readonly string[]): void {
  for (const [words, has, hasNot] of CASES) {
    const found = offered(words)
    for (const each of has)
      assert.ok(found.includes(each), `"${words}" offers ${found.join(' ') || 'nothing'}, not ${each}`)
    for (const each of hasNot) assert.not.ok(found.includes(each), `"${words}" offers ${each}`)
  }
}

test('bash', ({ dir }) => {
  const script = completionScript('bash', program)
  check((words) => {
    const typed = words.split(' ')
    // compopt works within a completion alone
    const ask = `${script}
compopt() { :; }
COMP_WORDS=(${typed.map((word) => `'${word}'`).join(' ')}) COMP_CWORD=${typed.length - 1}
_matrix
printf '%s\\n' "\${COMPREPLY[@]}"`
    return run('bash', ask, dir).trim().split('\n')
  })
})

test('zsh', ({ dir }) => {
  if (!isInstalled('zsh')) return
  const script = completionScript('zsh', program).replace(/^if \[\[ \$funcstack.*$/m, '')
  check((words) => {
    const typed = words.split(' ')
    const last = typed.at(-1) as string
    // what zsh itself would do with what is offered: keep what the word begins
    const ask = `${script}
compadd() { shift; print -l -- "$@"; }
_files() { print -l -- ${last}*(N); }
_describe() { print -l -- "\${(@P)2%%:*}"; }
words=(${typed.map((word) => `'${word}'`).join(' ')}) CURRENT=${typed.length} PREFIX='${last}'
_matrix`
    const offered = run('zsh', ask, dir).trim().split('\n')
    return offered.filter((each) => each.startsWith(last))
  })
})

test('fish', ({ dir }) => {
  if (!isInstalled('fish')) return
  const script = join(dir, 'matrix.fish')
  writeFileSync(script, completionScript('fish', program))
  check((words) => {
    const found = run('fish', `source ${script}; complete -C '${words}'`, dir)
    return found
      .trim()
      .split('\n')
      .map((line) => line.split('\t')[0] as string)
  })
})

test.run()
