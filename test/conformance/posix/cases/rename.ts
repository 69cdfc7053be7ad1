/** rename in all its cases (XSH rename). */
import type { Kind } from '../calls.ts'
import { group } from '../rules.ts'
import { alice, bob, carol } from '../users.ts'
import { pathRules } from './paths.ts'

const OTHERS: readonly Kind[] = ['file', 'fifo', 'symlink', 'socket', 'char', 'block']

export const rename = group('rename', (rule) => {
  pathRules(rule, {
    name: 'rename, old path',
    finds: 'file',
    act: (calls, path, n) => calls.rename(path, `new${n}`),
    dangling: 'ok',
    loop: 'ok',
    slash: ['ENOTDIR'],
  })
  pathRules(rule, {
    name: 'rename, new path',
    second: true,
    ready: async (t, n) => {
      await t.create(`old${n}`)
      await t.chown(`old${n}`, alice.uid, alice.gid)
    },
    act: (calls, path, n) => calls.rename(`old${n}`, path),
    dangling: 'ok',
    loop: 'ok',
    slash: ['ENOTDIR', 'ENOENT'],
  })
  rule(20, 'the object has its new name and no longer its old one; it is the same inode, of every kind', async (t) => {
    for (const kind of [...OTHERS, 'dir'] as const) {
      await t.make(kind, 'a')
      const { ino } = await t.lstat('a')
      await t.works(t.rename('a', `b-${kind}`))
      await t.has(`b-${kind}`, { ino, type: kind, nlink: kind === 'dir' ? 2 : 1 })
      await t.gone('a')
    }
  })
  rule(21, 'EISDIR: new is a directory and old is not', async (t) => {
    await t.mkdir('d')
    for (const kind of OTHERS) {
      await t.make(kind, kind)
      await t.fails(['EISDIR', 'EEXIST'], t.rename(kind, 'd'))
      await t.has(kind, { type: kind })
    }
    await t.has('d', { type: 'dir' })
  })
  rule(22, 'ENOTDIR: old is a directory and new is not', async (t) => {
    await t.mkdir('d')
    for (const kind of OTHERS) {
      await t.make(kind, kind)
      await t.fails('ENOTDIR', t.rename('d', kind))
      await t.has(kind, { type: kind })
    }
    await t.symlink('nowhere', 'dangling')
    await t.fails('ENOTDIR', t.rename('d', 'dangling'))
  })
  rule(23, 'a file takes the place of another, which loses the name', async (t) => {
    for (const kind of OTHERS) {
      await t.make(kind, 'old')
      const { ino } = await t.lstat('old')
      await t.writeFile('new', 'content')
      await t.link('new', `also-${kind}`)
      await t.works(t.rename('old', 'new'))
      await t.has('new', { ino, type: kind, nlink: 1 })
      await t.has(`also-${kind}`, { nlink: 1, type: 'file' })
      await t.gone('old')
      await t.unlink('new')
    }
  })
  rule(24, 'a directory takes the place of an empty one', async (t) => {
    await t.mkdir('old')
    await t.create('old/f')
    await t.mkdir('new')
    const { ino } = await t.lstat('old')
    await t.works(t.rename('old', 'new'))
    await t.has('new', { ino, type: 'dir' })
    t.is('entries', await t.list('new'), ['f'])
    await t.gone('old')
  })
  rule(25, 'EEXIST or ENOTEMPTY: new is a directory that is not empty; nothing changes', async (t) => {
    for (const kind of [...OTHERS, 'dir', 'dangling'] as const) {
      await t.mkdir(`old-${kind}`)
      await t.mkdir(`new-${kind}`)
      await t.make(kind, `new-${kind}/x`)
      await t.fails(['EEXIST', 'ENOTEMPTY'], t.rename(`old-${kind}`, `new-${kind}`))
      await t.has(`old-${kind}`, { type: 'dir' })
      t.is('entries', await t.list(`new-${kind}`), ['x'])
    }
  })
  rule(26, 'EINVAL: a directory into itself or what lies below it', async (t) => {
    await t.mkdir('d')
    await t.mkdir('d/e')
    await t.mkdir('d/e/f')
    await t.fails('EINVAL', t.rename('d', 'd/x'))
    await t.fails('EINVAL', t.rename('d', 'd/e/x'))
    await t.fails('EINVAL', t.rename('d', 'd/e/f'))
    await t.fails('EINVAL', t.rename('d/e', 'd/e/f/x'))
    await t.has('d/e/f', { type: 'dir' })
    await t.works(t.rename('d/e/f', 'd/x'))
  })
  rule(27, 'ENOTEMPTY or EEXIST: new is an ancestor of old', async (t) => {
    await t.mkdir('d')
    await t.mkdir('d/e')
    await t.mkdir('d/e/f')
    await t.fails(['ENOTEMPTY', 'EEXIST'], t.rename('d/e', 'd'))
    await t.fails(['ENOTEMPTY', 'EEXIST'], t.rename('d/e/f', 'd'))
    await t.create('d/e/g')
    await t.fails(['ENOTEMPTY', 'EEXIST', 'EISDIR'], t.rename('d/e/g', 'd'))
  })
  rule(28, 'onto itself: nothing happens', async (t) => {
    await t.create('f')
    await t.mkdir('d')
    await t.mkdir('d/e')
    await t.touches({ f: '', d: '', '.': '' }, async () => {
      await t.works(t.rename('f', 'f'))
      await t.works(t.rename('d', 'd'))
      await t.works(t.rename('./f', 'd/../f'))
    })
    await t.has('d', { nlink: 3 })
  })
  rule(29, 'onto another name of the same file: nothing happens, both names stay', async (t) => {
    await t.mkdir('d')
    await t.create('f')
    await t.link('f', 'g')
    await t.link('f', 'd/h')
    await t.touches({ f: '', d: '', '.': '' }, async () => {
      await t.works(t.rename('f', 'g'))
      await t.works(t.rename('g', 'd/h'))
    })
    for (const path of ['f', 'g', 'd/h']) await t.has(path, { nlink: 3 })
  })
  rule(30, 'marks mtime and ctime of both directories, and not mtime or atime of the file', async (t) => {
    await t.mkdir('d')
    await t.mkdir('e')
    await t.create('d/f')
    // ctime of the file itself: XSH leaves it open; ext4 and most others mark it
    await t.touches({ d: 'mc', e: 'mc', 'd/f>e/f': 'c' }, () => t.rename('d/f', 'e/f'))
    await t.touches({ e: 'mc', d: '' }, () => t.rename('e/f', 'e/g'))
  })
  rule(31, 'marks ctime of a file that loses the name and keeps another', async (t) => {
    await t.mkdir('d')
    await t.create('d/old')
    await t.create('d/new')
    await t.link('d/new', 'kept')
    await t.touches({ d: 'mc', kept: 'c' }, () => t.rename('d/old', 'd/new'))
  })
  rule(32, 'a directory that moves: links of both parents, and its ".."', async (t) => {
    await t.mkdir('a')
    await t.mkdir('b')
    await t.mkdir('a/d')
    await t.mkdir('a/d/e')
    await t.touches({ a: 'mc', b: 'mc' }, () => t.rename('a/d', 'b/d'))
    await t.has('a', { nlink: 2 })
    await t.has('b', { nlink: 3 })
    await t.has('b/d', { nlink: 3 })
    await t.has('b/d/..', { ino: (await t.lstat('b')).ino })
    await t.has('b/d/e/../..', { ino: (await t.lstat('b')).ino })
  })
  rule(33, 'a directory over an empty one: links of the parents', async (t) => {
    await t.mkdir('a')
    await t.mkdir('a/d')
    await t.mkdir('a/e')
    await t.works(t.rename('a/d', 'a/e'))
    await t.has('a', { nlink: 3 })
    await t.mkdir('b')
    await t.mkdir('b/g')
    await t.works(t.rename('a/e', 'b/g'))
    await t.has('a', { nlink: 2 })
    await t.has('b', { nlink: 3 })
  })
  rule(34, 'EACCES: one of the directories may not be written to; nothing changes', async (t) => {
    await t.mkdir('mine', 0o777)
    await t.mkdir('closed', 0o755)
    await t.as(alice).create('mine/f')
    await t.create('closed/g')
    await t.chown('closed/g', alice.uid, alice.gid)
    await t.touches({ mine: '', closed: '', 'mine/f': '', 'closed/g': '' }, async () => {
      await t.fails('EACCES', t.as(alice).rename('mine/f', 'closed/f'))
      await t.fails('EACCES', t.as(alice).rename('closed/g', 'mine/g'))
      await t.fails('EACCES', t.as(alice).rename('closed/g', 'closed/h'))
      await t.fails('EACCES', t.as(alice).rename('mine/f', 'closed/g'))
    })
    await t.gone('closed/f')
    await t.gone('mine/g')
  })
  rule(35, 'EACCES: a directory that moves is written to itself, since its ".." changes', async (t) => {
    await t.mkdir('a', 0o777)
    await t.mkdir('b', 0o777)
    await t.mkdir('a/d', 0o755)
    await t.fails('EACCES', t.as(alice).rename('a/d', 'b/d'))
    await t.works(t.as(alice).rename('a/d', 'a/e'))
    await t.chmod('a/e', 0o757)
    await t.works(t.as(alice).rename('a/e', 'b/d'))
  })
  rule(36, 'permission of a file itself does not matter', async (t) => {
    await t.mkdir('a', 0o777)
    await t.create('a/f', 0)
    await t.create('a/g', 0)
    await t.works(t.as(carol).rename('a/f', 'a/g'))
    await t.has('a/g', { uid: 0, mode: 0 })
  })
  rule(37, 'EINVAL or EBUSY: the last component is "." or ".."', async (t) => {
    await t.mkdir('d')
    await t.mkdir('d/e')
    const codes = ['EINVAL', 'EBUSY', 'ENOTEMPTY', 'EEXIST']
    for (const path of ['.', '..', 'd/.', 'd/..', 'd/e/.', 'd/e/..']) {
      await t.fails(codes, t.rename(path, 'x'))
      await t.fails(codes, t.rename('d/e', path))
    }
    await t.has('d/e', { type: 'dir' })
    await t.gone('x')
  })
  rule(38, 'symbolic links are renamed and replaced themselves, never what they name', async (t) => {
    await t.writeFile('f', 'file')
    await t.writeFile('g', 'other')
    await t.mkdir('d')
    await t.symlink('f', 'l')
    await t.works(t.rename('l', 'm'))
    await t.gives('f', t.readlink('m'))
    await t.works(t.rename('g', 'm'))
    await t.has('m', { type: 'file' })
    await t.holds('f', 'file')
    await t.symlink('d', 'k')
    await t.works(t.rename('f', 'k'))
    await t.has('k', { type: 'file' })
    await t.has('d', { type: 'dir' })
  })
  rule(39, 'a slash behind: of a directory it is fine, of anything else not', async (t) => {
    await t.mkdir('d')
    await t.works(t.rename('d/', 'e/'))
    await t.works(t.rename('e/', 'd'))
    await t.works(t.rename('d', 'e/'))
    await t.create('f')
    await t.fails('ENOTDIR', t.rename('f/', 'g'))
    await t.fails('ENOTDIR', t.rename('f', 'g/'))
    await t.symlink('e', 'l')
    await t.fails(['ENOTDIR', 'EINVAL'], t.rename('l/', 'm'))
  })
  rule(40, 'owner, mode and content move with the object', async (t) => {
    await t.mkdir('d', 0o777)
    await t.writeFile('f', 'content')
    await t.chown('f', bob.uid, carol.gid)
    await t.chmod('f', 0o4751)
    await t.works(t.rename('f', 'd/g'))
    await t.has('d/g', { uid: bob.uid, gid: carol.gid, mode: 0o4751, size: 7 })
    await t.holds('d/g', 'content')
  })
  rule(41, 'a tree moves as a whole', async (t) => {
    await t.mkdir('a')
    await t.mkdir('a/b')
    await t.writeFile('a/b/f', 'deep')
    await t.mkdir('z')
    await t.works(t.rename('a', 'z/a'))
    await t.holds('z/a/b/f', 'deep')
    await t.fails('ENOENT', t.readFile('a/b/f'))
    await t.works(t.rename('z/a/b', 'b'))
    await t.holds('b/f', 'deep')
    t.is('entries', await t.list('z/a'), [])
  })
  rule(42, 'names are swapped by way of a third, over and over', async (t) => {
    await t.writeFile('a', 'A')
    await t.writeFile('b', 'B')
    for (let round = 0; round < 5; round++) {
      await t.rename('a', 't')
      await t.rename('b', 'a')
      await t.rename('t', 'b')
      await t.holds('a', round % 2 === 0 ? 'B' : 'A')
      await t.holds('b', round % 2 === 0 ? 'A' : 'B')
    }
  })
  rule(43, 'at every moment one of the two is there: a name that is replaced never misses', async (t) => {
    await t.writeFile('name', 'x')
    const reader = t.beside(1)
    const writer = t.beside(2)
    const replace = Array.from({ length: 100 }, (_, i) => [
      ['create', [`temp${i}`, 0o644]],
      ['rename', [`temp${i}`, 'name']],
    ]).flat() as [string, unknown[]][]
    const [done, seen] = await Promise.all([
      writer.tally(replace),
      reader.tally(Array.from({ length: 300 }, () => ['lstat', ['name']] as const)),
    ])
    t.is('creates and renames', done, { ok: 200 })
    t.is('lstat of the name', seen, { ok: 300 })
  })
  rule(44, 'of many who rename one file, one succeeds and the others find ENOENT', async (t) => {
    for (let round = 0; round < 10; round++) {
      await t.create(`f${round}`)
      const tallies = await Promise.all(
        [1, 2, 3].map((n) => t.beside(n).tally([['rename', [`f${round}`, `g${round}-${n}`]]])),
      )
      const won = tallies.filter((tally) => tally['ok'] === 1).length
      const lost = tallies.filter((tally) => tally['ENOENT'] === 1).length
      t.is('winners and losers', [won, lost], [1, 2])
    }
  })
  rule(45, 'a failed rename marks no time', async (t) => {
    await t.mkdir('d')
    await t.mkdir('d/e')
    await t.create('d/e/x')
    await t.mkdir('d/g')
    await t.create('d/f')
    await t.touches({ d: '', 'd/e': '', 'd/f': '', 'd/g': '' }, async () => {
      await t.fails(['EISDIR', 'EEXIST'], t.rename('d/f', 'd/g'))
      await t.fails('ENOTDIR', t.rename('d/g', 'd/f'))
      await t.fails(['ENOTEMPTY', 'EEXIST'], t.rename('d/g', 'd/e'))
      await t.fails('ENOENT', t.rename('d/missing', 'd/f'))
    })
  })
})
