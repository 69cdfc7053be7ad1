/** read, write, append, lseek: bytes in and out (XSH). */
import { group } from '../rules.ts'
import type { Trial } from '../trial.ts'
import { alice } from '../users.ts'

const GIB = 2 ** 30
const LAST_OFFSET = '9223372036854775807'

export const read = group('read', (rule) => {
  rule(20, 'gives what there is up to the end, and then nothing', async (t) => {
    await t.writeFile('f', 'abcdef')
    const fd = await t.open('f', 'RDONLY')
    await t.gives('', t.read(fd, 0))
    await t.gives('abc', t.read(fd, 3))
    await t.gives('def', t.read(fd, 100))
    await t.gives('', t.read(fd, 100))
    await t.gives('', t.pread(fd, 100, 6))
    await t.gives('', t.pread(fd, 100, 10 * GIB))
    await t.gives('f', t.pread(fd, 100, 5))
  })
  rule(21, 'EISDIR: a directory', async (t) => {
    await t.mkdir('d')
    const fd = await t.open('d', 'RDONLY')
    await t.fails('EISDIR', t.read(fd, 10))
    await t.fails('EISDIR', t.pread(fd, 10, 0))
  })
  rule(22, 'marks atime, and nothing else', async (t) => {
    await t.writeFile('f', 'content')
    // an atime before the mtime, so that a relatime mount marks it, too
    await t.utimens('f', [
      [1000, 0],
      [2000, 0],
    ])
    const fd = await t.open('f', 'RDONLY')
    await t.touches({ f: 'a' }, () => t.read(fd, 3))
  })
  rule(23, 'of no bytes marks no time', async (t) => {
    await t.writeFile('f', 'content')
    await t.utimens('f', [
      [1000, 0],
      [2000, 0],
    ])
    const fd = await t.open('f', 'RDONLY')
    await t.touches({ f: '' }, () => t.read(fd, 0))
  })
  rule(24, 'pread leaves the offset alone; readv fills one buffer after the other', async (t) => {
    await t.writeFile('f', 'abcdefghij')
    const fd = await t.open('f', 'RDONLY')
    await t.gives('ghi', t.pread(fd, 3, 6))
    await t.gives(0, t.lseek(fd, 0, 'CUR'))
    await t.gives('abcdef', t.readv(fd, [1, 2, 3]))
    await t.gives('ghij', t.readv(fd, [3, 3, 3]))
    await t.gives(10, t.lseek(fd, 0, 'CUR'))
  })
  rule(25, 'EINVAL: an offset below 0', async (t) => {
    await t.writeFile('f', 'abc')
    const fd = await t.open('f', 'RDWR')
    await t.fails('EINVAL', t.pread(fd, 1, -1))
    await t.fails('EINVAL', t.pwrite(fd, 'x', -1))
    await t.holds('f', 'abc')
  })
  rule(26, 'files of any size around blocks come back as they went in', async (t) => {
    for (const size of [1, 511, 512, 513, 4095, 4096, 4097, 8191, 8192, 12_289, 65_536, 131_073, 1_048_577]) {
      const content = pattern(size)
      await t.writeFile('f', content)
      t.that(`${size} bytes come back`, (await t.readFile('f')) === content)
      await t.has('f', { size })
    }
  })
  rule(27, 'a descriptor that was open before sees what is written later', async (t) => {
    await t.writeFile('f', 'before')
    const reader = await t.open('f', 'RDONLY')
    await t.gives('before', t.pread(reader, 10, 0))
    await t.writeFile('f', 'and after')
    await t.gives('and after', t.pread(reader, 10, 0))
    const writer = await t.open('f', 'WRONLY')
    for (let i = 0; i < 10; i++) {
      await t.pwrite(writer, `${i}`, 4)
      await t.gives(`${i}`, t.pread(reader, 1, 4))
    }
  })
})

