/** The programs as people and scripts call them: help, exit codes, one clear line for what went wrong. */
import { spawn } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  cpSync,
  mkdtempSync,
  openSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { exitCodes } from '../../../config/index.ts'
import { MiB } from '../../../src/base/units.ts'

const test = suite<{ dir: string }>('programs')
const root = new URL('../../..', import.meta.url).pathname

type Ended = { readonly code: number | null; readonly stdout: string; readonly stderr: string }

function run(program: 'cli' | 'node', ...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(root, 'src', program, 'main.ts'), ...args])
    const out = { stdout: '', stderr: '' }
    child.stdout.on('data', (chunk) => (out.stdout += chunk))
    child.stderr.on('data', (chunk) => (out.stderr += chunk))
    child.on('close', (code) => resolve({ code, ...out }))
  })
}

/** An empty sparse file. */
function lunFile(dir: string, name: string, bytes = 128 * MiB): string {
  const path = join(dir, `${name}.img`)
  writeFileSync(path, '')
  truncateSync(path, bytes)
  return path
}

function overwrite(path: string, offset: number, bytes: Buffer): void {
  const fd = openSync(path, 'r+')
  writeSync(fd, bytes, 0, bytes.length, offset)
  closeSync(fd)
}

test.before.each((context) => {
  context.dir = mkdtempSync(join(tmpdir(), 'matrixfs-programs-'))
})
test.after.each(({ dir }) => rmSync(dir, { recursive: true, force: true }))

test('help names every command and the exit codes', async () => {
  const { code, stdout } = await run('cli', '--help')
  assert.is(code, exitCodes.ok)
  for (const command of ['demo', 'status', 'lun', 'fs']) assert.match(stdout, new RegExp(`^  ${command}`, 'm'))
  assert.match(stdout, /64 wrong command or option/)
})

test('wrong commands and options end with the usage code, and say where help is', async () => {
  for (const [args, says] of [
    [['lun', 'frmat'], /Did you mean format\?[\s\S]*Help: matrix lun --help/],
    [['fs', 'create'], /missing required argument 'name'[\s\S]*Help: matrix fs create --help/],
    [['demo', '--nodes', '9'], /whole number 1…8/],
    [['demo', '--lun-size', '8 pages'], /a size of at least 128 MiB/],
    [['demo', '--base-port', '65000'], /Allowed is a whole number 1024…/],
    [['status'], /one of --lun, --config and --dir/],
    [['lun', 'format', 'file:/x'], /either --matrix NAME, to begin a new matrix, or --into URL/],
  ] as const) {
    const { code, stderr } = await run('cli', ...args)
    assert.is(code, exitCodes.usage, args.join(' '))
    assert.match(stderr, says)
  }
  assert.is((await run('node')).code, exitCodes.usage)
})

test('matrixd --check says what a file means, or every problem of it', async ({ dir }) => {
  const file = join(dir, 'matrixd.toml')
  cpSync(join(root, 'config/matrixd.sample.toml'), file)
  writeFileSync(join(dir, 'secret'), 'x'.repeat(32))
  chmodSync(join(dir, 'secret'), 0o600)
  const right = await run('node', '--config', file, '--check')
  assert.is(right.code, exitCodes.ok, right.stderr)
  assert.match(right.stdout, /node n1 \(slot 0\) of matrix demo, mesh at 127\.0\.0\.1:20101/)
  chmodSync(join(dir, 'secret'), 0o644)
  const wrong = await run('node', '--config', file)
  assert.is(wrong.code, exitCodes.config)
  assert.match(wrong.stderr, /1 problem\n {2}matrix\.secret_file: .* has mode 644/)
})

test('lun show tells what is wrong with a LUN beside what is right; one damaged label copy is survived', async ({
  dir,
}) => {
  const lun = lunFile(dir, 'lun1')
  const bare = await run('cli', 'lun', 'show', lun)
  assert.is(bare.code, exitCodes.failed)
  assert.match(bare.stdout, /bears no matrixfs label.*matrix lun format/)
  assert.is((await run('cli', 'lun', 'format', `file:${lun}`, '--matrix', 'm')).code, exitCodes.ok)
  overwrite(lun, 4096 + 30, Buffer.from('damage'))
  const shown = await run('cli', 'lun', 'show', lun)
  assert.is(shown.code, exitCodes.ok, shown.stderr)
  assert.match(shown.stdout, /LUN lun1 .* of matrix m/)
  assert.match(shown.stdout, /label copy A is damaged/)
  truncateSync(lun, 100 * MiB)
  const cut = await run('cli', 'lun', 'show', lun)
  assert.is(cut.code, exitCodes.failed)
})

test('fs check: sound, unknown, and a filesystem whose checkpoints are damaged', async ({ dir }) => {
  const lun = lunFile(dir, 'lun1')
  await run('cli', 'lun', 'format', `file:${lun}`, '--matrix', 'm')
  await run('cli', 'fs', 'create', 'home', '--lun', lun, '--slots', '2', '--journal', '1MiB', '--checkpoint', '1MiB')
  const sound = await run('cli', 'fs', 'check', 'home', '--lun', lun)
  assert.is(sound.code, exitCodes.ok, sound.stderr)
  assert.match(sound.stdout, /filesystem home is sound: 1 inodes/)
  const unknown = await run('cli', 'fs', 'check', 'hme', '--lun', lun)
  assert.is(unknown.code, exitCodes.failed)
  assert.match(unknown.stderr, /no filesystem hme \(it has: home\)/)
  // Checkpoint areas follow two journals of 1 MiB and their manifests, from 4 MiB on.
  overwrite(lun, 6 * MiB, Buffer.alloc(6 * MiB, 0x5a))
  const damaged = await run('cli', 'fs', 'check', 'home', '--lun', lun)
  assert.is(damaged.code, exitCodes.failed)
  assert.match(damaged.stderr, /^matrix: .*checkpoint/)
})

test.run()
