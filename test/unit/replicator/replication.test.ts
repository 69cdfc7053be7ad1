/** The replicator between two directories of this machine: what is kept, what is left alone, and what a run that ends early leaves behind. */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Prng } from '../../../src/base/prng.ts'
import { HostFileSystem } from '../../../src/program-api/index.ts'
import {
  type Outcome,
  ReplicaJournal,
  type ReplicateOptions,
  Replication,
  replicate,
  type Tree,
} from '../../../src/replicator/index.ts'

const dir = mkdtempSync(join(tmpdir(), 'matrixfs-replicator-'))
test.after(() => rmSync(dir, { recursive: true, force: true }))
let next = 0

type Pair = { readonly from: string; readonly to: string; readonly journal: string }

function pair(): Pair {
  const own = join(dir, `${next++}`)
  const [from, to] = [join(own, 'from'), join(own, 'to')]
  for (const each of [from, to]) mkdirSync(each, { recursive: true })
  return { from, to, journal: join(own, 'journal.sqlite') }
}

const run = (trees: Pair, options: Partial<ReplicateOptions> = {}): Promise<Outcome> =>
  replicate({ ...trees, ...{ prune: 'never', exclude: [], owners: true, verify: true }, ...options })

/** Everything below a directory, by path, as far as a copy keeps it. */
function tree(root: string, below = ''): Record<string, string> {
  const out: Record<string, string> = {}
  for (const name of readdirSync(join(root, below)).sort()) {
    const path = join(below, name)
    const { mode, uid, gid, mtimeMs, nlink, ino } = lstatSync(join(root, path))
    const type = mode & 0o170000
    const content =
      type === 0o100000
        ? readFileSync(join(root, path)).toString('base64')
        : type === 0o120000
          ? readlinkSync(join(root, path))
          : ''
    const links = type === 0o100000 && nlink > 1 ? namesOf(root, ino).join(' ') : ''
    out[path] = [(type === 0o120000 ? type : mode).toString(8), uid, gid, mtimeMs.toFixed(3), links, content].join(' ')
    if (type === 0o040000) Object.assign(out, tree(root, path))
  }
  return out
}

function namesOf(root: string, ino: number): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => lstatSync(join(root, path)).ino === ino)
    .sort()
}

/** Something of everything. */
function fill(root: string, files = 30): void {
  const prng = new Prng(7)
  for (const name of ['a', 'a/b', 'a/b/c', 'empty', 'ü und Leerzeichen']) mkdirSync(join(root, name))
  for (let i = 0; i < files; i++) {
    const path = join(root, prng.pick(['', 'a', 'a/b', 'a/b/c', 'ü und Leerzeichen']), `f${i}`)
    writeFileSync(path, prng.bytes(prng.pick([0, 1, 4096, 70_000, 1_300_000])))
    chmodSync(path, prng.pick([0o644, 0o600, 0o4755, 0o444]))
    utimesSync(path, 1_600_000_000 + i, 1_500_000_000 + i + 0.123456)
  }
  symlinkSync('a/b', join(root, 'link'))
  symlinkSync('/nowhere/at all', join(root, 'a', 'dangling'))
  writeFileSync(join(root, 'one'), 'one file, three names')
  linkSync(join(root, 'one'), join(root, 'a', 'two'))
  linkSync(join(root, 'one'), join(root, 'a', 'b', 'three'))
  writeFileSync(join(root, 'sparse'), 'begin')
  truncateSync(join(root, 'sparse'), 5_000_000)
  chmodSync(join(root, 'a', 'b'), 0o2750)
  utimesSync(join(root, 'a'), 1_400_000_000, 1_400_000_000)
}

test('modes, times, links and holes are kept, and a second run copies nothing', async () => {
  const trees = pair()
  fill(trees.from)
  const first = await run(trees)
  assert.is(first.failed, 0, JSON.stringify(first.troubles))
  assert.equal(tree(trees.to), tree(trees.from))
  assert.ok(statSync(join(trees.to, 'sparse')).blocks * 512 < 200_000, 'a hole stays a hole')
  const second = await run(trees)
  assert.equal([second.copied, second.made, second.adjusted, second.bytes], [0, 0, 0, 0])
  assert.is(second.looked, first.looked)
})

