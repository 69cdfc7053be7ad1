/**
 * A tree of real files goes into a matrix by `matrix replicate copy`, which is killed in the middle; the next run goes on. What is there then is compared, from the outside, with what
 * it was made of: through a local mount at another node where that is possible, else through what comes back by a replication out of it. Then some files change, and those alone are copied.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import { Prng } from '../../../src/base/prng.ts'
import type { Outcome } from '../../../src/replicator/index.ts'
import type { Demo } from '../demo.ts'
import { collectTree } from '../tree.ts'

const cli = new URL('../../../src/cli/main.ts', import.meta.url).pathname

export type TrialOptions = {
  readonly demo: Demo
  readonly dir: string
  readonly files: number
  readonly changes: number
}

/** Throws at the first thing that is not as it should be. */
export async function replicatorTrial(
  { demo, dir, files, changes }: TrialOptions,
  say: (line: string) => void,
): Promise<void> {
  const [source, back] = [join(dir, 'source'), join(dir, 'back')]
  for (const each of [source, back]) mkdirSync(each)
  const made = makeTree(source, files)
  say(`${made} files, and links, odd names, holes beside them`)
  const { mount } = demo.node('n2')
  await fetch(new URL('replica/', demo.node('n1').http.url), { method: 'MKCOL' })
  const target = nfsUrl(demo, 'n1', 'replica')
  const journal = join(dir, 'in.sqlite')

  const killed = await killedInTheMiddle(demo, [source, target, '--journal', journal], made)
  say(`killed after ${killed} objects`)
  const resumed = await replicate([source, target, '--journal', journal])
  say(`the next run: ${short(resumed)}`)
  assert.is(resumed.failed, 0, JSON.stringify(resumed.troubles))
  assert.ok(resumed.copied < made, 'what was there already was not copied again')
  const again = await replicate([source, target, '--journal', journal])
  assert.equal([again.copied, again.made, again.adjusted, again.failed], [0, 0, 0, 0])

  const out = [nfsUrl(demo, 'n2', 'replica'), back, '--journal', join(dir, 'out.sqlite'), '--prune', 'made']
  const returned = await replicate(out)
  assert.is(returned.failed, 0, JSON.stringify(returned.troubles))
  for (const copy of [...(mount === undefined ? [] : [join(mount, 'replica')]), back]) compareTrees(source, copy, say)

  const changed = change(source, changes)
  const after = await replicate([source, target, '--journal', journal, '--prune', 'made'])
  say(`after ${changes} changes: ${short(after)}`)
  assert.is(after.failed, 0, JSON.stringify(after.troubles))
  assert.is(after.copied, changed, 'the changed files alone are copied')
  assert.is(after.pruned, 1)
  await replicate(out)
  compareTrees(source, back, say)
}

function nfsUrl(demo: Demo, node: string, path: string): string {
  const { nfs } = demo.node(node)
  return `nfs://${nfs.host}:${nfs.port}${nfs.export}/${path}?mountport=${nfs.mountPort}`
}

function short({ copied, made, unchanged, bytes }: Outcome): string {
  return `${copied} copied, ${made} directories and links made, ${unchanged} unchanged, ${(bytes / 2 ** 20).toFixed(0)} MiB read`
}

function begin(words: readonly string[]): ChildProcess {
  return spawn(process.execPath, [cli, 'replicate', 'copy', ...words, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] })
}

async function replicate(words: readonly string[]): Promise<Outcome> {
  const child = begin(words)
  let [output, said] = ['', '']
  child.stdout?.on('data', (more) => (output += more))
  child.stderr?.on('data', (more) => (said += more))
  const code = await new Promise((resolve) => child.once('close', resolve))
  assert.ok(output !== '', `replicate ${words.join(' ')}: ${code} ${said}`)
  return JSON.parse(output)
}

