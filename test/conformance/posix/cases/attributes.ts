/** chmod, chown, lchown, utimensat: attributes and who may change them (XSH). */
import type { Kind } from '../calls.ts'
import { group } from '../rules.ts'
import { alice, bob, CLUB, carol, TEAM } from '../users.ts'
import { pathRules } from './paths.ts'

const KINDS: readonly Kind[] = ['file', 'dir', 'fifo', 'socket', 'char', 'block']

export const chmod = group('chmod', (rule) => {
  pathRules(rule, {
    name: 'chmod',
    finds: 'file',
    act: (calls, path) => calls.chmod(path, 0o777),
    dangling: 'ENOENT',
    loop: 'ELOOP',
    slash: ['ENOTDIR'],
  })
  rule(20, 'sets all twelve bits, on every kind', async (t) => {
    for (const kind of KINDS) {
      await t.make(kind, kind)
      for (const mode of [0, 0o777, 0o7777, 0o4000, 0o2000, 0o1000, 0o421, 0o124, 0o600]) {
        await t.works(t.chmod(kind, mode))
        await t.has(kind, { mode })
      }
    }
  })
  rule(21, 'marks ctime alone, also when the mode is the same', async (t) => {
    await t.create('f')
    await t.touches({ f: 'c' }, () => t.chmod('f', 0o600))
    await t.touches({ f: 'c' }, () => t.chmod('f', 0o600))
    await t.mkdir('d')
    await t.touches({ d: 'c' }, () => t.chmod('d', 0o700))
  })
  rule(22, 'EPERM: the caller is not the owner, whatever the mode allows', async (t) => {
    await t.create('f', 0o666)
    await t.chown('f', alice.uid, TEAM)
    await t.chmod('f', 0o666)
    await t.touches({ f: '' }, async () => {
      await t.fails('EPERM', t.as(bob).chmod('f', 0o777))
      await t.fails('EPERM', t.as(carol).chmod('f', 0o666))
    })
    await t.has('f', { mode: 0o666 })
    await t.works(t.as(alice).chmod('f', 0o600))
    await t.has('f', { mode: 0o600 })
  })
  rule(23, 'the owner needs no other permission', async (t) => {
    await t.create('f')
    await t.chown('f', alice.uid, alice.gid)
    await t.chmod('f', 0)
    await t.works(t.as(alice).chmod('f', 0o400))
    await t.has('f', { mode: 0o400 })
  })
  rule(24, 'follows a symbolic link', async (t) => {
    await t.create('f')
    await t.symlink('f', 'l')
    await t.works(t.chmod('l', 0o611))
    await t.has('f', { mode: 0o611 })
    await t.has('l', { mode: 0o777 })
  })
  rule(25, 'fchmod does the same on a descriptor, even one for reading of a file without names', async (t) => {
    await t.create('f')
    const fd = await t.open('f', 'RDONLY')
    await t.works(t.fchmod(fd, 0o612))
    await t.has('f', { mode: 0o612 })
    await t.touchesOpen(fd, 'c', () => t.fchmod(fd, 0o613))
    await t.fails('EPERM', t.as(alice).fchmod(fd, 0o777))
    await t.unlink('f')
    await t.works(t.fchmod(fd, 0o614))
    t.is('mode', (await t.fstat(fd)).mode, 0o614)
  })
  rule(26, 'a new mode counts for the next call', async (t) => {
    await t.writeFile('f', 'x')
    await t.chmod('f', 0o600)
    for (let round = 0; round < 5; round++) {
      await t.fails('EACCES', t.as(carol).open('f', 'RDONLY'))
      await t.chmod('f', 0o604)
      await t.works(t.as(carol).open('f', 'RDONLY'))
      await t.chmod('f', 0o640)
    }
  })
  rule(27, 'a directory without search permission shows nothing below it, from the next call on', async (t) => {
    await t.mkdir('d', 0o755)
    await t.create('d/f')
    await t.works(t.as(carol).stat('d/f'))
    await t.chmod('d', 0o754)
    await t.fails('EACCES', t.as(carol).stat('d/f'))
    await t.gives(['f'], t.as(carol).list('d'))
    await t.chmod('d', 0o751)
    await t.works(t.as(carol).stat('d/f'))
    await t.fails('EACCES', t.as(carol).list('d'))
  })
})