test('what has changed is copied, and nothing else', async () => {
  const trees = pair()
  fill(trees.from)
  await run(trees)
  writeFileSync(join(trees.from, 'new'), 'new')
  writeFileSync(join(trees.from, 'a', 'f-changed'), 'was new')
  await run(trees)
  writeFileSync(join(trees.from, 'a', 'f-changed'), 'now other')
  rmSync(join(trees.from, 'link'))
  symlinkSync('elsewhere', join(trees.from, 'link'))
  chmodSync(join(trees.from, 'new'), 0o711)
  const { copied, made, adjusted } = await run(trees)
  assert.equal([copied, made, adjusted], [1, 1, 1])
  assert.equal(tree(trees.to), tree(trees.from))
})

test('a file whose size and time stay is copied when its content has changed', async () => {
  const trees = pair()
  writeFileSync(join(trees.from, 'f'), 'content A')
  utimesSync(join(trees.from, 'f'), 1_500_000_000, 1_500_000_000)
  await run(trees)
  writeFileSync(join(trees.from, 'f'), 'content B')
  utimesSync(join(trees.from, 'f'), 1_500_000_000, 1_500_000_000)
  assert.is((await run(trees)).copied, 1)
  assert.is(readFileSync(join(trees.to, 'f'), 'utf8'), 'content B')
  // and one that was changed at the target is made right again
  writeFileSync(join(trees.to, 'f'), 'content C')
  assert.is((await run(trees)).copied, 1)
  assert.is(readFileSync(join(trees.to, 'f'), 'utf8'), 'content B')
})

test('without its journal a run compares contents, and copies none that is the same', async () => {
  const trees = pair()
  fill(trees.from)
  await run(trees)
  for (const name of readdirSync(join(trees.journal, '..')))
    if (name.startsWith('journal')) rmSync(join(trees.journal, '..', name))
  writeFileSync(join(trees.to, 'a', 'two'), 'one file, three namez') // same length; and another time
  const { copied, bytes } = await run(trees)
  assert.ok(bytes > 0)
  assert.is(copied, 1)
  assert.equal(tree(trees.to), tree(trees.from))
})

for (const prune of ['never', 'made', 'all'] as const)
  test(`prune ${prune}: what is gone from the source`, async () => {
    const trees = pair()
    fill(trees.from)
    mkdirSync(join(trees.to, 'strange'))
    writeFileSync(join(trees.to, 'strange', 'file'), 'not ours')
    await run(trees, { prune })
    mkdirSync(join(trees.to, 'a'), { recursive: true })
    writeFileSync(join(trees.to, 'a', 'not ours'), 'not ours')
    rmSync(join(trees.from, 'a'), { recursive: true })
    rmSync(join(trees.from, 'sparse'))
    await run(trees, { prune })
    const there = Object.keys(tree(trees.to))
    const source = Object.keys(tree(trees.from))
    for (const path of source) assert.ok(there.includes(path), path)
    const more = there.filter((path) => !source.includes(path))
    if (prune === 'all') assert.equal(more, [])
    else if (prune === 'made') assert.equal(more, ['a', 'a/not ours', 'strange', 'strange/file'])
    else assert.ok(more.includes('sparse') && more.includes('a/b/three') && more.includes('strange/file'))
  })

test('a source that is empty, such as a disk that is not mounted, empties nothing', async () => {
  const trees = pair()
  fill(trees.from)
  await run(trees, { prune: 'all' })
  const before = tree(trees.to)
  renameSync(trees.from, `${trees.from}-away`)
  mkdirSync(trees.from)
  const { failed, troubles, pruned } = await run(trees, { prune: 'all' })
  assert.equal([failed, pruned], [1, 0])
  assert.match(String(troubles[0]?.why), 'the source is empty')
  const { '': _, ...now } = tree(trees.to)
  assert.equal(Object.keys(now), Object.keys(before))
  rmSync(trees.from, { recursive: true })
  await fails(run(trees), /the source cannot be read/)
})

