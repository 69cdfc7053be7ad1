/** link, unlink, symlink, readlink, mkdir, rmdir, mknod: names that come and go (XSH). */
import type { Kind } from '../calls.ts'
import { group } from '../rules.ts'
import { alice, bob, carol, TEAM } from '../users.ts'
import { pathRules } from './paths.ts'

const OTHERS: readonly Kind[] = ['file', 'fifo', 'symlink', 'socket', 'char', 'block']
const ALL: readonly (Kind | 'dangling')[] = [...OTHERS, 'dir', 'dangling']

export const link = group('link', (rule) => {
  pathRules(rule, {
    name: 'link, existing path',
    finds: 'file',
    act: (calls, path, n) => calls.link(path, `new${n}`),
    dangling: 'ok',
    loop: 'ok',
    slash: ['ENOTDIR'],
  })
  pathRules(rule, {
    name: 'link, new path',
    second: true,
    ready: async (t, n) => {
      await t.create(`old${n}`)
      await t.chown(`old${n}`, alice.uid, alice.gid)
    },
    act: (calls, path, n) => calls.link(`old${n}`, path),
    dangling: 'EEXIST',
    loop: 'EEXIST',
    slash: ['ENOENT', 'ENOTDIR'],
  })
  rule(20, 'both names are one inode, and its link count is the number of names', async (t) => {
    for (const kind of OTHERS) {
      await t.make(kind, kind)
      const { ino } = await t.lstat(kind)
      await t.works(t.link(kind, `${kind}2`))
      await t.has(`${kind}2`, { ino, type: kind, nlink: 2 })
      await t.has(kind, { nlink: 2 })
      await t.works(t.link(`${kind}2`, `${kind}3`))
      await t.has(kind, { nlink: 3 })
      await t.unlink(kind)
      await t.has(`${kind}3`, { ino, nlink: 2 })
    }
  })
  rule(21, 'marks ctime of the file, and mtime and ctime of the directory of the new name', async (t) => {
    await t.mkdir('d')
    await t.mkdir('e')
    await t.create('d/f')
    await t.touches({ 'd/f': 'c', d: '', e: 'mc' }, () => t.link('d/f', 'e/g'))
  })
  rule(22, 'EEXIST: the new name exists, whatever it is', async (t) => {
    await t.create('f')
    for (const kind of ALL) {
      await t.make(kind, `x-${kind}`)
      await t.fails('EEXIST', t.link('f', `x-${kind}`))
    }
    await t.fails('EEXIST', t.link('f', 'f'))
    await t.fails('EEXIST', t.link('f', '.'))
    await t.fails('EEXIST', t.link('f', '..'))
    await t.has('f', { nlink: 1 })
  })
  rule(23, 'EPERM: a directory gets no second name', async (t) => {
    await t.mkdir('d')
    await t.fails('EPERM', t.link('d', 'e'))
    await t.fails('EPERM', t.link('d', 'd/e'))
    await t.as(alice).mkdir('mine')
    await t.fails('EPERM', t.as(alice).link('mine', 'e'))
    await t.gone('e')
  })
  rule(24, 'content and attributes are those of the one file, by whichever name', async (t) => {
    await t.create('f')
    await t.link('f', 'g')
    await t.writeFile('g', 'content')
    await t.holds('f', 'content')
    await t.chmod('f', 0o604)
    await t.has('g', { mode: 0o604, size: 7 })
    await t.chown('g', alice.uid, TEAM)
    await t.has('f', { uid: alice.uid, gid: TEAM })
  })
  rule(25, 'EACCES: the directory of the new name may not be written to; nothing changes', async (t) => {
    await t.mkdir('d', 0o755)
    await t.as(alice).create('f')
    await t.touches({ f: '', d: '' }, () => t.fails('EACCES', t.as(alice).link('f', 'd/g')))
    await t.has('f', { nlink: 1 })
    await t.chown('d', 0, alice.gid)
    await t.chmod('d', 0o570)
    await t.works(t.as(alice).link('f', 'd/g'))
  })
  rule(26, 'a failed link marks no time', async (t) => {
    await t.mkdir('d')
    await t.create('f')
    await t.create('d/g')
    await t.touches({ f: '', d: '', 'd/g': '' }, () => t.fails('EEXIST', t.link('f', 'd/g')))
  })
  rule(27, 'a symbolic link is linked itself; linkat with AT_SYMLINK_FOLLOW links its target', async (t) => {
    await t.create('f')
    await t.symlink('f', 'l')
    await t.works(t.link('l', 'itself'))
    await t.has('itself', { type: 'symlink', nlink: 2 })
    await t.works(t.linkFollowing('l', 'target'))
    await t.has('target', { type: 'file', nlink: 2 })
    await t.symlink('nowhere', 'm')
    await t.fails('ENOENT', t.linkFollowing('m', 'n'))
  })
  rule(28, 'names go one by one; the file goes with the last', async (t) => {
    await t.writeFile('f', 'content')
    const names = Array.from({ length: 20 }, (_, i) => `n${i}`)
    for (const name of names) await t.link('f', name)
    await t.has('f', { nlink: 21 })
    for (const name of names) await t.unlink(name)
    await t.has('f', { nlink: 1 })
    await t.holds('f', 'content')
  })
})