export const write = group('write', (rule) => {
  rule(20, 'puts bytes at the offset, moves it, and grows the file when need be', async (t) => {
    const fd = await t.open('f', 'RDWR|CREAT')
    await t.gives(3, t.write(fd, 'abc'))
    await t.gives(3, t.write(fd, 'def'))
    await t.gives(6, t.lseek(fd, 0, 'CUR'))
    await t.has('f', { size: 6 })
    await t.lseek(fd, 1, 'SET')
    await t.gives(2, t.write(fd, 'BC'))
    await t.holds('f', 'aBCdef')
    await t.has('f', { size: 6 })
  })
  rule(21, 'marks mtime and ctime', async (t) => {
    await t.writeFile('f', 'content')
    const fd = await t.open('f', 'WRONLY')
    await t.touches({ f: 'mc' }, () => t.write(fd, 'x'))
    await t.touches({ f: 'mc' }, () => t.pwrite(fd, 'x', 100))
    await t.current('mtime', (await t.lstat('f')).mtime)
  })
  rule(22, 'of no bytes does nothing', async (t) => {
    await t.writeFile('f', 'content')
    const fd = await t.open('f', 'WRONLY')
    await t.touches({ f: '' }, async () => {
      await t.gives(0, t.write(fd, ''))
      await t.gives(0, t.pwrite(fd, '', 1000))
    })
    await t.has('f', { size: 7 })
  })
  rule(23, 'beyond the end leaves zeros between', async (t) => {
    await t.writeFile('f', 'abc')
    const fd = await t.open('f', 'RDWR')
    await t.gives(1, t.pwrite(fd, 'x', 10))
    await t.holds('f', 'abc\0\0\0\0\0\0\0x')
    await t.lseek(fd, 5000, 'SET')
    await t.write(fd, 'y')
    await t.has('f', { size: 5001 })
    await t.gives('\0'.repeat(4989), t.pread(fd, 4989, 11))
  })
  rule(24, 'pwrite leaves the offset alone; writev writes one buffer after the other', async (t) => {
    const fd = await t.open('f', 'RDWR|CREAT')
    await t.gives(3, t.pwrite(fd, 'xyz', 3))
    await t.gives(0, t.lseek(fd, 0, 'CUR'))
    await t.gives(3, t.writev(fd, ['a', '', 'bc']))
    await t.gives(3, t.lseek(fd, 0, 'CUR'))
    await t.holds('f', 'abcxyz')
  })
  rule(25, 'EFBIG: beyond the limit of the process; what fits below it is written', async (t) => {
    const fd = await t.open('f', 'RDWR|CREAT')
    await t.limitSize(1000)
    await t.gives(10, t.pwrite(fd, 'x'.repeat(20), 990))
    await t.fails('EFBIG', t.pwrite(fd, 'x', 1000))
    await t.fails('EFBIG', t.ftruncate(fd, 1001))
    await t.fails('EFBIG', t.truncate('f', 2000))
    await t.works(t.ftruncate(fd, 1000))
    await t.has('f', { size: 1000 })
    await t.limitSize(-1)
    await t.gives(1, t.pwrite(fd, 'x', 1000))
  })
  rule(26, 'EFBIG or EINVAL: beyond the largest file', async (t) => {
    await t.writeFile('f', 'abc')
    const fd = await t.open('f', 'WRONLY')
    await t.fails(['EFBIG', 'EINVAL'], t.pwrite(fd, 'xx', LAST_OFFSET))
    await t.fails(['EFBIG', 'EINVAL'], t.pwrite(fd, 'x', `${2n ** 62n}`))
    await t.has('f', { size: 3 })
  })
  rule(27, 'a file through its life: any writes, cuts and growths, against a model in memory', async (t) => {
    await model(t, 1)
  })
  rule(28, 'the same with other sizes and places', async (t) => {
    await model(t, 2)
    await model(t, 3)
  })
  rule(29, 'what is written is there for the next read, by any descriptor', async (t) => {
    const writer = await t.open('f', 'RDWR|CREAT')
    const reader = await t.open('f', 'RDONLY')
    for (let i = 0; i < 20; i++) {
      await t.pwrite(writer, `line ${i}\n`, i * 100)
      await t.gives(`line ${i}\n`, t.pread(reader, 50, i * 100))
      await t.has('f', { size: i * 100 + `line ${i}\n`.length })
    }
  })
  rule(30, 'ENOSPC is no matter here: a write of 4 MiB in one call is whole', async (t) => {
    const content = pattern(4 << 20)
    const fd = await t.open('f', 'RDWR|CREAT')
    await t.gives(content.length, t.write(fd, content))
    t.that('it comes back', (await t.readFile('f')) === content)
    await t.gives(content.slice(2_000_001, 2_000_101), t.pread(fd, 100, 2_000_001))
  })
  rule(31, 'EISDIR or EBADF: a directory is not written to', async (t) => {
    await t.mkdir('d')
    const fd = await t.open('d', 'RDONLY|DIRECTORY')
    await t.fails(['EBADF', 'EISDIR'], t.write(fd, 'x'))
    await t.fails(['EBADF', 'EINVAL', 'EISDIR'], t.ftruncate(fd, 0))
  })
})