test('what is excluded is neither copied nor removed', async () => {
  const trees = pair()
  fill(trees.from)
  writeFileSync(join(trees.from, 'a', 'x.tmp'), 'left out')
  mkdirSync(join(trees.from, 'cache', 'deep'), { recursive: true })
  writeFileSync(join(trees.from, 'cache', 'deep', 'f'), 'left out')
  writeFileSync(join(trees.to, 'kept.tmp'), 'of the target')
  const { skipped } = await run(trees, { prune: 'all', exclude: ['*.tmp', 'cache/**'] })
  assert.ok(skipped >= 2)
  assert.not(existsSync(join(trees.to, 'a', 'x.tmp')))
  assert.not(existsSync(join(trees.to, 'cache', 'deep')))
  assert.is(readFileSync(join(trees.to, 'kept.tmp'), 'utf8'), 'of the target')
})

test('a file where a directory comes, and the other way round', async () => {
  const trees = pair()
  mkdirSync(join(trees.from, 'd'))
  writeFileSync(join(trees.from, 'd', 'in'), 'in')
  writeFileSync(join(trees.from, 'f'), 'f')
  writeFileSync(join(trees.to, 'd'), 'a stranger')
  mkdirSync(join(trees.to, 'f'))
  const refused = await run(trees, { prune: 'made' })
  assert.is(refused.failed, 2)
  assert.is(readFileSync(join(trees.to, 'd'), 'utf8'), 'a stranger')
  const done = await run(trees, { prune: 'all' })
  assert.is(done.failed, 0, JSON.stringify(done.troubles))
  assert.equal(tree(trees.to), tree(trees.from))
  // what the replicator has made itself it may replace
  rmSync(join(trees.from, 'd'), { recursive: true })
  writeFileSync(join(trees.from, 'd'), 'now a file')
  rmSync(join(trees.from, 'f'))
  mkdirSync(join(trees.from, 'f'))
  const turned = await run(trees, { prune: 'made' })
  assert.is(turned.failed, 0, JSON.stringify(turned.troubles))
  assert.equal(tree(trees.to), tree(trees.from))
})

test('a run that is stopped at any moment leaves whole files only, and the next one goes on', async () => {
  const trees = pair()
  fill(trees.from, 60)
  const wanted = tree(trees.from)
  const contentOf = (entry: string | undefined) => entry?.split(' ').at(-1)
  let [copied, stops] = [0, 0]
  for (let at = 5; ; at += 17) {
    const stop = new AbortController()
    let seen = 0
    const onProgress = () => {
      if (++seen === at) stop.abort(new Error('stopped'))
    }
    const outcome = await run(trees, { signal: stop.signal, onProgress }).catch((error: Error) => {
      if (error.message !== 'stopped') throw error
      return undefined
    })
    const now = tree(trees.to)
    for (const [path, entry] of Object.entries(now)) {
      assert.not.match(path, '.~replica-')
      if (entry.startsWith('10')) assert.is(contentOf(entry), contentOf(wanted[path]), path)
    }
    if (outcome) {
      copied = outcome.copied
      break
    }
    stops++
  }
  assert.ok(stops > 3, `${stops} stops`)
  assert.ok(copied < 60, 'what was there already was not copied again')
  assert.equal(tree(trees.to), wanted)
})

test('what a killed run has left under a temporary name is removed', async () => {
  const trees = pair()
  fill(trees.from)
  writeFileSync(join(trees.to, '.~replica-0123456789abcdef01234567'), 'half')
  await run(trees)
  assert.equal(tree(trees.to), tree(trees.from))
})

/** A target that spoils the nth write. */
function spoiling(root: string, nth: number): Tree {
  const target = new HostFileSystem(root)
  let writes = 0
  return new Proxy(target, {
    get(_, key) {
      const value = Reflect.get(target, key) as unknown
      if (typeof value !== 'function') return value
      if (key !== 'write') return value.bind(target)
      return (path: string, buffer: Uint8Array, offset: number) =>
        target.write(path, ++writes === nth ? Buffer.alloc(buffer.length, 'spoilt') : buffer, offset)
    },
  })
}

test('what was not written as it was read does not get its name', async () => {
  const trees = pair()
  writeFileSync(join(trees.from, 'a'), 'aaaa')
  writeFileSync(join(trees.from, 'b'), 'bbbb')
  const journal = ReplicaJournal.open(trees.journal, trees.from, trees.to)
  const source = new HostFileSystem(trees.from)
  const target = spoiling(trees.to, 1)
  const options = { source, target, journal, prune: 'never', exclude: [], owners: false, verify: true } as const
  const outcome = await new Replication(options).run()
  assert.equal([outcome.failed, outcome.copied], [1, 1])
  assert.match(String(outcome.troubles[0]?.why), 'not what is read again')
  journal.close()
  assert.equal(readdirSync(trees.to).length, 1, 'the other file alone is there')
  assert.is((await run(trees)).failed, 0)
  assert.is(readFileSync(join(trees.to, 'a'), 'utf8'), 'aaaa')
})