export const chown = group('chown', (rule) => {
  pathRules(rule, {
    name: 'chown',
    finds: 'file',
    act: (calls, path) => calls.chown(path, -1, TEAM),
    dangling: 'ENOENT',
    loop: 'ELOOP',
    slash: ['ENOTDIR'],
  })
  rule(20, 'root sets owner and group of every kind; -1 leaves one as it is', async (t) => {
    for (const kind of KINDS) {
      await t.make(kind, kind)
      await t.works(t.chown(kind, 123, 456))
      await t.has(kind, { uid: 123, gid: 456 })
      await t.works(t.chown(kind, -1, 457))
      await t.has(kind, { uid: 123, gid: 457 })
      await t.works(t.chown(kind, 124, -1))
      await t.has(kind, { uid: 124, gid: 457 })
      await t.works(t.chown(kind, -1, -1))
      await t.has(kind, { uid: 124, gid: 457 })
    }
  })
  rule(21, 'marks ctime alone', async (t) => {
    await t.create('f')
    await t.touches({ f: 'c' }, () => t.chown('f', 123, 456))
    await t.touches({ f: 'c' }, () => t.chown('f', 123, 456))
    await t.mkdir('d')
    await t.touches({ d: 'c' }, () => t.chown('d', -1, 456))
  })
  rule(22, 'EPERM: nobody but root gives a file away, or takes one', async (t) => {
    await t.as(alice).create('f')
    await t.touches({ f: '' }, async () => {
      await t.fails('EPERM', t.as(alice).chown('f', bob.uid, -1))
      await t.fails('EPERM', t.as(alice).chown('f', bob.uid, TEAM))
      await t.fails('EPERM', t.as(alice).chown('f', 0, -1))
      await t.fails('EPERM', t.as(bob).chown('f', bob.uid, -1))
    })
    await t.has('f', { uid: alice.uid, gid: alice.gid })
  })
  rule(23, 'the owner gives the file to groups he is in', async (t) => {
    await t.as(alice).create('f')
    await t.works(t.as(alice).chown('f', -1, TEAM))
    await t.has('f', { gid: TEAM })
    await t.works(t.as(alice).chown('f', alice.uid, alice.gid))
    await t.has('f', { gid: alice.gid })
    await t.works(t.as(alice).chown('f', alice.uid, -1))
    await t.works(t.as(alice).chown('f', -1, -1))
  })
  rule(24, 'EPERM: the owner gives the file to a group he is not in', async (t) => {
    await t.as(alice).create('f')
    await t.fails('EPERM', t.as(alice).chown('f', -1, CLUB))
    await t.fails('EPERM', t.as(alice).chown('f', alice.uid, CLUB))
    await t.fails('EPERM', t.as(alice).chown('f', -1, 0))
    await t.has('f', { gid: alice.gid })
  })
  rule(25, 'EPERM: a member of the group who is not the owner changes nothing', async (t) => {
    await t.create('f', 0o664)
    await t.chown('f', alice.uid, TEAM)
    await t.fails('EPERM', t.as(bob).chown('f', -1, CLUB))
    await t.fails('EPERM', t.as(bob).chown('f', -1, bob.gid))
    await t.has('f', { uid: alice.uid, gid: TEAM })
  })
  rule(26, 'follows a symbolic link', async (t) => {
    await t.create('f')
    await t.symlink('f', 'l')
    await t.works(t.chown('l', 5, 6))
    await t.has('f', { uid: 5, gid: 6 })
    await t.has('l', { uid: 0, gid: 0 })
  })
  rule(27, 'fchown does the same on a descriptor, even of a file without names', async (t) => {
    await t.create('f')
    const fd = await t.open('f', 'RDONLY')
    await t.works(t.fchown(fd, 7, 8))
    await t.has('f', { uid: 7, gid: 8 })
    await t.fails('EPERM', t.as(alice).fchown(fd, alice.uid, -1))
    await t.unlink('f')
    await t.works(t.fchown(fd, 9, 10))
    const { uid, gid } = await t.fstat(fd)
    t.is('owner and group', [uid, gid], [9, 10])
  })
  rule(28, 'ids have 32 bits', async (t) => {
    await t.create('f')
    for (const id of [65_535, 65_536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 2]) {
      await t.works(t.chown('f', id, id))
      await t.has('f', { uid: id, gid: id })
    }
  })
  rule(29, 'who owns it counts for the next call', async (t) => {
    await t.create('f', 0o600)
    for (const [user, other] of [
      [alice, bob],
      [bob, alice],
    ] as const) {
      await t.chown('f', user.uid, user.gid)
      await t.works(t.as(user).open('f', 'RDWR'))
      await t.fails('EACCES', t.as(other).open('f', 'RDONLY'))
    }
  })
})

