/** Names that other systems refuse, deep trees, races for one name. */
import { group } from '../rules.ts'

export const names = group('names', (rule) => {
  rule(20, 'names that differ in one byte are different: case, composition, trailing dots and blanks', async (t) => {
    const list = [
      'a',
      'A',
      'a.',
      'a ',
      ' a',
      '\xc3\xa9',
      'e\xcc\x81',
      'E\xcc\x81',
      '\xe9',
      'a\xff',
      'a\xfe',
      'CON',
      'aux.txt',
    ]
    for (const name of [...list, 'a:b', 'a\\b', '*?<>|"', '-rf', '~', '.hidden', '\x01', '\t']) {
      await t.works(t.create(name))
      await t.writeFile(name, name)
    }
    for (const name of list) await t.holds(name, name)
    t.is('number of entries', (await t.list('.')).length, list.length + 8)
  })
  rule(21, 'names of three dots and more are names like others', async (t) => {
    for (const name of ['...', '....', '..a', '.a.', 'a..']) {
      await t.works(t.mkdir(name))
      await t.has(name, { type: 'dir' })
    }
  })
  rule(22, 'each length of name up to 255 bytes', async (t) => {
    await t.mkdir('d')
    for (const length of [1, 2, 7, 8, 15, 16, 31, 63, 64, 127, 128, 200, 250, 251, 252, 253, 254, 255]) {
      const name = 'n'.repeat(length)
      await t.works(t.create(`d/${name}`))
      await t.has(`d/${name}`, { type: 'file' })
    }
    t.is('entries', (await t.list('d')).length, 18)
  })
  rule(23, 'a tree deeper than PATH_MAX is made and read by way of descriptors', async (t) => {
    const name = 'd'.repeat(250)
    await t.mkdir(name)
    let dir = await t.open(name, 'RDONLY|DIRECTORY')
    for (let depth = 0; depth < 20; depth++) {
      await t.mkdirAt(dir, name)
      dir = await t.openAt(dir, name, 'RDONLY|DIRECTORY')
    }
    await t.works(t.openAt(dir, 'f', 'WRONLY|CREAT'))
    const entries = await t.getdents(dir, 4096)
    t.that(
      'the file is there',
      entries.some(([entry]) => entry === 'f'),
    )
    t.is('links of the deepest', (await t.fstat(dir)).nlink, 2)
    await t.fails('ENAMETOOLONG', t.stat(`${name}/`.repeat(17)))
    await t.has(`${name}/`.repeat(16), { type: 'dir' })
  })
  rule(24, 'of many who make one name with O_EXCL, one succeeds', async (t) => {
    for (let round = 0; round < 10; round++) {
      const tallies = await Promise.all([1, 2, 3].map((n) => t.beside(n).tally([['create', [`f${round}`, 0o644]]])))
      t.is('successes', tallies.filter((tally) => tally['ok'] === 1).length, 1)
      t.is('EEXIST', tallies.filter((tally) => tally['EEXIST'] === 1).length, 2)
    }
  })
  rule(25, 'of many who make one directory, one succeeds; of many who remove it, one', async (t) => {
    for (let round = 0; round < 5; round++) {
      const made = await Promise.all([1, 2, 3].map((n) => t.beside(n).tally([['mkdir', ['d', 0o755]]])))
      t.is('makers', made.filter((tally) => tally['ok'] === 1).length, 1)
      const removed = await Promise.all([1, 2, 3].map((n) => t.beside(n).tally([['rmdir', ['d']]])))
      t.is('removers', removed.filter((tally) => tally['ok'] === 1).length, 1)
      t.is('ENOENT', removed.filter((tally) => tally['ENOENT'] === 1).length, 2)
    }
  })
  rule(26, 'link as a lock: of many who link to one name, one succeeds', async (t) => {
    for (const n of [1, 2, 3]) await t.create(`own${n}`)
    for (let round = 0; round < 5; round++) {
      const tallies = await Promise.all(
        [1, 2, 3].map((n) => t.beside(n).tally([['link', [`own${n}`, `lock${round}`]]])),
      )
      t.is('successes', tallies.filter((tally) => tally['ok'] === 1).length, 1)
      await t.has(`lock${round}`, { nlink: 2 })
      await t.unlink(`lock${round}`)
    }
  })
  rule(27, 'link counts agree with what several processes made at the same time', async (t) => {
    await t.mkdir('d')
    await t.create('f')
    const work = (n: number) =>
      Array.from({ length: 20 }, (_, i) => [
        ['mkdir', [`d/${n}-${i}`, 0o755]] as const,
        ['link', ['f', `d/link${n}-${i}`]] as const,
      ]).flat()
    const done = await Promise.all([1, 2, 3].map((n) => t.beside(n).tally(work(n))))
    for (const tally of done) t.is('calls', tally, { ok: 40 })
    await t.has('d', { nlink: 62 })
    await t.has('f', { nlink: 61 })
    t.is('entries', (await t.list('d')).length, 120)
  })
})