/** SIGKILL once about half of the files are there; gives how many were. */
async function killedInTheMiddle(demo: Demo, words: readonly string[], files: number): Promise<number> {
  const before = await inodesAt(demo)
  const child = begin(words)
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  let count = 0
  while (count < files / 2 && child.exitCode === null) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    count = (await inodesAt(demo)) - before
  }
  child.kill('SIGKILL')
  assert.is(await ended, null, 'it was killed before it had ended')
  return count
}

/** Inodes of the filesystem, as n1 has it. */
async function inodesAt(demo: Demo): Promise<number> {
  const response = await fetch(new URL('api/sql', demo.node('n1').admin?.url), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ sql: 'select count(*) from inode' }),
  })
  const { rows } = (await response.json()) as { rows: number[][] }
  return rows[0]?.[0] as number
}

function makeTree(root: string, count: number): number {
  const files = collectTree(count)
  for (const { path, source, mode } of files) {
    const to = join(root, path)
    mkdirSync(dirname(to), { recursive: true })
    copyFileSync(source, to)
    chmodSync(to, mode)
  }
  const prng = new Prng(1)
  for (const { path } of files.slice(0, 100)) utimesSync(join(root, path), 1e9, 1_000_000_000 + prng.below(1e8) + 0.25)
  mkdirSync(join(root, 'odd'))
  const odd = (name: string) => join(root, 'odd', name)
  for (const name of [' leading', 'trailing ', 'tab\there', 'line\nbreak', 'ünïcödé', '-rf', 'quote\'"', '*?[]'])
    writeFileSync(odd(name), name)
  writeFileSync(odd('empty'), '')
  writeFileSync(odd('sparse'), 'begin')
  truncateSync(odd('sparse'), 20_000_000)
  symlinkSync('../odd/empty', odd('link'))
  symlinkSync('/nowhere', odd('dangling'))
  linkSync(odd('empty'), odd('second name'))
  chmodSync(odd('empty'), 0o4711)
  mkdirSync(odd('empty directory'), 0o700)
  return files.length + 10
}

/** Gives how many files the next run has to copy. */
function change(root: string, count: number): number {
  const paths = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => !path.startsWith('odd') && lstatSync(join(root, path)).isFile())
    .sort()
  const prng = new Prng(2)
  const chosen = new Set<string>()
  while (chosen.size < count) chosen.add(prng.pick(paths))
  for (const path of chosen) {
    chmodSync(join(root, path), lstatSync(join(root, path)).mode | 0o200)
    appendFileSync(join(root, path), 'changed')
  }
  rmSync(join(root, 'odd', 'tab\there'))
  return count
}

/** Contents by diff, everything else by looking at both. */
function compareTrees(source: string, copy: string, say: (line: string) => void): void {
  const { status, stdout, stderr } = spawnSync('diff', ['-r', '--no-dereference', source, copy], { encoding: 'utf8' })
  assert.is(status, 0, `${stdout.slice(0, 2000)}${stderr.slice(0, 2000)}`)
  const paths = readdirSync(source, { recursive: true, encoding: 'utf8' })
  const inodes = new Map<number, number>()
  for (const path of paths) {
    const [a, b] = [lstatSync(join(source, path)), lstatSync(join(copy, path))]
    assert.is(b.mode, a.mode, `mode of ${path}`)
    assert.equal([b.uid, b.gid], [a.uid, a.gid], `owner of ${path}`)
    assert.ok(Math.abs(a.mtimeMs - b.mtimeMs) <= 0.002, `time of ${path}: ${a.mtimeMs} and ${b.mtimeMs}`)
    if (a.isSymbolicLink()) assert.is(readlinkSync(join(copy, path)), readlinkSync(join(source, path)), path)
    if (!a.isFile() || a.nlink === 1) continue
    assert.is(b.nlink, a.nlink, `names of ${path}`)
    assert.is(inodes.get(a.ino) ?? b.ino, b.ino, `${path} is another file than its other name`)
    inodes.set(a.ino, b.ino)
  }
  say(`${paths.length} objects are the same in ${copy}: content, mode, owner, time, links`)
}