export const lchown = group('lchown', (rule) => {
  pathRules(rule, {
    name: 'lchown',
    finds: 'symlink',
    act: (calls, path) => calls.lchown(path, -1, TEAM),
    dangling: 'ok',
    loop: 'ok',
    slash: [],
  })
  rule(20, 'changes the symbolic link itself', async (t) => {
    await t.create('f')
    await t.symlink('f', 'l')
    await t.touches({ l: 'c', f: '' }, () => t.lchown('l', 5, 6))
    await t.has('l', { uid: 5, gid: 6 })
    await t.has('f', { uid: 0, gid: 0 })
  })
  rule(21, 'is chown for everything else', async (t) => {
    for (const kind of KINDS) {
      await t.make(kind, kind)
      await t.works(t.lchown(kind, 5, 6))
      await t.has(kind, { uid: 5, gid: 6 })
    }
  })
  rule(22, 'EPERM: as for chown', async (t) => {
    await t.as(alice).symlink('x', 'l')
    await t.fails('EPERM', t.as(bob).lchown('l', bob.uid, -1))
    await t.fails('EPERM', t.as(alice).lchown('l', bob.uid, -1))
    await t.fails('EPERM', t.as(alice).lchown('l', -1, CLUB))
    await t.works(t.as(alice).lchown('l', -1, TEAM))
    await t.has('l', { uid: alice.uid, gid: TEAM })
  })
})