export const append = group('append', (rule) => {
  rule(20, 'O_APPEND: every write goes to the end, wherever the offset is', async (t) => {
    await t.writeFile('f', 'start')
    const fd = await t.open('f', 'RDWR|APPEND')
    await t.gives(0, t.lseek(fd, 0, 'CUR'))
    await t.gives(2, t.write(fd, '-1'))
    await t.gives(7, t.lseek(fd, 0, 'CUR'))
    await t.lseek(fd, 0, 'SET')
    await t.gives('st', t.read(fd, 2))
    await t.gives(2, t.write(fd, '-2'))
    await t.holds('f', 'start-1-2')
    await t.gives(9, t.lseek(fd, 0, 'CUR'))
  })
  rule(21, 'two descriptors take turns, and both find the end', async (t) => {
    const one = await t.open('f', 'WRONLY|CREAT|APPEND')
    const two = await t.open('f', 'WRONLY|CREAT|APPEND')
    let expected = ''
    for (let i = 0; i < 20; i++) {
      await t.write(one, `one ${i}\n`)
      await t.write(two, `two ${i}\n`)
      expected += `one ${i}\ntwo ${i}\n`
    }
    await t.holds('f', expected)
  })
  rule(22, 'after a cut the next write goes to the new end', async (t) => {
    await t.writeFile('f', 'a long beginning')
    const fd = await t.open('f', 'WRONLY|APPEND')
    await t.truncate('f', 6)
    await t.write(fd, '!')
    await t.holds('f', 'a long!')
    await t.truncate('f', 0)
    await t.write(fd, 'anew')
    await t.holds('f', 'anew')
    await t.truncate('f', 6)
    await t.write(fd, '.')
    await t.holds('f', 'anew\0\0.')
  })
  rule(23, 'pwrite on such a descriptor writes at the offset given (POSIX) or at the end (Linux)', async (t) => {
    await t.writeFile('f', 'abc')
    const fd = await t.open('f', 'RDWR|APPEND')
    await t.gives(1, t.pwrite(fd, 'X', 0))
    t.among('content of f', await t.readFile('f'), ['Xbc', 'abcX'])
  })
  rule(24, 'several processes at once: no record is lost, torn or doubled', async (t) => {
    await t.create('f')
    const length = 100
    const count = 100
    const writers = [1, 2, 3]
    await Promise.all(
      writers.map(async (n) => {
        const calls = t.beside(n)
        const fd = await calls.open('f', 'WRONLY|APPEND')
        await calls.append(fd, `writer ${n} `, length, count)
        await calls.close(fd)
      }),
    )
    const content = await t.readFile('f')
    t.is('length', content.length, writers.length * count * length)
    const lines = content.split('\n').slice(0, -1)
    for (const n of writers) {
      const record = `writer ${n} ${'.'.repeat(length)}`.slice(0, length - 1)
      t.is(`records of writer ${n}`, lines.filter((line) => line === record).length, count)
    }
  })
  rule(25, 'marks mtime and ctime', async (t) => {
    await t.writeFile('f', 'x')
    const fd = await t.open('f', 'WRONLY|APPEND')
    await t.touches({ f: 'mc' }, () => t.write(fd, 'y'))
  })
  rule(26, 'a record across a block is whole for a reader of the size he sees', async (t) => {
    const fd = await t.open('f', 'WRONLY|CREAT|APPEND')
    for (let i = 0; i < 30; i++) {
      await t.write(fd, `${i}`.padEnd(700, '.'))
      const content = await t.readFile('f')
      t.is('length', content.length, (i + 1) * 700)
      t.is('last record', content.slice(-700), `${i}`.padEnd(700, '.'))
    }
  })
})

