/** stat, lstat, access, chdir, statvfs, fsync: calls that look and change nothing (XSH). */
import { group } from '../rules.ts'
import { alice, bob, carol, TEAM } from '../users.ts'
import { pathRules } from './paths.ts'

const R = 4
const W = 2
const X = 1
const F = 0

export const stat = group('stat', (rule) => {
  pathRules(rule, {
    name: 'stat',
    finds: 'file',
    act: (calls, path) => calls.stat(path),
    dangling: 'ENOENT',
    loop: 'ELOOP',
    slash: ['ENOTDIR'],
  })
  rule(20, 'needs no permission on the file itself', async (t) => {
    await t.create('f', 0)
    await t.works(t.as(carol).stat('f'))
    await t.mkdir('d', 0)
    await t.works(t.as(carol).stat('d'))
  })
  rule(21, 'a symbolic link is followed; its target is described', async (t) => {
    await t.writeFile('f', 'content')
    await t.symlink('f', 'l')
    const { ino } = await t.lstat('f')
    const found = await t.stat('l')
    t.is('inode', found.ino, ino)
    t.is('type', found.type, 'file')
    t.is('size', found.size, 7)
  })
  rule(22, 'all names of one directory are of one device, and inodes differ', async (t) => {
    const inodes = new Set<number | string>()
    const devices = new Set<number | string>()
    for (const kind of ['file', 'dir', 'fifo', 'symlink', 'socket'] as const) {
      await t.make(kind, kind)
      const { ino, dev } = await t.lstat(kind)
      inodes.add(ino)
      if (t.port.sides === 1) devices.add(dev)
      else devices.add(0)
    }
    t.is('inodes', inodes.size, 5)
    t.is('devices', devices.size, 1)
    t.that('inode 0 is nobody', !inodes.has(0))
  })
  rule(23, 'fstat says the same as stat', async (t) => {
    await t.writeFile('f', 'content')
    const fd = await t.open('f', 'RDONLY')
    const { atime: _a, dev: _d, ...byName } = await t.stat('f')
    const { atime: _b, dev: _e, ...byDescriptor } = await t.fstat(fd)
    t.is('attributes', byDescriptor, byName)
    t.that('blksize is a size', byName.blksize >= 512)
  })
  rule(24, 'looking marks no time', async (t) => {
    await t.mkdir('d')
    await t.writeFile('d/f', 'content')
    await t.touches({ 'd/f': '', d: '' }, async () => {
      await t.works(t.stat('d/f'))
      await t.works(t.access('d/f', R))
      const fd = await t.open('d/f', 'RDONLY')
      await t.works(t.fstat(fd))
      await t.works(t.close(fd))
    })
  })
})

export const lstat = group('lstat', (rule) => {
  pathRules(rule, {
    name: 'lstat',
    finds: 'file',
    act: (calls, path) => calls.lstat(path),
    dangling: 'ok',
    loop: 'ok',
    slash: ['ENOTDIR'],
  })
  rule(20, 'a symbolic link is described itself', async (t) => {
    await t.create('f')
    await t.symlink('f', 'l')
    await t.has('l', { type: 'symlink', size: 1 })
    await t.mkdir('d')
    await t.symlink('d', 'k')
    await t.has('k', { type: 'symlink' })
    await t.has('k/', { type: 'dir' })
    await t.has('k/.', { type: 'dir' })
  })
})

export const access = group('access', (rule) => {
  pathRules(rule, {
    name: 'access',
    finds: 'file',
    act: (calls, path) => calls.access(path, F),
    dangling: 'ENOENT',
    loop: 'ELOOP',
    slash: ['ENOTDIR'],
  })
  for (const [i, [title, uid, gid, shift]] of (
    [
      ['owner', alice.uid, carol.gid, 6],
      ['group', carol.uid, alice.gid, 3],
      ['supplementary group', carol.uid, TEAM, 3],
      ['other', carol.uid, carol.gid, 0],
    ] as const
  ).entries()) {
    rule(20 + i, `goes by the bits of the caller's class alone: ${title}`, async (t) => {
      await t.create('f')
      await t.chown('f', uid, gid)
      for (let bits = 0; bits < 8; bits++) {
        await t.chmod('f', 0o777 ^ ((7 ^ bits) << shift))
        for (const wanted of [R, W, X, R | W, R | X, W | X, R | W | X]) {
          const call = t.as(alice).access('f', wanted)
          if ((bits & wanted) === wanted) await t.works(call)
          else await t.fails('EACCES', call)
        }
        await t.works(t.as(alice).access('f', F))
      }
    })
  }
  rule(24, 'root may do everything but execute a file that nobody may', async (t) => {
    await t.create('f', 0)
    await t.works(t.access('f', R | W))
    await t.fails('EACCES', t.access('f', X))
    for (const mode of [0o100, 0o010, 0o001]) {
      await t.chmod('f', mode)
      await t.works(t.access('f', X))
    }
    await t.mkdir('d', 0)
    await t.works(t.access('d', R | W | X))
  })
  rule(25, 'of a directory: who may list, change and search it', async (t) => {
    await t.mkdir('d', 0o750)
    await t.chown('d', alice.uid, TEAM)
    await t.works(t.as(alice).access('d', R | W | X))
    await t.works(t.as(bob).access('d', R | X))
    await t.fails('EACCES', t.as(bob).access('d', W))
    await t.fails('EACCES', t.as(carol).access('d', R))
    await t.fails('EACCES', t.as(carol).access('d', X))
  })
  rule(26, 'eaccess answers the same for effective ids', async (t) => {
    await t.create('f', 0o640)
    await t.chown('f', alice.uid, TEAM)
    await t.works(t.as(alice).eaccess('f', R | W))
    await t.works(t.as(bob).eaccess('f', R))
    await t.fails('EACCES', t.as(bob).eaccess('f', W))
    await t.fails('EACCES', t.as(carol).eaccess('f', R))
  })
})

