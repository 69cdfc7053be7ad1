/** truncate and ftruncate (XSH). */
import { group } from '../rules.ts'
import { alice, carol } from '../users.ts'
import { pathRules } from './paths.ts'

const GIB = 2 ** 30

export const truncate = group('truncate', (rule) => {
  pathRules(rule, {
    name: 'truncate',
    finds: 'file',
    act: (calls, path) => calls.truncate(path, 0),
    dangling: 'ENOENT',
    loop: 'ELOOP',
    slash: ['ENOTDIR'],
  })
  rule(20, 'cuts the file, or grows it with zeros', async (t) => {
    await t.writeFile('f', 'abcdefghij')
    await t.works(t.truncate('f', 4))
    await t.holds('f', 'abcd')
    await t.works(t.truncate('f', 8))
    await t.holds('f', 'abcd\0\0\0\0')
    await t.has('f', { size: 8 })
    await t.works(t.truncate('f', 0))
    await t.holds('f', '')
  })
  rule(21, 'marks mtime and ctime when the size changes', async (t) => {
    await t.writeFile('f', 'abcdefghij')
    await t.touches({ f: 'mc' }, () => t.truncate('f', 4))
    await t.touches({ f: 'mc' }, () => t.truncate('f', 100))
    await t.touches({ f: 'mc' }, () => t.truncate('f', 0))
    await t.touches({ f: 'mc|' }, () => t.truncate('f', 0))
  })
  rule(22, 'EISDIR: a directory; EINVAL: a fifo, a socket, a device', async (t) => {
    await t.mkdir('d')
    await t.fails('EISDIR', t.truncate('d', 0))
    for (const kind of ['fifo', 'socket', 'char', 'block'] as const) {
      await t.make(kind, kind)
      await t.fails('EINVAL', t.truncate(kind, 0))
    }
  })
  rule(23, 'EACCES: the file may not be written to; nothing changes', async (t) => {
    await t.writeFile('f', 'content')
    await t.chmod('f', 0o444)
    await t.touches({ f: '' }, () => t.fails('EACCES', t.as(carol).truncate('f', 0)))
    await t.chown('f', alice.uid, alice.gid)
    await t.fails('EACCES', t.as(alice).truncate('f', 0))
    await t.holds('f', 'content')
    await t.chmod('f', 0o200)
    await t.works(t.as(alice).truncate('f', 3))
    await t.has('f', { size: 3 })
  })
  rule(24, 'EINVAL: a size below 0', async (t) => {
    await t.writeFile('f', 'content')
    await t.fails('EINVAL', t.truncate('f', -1))
    await t.fails('EINVAL', t.truncate('f', '-9223372036854775808'))
    await t.holds('f', 'content')
  })
  rule(25, 'EFBIG or EINVAL: a size beyond the largest file', async (t) => {
    await t.writeFile('f', 'content')
    await t.fails(['EFBIG', 'EINVAL'], t.truncate('f', '9223372036854775807'))
    await t.fails(['EFBIG', 'EINVAL'], t.truncate('f', `${2n ** 62n}`))
    await t.has('f', { size: 7 })
  })
  rule(26, 'sizes have 64 bits', async (t) => {
    await t.create('f')
    for (const size of [2 * GIB - 1, 2 * GIB, 4 * GIB - 1, 4 * GIB, 4 * GIB + 1, 5 * GIB + 12_345, 8192 * GIB]) {
      await t.works(t.truncate('f', size))
      await t.has('f', { size })
    }
    await t.has('f', { blocks: 0 })
  })
  rule(27, 'what was cut off never comes back', async (t) => {
    for (const size of [1, 100, 4095, 4096, 4097, 10_000]) {
      await t.writeFile('f', 'x'.repeat(20_000))
      await t.truncate('f', size)
      await t.truncate('f', 20_000)
      t.that(`zeros after ${size} bytes`, (await t.readFile('f')) === 'x'.repeat(size) + '\0'.repeat(20_000 - size))
    }
  })
  rule(28, 'follows a symbolic link', async (t) => {
    await t.writeFile('f', 'content')
    await t.symlink('f', 'l')
    await t.works(t.truncate('l', 3))
    await t.holds('f', 'con')
    await t.has('l', { size: 1 })
  })
  rule(29, 'leaves owner and mode', async (t) => {
    await t.writeFile('f', 'content')
    await t.chown('f', 5, 6)
    await t.chmod('f', 0o642)
    await t.works(t.truncate('f', 3))
    await t.has('f', { uid: 5, gid: 6, mode: 0o642 })
  })
})

export const ftruncate = group('ftruncate', (rule) => {
  rule(20, 'cuts the file, or grows it with zeros; the offset stays', async (t) => {
    await t.writeFile('f', 'abcdefghij')
    const fd = await t.open('f', 'RDWR')
    await t.lseek(fd, 6, 'SET')
    await t.works(t.ftruncate(fd, 3))
    await t.gives(6, t.lseek(fd, 0, 'CUR'))
    await t.gives('', t.read(fd, 10))
    await t.write(fd, 'X')
    await t.holds('f', 'abc\0\0\0X')
    await t.works(t.ftruncate(fd, 9))
    await t.holds('f', 'abc\0\0\0X\0\0')
  })
  rule(21, 'marks mtime and ctime when the size changes', async (t) => {
    await t.writeFile('f', 'content')
    const fd = await t.open('f', 'RDWR')
    await t.touches({ f: 'mc' }, () => t.ftruncate(fd, 3))
    await t.touches({ f: 'mc' }, () => t.ftruncate(fd, 30))
  })
  rule(22, 'EINVAL or EBADF: a descriptor for reading; EINVAL: a size below 0', async (t) => {
    await t.writeFile('f', 'content')
    await t.fails(['EINVAL', 'EBADF'], t.ftruncate(await t.open('f', 'RDONLY'), 3))
    await t.fails('EINVAL', t.ftruncate(await t.open('f', 'RDWR'), -1))
    await t.fails('EBADF', t.ftruncate(-1, 3))
    await t.holds('f', 'content')
  })
  rule(23, 'EFBIG or EINVAL: a size beyond the largest file', async (t) => {
    const fd = await t.open('f', 'RDWR|CREAT')
    await t.fails(['EFBIG', 'EINVAL'], t.ftruncate(fd, '9223372036854775807'))
    await t.has('f', { size: 0 })
  })
  rule(24, 'EINVAL: a fifo', async (t) => {
    await t.mknod('p', 'fifo')
    await t.fails('EINVAL', t.ftruncate(await t.open('p', 'RDWR|NONBLOCK'), 0))
  })
  rule(25, 'works by the descriptor whatever the mode is by now', async (t) => {
    await t.as(alice).writeFile('f', 'content')
    const fd = await t.as(alice).open('f', 'RDWR')
    await t.chmod('f', 0)
    await t.works(t.as(alice).ftruncate(fd, 3))
    await t.has('f', { size: 3 })
  })
  rule(26, 'a size that was set is seen at once by everybody', async (t) => {
    const fd = await t.open('f', 'RDWR|CREAT')
    const other = await t.open('f', 'RDONLY')
    for (const size of [10, 5000, 3, 100_000, 0]) {
      await t.ftruncate(fd, size)
      await t.has('f', { size })
      t.is('size by another descriptor', (await t.fstat(other)).size, size)
      await t.gives('\0'.repeat(Math.min(size, 20)), t.pread(other, 20, 0))
    }
  })
})