export const lseek = group('lseek', (rule) => {
  rule(20, 'sets the offset from the start, from where it is, and from the end', async (t) => {
    await t.writeFile('f', 'abcdefghij')
    const fd = await t.open('f', 'RDONLY')
    await t.gives(4, t.lseek(fd, 4, 'SET'))
    await t.gives('e', t.read(fd, 1))
    await t.gives(7, t.lseek(fd, 2, 'CUR'))
    await t.gives('h', t.read(fd, 1))
    await t.gives(9, t.lseek(fd, -1, 'END'))
    await t.gives('j', t.read(fd, 1))
    await t.gives(10, t.lseek(fd, 0, 'END'))
    await t.gives(8, t.lseek(fd, -2, 'CUR'))
  })
  rule(21, 'EINVAL: before the start, or from nowhere; the offset stays', async (t) => {
    await t.writeFile('f', 'abc')
    const fd = await t.open('f', 'RDONLY')
    await t.lseek(fd, 2, 'SET')
    await t.fails('EINVAL', t.lseek(fd, -1, 'SET'))
    await t.fails('EINVAL', t.lseek(fd, -3, 'CUR'))
    await t.fails('EINVAL', t.lseek(fd, -4, 'END'))
    await t.fails('EINVAL', t.lseek(fd, 0, 99))
    await t.gives(2, t.lseek(fd, 0, 'CUR'))
  })
  rule(22, 'beyond the end is fine and changes nothing by itself', async (t) => {
    await t.writeFile('f', 'abc')
    const fd = await t.open('f', 'RDWR')
    await t.touches({ f: '' }, () => t.gives(5 * GIB, t.lseek(fd, 5 * GIB, 'SET')))
    await t.gives('', t.read(fd, 10))
    await t.has('f', { size: 3 })
  })
  rule(23, 'ESPIPE: a fifo', async (t) => {
    await t.mknod('p', 'fifo')
    const fd = await t.open('p', 'RDWR|NONBLOCK')
    for (const whence of ['SET', 'CUR', 'END'] as const) await t.fails('ESPIPE', t.lseek(fd, 0, whence))
    await t.fails('ESPIPE', t.pread(fd, 1, 0))
    await t.fails('ESPIPE', t.pwrite(fd, 'x', 0))
  })
  rule(24, 'the end is where the last write was, whoever made it', async (t) => {
    await t.create('f')
    const fd = await t.open('f', 'RDONLY')
    for (const size of [1, 4096, 5000, 100]) {
      await t.truncate('f', size)
      await t.gives(size, t.lseek(fd, 0, 'END'))
    }
  })
  rule(25, 'SEEK_DATA and SEEK_HOLE: data is data, and the end is a hole', async (t) => {
    await t.writeFile('f', pattern(10_000))
    const fd = await t.open('f', 'RDONLY')
    await t.gives(0, t.lseek(fd, 0, 'DATA'))
    await t.gives(5000, t.lseek(fd, 5000, 'DATA'))
    await t.gives(10_000, t.lseek(fd, 0, 'HOLE'))
    await t.gives(10_000, t.lseek(fd, 9999, 'HOLE'))
    await t.fails('ENXIO', t.lseek(fd, 10_000, 'DATA'))
    await t.fails('ENXIO', t.lseek(fd, 10_001, 'HOLE'))
  })
  rule(26, 'SEEK_DATA never skips data, SEEK_HOLE never names data as a hole', async (t) => {
    const fd = await t.open('f', 'RDWR|CREAT')
    await t.pwrite(fd, 'island', 1 << 20)
    await t.ftruncate(fd, 2 << 20)
    const data = Number(await t.lseek(fd, 0, 'DATA'))
    t.that('the first data is found at or before the island', data <= 1 << 20)
    const hole = Number(await t.lseek(fd, 1 << 20, 'HOLE'))
    t.that('the next hole is behind the island', hole >= (1 << 20) + 6 && hole <= 2 << 20)
  })
})