export const unlink = group('unlink', (rule) => {
  pathRules(rule, {
    name: 'unlink',
    finds: 'file',
    act: (calls, path) => calls.unlink(path),
    dangling: 'ok',
    loop: 'ok',
    slash: ['ENOTDIR'],
  })
  rule(20, 'the name is gone, for every kind of file', async (t) => {
    for (const kind of OTHERS) {
      await t.make(kind, kind)
      await t.works(t.unlink(kind))
      await t.gone(kind)
    }
    t.is('entries left', await t.list('.'), [])
  })
  rule(21, 'EISDIR or EPERM: a directory', async (t) => {
    await t.mkdir('d')
    await t.fails(['EISDIR', 'EPERM'], t.unlink('d'))
    await t.fails(['EISDIR', 'EPERM', 'ENOTDIR'], t.unlink('d/'))
    await t.fails(['EISDIR', 'EPERM', 'EINVAL'], t.unlink('.'))
    await t.fails(['EISDIR', 'EPERM', 'EINVAL'], t.unlink('d/..'))
    await t.has('d', { type: 'dir' })
  })
  rule(22, 'marks mtime and ctime of the directory, and ctime of a file that keeps other names', async (t) => {
    await t.mkdir('d')
    await t.create('d/f')
    await t.link('d/f', 'g')
    await t.touches({ d: 'mc', g: 'c' }, () => t.unlink('d/f'))
    await t.has('g', { nlink: 1 })
  })
  rule(23, 'takes a symbolic link itself, never its target', async (t) => {
    await t.create('f')
    await t.mkdir('d')
    await t.symlink('f', 'l')
    await t.symlink('d', 'k')
    await t.works(t.unlink('l'))
    await t.works(t.unlink('k'))
    await t.has('f', { nlink: 1 })
    await t.has('d', { type: 'dir' })
    await t.symlink('d', 'k')
    await t.fails('ENOTDIR', t.unlink('k/'))
  })
  rule(24, 'EACCES: the directory may not be written to; the file stays as it is', async (t) => {
    await t.mkdir('d', 0o755)
    await t.create('d/f')
    await t.chown('d/f', alice.uid, alice.gid)
    await t.touches({ d: '', 'd/f': '' }, () => t.fails('EACCES', t.as(alice).unlink('d/f')))
    await t.has('d/f', { nlink: 1 })
  })
  rule(25, 'permission of the file itself does not matter, that of the directory does', async (t) => {
    await t.mkdir('d', 0o777)
    await t.create('d/f', 0)
    await t.works(t.as(alice).unlink('d/f'))
    await t.gone('d/f')
  })
  rule(26, 'a failed unlink marks no time', async (t) => {
    await t.mkdir('d')
    await t.mkdir('d/e')
    await t.touches({ d: '', 'd/e': '' }, async () => {
      await t.fails('ENOENT', t.unlink('d/missing'))
      await t.fails(['EISDIR', 'EPERM'], t.unlink('d/e'))
    })
  })
  rule(27, 'a name is free again at once', async (t) => {
    for (let i = 0; i < 5; i++) {
      await t.works(t.create('f'))
      await t.works(t.unlink('f'))
    }
    await t.fails('ENOENT', t.unlink('f'))
  })
})