export const utimens = group('utimens', (rule) => {
  pathRules(rule, {
    name: 'utimensat',
    finds: 'file',
    act: (calls, path) =>
      calls.utimens(path, [
        [1, 2],
        [3, 4],
      ]),
    dangling: 'ENOENT',
    loop: 'ELOOP',
    slash: ['ENOTDIR'],
  })
  rule(20, 'sets both times to the nanosecond, on every kind; ctime is now', async (t) => {
    for (const kind of KINDS) {
      await t.make(kind, kind)
      await t.works(
        t.utimens(kind, [
          [1_000_000_000, 123_456_789],
          [1_500_000_000, 999_999_999],
        ]),
      )
      await t.has(kind, { atime: [1_000_000_000, 123_456_789], mtime: [1_500_000_000, 999_999_999] })
      await t.current('ctime', (await t.lstat(kind)).ctime)
    }
  })
  rule(21, 'UTIME_OMIT leaves a time as it is', async (t) => {
    await t.create('f')
    await t.utimens('f', [
      [100, 1],
      [200, 2],
    ])
    await t.touches({ f: 'ac' }, () => t.utimens('f', [[300, 3], 'omit']))
    await t.has('f', { atime: [300, 3], mtime: [200, 2] })
    await t.touches({ f: 'mc' }, () => t.utimens('f', ['omit', [400, 4]]))
    await t.has('f', { atime: [300, 3], mtime: [400, 4] })
    await t.touches({ f: '' }, () => t.works(t.utimens('f', ['omit', 'omit'])))
  })
  rule(22, 'UTIME_NOW and no times at all set the current time', async (t) => {
    await t.create('f')
    await t.utimens('f', [
      [100, 1],
      [200, 2],
    ])
    await t.works(t.utimens('f', ['now', 'omit']))
    await t.has('f', { mtime: [200, 2] })
    await t.current('atime', (await t.lstat('f')).atime)
    await t.utimens('f', [
      [100, 1],
      [200, 2],
    ])
    await t.works(t.utimens('f', null))
    const { atime, mtime } = await t.lstat('f')
    await t.current('atime', atime)
    await t.current('mtime', mtime)
    t.is('both are one time', atime, mtime)
    await t.utimens('f', [
      [100, 1],
      [200, 2],
    ])
    await t.works(t.utimens('f', ['now', 'now']))
    await t.current('mtime', (await t.lstat('f')).mtime)
  })
  rule(23, 'EPERM: times that are given are set by the owner alone', async (t) => {
    await t.create('f', 0o666)
    await t.chown('f', alice.uid, alice.gid)
    await t.chmod('f', 0o666)
    await t.touches({ f: '' }, async () => {
      await t.fails(
        'EPERM',
        t.as(bob).utimens('f', [
          [1, 0],
          [2, 0],
        ]),
      )
      await t.fails('EPERM', t.as(bob).utimens('f', ['now', [2, 0]]))
      await t.fails('EPERM', t.as(bob).utimens('f', ['now', 'omit']))
      await t.fails('EPERM', t.as(bob).utimens('f', ['omit', 'now']))
    })
    await t.works(
      t.as(alice).utimens('f', [
        [1, 0],
        [2, 0],
      ]),
    )
    await t.has('f', { atime: [1, 0], mtime: [2, 0] })
  })
  rule(24, 'the current time is set by whoever may write; EACCES for others', async (t) => {
    await t.create('f')
    await t.chown('f', alice.uid, TEAM)
    await t.chmod('f', 0o464)
    await t.utimens('f', [
      [1, 0],
      [2, 0],
    ])
    await t.works(t.as(bob).utimens('f', null))
    await t.current('mtime', (await t.lstat('f')).mtime)
    await t.works(t.as(bob).utimens('f', ['now', 'now']))
    await t.fails('EACCES', t.as(carol).utimens('f', null))
    await t.fails('EACCES', t.as(carol).utimens('f', ['now', 'now']))
    await t.works(t.as(alice).utimens('f', null))
    await t.works(t.as(carol).utimens('f', ['omit', 'omit']))
  })
  rule(25, 'EINVAL: nanoseconds out of range', async (t) => {
    await t.create('f')
    await t.touches({ f: '' }, async () => {
      await t.fails(
        'EINVAL',
        t.utimens('f', [
          [1, 1_000_000_000],
          [1, 0],
        ]),
      )
      await t.fails(
        'EINVAL',
        t.utimens('f', [
          [1, 0],
          [1, -1],
        ]),
      )
    })
  })
  rule(26, 'times before 1970 and beyond 2038 are kept', async (t) => {
    await t.create('f')
    for (const s of [-1, -86_400, 0, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 4_102_444_800]) {
      await t.works(
        t.utimens('f', [
          [s, 5],
          [s, 999_999_999],
        ]),
      )
      await t.has('f', { atime: [s, 5], mtime: [s, 999_999_999] })
    }
  })
  rule(27, 'follows a symbolic link; AT_SYMLINK_NOFOLLOW sets those of the link', async (t) => {
    await t.create('f')
    await t.symlink('f', 'l')
    await t.works(
      t.utimens('l', [
        [10, 1],
        [20, 2],
      ]),
    )
    await t.has('f', { mtime: [20, 2] })
    await t.works(
      t.lutimens('l', [
        [30, 3],
        [40, 4],
      ]),
    )
    await t.has('l', { mtime: [40, 4] })
    await t.has('f', { mtime: [20, 2] })
    await t.works(
      t.lutimens('f', [
        [50, 5],
        [60, 6],
      ]),
    )
    await t.has('f', { atime: [50, 5], mtime: [60, 6] })
  })
  rule(28, 'futimens does the same on a descriptor, even of a file without names', async (t) => {
    await t.create('f')
    const fd = await t.open('f', 'RDWR')
    await t.works(
      t.futimens(fd, [
        [10, 1],
        [20, 2],
      ]),
    )
    await t.has('f', { atime: [10, 1], mtime: [20, 2] })
    await t.fails(
      'EPERM',
      t.as(alice).futimens(fd, [
        [1, 0],
        [1, 0],
      ]),
    )
    await t.unlink('f')
    await t.works(
      t.futimens(fd, [
        [30, 3],
        [40, 4],
      ]),
    )
    t.is('mtime', (await t.fstat(fd)).mtime, [40, 4])
  })
  rule(29, 'a time that was set stays through a read of attributes, an fsync and a close', async (t) => {
    const fd = await t.open('f', 'RDWR|CREAT')
    await t.write(fd, 'content')
    await t.works(
      t.futimens(fd, [
        [10, 1],
        [20, 2],
      ]),
    )
    await t.works(t.fsync(fd))
    await t.close(fd)
    await t.has('f', { atime: [10, 1], mtime: [20, 2], size: 7 })
  })
})
