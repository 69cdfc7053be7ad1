/**
 * Every operation on a filesystem that has nothing left: no block, no inode, no journal. Each either does all of what it is asked for,
 * or says ENOSPC and has changed nothing; what makes room always works; and the filesystem is sound afterwards.
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FsError } from '../../../src/base/errors.ts'
import type { Ino } from '../../../src/base/ids.ts'
import { MiB } from '../../../src/base/units.ts'
import { DIR, FIFO, type Inode, type MatrixFs, REG } from '../../../src/metadata/index.ts'
import { type LocalMatrix, type LocalMatrixOptions, makeLocalMatrix } from '../../helpers/local-matrix.ts'
import { SimWorld } from '../../sim/world.ts'
import { codeOf, readAll, shot, superuser } from '../../suites/posix-fs.ts'

const ROOT = 1
const BLOCK = 4096
/** Verbs that answer EAGAIN or wait for room are given so long, virtual ms. */
const PATIENCE_MS = 120_000

type Objects = { readonly file: Ino; readonly other: Ino; readonly dir: Ino; readonly sub: Ino }
type Operation = {
  readonly name: string
  /** Makes room, or needs none: has to work whatever is full. */
  readonly always?: boolean
  run(fs: MatrixFs, o: Objects): unknown
}

const operations: readonly Operation[] = [
  { name: 'create', run: (fs) => fs.create(superuser, ROOT, 'new', { mode: 0o644 }, 'guarded') },
  { name: 'create with a size', run: (fs) => fs.create(superuser, ROOT, 'sized', { size: BLOCK }, 'unchecked') },
  { name: 'mkdir', run: (fs) => fs.mkdir(superuser, ROOT, 'newdir', { mode: 0o755 }) },
  { name: 'symlink', run: (fs) => fs.symlink(superuser, ROOT, 'newlink', 'x'.repeat(4000), {}) },
  { name: 'mknod', run: (fs) => fs.mknod(superuser, ROOT, 'fifo', FIFO, { mode: 0o600 }, 0, 0) },
  { name: 'link', run: (fs, o) => fs.link(superuser, o.file, ROOT, 'second') },
  { name: 'write over', run: (fs, o) => fs.write(superuser, o.file, 0, Buffer.alloc(BLOCK, 'o'), true) },
  { name: 'write at the end', run: (fs, o) => fs.write(superuser, o.file, 'end', Buffer.alloc(3 * BLOCK, 'e'), true) },
  { name: 'write far away', run: (fs, o) => fs.write(superuser, o.file, 900 * MiB, Buffer.from('far'), true) },
  { name: 'write, unstable', run: (fs, o) => fs.write(superuser, o.other, 0, Buffer.alloc(MiB, 'u'), false) },
  { name: 'store', run: (fs) => fs.store(superuser, ROOT, 'stored', Buffer.alloc(3 * BLOCK, 's'), { mode: 0o644 }) },
  { name: 'store over', run: (fs) => fs.store(superuser, ROOT, 'file', Buffer.alloc(3 * BLOCK, 's'), { mode: 0o644 }) },
  { name: 'store nothing over', run: (fs) => fs.store(superuser, ROOT, 'file', Buffer.alloc(0), { mode: 0o644 }) },
  { name: 'grow by truncate', run: (fs, o) => fs.setattr(superuser, o.file, { size: 64 * MiB + 5 }) },
  { name: 'chmod', run: (fs, o) => fs.setattr(superuser, o.file, { mode: 0o600 }) },
  { name: 'chown', run: (fs, o) => fs.setattr(superuser, o.file, { uid: 7, gid: 8 }) },
  { name: 'utimens', run: (fs, o) => fs.setattr(superuser, o.file, { mtime: { s: 5, ns: 6 } }) },
  { name: 'rename', run: (fs) => fs.rename(superuser, ROOT, 'file', ROOT, 'renamed') },
  { name: 'rename of a directory', run: (fs, o) => fs.rename(superuser, o.dir, 'sub', ROOT, 'moved') },
  { name: 'rename over', run: (fs) => fs.rename(superuser, ROOT, 'victim', ROOT, 'other') },
  { name: 'read', always: true, run: (fs, o) => fs.read(superuser, o.file, 0, BLOCK) },
  { name: 'readdir', always: true, run: (fs) => fs.readdirplus(superuser, ROOT, 0, 1000) },
  { name: 'statfs', always: true, run: (fs) => fs.statfs() },
  { name: 'commit', always: true, run: (fs, o) => fs.commitFile(o.file) },
  { name: 'unlink of an open file', always: true, run: (fs) => fs.remove(superuser, ROOT, 'opened') },
  { name: 'truncate', always: true, run: (fs, o) => fs.setattr(superuser, o.file, { size: BLOCK }) },
  { name: 'unlink', always: true, run: (fs) => fs.remove(superuser, ROOT, 'gone') },
  { name: 'rmdir', always: true, run: (fs) => fs.rmdir(superuser, ROOT, 'empty') },
]

const small = { lunBytes: 64 * MiB, plan: { journalBytes: MiB, checkpointBytes: 2 * MiB, groupBlocks: 512 } }