export const symlink = group('symlink', (rule) => {
  pathRules(rule, {
    name: 'symlink, the new path',
    act: (calls, path) => calls.symlink('target', path),
    dangling: 'EEXIST',
    loop: 'EEXIST',
    slash: ['ENOENT', 'ENOTDIR'],
  })
  rule(20, 'keeps its text as it is, and its length as size', async (t) => {
    for (const target of [
      'x',
      'a/b/../c',
      '/absolute//path/',
      '\xff\xfe',
      '.',
      ' ',
      't'.repeat(255),
      't/'.repeat(500),
    ]) {
      await t.symlink(target, 'l')
      await t.gives(target, t.readlink('l'))
      await t.has('l', { type: 'symlink', size: target.length, nlink: 1 })
      await t.unlink('l')
    }
  })
  rule(21, 'a target of 4095 bytes is kept, one of 4096 is ENAMETOOLONG, an empty one ENOENT', async (t) => {
    const longest = `${'t'.repeat(200)}/`.repeat(21).slice(0, 4095)
    await t.works(t.symlink(longest, 'l'))
    await t.gives(longest, t.readlink('l'))
    await t.fails('ENAMETOOLONG', t.symlink(`${longest}t`, 'm'))
    await t.fails('ENOENT', t.symlink('', 'm'))
    await t.gone('m')
  })
  rule(22, 'belongs to its maker', async (t) => {
    await t.as(alice).symlink('x', 'l')
    await t.has('l', { uid: alice.uid, gid: alice.gid })
  })
  rule(23, 'its mode is 777 whatever the umask', async (t) => {
    await t.umask(0o077).symlink('x', 'l')
    await t.has('l', { mode: 0o777 })
  })
  rule(24, 'EEXIST: the name exists, whatever it is', async (t) => {
    for (const kind of ALL) {
      await t.make(kind, kind)
      await t.fails('EEXIST', t.symlink('x', kind))
    }
    await t.fails('EEXIST', t.symlink('x', '.'))
  })
  rule(25, 'marks the times of the new link, and mtime and ctime of the directory', async (t) => {
    await t.mkdir('d')
    await t.touches({ d: 'mc' }, () => t.symlink('x', 'd/l'))
    const { mtime, ctime } = await t.lstat('d/l')
    await t.current('mtime', mtime)
    await t.current('ctime', ctime)
  })
  rule(26, 'EACCES: the directory may not be written to', async (t) => {
    await t.mkdir('d', 0o755)
    await t.touches({ d: '' }, () => t.fails('EACCES', t.as(alice).symlink('x', 'd/l')))
    await t.gone('d/l')
  })
  rule(27, 'the target need not exist; made later it is reached', async (t) => {
    await t.symlink('later', 'l')
    await t.fails('ENOENT', t.stat('l'))
    await t.writeFile('later', 'here')
    await t.holds('l', 'here')
    await t.unlink('later')
    await t.fails('ENOENT', t.stat('l'))
  })
  rule(28, 'a link to a directory serves as one', async (t) => {
    await t.mkdir('d')
    await t.symlink('d', 'l')
    await t.create('l/f')
    t.is('entries', await t.list('l'), ['f'])
    await t.has('d/f', { type: 'file' })
    await t.has('l/', { type: 'dir' })
    await t.works(t.mkdir('l/e'))
    await t.has('d/e', { type: 'dir' })
    await t.has('l/..', { type: 'dir' })
  })
})