export const sparse = group('sparse', (rule) => {
  rule(20, 'a hole reads as zeros and takes no space', async (t) => {
    const fd = await t.open('f', 'RDWR|CREAT')
    await t.pwrite(fd, 'end', 100 << 20)
    await t.fsync(fd)
    await t.has('f', { size: (100 << 20) + 3 })
    t.that('blocks are far fewer than the size', (await t.lstat('f')).blocks * 512 < 10 << 20)
    for (const offset of [0, 4095, 1 << 20, (50 << 20) + 1, (100 << 20) - 8])
      await t.gives('\0'.repeat(8), t.pread(fd, 8, offset))
    await t.gives('end', t.pread(fd, 10, 100 << 20))
  })
  for (const [i, [title, offset]] of (
    [
      ['2 GiB', 2 * GIB],
      ['4 GiB', 4 * GIB],
      ['1 TiB', 1024 * GIB],
    ] as const
  ).entries()) {
    rule(21 + i, `data across the border at ${title}`, async (t) => {
      const fd = await t.open('f', 'RDWR|CREAT')
      await t.gives(8, t.pwrite(fd, 'leftrigh', offset - 4))
      await t.has('f', { size: offset + 4 })
      await t.gives('\0left', t.pread(fd, 5, offset - 5))
      await t.gives('righ', t.pread(fd, 10, offset))
      await t.gives('\0\0\0\0', t.pread(fd, 4, 0))
      await t.gives(offset + 4, t.lseek(fd, 0, 'END'))
      await t.gives(1, t.write(fd, 't'))
      await t.works(t.fsync(fd))
      await t.gives('leftright', t.pread(fd, 20, offset - 4))
      await t.works(t.ftruncate(fd, offset - 2))
      await t.has('f', { size: offset - 2 })
      await t.works(t.truncate('f', offset + 2))
      await t.gives('le\0\0\0\0', t.pread(fd, 20, offset - 4))
    })
  }
  rule(24, 'islands stay where they are, and what is between stays zero', async (t) => {
    const fd = await t.open('f', 'RDWR|CREAT')
    for (let i = 19; i >= 0; i--) await t.pwrite(fd, `island ${i}`.padEnd(10), i * 100_000)
    for (let i = 0; i < 20; i++) {
      await t.gives(`island ${i}`.padEnd(10), t.pread(fd, 10, i * 100_000))
      if (i < 19) await t.gives('\0'.repeat(10), t.pread(fd, 10, i * 100_000 + 50_000))
    }
    await t.has('f', { size: 1_900_010 })
  })
  rule(25, 'a hole is filled from the middle', async (t) => {
    const fd = await t.open('f', 'RDWR|CREAT')
    await t.ftruncate(fd, 40_000)
    await t.pwrite(fd, 'x'.repeat(5000), 17_000)
    await t.holds('f', `${'\0'.repeat(17_000)}${'x'.repeat(5000)}${'\0'.repeat(18_000)}`)
    await t.pwrite(fd, 'y'.repeat(17_000), 0)
    await t.pwrite(fd, 'z'.repeat(18_000), 22_000)
    await t.holds('f', `${'y'.repeat(17_000)}${'x'.repeat(5000)}${'z'.repeat(18_000)}`)
  })
  rule(26, 'blocks of a file that is cut to nothing are given back', async (t) => {
    const fd = await t.open('f', 'RDWR|CREAT')
    await t.write(fd, pattern(1 << 20))
    await t.fsync(fd)
    t.that('a file of 1 MiB has blocks', (await t.lstat('f')).blocks * 512 >= 1 << 20)
    await t.ftruncate(fd, 0)
    await t.has('f', { blocks: 0, size: 0 })
  })
  rule(27, 'posix_fallocate grows the file with zeros and leaves what is there', async (t) => {
    await t.writeFile('f', 'content')
    const fd = await t.open('f', 'RDWR')
    await t.works(t.fallocate(fd, 0, 100_000))
    await t.has('f', { size: 100_000 })
    await t.gives('content\0\0\0', t.pread(fd, 10, 0))
    await t.gives('\0'.repeat(10), t.pread(fd, 20, 99_990))
    await t.works(t.fallocate(fd, 0, 10))
    await t.has('f', { size: 100_000 })
    await t.fails('EINVAL', t.fallocate(fd, 0, 0))
    await t.fails('EINVAL', t.fallocate(fd, -1, 10))
    await t.fails('EBADF', t.fallocate(await t.open('f', 'RDONLY'), 0, 10))
  })
})

