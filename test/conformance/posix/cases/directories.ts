/** readdir, rewinddir, seekdir: what a directory lists, also while it changes (XSH readdir). */
import type { Calls, Entry, Handle } from '../calls.ts'
import { group } from '../rules.ts'
import type { Trial } from '../trial.ts'
import { alice, carol } from '../users.ts'
import { pathRules } from './paths.ts'

/** Room for a handful of short names: makes a listing of many calls. */
const SMALL = 256

export const readdir = group('readdir', (rule) => {
  pathRules(rule, {
    name: 'opendir and readdir',
    finds: 'dir',
    act: (calls, path) => calls.list(path),
    dangling: 'ENOENT',
    loop: 'ELOOP',
    slash: [],
  })
  rule(20, 'lists every entry once, with its inode and its type, and both dots', async (t) => {
    await t.mkdir('d')
    const kinds = ['file', 'dir', 'fifo', 'symlink', 'socket', 'char', 'block'] as const
    for (const kind of kinds) await t.make(kind, `d/${kind}`)
    const entries = await rest(t, await t.open('d', 'RDONLY|DIRECTORY'), 4096)
    t.is('names', entries.map(([name]) => name).sort(), ['.', '..', ...kinds].sort())
    for (const kind of kinds) {
      const [, type, ino] = entries.find(([name]) => name === kind)!
      t.among(`type of ${kind}`, type, [kind, 'unknown'])
      await t.has(`d/${kind}`, { ino })
    }
    await t.has('d', { ino: entries.find(([name]) => name === '.')![2] })
    await t.has('.', { ino: entries.find(([name]) => name === '..')![2] })
  })
  rule(21, 'EACCES: no permission to read the directory; search permission is no matter', async (t) => {
    await t.mkdir('d', 0o711)
    await t.fails('EACCES', t.as(carol).list('d'))
    await t.chmod('d', 0o744)
    await t.gives([], t.as(carol).list('d'))
    await t.chown('d', alice.uid, alice.gid)
    await t.chmod('d', 0o377)
    await t.fails('EACCES', t.as(alice).list('d'))
    await t.gives([], t.list('d'))
  })
  rule(22, 'ENOTDIR: no directory', async (t) => {
    for (const kind of ['file', 'fifo', 'socket'] as const) {
      await t.make(kind, kind)
      await t.fails('ENOTDIR', t.list(kind))
    }
    const fd = await t.open('file', 'RDONLY')
    await t.fails('ENOTDIR', t.getdents(fd, 4096))
  })
  rule(23, 'lists a thousand entries, each once, whatever the buffer holds', async (t) => {
    await t.mkdir('d')
    await t.makeMany('d/some-name-', 0, 1000)
    const expected = Array.from({ length: 1000 }, (_, i) => `some-name-${i}`).sort()
    for (const size of [SMALL, 1000, 32_768, 1 << 20]) {
      const names = namesOf(await rest(t, await t.open('d', 'RDONLY|DIRECTORY'), size))
      t.that(`each once, with a buffer of ${size}`, JSON.stringify(names.sort()) === JSON.stringify(expected))
    }
    t.is('entries', (await t.list('d')).length, 1000)
  })
  rule(24, 'seekdir: from the position of each entry the rest is listed again', async (t) => {
    await t.mkdir('d')
    await t.makeMany('d/f', 0, 40)
    const fd = await t.open('d', 'RDONLY|DIRECTORY')
    const all = await rest(t, fd, SMALL)
    for (let i = 0; i < all.length; i += 3) {
      await t.lseek(fd, all[i]![3], 'SET')
      const again = await rest(t, fd, 4096)
      t.is(`entries after number ${i}`, namesOf(again, true), namesOf(all.slice(i + 1), true))
    }
  })
  rule(25, 'seekdir: a position stays good when entries around it come and go', async (t) => {
    await t.mkdir('d')
    await t.makeMany('d/f', 0, 60)
    const fd = await t.open('d', 'RDONLY|DIRECTORY')
    const all = await rest(t, fd, SMALL)
    const middle = all.findIndex(([name], i) => i > 25 && name !== '.' && name !== '..')
    const before = namesOf(all.slice(0, middle)).slice(0, 10)
    for (const name of before) await t.unlink(`d/${name}`)
    await t.unlink(`d/${all[middle]![0]}`)
    await t.lseek(fd, all[middle]![3], 'SET')
    const again = namesOf(await rest(t, fd, SMALL))
    t.is('entries after it', again, namesOf(all.slice(middle + 1)))
  })
  rule(26, 'rewinddir: the listing begins anew, with what is there by then', async (t) => {
    await t.mkdir('d')
    await t.makeMany('d/f', 0, 3)
    const fd = await t.open('d', 'RDONLY|DIRECTORY')
    await rest(t, fd, 4096)
    await t.gives([], t.getdents(fd, 4096))
    await t.create('d/new')
    await t.unlink('d/f1')
    await t.lseek(fd, 0, 'SET')
    t.is('entries', namesOf(await rest(t, fd, 4096)).sort(), ['f0', 'f2', 'new'])
  })
  rule(27, 'entries that go while it is read: those that stay are listed once, none twice', async (t) => {
    await t.mkdir('d')
    await t.makeMany('d/f', 0, 200)
    const fd = await t.open('d', 'RDONLY|DIRECTORY')
    const seen: string[] = []
    const removed = new Set<string>()
    for (let i = 0; ; i++) {
      const entries = await t.getdents(fd, SMALL)
      if (entries.length === 0) break
      seen.push(...namesOf(entries))
      // every third goes, seen or not
      for (let k = 0; k < 5; k++) {
        const name = `f${(i * 5 + k) * 3}`
        if ((i * 5 + k) * 3 < 200) {
          await t.unlink(`d/${name}`)
          removed.add(name)
        }
      }
    }
    t.is('names listed twice', doubled(seen), [])
    const stayed = Array.from({ length: 200 }, (_, i) => `f${i}`).filter((name) => !removed.has(name))
    t.is('names that stayed and are missing', missing(seen, stayed), [])
    t.is('what is left', (await t.list('d')).length, stayed.length)
  })
  rule(28, 'entries that come while it is read: those that were there are listed once, none twice', async (t) => {
    await t.mkdir('d')
    await t.makeMany('d/f', 0, 100)
    const fd = await t.open('d', 'RDONLY|DIRECTORY')
    const seen: string[] = []
    for (let i = 0; i < 200; i++) {
      const entries = await t.getdents(fd, SMALL)
      if (entries.length === 0) break
      seen.push(...namesOf(entries))
      if (i < 30) await t.makeMany(`d/new${i}-`, 0, 3)
    }
    t.is('names listed twice', doubled(seen), [])
    t.is(
      'names that were there and are missing',
      missing(
        seen,
        Array.from({ length: 100 }, (_, i) => `f${i}`),
      ),
      [],
    )
  })
  rule(29, 'removing what each call lists, as rm -r does, leaves nothing behind', async (t) => {
    await t.mkdir('d')
    await t.makeMany('d/f', 0, 300)
    const fd = await t.open('d', 'RDONLY|DIRECTORY')
    for (let entries = await t.getdents(fd, 1024); entries.length > 0; entries = await t.getdents(fd, 1024)) {
      for (const name of namesOf(entries)) await t.unlink(`d/${name}`)
    }
    t.is('entries left', await t.list('d'), [])
    await t.works(t.rmdir('d'))
  })
  rule(30, 'while another process makes and removes files, what stays is in every listing once', async (t) => {
    await t.mkdir('d')
    await t.makeMany('d/stay', 0, 100)
    const expected = Array.from({ length: 100 }, (_, i) => `stay${i}`).sort()
    const [listings] = await Promise.all([t.beside(1).listings('d', 20), t.beside(2).churn('d/churn', 30, 6)])
    for (const [i, names] of listings.entries()) {
      const stayed = names.filter((name) => name.startsWith('stay'))
      t.that(`listing ${i} has each once`, JSON.stringify(stayed) === JSON.stringify(expected))
      t.is(`listing ${i}: names twice`, doubled(names), [])
    }
    t.is('afterwards', await t.list('d'), expected)
  })
  rule(31, 'while files are renamed to and fro, what stays is in every listing once', async (t) => {
    await t.mkdir('d')
    await t.makeMany('d/stay', 0, 50)
    await t.create('d/a')
    const swaps = Array.from(
      { length: 60 },
      (_, i) => ['rename', i % 2 === 0 ? ['d/a', 'd/b'] : ['d/b', 'd/a']] as const,
    )
    const [listings, done] = await Promise.all([t.beside(1).listings('d', 20), t.beside(2).tally(swaps)])
    t.is('renames', done, { ok: 60 })
    for (const [i, names] of listings.entries())
      t.is(`listing ${i}`, names.filter((name) => name.startsWith('stay')).length, 50)
  })
  rule(32, 'EINVAL: not even one entry fits', async (t) => {
    await t.mkdir('d')
    const fd = await t.open('d', 'RDONLY|DIRECTORY')
    await t.fails('EINVAL', t.getdents(fd, 10))
  })
  rule(33, 'names of any bytes are listed as they are', async (t) => {
    await t.mkdir('d')
    const names = [
      '\xff\xfe',
      'a\nb',
      '\xc3\xa9',
      'e\xcc\x81',
      ' ',
      '...',
      'n'.repeat(255),
      '\x7f',
      '*',
      'A',
      'a',
    ].sort()
    for (const name of names) await t.create(`d/${name}`)
    t.is('entries', await t.list('d'), names)
    t.is('entries by small buffers', namesOf(await rest(t, await t.open('d', 'RDONLY'), 512)).sort(), names)
  })
  rule(34, 'two descriptors read each on its own', async (t) => {
    await t.mkdir('d')
    await t.makeMany('d/f', 0, 50)
    const one = await t.open('d', 'RDONLY|DIRECTORY')
    const two = await t.open('d', 'RDONLY|DIRECTORY')
    const first = await t.getdents(one, SMALL)
    t.is('both begin at the start', namesOf(await t.getdents(two, SMALL), true), namesOf(first, true))
    const others = await rest(t, one, SMALL)
    t.is('all by the one', namesOf([...first, ...others]).length, 50)
    t.is('the rest by the other', namesOf(await rest(t, two, SMALL), true), namesOf(others, true))
  })
  rule(35, 'marks atime of the directory, and nothing else', async (t) => {
    await t.mkdir('d')
    await t.create('d/f')
    await t.utimens('d', [
      [1000, 0],
      [2000, 0],
    ])
    await t.touches({ d: 'a', 'd/f': '' }, () => t.list('d'))
  })
  rule(36, 'each change is in the next listing', async (t) => {
    await t.mkdir('d')
    for (let i = 0; i < 5; i++) {
      await t.create(`d/f${i}`)
      t.is('entries', (await t.list('d')).length, i + 1)
    }
    await t.rename('d/f0', 'g')
    t.is('entries', await t.list('d'), ['f1', 'f2', 'f3', 'f4'])
    await t.rename('g', 'd/f1')
    t.is('entries', await t.list('d'), ['f1', 'f2', 'f3', 'f4'])
    await t.link('d/f1', 'd/h')
    await t.unlink('d/f2')
    t.is('entries', await t.list('d'), ['f1', 'f3', 'f4', 'h'])
  })
})

/** All entries from where the descriptor is. */
async function rest(t: Trial | Calls, fd: Handle, size: number): Promise<Entry[]> {
  const all: Entry[] = []
  for (;;) {
    const entries = await t.getdents(fd, size)
    if (entries.length === 0) return all
    all.push(...entries)
  }
}

function namesOf(entries: readonly Entry[], dots = false): string[] {
  return entries.map(([name]) => name).filter((name) => dots || (name !== '.' && name !== '..'))
}

function doubled(names: readonly string[]): string[] {
  return names.filter((name, i) => names.indexOf(name) !== i)
}

function missing(seen: readonly string[], expected: readonly string[]): string[] {
  const set = new Set(seen)
  return expected.filter((name) => !set.has(name))
}