export const readlink = group('readlink', (rule) => {
  pathRules(rule, {
    name: 'readlink',
    finds: 'symlink',
    act: (calls, path) => calls.readlink(path),
    dangling: 'ok',
    loop: 'ok',
    slash: ['EINVAL', 'ENOTDIR'],
  })
  rule(20, 'EINVAL: no symbolic link', async (t) => {
    for (const kind of ['file', 'dir', 'fifo', 'socket', 'char', 'block'] as const) {
      await t.make(kind, kind)
      await t.fails('EINVAL', t.readlink(kind))
    }
    await t.fails('EINVAL', t.readlink('.'))
  })
  rule(21, 'needs no permission on the link itself', async (t) => {
    await t.symlink('secret', 'l')
    await t.gives('secret', t.as(carol).readlink('l'))
  })
  rule(22, 'the text of a link that took the name of another is the new one', async (t) => {
    await t.symlink('one', 'l')
    await t.gives('one', t.readlink('l'))
    await t.symlink('two', 'm')
    await t.rename('m', 'l')
    await t.gives('two', t.readlink('l'))
    await t.unlink('l')
    await t.symlink('three', 'l')
    await t.gives('three', t.readlink('l'))
  })
})

export const mkdir = group('mkdir', (rule) => {
  pathRules(rule, {
    name: 'mkdir',
    act: (calls, path) => calls.mkdir(path),
    dangling: 'EEXIST',
    loop: 'EEXIST',
    slash: [],
  })
  rule(20, 'makes an empty directory of the caller, with the mode less the umask', async (t) => {
    await t.works(t.as(alice).umask(0o027).mkdir('d', 0o777))
    await t.has('d', { type: 'dir', mode: 0o750, uid: alice.uid, gid: alice.gid, nlink: 2 })
    t.is('entries', await t.list('d'), [])
    await t.works(t.mkdir('e', 0o1777))
    await t.has('e', { mode: 0o1777 })
    await t.works(t.mkdir('z', 0))
    await t.has('z', { mode: 0 })
  })
  rule(21, 'a directory has two links and one more for each directory in it', async (t) => {
    await t.mkdir('d')
    for (let n = 1; n <= 5; n++) {
      await t.mkdir(`d/${n}`)
      await t.has('d', { nlink: 2 + n })
    }
    await t.create('d/f')
    await t.symlink('x', 'd/l')
    await t.has('d', { nlink: 7 })
    await t.rmdir('d/1')
    await t.has('d', { nlink: 6 })
  })
  rule(22, 'EEXIST: the name exists, whatever it is', async (t) => {
    for (const kind of ALL) {
      await t.make(kind, kind)
      await t.fails('EEXIST', t.mkdir(kind))
    }
    for (const path of ['.', '..', 'dir/.', 'dir/..']) await t.fails('EEXIST', t.mkdir(path))
    await t.fails('EEXIST', t.mkdir('dangling/'))
    await t.gone('nowhere')
  })
  rule(23, 'marks the times of the new directory, and mtime and ctime of the one it is in', async (t) => {
    await t.mkdir('d')
    await t.touches({ d: 'mc' }, () => t.mkdir('d/e'))
    const { atime, mtime, ctime } = await t.lstat('d/e')
    await t.current('atime', atime)
    await t.current('mtime', mtime)
    await t.current('ctime', ctime)
  })
  rule(24, 'EACCES: the directory may not be written to', async (t) => {
    await t.mkdir('d', 0o755)
    await t.touches({ d: '' }, () => t.fails('EACCES', t.as(alice).mkdir('d/e')))
    await t.has('d', { nlink: 2 })
    await t.chown('d', 0, TEAM)
    await t.chmod('d', 0o070)
    await t.works(t.as(alice).mkdir('d/e'))
    await t.fails('EACCES', t.as(carol).mkdir('d/f'))
  })
  rule(25, '"." is the directory and ".." the one it is in', async (t) => {
    await t.mkdir('d')
    await t.mkdir('d/e')
    const { ino } = await t.lstat('d/e')
    const above = await t.lstat('d')
    await t.has('d/e/.', { ino })
    await t.has('d/e/..', { ino: above.ino })
    await t.has('d/e/../e', { ino })
  })
  rule(26, 'directories nest deeply, by relative paths', async (t) => {
    let path = 'd'
    await t.mkdir(path)
    for (let depth = 0; depth < 60; depth++) {
      path += '/d'
      await t.mkdir(path)
    }
    await t.create(`${path}/f`)
    await t.has(`${path}/f`, { type: 'file' })
    await t.has(`${path}${'/..'.repeat(60)}`, { ino: (await t.lstat('d')).ino })
  })
  rule(27, 'a failed mkdir marks no time and counts no link', async (t) => {
    await t.mkdir('d')
    await t.create('d/f')
    await t.touches({ d: '', 'd/f': '' }, () => t.fails('EEXIST', t.mkdir('d/f')))
    await t.has('d', { nlink: 2 })
  })
})

