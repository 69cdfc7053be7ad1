/** open: what it makes, cuts, follows and refuses (XSH open). */
import type { Kind } from '../calls.ts'
import { group } from '../rules.ts'
import type { Trial } from '../trial.ts'
import { alice, bob, carol, TEAM } from '../users.ts'
import { pathRules } from './paths.ts'

const KINDS: readonly (Kind | 'dangling')[] = ['file', 'dir', 'fifo', 'symlink', 'dangling', 'socket', 'char', 'block']

export const open = group('open', (rule) => {
  pathRules(rule, {
    name: 'open for reading',
    finds: 'file',
    act: (calls, path) => calls.open(path, 'RDONLY'),
    dangling: 'ENOENT',
    loop: 'ELOOP',
    slash: ['ENOTDIR'],
  })
  rule(20, 'O_CREAT makes an empty regular file of the caller, with the mode less the umask', async (t) => {
    await t.works(t.as(alice).umask(0o027).open('f', 'WRONLY|CREAT', 0o666))
    await t.has('f', { type: 'file', mode: 0o640, uid: alice.uid, gid: alice.gid, size: 0, nlink: 1, blocks: 0 })
    await t.works(t.as(alice).umask(0o777).open('g', 'WRONLY|CREAT', 0o777))
    await t.has('g', { mode: 0 })
    await t.works(t.as(alice).open('h', 'WRONLY|CREAT', 0o6777))
    await t.has('h', { mode: 0o6777 })
  })
  rule(21, 'O_CREAT of a new file marks all its times, and mtime and ctime of the directory', async (t) => {
    await t.mkdir('d')
    await t.touches({ d: 'mc' }, () => t.open('d/f', 'WRONLY|CREAT'))
    const { atime, mtime, ctime } = await t.lstat('d/f')
    await t.current('atime', atime)
    await t.current('mtime', mtime)
    await t.current('ctime', ctime)
  })
  rule(22, 'O_CREAT on a file that exists changes nothing', async (t) => {
    await t.mkdir('d')
    await t.writeFile('d/f', 'content')
    await t.chmod('d/f', 0o640)
    await t.touches({ d: '', 'd/f': '' }, () => t.open('d/f', 'WRONLY|CREAT', 0o777))
    await t.has('d/f', { mode: 0o640, size: 7 })
  })
  rule(23, 'EEXIST: O_CREAT with O_EXCL on anything that exists, a symbolic link included', async (t) => {
    for (const kind of KINDS) {
      await t.make(kind, `x-${kind}`)
      await t.fails('EEXIST', t.open(`x-${kind}`, 'WRONLY|CREAT|EXCL'))
    }
    await t.gone('nowhere')
  })
  rule(24, 'O_CREAT through a dangling symbolic link makes what it names', async (t) => {
    await t.mkdir('d')
    await t.symlink('d/f', 'l')
    await t.works(t.open('l', 'WRONLY|CREAT', 0o600))
    await t.has('d/f', { type: 'file', mode: 0o600 })
    await t.has('l', { type: 'symlink' })
  })
  rule(25, 'O_TRUNC cuts a file to nothing, marks mtime and ctime, and leaves owner and mode', async (t) => {
    await t.writeFile('f', 'content')
    await t.chown('f', alice.uid, TEAM)
    await t.chmod('f', 0o640)
    await t.touches({ f: 'mc' }, () => t.open('f', 'WRONLY|TRUNC'))
    await t.has('f', { size: 0, uid: alice.uid, gid: TEAM, mode: 0o640, blocks: 0 })
  })
  rule(26, 'O_TRUNC of a file that is empty already marks mtime and ctime', async (t) => {
    await t.create('f')
    await t.touches({ f: 'mc' }, () => t.open('f', 'WRONLY|CREAT|TRUNC'))
  })
  rule(27, 'EISDIR: a directory is opened for writing, or with O_CREAT', async (t) => {
    await t.mkdir('d')
    await t.symlink('d', 'l')
    for (const flags of ['WRONLY', 'RDWR', 'RDONLY|CREAT', 'WRONLY|CREAT', 'RDONLY|TRUNC', 'WRONLY|APPEND']) {
      await t.fails('EISDIR', t.open('d', flags))
      await t.fails('EISDIR', t.open('l', flags))
    }
  })
  rule(28, 'ENOTDIR: O_DIRECTORY and no directory; a directory or a symbolic link to one is fine', async (t) => {
    for (const kind of ['file', 'fifo', 'char', 'socket'] as const) {
      await t.make(kind, kind)
      await t.fails('ENOTDIR', t.open(kind, 'RDONLY|DIRECTORY'))
    }
    await t.symlink('file', 'l')
    await t.fails('ENOTDIR', t.open('l', 'RDONLY|DIRECTORY'))
    await t.mkdir('d')
    await t.symlink('d', 'k')
    await t.works(t.open('d', 'RDONLY|DIRECTORY'))
    await t.works(t.open('k', 'RDONLY|DIRECTORY'))
    await t.works(t.open('d/', 'RDONLY'))
    await t.fails('ENOENT', t.open('missing', 'RDONLY|DIRECTORY'))
  })
  rule(29, 'ELOOP: O_NOFOLLOW and the last component is a symbolic link; those on the way are followed', async (t) => {
    await t.mkdir('d')
    await t.create('d/f')
    await t.symlink('d', 'k')
    await t.symlink('d/f', 'l')
    await t.symlink('nowhere', 'm')
    for (const path of ['k', 'l', 'm']) await t.fails('ELOOP', t.open(path, 'RDONLY|NOFOLLOW'))
    await t.fails('ELOOP', t.open('l', 'WRONLY|NOFOLLOW'))
    await t.fails('ELOOP', t.open('m', 'WRONLY|CREAT|NOFOLLOW'))
    await t.gone('nowhere')
    await t.fails(['ELOOP', 'ENOTDIR'], t.open('k', 'RDONLY|DIRECTORY|NOFOLLOW'))
    await t.works(t.open('k/f', 'RDONLY|NOFOLLOW'))
    await t.works(t.open('d', 'RDONLY|DIRECTORY|NOFOLLOW'))
  })
  for (const [i, [title, uid, gid, shift]] of (
    [
      ['owner', alice.uid, carol.gid, 6],
      ['group', carol.uid, alice.gid, 3],
      ['supplementary group', carol.uid, TEAM, 3],
      ['other', carol.uid, carol.gid, 0],
    ] as const
  ).entries()) {
    rule(30 + i, `EACCES: reading and writing go by the bits of the caller's class alone: ${title}`, async (t) => {
      await t.create('f')
      await t.chown('f', uid, gid)
      for (let bits = 0; bits < 8; bits++) {
        // All other classes may do what this one may not.
        await t.chmod('f', 0o777 ^ ((7 ^ bits) << shift))
        for (const [flags, needs] of [
          ['RDONLY', 4],
          ['WRONLY', 2],
          ['RDWR', 6],
        ] as const) {
          const call = t.as(alice).open('f', flags)
          if ((bits & needs) === needs) await t.works(call)
          else await t.fails('EACCES', call)
        }
      }
    })
  }
  rule(34, 'root opens a file of any mode', async (t) => {
    await t.create('f', 0)
    await t.chown('f', alice.uid, alice.gid)
    for (const flags of ['RDONLY', 'WRONLY', 'RDWR']) await t.works(t.open('f', flags))
  })
  rule(35, 'EACCES: O_CREAT where the caller may not write to the directory; nothing is made', async (t) => {
    await t.mkdir('d', 0o755)
    await t.touches({ d: '' }, () => t.fails('EACCES', t.as(alice).open('d/f', 'WRONLY|CREAT')))
    await t.gone('d/f')
    await t.writeFile('d/there', '')
    await t.chmod('d/there', 0o666)
    await t.works(t.as(alice).open('d/there', 'WRONLY|CREAT'))
    await t.mkdir('e', 0o772)
    await t.fails('EACCES', t.as(alice).open('e/f', 'WRONLY|CREAT'))
  })
  rule(36, 'EACCES: O_TRUNC without write permission leaves the file as it is', async (t) => {
    await t.writeFile('f', 'content')
    await t.touches({ f: '' }, () => t.fails('EACCES', t.as(alice).open('f', 'WRONLY|TRUNC')))
    await t.holds('f', 'content')
  })
  rule(37, 'the mode of a new file does not bind the descriptor that made it', async (t) => {
    const fd = await t.as(alice).open('f', 'RDWR|CREAT', 0)
    await t.gives(4, t.as(alice).pwrite(fd, 'data', 0))
    await t.gives('data', t.as(alice).pread(fd, 10, 0))
    await t.fails('EACCES', t.as(alice).open('f', 'RDONLY'))
  })
  rule(38, 'permission is checked at open: a later chmod takes nothing from the descriptor', async (t) => {
    await t.as(alice).writeFile('f', 'content')
    const fd = await t.as(alice).open('f', 'RDWR')
    await t.chmod('f', 0)
    await t.chown('f', 0, 0)
    await t.gives('content', t.as(alice).pread(fd, 10, 0))
    await t.gives(4, t.as(alice).pwrite(fd, 'DATA', 0))
    await t.holds('f', 'DATAent')
  })
  rule(39, 'ENXIO: a fifo for writing without waiting and nobody reads; a socket', async (t) => {
    await t.mknod('p', 'fifo')
    await t.mknod('s', 'socket')
    await t.fails('ENXIO', t.open('p', 'WRONLY|NONBLOCK'))
    await t.fails('ENXIO', t.open('s', 'RDONLY'))
    await t.fails('ENXIO', t.open('s', 'WRONLY'))
  })
  rule(40, 'a fifo opens for reading without waiting, and what is written is read', async (t) => {
    await t.mknod('p', 'fifo')
    const both = await t.open('p', 'RDWR|NONBLOCK')
    await t.works(t.open('p', 'RDONLY|NONBLOCK'))
    await t.gives(5, t.write(both, 'hello'))
    await t.gives('hello', t.read(both, 10))
    await t.has('p', { type: 'fifo', size: 0 })
  })
  rule(
    41,
    'ETXTBSY: a program that runs is not opened for writing, nor cut; afterwards it is',
    async (t) => {
      await program(t, 'sleep')
      const running = await t.start('./sleep')
      await t.fails('ETXTBSY', t.open('sleep', 'WRONLY'))
      await t.fails('ETXTBSY', t.open('sleep', 'RDWR'))
      await t.fails('ETXTBSY', t.truncate('sleep', 0))
      await t.works(t.open('sleep', 'RDONLY'))
      await t.end(running)
      await t.works(t.open('sleep', 'RDWR'))
    },
    { oneSystem: true },
  )
  rule(
    42,
    'ETXTBSY: a file that is open for writing is not executed',
    async (t) => {
      await program(t, 'sleep')
      const fd = await t.open('sleep', 'WRONLY')
      await t.fails('ETXTBSY', t.start('./sleep'))
      await t.close(fd)
      const call = t.start('./sleep')
      await t.works(call)
      await t.end(await call)
    },
    { oneSystem: true },
  )
  rule(43, 'a descriptor stays on its file when that is renamed or another takes its name', async (t) => {
    await t.writeFile('f', 'first')
    const fd = await t.open('f', 'RDONLY')
    const { ino } = await t.fstat(fd)
    await t.rename('f', 'g')
    await t.writeFile('f', 'second')
    await t.gives('first', t.pread(fd, 10, 0))
    await t.has('g', { ino })
    await t.rename('f', 'g')
    await t.gives('first', t.pread(fd, 10, 0))
    t.is('links of the file that lost its name', (await t.fstat(fd)).nlink, 0)
  })
  rule(44, 'ENOENT: nothing is made in a directory that has been removed', async (t) => {
    await t.mkdir('d')
    const dir = await t.open('d', 'RDONLY|DIRECTORY')
    await t.rmdir('d')
    await t.fails('ENOENT', t.openAt(dir, 'f', 'WRONLY|CREAT'))
    await t.fails('ENOENT', t.mkdirAt(dir, 'e'))
    await t.fails('ENOENT', t.openAt(dir, 'f', 'RDONLY'))
    t.is('links of the directory', (await t.fstat(dir)).nlink, 0)
  })
  rule(45, 'EISDIR, ENOENT or ENOTDIR: O_CREAT of a name with a slash behind', async (t) => {
    await t.fails(['EISDIR', 'ENOENT', 'ENOTDIR'], t.open('new/', 'WRONLY|CREAT'))
    await t.gone('new')
    await t.create('f')
    await t.fails(['EISDIR', 'ENOTDIR'], t.open('f/', 'WRONLY|CREAT'))
  })
  rule(46, 'descriptors are of their own: two opens have two offsets, a duplicate shares one', async (t) => {
    await t.writeFile('f', 'abcdef')
    const one = await t.open('f', 'RDONLY')
    const two = await t.open('f', 'RDONLY')
    const same = await t.dup(one)
    await t.gives('abc', t.read(one, 3))
    await t.gives('ab', t.read(two, 2))
    await t.gives('def', t.read(same, 3))
    await t.gives('', t.read(one, 3))
  })
  rule(47, 'EBADF: reading what is open for writing only, and the other way round', async (t) => {
    await t.writeFile('f', 'abc')
    const reader = await t.open('f', 'RDONLY')
    const writer = await t.open('f', 'WRONLY')
    await t.fails('EBADF', t.write(reader, 'x'))
    await t.fails('EBADF', t.pwrite(reader, 'x', 0))
    await t.fails('EBADF', t.read(writer, 1))
    await t.fails('EBADF', t.pread(writer, 1, 0))
    await t.holds('f', 'abc')
  })
  rule(48, 'the new file of another group member belongs to its maker', async (t) => {
    await t.mkdir('d', 0o770)
    await t.chown('d', 0, TEAM)
    await t.works(t.as(bob).open('d/f', 'WRONLY|CREAT', 0o600))
    await t.has('d/f', { uid: bob.uid, gid: bob.gid, mode: 0o600 })
    await t.fails('EACCES', t.as(alice).open('d/f', 'RDONLY'))
    await t.fails('EACCES', t.as(carol).open('d/f', 'RDONLY'))
  })
})

export const creat = group('creat', (rule) => {
  pathRules(rule, {
    name: 'open with O_CREAT',
    act: (calls, path) => calls.open(path, 'WRONLY|CREAT|TRUNC'),
    dangling: 'ok',
    loop: 'ELOOP',
    slash: ['EISDIR', 'ENOENT', 'ENOTDIR'],
  })
})

async function program(t: Trial, path: string): Promise<void> {
  await t.writeFile(path, await t.readFile('/bin/sleep'))
  await t.chmod(path, 0o755)
}