test('two files with one number, of two filesystems within the tree, are two files', async () => {
  const trees = pair()
  const script = `set -e; for d in a b; do mkdir ${trees.from}/$d; mount -t tmpfs none ${trees.from}/$d; printf "of $d" > ${trees.from}/$d/f; ln ${trees.from}/$d/f ${trees.from}/$d/g; done
    test "$(stat -c %i ${trees.from}/a/f)" = "$(stat -c %i ${trees.from}/b/f)"
    ${process.execPath} ${new URL('../../../src/cli/main.ts', import.meta.url).pathname} replicate copy ${trees.from} ${trees.to} --journal ${trees.journal}`
  if (process.getuid?.() !== 0) return
  const { status, stdout, stderr } = spawnSync('unshare', ['--mount', 'sh', '-c', script], { encoding: 'utf8' })
  assert.is(status, 0, stdout + stderr)
  for (const d of ['a', 'b']) {
    for (const name of ['f', 'g']) assert.is(readFileSync(join(trees.to, d, name), 'utf8'), `of ${d}`)
    assert.is(lstatSync(join(trees.to, d, 'f')).ino, lstatSync(join(trees.to, d, 'g')).ino)
  }
})

test('a file that cannot be read does not keep the others', async () => {
  const trees = pair()
  for (const name of ['a', 'b', 'c']) writeFileSync(join(trees.from, name), name)
  const source = new HostFileSystem(trees.from)
  const broken = new Proxy(source, {
    get(_, key) {
      const value = Reflect.get(source, key) as unknown
      if (typeof value !== 'function') return value
      if (key !== 'read') return value.bind(source)
      return async (path: string, ...rest: [Uint8Array, number, number]) => {
        if (path === '/b') throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' })
        return source.read(path, ...rest)
      }
    },
  })
  const journal = ReplicaJournal.open(trees.journal, trees.from, trees.to)
  const options = {
    source: broken,
    target: new HostFileSystem(trees.to),
    journal,
    prune: 'never',
    exclude: [],
  } as const
  const { failed, copied } = await new Replication({ ...options, owners: false, verify: true }).run()
  journal.close()
  assert.equal([failed, copied], [1, 2])
  assert.equal(readdirSync(trees.to).sort(), ['a', 'c'])
})

test('a name that is not UTF-8 is told of, and the rest is copied', async () => {
  const trees = pair()
  writeFileSync(join(trees.from, 'good'), 'good')
  spawnSync('sh', ['-c', `printf bad > "$(printf 'bad\\377name')"`], { cwd: trees.from })
  const { failed, troubles } = await run(trees)
  assert.is(failed, 1)
  assert.match(String(troubles[0]?.why), 'not UTF-8')
  assert.is(readFileSync(join(trees.to, 'good'), 'utf8'), 'good')
})

test('one run at a time, and a journal is of its own trees', async () => {
  const trees = pair()
  fill(trees.from)
  const held = ReplicaJournal.open(trees.journal, trees.from, trees.to)
  await fails(run(trees), /another run of this replication is under way/)
  held.close()
  await run(trees)
  await fails(run({ ...trees, to: trees.from }), /is of another replication/)
  writeFileSync(trees.journal, 'no database at all, but long enough to be looked at as one'.repeat(50))
  for (const suffix of ['-wal', '-shm']) rmSync(trees.journal + suffix, { force: true })
  await fails(run(trees), /is damaged: remove it/)
})

test('a wrong address says what is allowed', async () => {
  const { from, journal } = pair()
  await fails(run({ from, to: 'relative/path', journal }), /address: found "relative\/path"; allowed is/)
})

async function fails(work: Promise<unknown>, why: RegExp): Promise<void> {
  const error = await work.then(
    () => undefined,
    (reason: Error) => reason,
  )
  assert.match(String(error?.message), why)
}

test.run()