export const rmdir = group('rmdir', (rule) => {
  pathRules(rule, {
    name: 'rmdir',
    finds: 'dir',
    act: (calls, path) => calls.rmdir(path),
    dangling: 'ENOTDIR',
    loop: 'ENOTDIR',
    slash: [],
  })
  rule(20, 'the directory is gone and counts as a link of its parent no more', async (t) => {
    await t.mkdir('d')
    await t.mkdir('d/e')
    await t.has('d', { nlink: 3 })
    await t.works(t.rmdir('d/e'))
    await t.gone('d/e')
    await t.has('d', { nlink: 2 })
    await t.works(t.rmdir('d'))
  })
  rule(21, 'ENOTEMPTY or EEXIST: something is in it, whatever it is', async (t) => {
    for (const kind of ALL) {
      await t.mkdir(`d-${kind}`)
      await t.make(kind, `d-${kind}/x`)
      await t.fails(['ENOTEMPTY', 'EEXIST'], t.rmdir(`d-${kind}`))
    }
    await t.unlink('d-file/x')
    await t.works(t.rmdir('d-file'))
  })
  rule(22, 'ENOTDIR: no directory', async (t) => {
    for (const kind of [...OTHERS, 'dangling'] as const) {
      await t.make(kind, kind)
      await t.fails('ENOTDIR', t.rmdir(kind))
    }
    await t.mkdir('d')
    await t.symlink('d', 'l')
    await t.fails('ENOTDIR', t.rmdir('l'))
    await t.fails('ENOTDIR', t.rmdir('l/'))
    await t.has('d', { type: 'dir' })
  })
  rule(23, 'EINVAL: the last component is "."; ENOTEMPTY, EEXIST or EBUSY: it is ".."', async (t) => {
    await t.mkdir('d')
    await t.mkdir('d/e')
    await t.fails('EINVAL', t.rmdir('d/e/.'))
    await t.fails('EINVAL', t.rmdir('.'))
    await t.fails(['ENOTEMPTY', 'EEXIST', 'EBUSY'], t.rmdir('d/e/..'))
    await t.fails(['ENOTEMPTY', 'EEXIST', 'EBUSY'], t.rmdir('d/..'))
  })
  rule(24, 'marks mtime and ctime of the directory it was in', async (t) => {
    await t.mkdir('d')
    await t.mkdir('d/e')
    await t.touches({ d: 'mc' }, () => t.rmdir('d/e'))
  })
  rule(25, 'EACCES: the directory it is in may not be written to', async (t) => {
    await t.mkdir('d', 0o755)
    await t.mkdir('d/e')
    await t.chown('d/e', alice.uid, alice.gid)
    await t.touches({ d: '', 'd/e': '' }, () => t.fails('EACCES', t.as(alice).rmdir('d/e')))
    await t.mkdir('f', 0o777)
    await t.mkdir('f/e', 0)
    await t.works(t.as(alice).rmdir('f/e'))
  })
  rule(26, 'a directory that is open is gone all the same: it is empty and has no links', async (t) => {
    await t.mkdir('d')
    const dir = await t.open('d', 'RDONLY|DIRECTORY')
    await t.works(t.rmdir('d'))
    t.is('links', (await t.fstat(dir)).nlink, 0)
    const entries = await t.getdents(dir, 4096).catch(() => [])
    t.is('entries but dots', entries.filter(([name]) => name !== '.' && name !== '..').length, 0)
    await t.works(t.mkdir('d'))
  })
  rule(27, 'a failed rmdir marks no time', async (t) => {
    await t.mkdir('d')
    await t.mkdir('d/e')
    await t.create('d/e/f')
    await t.touches({ d: '', 'd/e': '' }, () => t.fails(['ENOTEMPTY', 'EEXIST'], t.rmdir('d/e')))
    await t.has('d', { nlink: 3 })
  })
})