export const chdir = group('chdir', (rule) => {
  pathRules(rule, {
    name: 'chdir',
    finds: 'dir',
    act: (calls, path) => calls.chdir(path),
    dangling: 'ENOENT',
    loop: 'ELOOP',
    slash: [],
  })
  rule(20, 'ENOTDIR: no directory', async (t) => {
    for (const kind of ['file', 'fifo', 'socket', 'char'] as const) {
      await t.make(kind, kind)
      await t.fails('ENOTDIR', t.chdir(kind))
    }
  })
  rule(21, 'EACCES: no permission to search the directory itself', async (t) => {
    await t.mkdir('d', 0o766)
    await t.fails('EACCES', t.as(carol).chdir('d'))
    await t.chmod('d', 0o711)
    await t.works(t.as(carol).chdir('d'))
    await t.works(t.chdir('d'))
  })
})

export const exec = group('exec', (rule) => {
  rule(
    20,
    'EACCES: the file is no program for the caller, whatever he may read',
    async (t) => {
      await t.writeFile('sleep', await t.readFile('/bin/sleep'))
      for (const mode of [0, 0o666, 0o764, 0o754]) {
        await t.chmod('sleep', mode)
        await t.fails('EACCES', t.as(carol).start('./sleep'))
      }
      await t.chmod('sleep', 0o644)
      await t.fails('EACCES', t.start('./sleep'))
      await t.chmod('sleep', 0o001)
      const call = t.as(carol).start('./sleep')
      await t.works(call)
      await t.end(await call)
    },
    { oneSystem: true },
  )
  rule(
    21,
    'ENOENT, ENOTDIR and EACCES: what is executed is found like any file',
    async (t) => {
      await t.mkdir('d')
      await t.create('f', 0o755)
      await t.fails('ENOENT', t.start('./missing'))
      await t.fails('ENOTDIR', t.start('./f/x'))
      await t.fails('EACCES', t.start('./d'))
      await t.fails('ENOEXEC', t.start('./f'))
    },
    { oneSystem: true },
  )
})

export const statvfs = group('statvfs', (rule) => {
  pathRules(rule, {
    name: 'statvfs',
    finds: 'file',
    act: (calls, path) => calls.statvfs(path),
    dangling: 'ENOENT',
    loop: 'ELOOP',
    slash: ['ENOTDIR'],
  })
  rule(20, 'sizes, blocks and files are plausible, and the longest name has 255 bytes', async (t) => {
    const found = await t.statvfs('.')
    const n = (key: keyof typeof found) => Number(found[key])
    t.is('namemax', n('namemax'), 255)
    t.that('bsize is a size', n('bsize') >= 512)
    t.that('frsize is a size', n('frsize') >= 512)
    t.that('there are blocks', n('blocks') > 0)
    t.that('free blocks are blocks', n('bfree') <= n('blocks'))
    t.that('blocks for everybody are free blocks', n('bavail') <= n('bfree'))
    t.that('free files are files', n('ffree') <= n('files'))
  })
  rule(21, 'fstatvfs says the same', async (t) => {
    await t.create('f')
    const fd = await t.open('f', 'RDONLY')
    const { blocks, frsize, namemax } = await t.statvfs('f')
    const other = await t.fstatvfs(fd)
    t.is('size', [other.blocks, other.frsize, other.namemax], [blocks, frsize, namemax])
  })
  rule(22, 'pathconf: names, paths and links', async (t) => {
    await t.gives(255, t.pathconf('.', 'NAME_MAX'))
    await t.gives(4096, t.pathconf('.', 'PATH_MAX'))
    t.that('LINK_MAX is at least 8', (await t.pathconf('.', 'LINK_MAX')) >= 8)
    await t.gives(1, t.pathconf('.', 'NO_TRUNC'))
  })
})

export const fsync = group('fsync', (rule) => {
  rule(20, 'succeeds on files, read-only descriptors, directories and what has lost its names', async (t) => {
    await t.writeFile('f', 'content')
    const writer = await t.open('f', 'RDWR')
    const reader = await t.open('f', 'RDONLY')
    const directory = await t.open('.', 'RDONLY|DIRECTORY')
    await t.write(writer, 'CON')
    for (const fd of [writer, reader, directory]) {
      await t.works(t.fsync(fd))
      await t.works(t.fdatasync(fd))
    }
    await t.holds('f', 'CONtent')
    await t.unlink('f')
    await t.write(writer, 'TENT')
    await t.works(t.fsync(writer))
    await t.gives('CONTENT', t.pread(reader, 10, 0))
  })
  rule(21, 'changes no time and no attribute', async (t) => {
    await t.writeFile('f', 'content')
    const fd = await t.open('f', 'RDWR')
    await t.write(fd, 'x')
    await t.fsync(fd)
    await t.touches({ f: '' }, () => t.fsync(fd))
    await t.has('f', { size: 7 })
  })
  rule(22, 'EINVAL: of a fifo', async (t) => {
    await t.mknod('p', 'fifo')
    const fd = await t.open('p', 'RDWR|NONBLOCK')
    await t.fails('EINVAL', t.fsync(fd))
  })
})
