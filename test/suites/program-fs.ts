/**
 * What programs do with `fs.promises`, as one suite for `node:fs` on a directory of this machine and for a matrix: the same calls have the same
 * outcome, and fail with the same code.
 */
import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import type nodeFs from 'node:fs'
import { constants } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

/** The part of `node:fs` that the suite is about. */
export type ProgramFs = Pick<typeof nodeFs, 'createReadStream' | 'createWriteStream' | 'readFile'> & {
  readonly promises: typeof nodeFs.promises
}

export type ProgramTarget = {
  readonly fs: ProgramFs
  /** An empty directory. */
  readonly dir: string
  close(): Promise<void>
}

const MiB = 1024 * 1024

export function programFs(name: string, open: () => Promise<ProgramTarget>): void {
  const test = suite(name)
  let target: ProgramTarget
  let fs: typeof nodeFs.promises
  let next = 0
  let dir = ''

  test.before(async () => {
    target = await open()
    fs = target.fs.promises
  })
  test.before.each(async () => {
    dir = `${target.dir}/case${next++}`
    await fs.mkdir(dir)
  })
  test.after(() => target.close())

  const codeOf = async (action: Promise<unknown>): Promise<string | undefined> => {
    try {
      await action
      return 'none'
    } catch (error) {
      return (error as NodeJS.ErrnoException).code
    }
  }
  const text = (path: string) => fs.readFile(path, 'utf8')

  test('a file is written whole, read whole, replaced and appended to', async () => {
    const file = `${dir}/a.txt`
    await fs.writeFile(file, 'one')
    assert.is(await text(file), 'one')
    await fs.writeFile(file, 'two, and longer')
    assert.is(await text(file), 'two, and longer')
    await fs.writeFile(file, 'short')
    assert.is(await text(file), 'short')
    await fs.appendFile(file, ' and more')
    assert.is(await text(file), 'short and more')
    await fs.writeFile(`${dir}/empty`, '')
    assert.is((await fs.stat(`${dir}/empty`)).size, 0)
    assert.is((await fs.readFile(`${dir}/empty`)).length, 0)
  })

  test('names of any characters', async () => {
    const names = ['übung', '日本語', 'a b', '.hidden', '-dash', 'q?*"<>|:', 'x'.repeat(255)]
    for (const each of names) await fs.writeFile(`${dir}/${each}`, each)
    assert.equal((await fs.readdir(dir)).sort(), [...names].sort())
    for (const each of names) assert.is(await text(`${dir}/${each}`), each)
    assert.is(await codeOf(fs.writeFile(`${dir}/${'x'.repeat(256)}`, '')), 'ENAMETOOLONG')
  })

  test('an open file: positions, parts, what is not there yet', async () => {
    const handle = await fs.open(`${dir}/f`, 'w+')
    await handle.write(Buffer.from('hello world'), 0, 11, 0)
    await handle.write(Buffer.from('W'), 0, 1, 6)
    const buffer = Buffer.alloc(20)
    const { bytesRead } = await handle.read(buffer, 0, 20, 0)
    assert.is(buffer.toString('utf8', 0, bytesRead), 'hello World')
    assert.is((await handle.read(buffer, 0, 5, 6)).bytesRead, 5)
    assert.is((await handle.read(buffer, 0, 5, 100)).bytesRead, 0)
    await handle.write(Buffer.from('far'), 0, 3, 100_000)
    assert.is((await handle.stat()).size, 100_003)
    await handle.sync()
    await handle.close()
    const all = await fs.readFile(`${dir}/f`)
    assert.is(all.length, 100_003)
    assert.ok(all.subarray(11, 100_000).every((byte) => byte === 0))
    assert.is(all.toString('utf8', 100_000), 'far')
  })

  test('truncate: shorter, longer, and nothing of before comes back', async () => {
    const file = `${dir}/t`
    await fs.writeFile(file, 'x'.repeat(10_000))
    await fs.truncate(file, 5)
    assert.is(await text(file), 'xxxxx')
    await fs.truncate(file, 8)
    assert.is(await text(file), 'xxxxx\0\0\0')
    const handle = await fs.open(file, 'r+')
    await handle.truncate(2)
    await handle.truncate(6)
    const buffer = Buffer.alloc(10, 1)
    assert.is((await handle.read(buffer, 0, 10, 0)).bytesRead, 6)
    assert.is(buffer.toString('utf8', 0, 6), 'xx\0\0\0\0')
    await handle.truncate(0)
    await handle.write(Buffer.from('y'), 0, 1, 3)
    await handle.close()
    assert.is(await text(file), '\0\0\0y')
  })

  test('flags: exclusive, append, for reading only', async () => {
    const file = `${dir}/x`
    await fs.writeFile(file, 'a', { flag: 'wx' })
    assert.is(await codeOf(fs.writeFile(file, 'b', { flag: 'wx' })), 'EEXIST')
    const handle = await fs.open(file, 'a')
    await handle.write('b')
    await handle.write('c')
    await handle.close()
    assert.is(await text(file), 'abc')
    const reader = await fs.open(file, 'r')
    assert.is(await codeOf(reader.write('d')), 'EBADF')
    await reader.close()
    assert.is(await codeOf(fs.open(`${dir}/none`, 'r+')), 'ENOENT')
  })

  test('directories: made, listed, removed', async () => {
    await fs.mkdir(`${dir}/a/b/c`, { recursive: true })
    await fs.mkdir(`${dir}/a/b/c`, { recursive: true })
    await fs.writeFile(`${dir}/a/f`, '')
    await fs.symlink('f', `${dir}/a/l`)
    assert.equal((await fs.readdir(`${dir}/a`)).sort(), ['b', 'f', 'l'])
    const kinds = (await fs.readdir(`${dir}/a`, { withFileTypes: true }))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((each) => [each.name, each.isDirectory(), each.isFile(), each.isSymbolicLink()])
    assert.equal(kinds, [
      ['b', true, false, false],
      ['f', false, true, false],
      ['l', false, false, true],
    ])
    assert.is(await codeOf(fs.rmdir(`${dir}/a`)), 'ENOTEMPTY')
    await fs.rmdir(`${dir}/a/b/c`)
    assert.is(await codeOf(fs.readdir(`${dir}/a/b/c`)), 'ENOENT')
    await fs.rm(`${dir}/a`, { recursive: true })
    assert.is(await codeOf(fs.stat(`${dir}/a`)), 'ENOENT')
  })

  test('a directory of a thousand files is listed whole', async () => {
    const names = Array.from({ length: 1000 }, (_, i) => `file-${i}`)
    for (let i = 0; i < names.length; i += 50)
      await Promise.all(names.slice(i, i + 50).map((each) => fs.writeFile(`${dir}/${each}`, each)))
    assert.equal((await fs.readdir(dir)).sort(), names.sort())
  })

  test('attributes: mode, times, links, sizes', async () => {
    const file = `${dir}/f`
    await fs.writeFile(file, 'abc')
    await fs.chmod(file, 0o640)
    assert.is((await fs.stat(file)).mode, constants.S_IFREG | 0o640)
    await fs.chmod(dir, 0o750)
    assert.is((await fs.stat(dir)).mode & 0o777, 0o750)
    const [atime, mtime] = [new Date('2001-02-03T04:05:06.789Z'), new Date('2010-11-12T13:14:15.016Z')]
    await fs.utimes(file, atime, mtime)
    const stat = await fs.stat(file)
    assert.is(stat.atimeMs, atime.getTime())
    assert.is(stat.mtimeMs, mtime.getTime())
    assert.is(stat.nlink, 1)
    assert.is(stat.size, 3)
    assert.ok(stat.isFile() && !stat.isDirectory())
    await fs.chmod(file, 0o600)
    assert.is((await fs.stat(file)).mtimeMs, mtime.getTime(), 'a mode is no content')
    await fs.appendFile(file, 'd')
    assert.ok((await fs.stat(file)).mtimeMs > mtime.getTime() + 1000, 'content is')
    const before = (await fs.stat(file)).mtimeMs
    assert.is(await text(file), 'abcd')
    assert.is((await fs.stat(file)).mtimeMs, before, 'reading is none')
  })

  test('a handle sets mode and times of what it has written', async () => {
    const file = `${dir}/f`
    const handle = await fs.open(file, 'w')
    await handle.write('content')
    await handle.chmod(0o600)
    await handle.utimes(1000, 2000)
    await handle.close()
    const stat = await fs.stat(file)
    assert.equal([stat.mode & 0o777, stat.atimeMs, stat.mtimeMs, stat.size], [0o600, 1_000_000, 2_000_000, 7])
  })

  test('symbolic links', async () => {
    await fs.mkdir(`${dir}/d`)
    await fs.writeFile(`${dir}/d/f`, 'through')
    await fs.symlink('d/f', `${dir}/l`)
    await fs.symlink('d', `${dir}/ld`)
    await fs.symlink('nowhere', `${dir}/dangling`)
    assert.is(await fs.readlink(`${dir}/l`), 'd/f')
    assert.is(await text(`${dir}/l`), 'through')
    assert.is(await text(`${dir}/ld/f`), 'through')
    await fs.writeFile(`${dir}/ld/g`, 'made through')
    assert.is(await text(`${dir}/d/g`), 'made through')
    await fs.unlink(`${dir}/ld/g`)
    assert.is(await codeOf(fs.stat(`${dir}/d/g`)), 'ENOENT')
    assert.ok((await fs.lstat(`${dir}/l`)).isSymbolicLink())
    assert.ok((await fs.stat(`${dir}/l`)).isFile())
    assert.is(await codeOf(fs.stat(`${dir}/dangling`)), 'ENOENT')
    assert.ok((await fs.lstat(`${dir}/dangling`)).isSymbolicLink())
    assert.is(await fs.realpath(`${dir}/ld/f`), await fs.realpath(`${dir}/d/f`))
    assert.is(await codeOf(fs.symlink('other', `${dir}/l`)), 'EEXIST')
    assert.is(await codeOf(fs.readlink(`${dir}/d/f`)), 'EINVAL')
    await fs.unlink(`${dir}/l`)
    assert.is(await text(`${dir}/d/f`), 'through')
  })

  test('hard links', async () => {
    await fs.writeFile(`${dir}/a`, 'shared')
    await fs.link(`${dir}/a`, `${dir}/b`)
    const [a, b] = [await fs.stat(`${dir}/a`), await fs.stat(`${dir}/b`)]
    assert.equal([a.ino, a.nlink], [b.ino, 2])
    await fs.writeFile(`${dir}/b`, 'changed')
    assert.is(await text(`${dir}/a`), 'changed')
    await fs.unlink(`${dir}/a`)
    assert.is((await fs.stat(`${dir}/b`)).nlink, 1)
    assert.is(await text(`${dir}/b`), 'changed')
    await fs.writeFile(`${dir}/c`, '')
    assert.is(await codeOf(fs.link(`${dir}/b`, `${dir}/c`)), 'EEXIST')
    assert.is(await codeOf(fs.link(`${dir}/none`, `${dir}/d`)), 'ENOENT')
  })

  test('rename: over a file, a directory with what is in it, of an open file', async () => {
    await fs.writeFile(`${dir}/a`, 'a')
    await fs.writeFile(`${dir}/b`, 'b')
    await fs.rename(`${dir}/a`, `${dir}/b`)
    assert.is(await text(`${dir}/b`), 'a')
    assert.is(await codeOf(fs.stat(`${dir}/a`)), 'ENOENT')
    await fs.mkdir(`${dir}/d`)
    await fs.writeFile(`${dir}/d/f`, 'inside')
    await fs.rename(`${dir}/d`, `${dir}/e`)
    assert.is(await text(`${dir}/e/f`), 'inside')
    await fs.mkdir(`${dir}/d`)
    assert.equal(await fs.readdir(`${dir}/d`), [])
    assert.is(await codeOf(fs.rename(`${dir}/d`, `${dir}/e`)), 'ENOTEMPTY')
    assert.is(await codeOf(fs.rename(`${dir}/e`, `${dir}/e/below`)), 'EINVAL')
    const handle = await fs.open(`${dir}/b`, 'r+')
    await fs.rename(`${dir}/b`, `${dir}/renamed`)
    await handle.write(Buffer.from('A'), 0, 1, 0)
    await handle.close()
    assert.is(await text(`${dir}/renamed`), 'A')
    assert.is(await codeOf(fs.stat(`${dir}/b`)), 'ENOENT')
  })

  test('errors have the codes of POSIX', async () => {
    await fs.writeFile(`${dir}/file`, '')
    await fs.mkdir(`${dir}/dir`)
    const outcomes: [string, () => Promise<unknown>][] = [
      ['ENOENT', () => fs.readFile(`${dir}/none`)],
      ['ENOENT', () => fs.writeFile(`${dir}/none/file`, '')],
      ['ENOENT', () => fs.unlink(`${dir}/none`)],
      ['ENOENT', () => fs.rename(`${dir}/none`, `${dir}/other`)],
      ['ENOENT', () => fs.lstat(`${dir}/none`)],
      ['ENOENT', () => fs.chmod(`${dir}/none`, 0o600)],
      ['ENOENT', () => fs.rmdir(`${dir}/none`)],
      ['ENOENT', () => fs.mkdir(`${dir}/none/dir`)],
      ['EEXIST', () => fs.mkdir(`${dir}/dir`)],
      ['EEXIST', () => fs.mkdir(`${dir}/file`)],
      ['ENOTDIR', () => fs.readdir(`${dir}/file`)],
      ['ENOTDIR', () => fs.rmdir(`${dir}/file`)],
      ['ENOTDIR', () => fs.stat(`${dir}/file/below`)],
      ['EISDIR', () => fs.rename(`${dir}/file`, `${dir}/dir`)],
    ]
    const got: (string | undefined)[] = []
    for (const [, action] of outcomes) got.push(await codeOf(action()))
    assert.equal(
      got,
      outcomes.map(([code]) => code),
    )
  })

  test('streams, with a file of 24 MiB', async () => {
    const block = Buffer.alloc(MiB)
    for (let i = 0; i < block.length; i++) block[i] = (i * 31 + (i >> 8)) & 255
    const hash = createHash('sha256')
    async function* content() {
      for (let i = 0; i < 24; i++) {
        const piece = Buffer.from(block)
        piece[0] = i
        hash.update(piece)
        yield piece
      }
    }
    await pipeline(content(), target.fs.createWriteStream(`${dir}/big`))
    assert.is((await fs.stat(`${dir}/big`)).size, 24 * MiB)
    const back = createHash('sha256')
    for await (const chunk of target.fs.createReadStream(`${dir}/big`)) back.update(chunk as Buffer)
    assert.is(back.digest('hex'), hash.digest('hex'))
    const part: Buffer[] = []
    for await (const chunk of target.fs.createReadStream(`${dir}/big`, { start: 5 * MiB, end: 5 * MiB + 9 }))
      part.push(Buffer.from(chunk as Buffer))
    assert.equal([...Buffer.concat(part)], [5, ...block.subarray(1, 10)])
  })

  test('copies: a file, a tree', async () => {
    await fs.mkdir(`${dir}/from/sub`, { recursive: true })
    await fs.writeFile(`${dir}/from/a`, 'A')
    await fs.writeFile(`${dir}/from/sub/b`, 'B')
    await fs.copyFile(`${dir}/from/a`, `${dir}/a`)
    assert.is(await text(`${dir}/a`), 'A')
    await fs.cp(`${dir}/from`, `${dir}/to`, { recursive: true })
    assert.is(await text(`${dir}/to/sub/b`), 'B')
  })

  test('many calls at once', async () => {
    await Promise.all(
      Array.from({ length: 64 }, async (_, i) => {
        await fs.mkdir(`${dir}/d${i % 8}`, { recursive: true })
        await fs.writeFile(`${dir}/d${i % 8}/f${i}`, `content ${i}`)
        await fs.rename(`${dir}/d${i % 8}/f${i}`, `${dir}/d${i % 8}/g${i}`)
        assert.is(await text(`${dir}/d${i % 8}/g${i}`), `content ${i}`)
      }),
    )
    for (let i = 0; i < 8; i++) assert.is((await fs.readdir(`${dir}/d${i}`)).length, 8)
    const handle = await fs.open(`${dir}/parts`, 'w')
    await Promise.all(Array.from({ length: 32 }, (_, i) => handle.write(Buffer.alloc(1000, i), 0, 1000, i * 1000)))
    await handle.close()
    const whole = await fs.readFile(`${dir}/parts`)
    assert.ok(whole.every((byte, at) => byte === Math.floor(at / 1000)))
  })

  test('with callbacks', async () => {
    await fs.writeFile(`${dir}/f`, 'called back')
    const got = await new Promise((resolve, reject) =>
      target.fs.readFile(`${dir}/f`, 'utf8', (error, data) => (error ? reject(error) : resolve(data))),
    )
    assert.is(got, 'called back')
  })

  test.run()
}