export const mknod = group('mknod', (rule) => {
  pathRules(rule, {
    name: 'mknod of a fifo',
    act: (calls, path) => calls.mknod(path, 'fifo', 0o666),
    dangling: 'EEXIST',
    loop: 'EEXIST',
    slash: ['ENOENT', 'ENOTDIR'],
  })
  rule(20, 'makes fifos, sockets and files for anybody, with the mode less the umask', async (t) => {
    for (const kind of ['fifo', 'socket', 'file'] as const) {
      await t.works(t.as(alice).umask(0o026).mknod(kind, kind, 0o666))
      await t.has(kind, { type: kind, mode: 0o640, uid: alice.uid, gid: alice.gid, nlink: 1, size: 0 })
    }
  })
  rule(21, 'makes devices for root, with their numbers', async (t) => {
    for (const [major, minor] of [
      [1, 3],
      [8, 255],
      [259, 70_000],
      [4095, 1_048_575],
    ] as const) {
      for (const kind of ['char', 'block'] as const) {
        const path = `${kind}-${major}-${minor}`
        await t.works(t.mknod(path, kind, 0o600, [major, minor]))
        await t.has(path, { type: kind, rdev: [major, minor], mode: 0o600 })
      }
    }
  })
  rule(22, 'EPERM: a device, and the caller is not root', async (t) => {
    await t.fails('EPERM', t.as(alice).mknod('c', 'char', 0o600, [1, 3]))
    await t.fails('EPERM', t.as(alice).mknod('b', 'block', 0o600, [8, 0]))
    t.is('entries', await t.list('.'), [])
  })
  rule(23, 'EEXIST: the name exists, whatever it is', async (t) => {
    for (const kind of ALL) {
      await t.make(kind, kind)
      await t.fails('EEXIST', t.mknod(kind, 'fifo'))
      await t.fails('EEXIST', t.mknod(kind, 'char', 0o600, [1, 3]))
    }
  })
  rule(24, 'EPERM or EINVAL: it makes no directories and no symbolic links', async (t) => {
    await t.fails(['EPERM', 'EINVAL'], t.mknod('d', 'dir'))
    await t.fails(['EPERM', 'EINVAL'], t.mknod('l', 'symlink'))
  })
  rule(25, 'marks the times of the new file, and mtime and ctime of the directory', async (t) => {
    await t.mkdir('d')
    await t.touches({ d: 'mc' }, () => t.mknod('d/p', 'fifo'))
    const { atime, mtime, ctime } = await t.lstat('d/p')
    await t.current('atime', atime)
    await t.current('mtime', mtime)
    await t.current('ctime', ctime)
  })
  rule(26, 'EACCES: the directory may not be written to', async (t) => {
    await t.mkdir('d', 0o755)
    await t.touches({ d: '' }, () => t.fails('EACCES', t.as(bob).mknod('d/p', 'fifo')))
    await t.gone('d/p')
  })
  rule(27, 'modes, owners and times of special files change like those of any other', async (t) => {
    for (const kind of ['fifo', 'socket', 'char', 'block'] as const) {
      await t.make(kind, kind)
      await t.works(t.chmod(kind, 0o621))
      await t.works(t.chown(kind, alice.uid, TEAM))
      await t.works(
        t.utimens(kind, [
          [1000, 1],
          [2000, 2],
        ]),
      )
      await t.has(kind, { mode: 0o621, uid: alice.uid, gid: TEAM, atime: [1000, 1], mtime: [2000, 2], type: kind })
    }
  })
})