export const unlinked = group('unlinked', (rule) => {
  rule(20, 'a file without names lives on while it is open', async (t) => {
    await t.writeFile('f', 'content')
    const fd = await t.open('f', 'RDWR')
    await t.unlink('f')
    await t.gone('f')
    t.is('links', (await t.fstat(fd)).nlink, 0)
    await t.gives('content', t.pread(fd, 10, 0))
    await t.gives(4, t.pwrite(fd, 'more', 7))
    await t.gives('contentmore', t.pread(fd, 20, 0))
    await t.works(t.ftruncate(fd, 3))
    await t.gives('con', t.pread(fd, 20, 0))
    await t.works(t.ftruncate(fd, 5000))
    t.is('size', (await t.fstat(fd)).size, 5000)
    await t.works(t.fsync(fd))
    await t.works(t.close(fd))
  })
  rule(21, 'a new file of that name is another one', async (t) => {
    await t.writeFile('f', 'old')
    const fd = await t.open('f', 'RDWR')
    const { ino } = await t.fstat(fd)
    await t.unlink('f')
    await t.writeFile('f', 'new')
    t.that('the inodes differ', (await t.lstat('f')).ino !== ino)
    await t.pwrite(fd, 'OLD', 0)
    await t.holds('f', 'new')
    await t.gives('OLD', t.pread(fd, 10, 0))
  })
  rule(22, 'so does one whose name another took by rename', async (t) => {
    await t.writeFile('f', 'old')
    const fd = await t.open('f', 'RDWR')
    await t.writeFile('g', 'new')
    await t.rename('g', 'f')
    await t.gives('old', t.pread(fd, 10, 0))
    t.is('links', (await t.fstat(fd)).nlink, 0)
    await t.gives(5, t.pwrite(fd, 'older', 0))
    await t.holds('f', 'new')
  })
  rule(23, 'several descriptors share it until the last is closed', async (t) => {
    await t.writeFile('f', 'content')
    const one = await t.open('f', 'RDWR')
    const two = await t.open('f', 'RDONLY')
    await t.unlink('f')
    await t.pwrite(one, 'CON', 0)
    await t.works(t.close(one))
    await t.gives('CONtent', t.pread(two, 10, 0))
    await t.works(t.close(two))
  })
  rule(24, 'attributes of a file without names still change', async (t) => {
    await t.writeFile('f', 'content')
    const fd = await t.open('f', 'RDWR')
    await t.touchesOpen(fd, 'c', () => t.unlink('f'))
    await t.works(t.fchmod(fd, 0o600))
    await t.works(t.fchown(fd, 5, 6))
    const { mode, uid, gid } = await t.fstat(fd)
    t.is('mode, owner, group', [mode, uid, gid], [0o600, 5, 6])
    await t.touchesOpen(fd, 'mc', () => t.pwrite(fd, 'x', 0))
  })
  rule(25, 'one process keeps what another one removes', async (t) => {
    await t.writeFile('f', 'content')
    const other = t.beside(1)
    const fd = await other.open('f', 'RDONLY')
    await t.unlink('f')
    await t.gone('f')
    for (let i = 0; i < 5; i++) await t.gives('content', other.pread(fd, 10, 0))
    await t.works(other.close(fd))
  })
  rule(26, 'a large one lives on, too', async (t) => {
    const content = pattern(3 << 20)
    await t.writeFile('f', content)
    const fd = await t.open('f', 'RDONLY')
    await t.unlink('f')
    await t.writeFile('g', 'x'.repeat(3 << 20))
    t.that('its content is whole', (await t.read(fd, 3 << 20)) === content)
  })
  rule(27, 'one of many links may go while it is open', async (t) => {
    await t.writeFile('f', 'content')
    await t.link('f', 'g')
    const fd = await t.open('f', 'RDWR')
    await t.unlink('f')
    t.is('links', (await t.fstat(fd)).nlink, 1)
    await t.pwrite(fd, 'CON', 0)
    await t.holds('g', 'CONtent')
  })
  rule(28, 'who may no longer open it still has it open', async (t) => {
    await t.as(alice).writeFile('f', 'content')
    const fd = await t.as(alice).open('f', 'RDWR')
    await t.unlink('f')
    await t.gives('content', t.as(alice).pread(fd, 10, 0))
    await t.gives(1, t.as(alice).pwrite(fd, 'C', 0))
  })
})