const kinds: readonly {
  readonly what: string
  readonly options: LocalMatrixOptions
  /** Uses up what there is; the last attempt says ENOSPC. */
  fill(fs: MatrixFs, o: Objects): Promise<void>
  /** Must fail, or the filesystem was not full. */
  readonly refused: readonly string[]
}[] = [
  {
    what: 'blocks',
    options: small,
    async fill(fs, { other }) {
      for (let at = 64 * MiB, piece = MiB; piece >= BLOCK; ) {
        const code = await codeOf(() => fs.write(superuser, other, at, Buffer.alloc(piece, 'f'), true))
        if (code === 'none') at += piece
        else piece /= 2
        assert.ok(code === 'none' || code === 'ENOSPC', code)
      }
    },
    refused: ['store', 'write at the end', 'write far away', 'write, unstable'],
  },
  {
    what: 'inodes',
    options: { ...small, plan: { ...small.plan, checkpointBytes: MiB } },
    async fill(fs, { dir }) {
      for (let i = 0, code = 'none'; code === 'none'; i++) {
        code = await codeOf(() => fs.create(superuser, dir, `f${i}`, { mode: 0o600 }, 'guarded'))
        assert.ok(code === 'none' || code === 'ENOSPC', code)
        assert.ok(i < 100_000, 'never full')
      }
    },
    refused: ['create', 'create with a size', 'mkdir', 'symlink', 'mknod'],
  },
  {
    what: 'journal',
    options: { ...small, plan: { ...small.plan, journalBytes: 128 * 1024 }, checkpoints: false },
    async fill(fs, { dir }) {
      for (let i = 0, code = 'none'; code === 'none'; i++) {
        code = await codeOf(() => fs.create(superuser, dir, `f${i}`, { mode: 0o600 }, 'guarded'))
        await fs.sync()
        assert.ok(code === 'none' || code === 'ENOSPC', code)
        assert.ok(i < 100_000, 'never full')
      }
    },
    refused: ['create', 'mkdir', 'symlink', 'link', 'rename'],
  },
]

async function makeObjects(fs: MatrixFs): Promise<Objects> {
  const make = async (name: string) => (await fs.create(superuser, ROOT, name, { mode: 0o644 }, 'guarded')).inode.ino
  const [file, other] = [await make('file'), await make('other')]
  for (const name of ['gone', 'victim']) await make(name)
  await fs.open(await make('opened'))
  await fs.write(superuser, file, 0, Buffer.alloc(2 * BLOCK, 'a'), true)
  const dir = (await fs.mkdir(superuser, ROOT, 'dir', { mode: 0o755 })).inode.ino
  const sub = (await fs.mkdir(superuser, dir, 'sub', { mode: 0o755 })).inode.ino
  await fs.mkdir(superuser, ROOT, 'empty', { mode: 0o755 })
  await fs.sync()
  return { file, other, dir, sub }
}

/** The whole tree, but for what `fill` made: names, attributes, and what files hold. */
async function snapshot(fs: MatrixFs): Promise<unknown> {
  const visit = async (ino: Ino): Promise<unknown> => {
    const { entries } = await fs.readdirplus(superuser, ino, 0, 50)
    const out: unknown[] = []
    for (const { name, inode } of entries as readonly { name: string; inode: Inode }[]) {
      if (name === '.' || name === '..' || /^f\d+$/.test(name)) continue
      const content = inode.type === DIR ? await visit(inode.ino) : undefined
      const small = inode.type === REG && inode.size <= MiB
      out.push([name, shot(inode), content, small ? (await readAll(fs, inode.ino)).toString('latin1') : ''])
    }
    return out
  }
  return visit(ROOT)
}

/** What an operation says; "try again" is tried again. */
async function outcome(fs: MatrixFs, o: Objects, { run }: Operation): Promise<string> {
  for (let tries = 0; ; tries++) {
    try {
      await run(fs, o)
      return 'done'
    } catch (error) {
      if (!(error instanceof FsError)) throw error
      if (error.code !== 'EAGAIN' || tries === 3) return error.code
    }
  }
}

for (const { what, options, fill, refused } of kinds) {
  test(`no ${what} left: every operation is done, or says ENOSPC and has changed nothing`, async () => {
    const world = new SimWorld(1)
    const changing: { -readonly [K in keyof LocalMatrixOptions]: LocalMatrixOptions[K] } = { ...options, clock: world }
    const matrix: LocalMatrix = await world.settle(makeLocalMatrix(changing))
    const { fs } = matrix.nodes[0]!
    const settle = <T>(run: () => Promise<T>) => world.settle(run(), PATIENCE_MS)
    const objects = await settle(() => makeObjects(fs))
    await world.settle(fill(fs, objects))
    const said = new Map<string, string>()
    for (const operation of operations) {
      const before = await settle(() => snapshot(fs))
      const code = await settle(() => outcome(fs, objects, operation))
      said.set(operation.name, code)
      if (code === 'done') continue
      assert.is(code, 'ENOSPC', operation.name)
      assert.not.ok(operation.always, `${operation.name} has to work`)
      assert.equal(await settle(() => snapshot(fs)), before, `${operation.name} has changed something`)
    }
    for (const name of refused) assert.is(said.get(name), 'ENOSPC', `${name}, with no ${what} left`)
    // what made room counts, and so does a checkpoint that was long in coming
    changing.checkpoints = true
    assert.equal(await settle(() => matrix.check()), [])
    if (what !== 'inodes') await settle(async () => fs.create(superuser, ROOT, 'last', { mode: 0o644 }, 'guarded'))
    await settle(() => matrix.close())
  })
}

test.run()