export const mmap = group('mmap', (rule) => {
  rule(
    20,
    'a shared mapping shows what is in the file',
    async (t) => {
      const content = pattern(10_000)
      await t.writeFile('f', content)
      const fd = await t.open('f', 'RDONLY')
      await t.gives(content.slice(0, 100), t.mapRead(fd, 100))
      await t.gives(content.slice(4096, 4196), t.mapRead(fd, 100, 4096))
      const writer = await t.open('f', 'WRONLY')
      await t.pwrite(writer, 'changed', 10)
      await t.gives(`${content.slice(0, 10)}changed`, t.mapRead(fd, 17))
    },
    { oneSystem: true },
  )
  rule(
    21,
    'what is stored in a shared mapping and synchronized is in the file; mtime and ctime are marked',
    async (t) => {
      await t.writeFile('f', '.'.repeat(5000))
      const fd = await t.open('f', 'RDWR')
      // mapping a file may mark its atime at any time
      await t.touches({ f: 'mc|amc' }, () => t.works(t.mapWrite(fd, 5000, 4090, 'across pages')))
      await t.holds('f', `${'.'.repeat(4090)}across pages${'.'.repeat(898)}`)
      await t.has('f', { size: 5000 })
    },
    { oneSystem: true },
  )
})

/** Bytes that are never the same at two places near each other. */
function pattern(size: number): string {
  let text = ''
  for (let i = 0; text.length < size; i++) text += `<${i}>`
  return text.slice(0, size)
}

/** Does the same to a file and to a buffer, 60 times, by a generator with a fixed seed. */
async function model(t: Trial, seed: number): Promise<void> {
  let state = seed
  const below = (n: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((state / 2 ** 32) * n)
  }
  const path = `model${seed}`
  let expected = ''
  const fd = await t.open(path, 'RDWR|CREAT')
  for (let step = 0; step < 60; step++) {
    const place = below(30_000)
    if (below(4) > 0) {
      const data = String.fromCharCode(97 + below(26)).repeat(1 + below(9000))
      await t.pwrite(fd, data, place)
      expected = expected.slice(0, place).padEnd(place, '\0') + data + expected.slice(place + data.length)
    } else {
      await t.truncate(path, place)
      expected = expected.slice(0, place).padEnd(place, '\0')
    }
    if (step % 5 === 4) {
      t.that(`the content after step ${step}, seed ${seed}`, (await t.readFile(path)) === expected)
      await t.has(path, { size: expected.length })
    }
  }
}
