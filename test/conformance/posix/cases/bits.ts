/** Sticky and set-group-id directories, set-id bits that are lost, supplementary groups (XSH chmod, chown, write; XBD 4.3). */
import { group } from '../rules.ts'
import { alice, bob, CLUB, carol, root, TEAM, type User } from '../users.ts'

export const sticky = group('sticky', (rule) => {
  const cases: readonly (readonly [User, User, User, boolean])[] = [
    // who acts, owner of the directory, owner of the entry, may he take it
    [alice, root, alice, true],
    [alice, alice, bob, true],
    [alice, root, bob, false],
    [alice, bob, carol, false],
    [alice, carol, root, false],
    [root, alice, bob, true],
    [bob, bob, bob, true],
  ]
  const place = async (t: Parameters<Parameters<typeof rule>[2]>[0], dir: string, owner: User, mode = 0o1777) => {
    await t.mkdir(dir)
    await t.chown(dir, owner.uid, owner.gid)
    await t.chmod(dir, mode)
  }
  const who = ([user, dir, entry]: readonly [User, User, User, boolean]): string =>
    `${user.name} in the directory of ${dir.name}, entry of ${entry.name}`

  for (const [i, one] of cases.entries()) {
    const [user, dirOwner, owner, may] = one
    const verdict = may ? 'allowed' : 'EPERM'
    const codes = ['EPERM', 'EACCES']
    rule(20 + i, `a name in a sticky directory goes by the owner of either: ${who(one)}: ${verdict}`, async (t) => {
      await place(t, 'd', dirOwner)
      await t.mkdir('free', 0o777)
      await t.chmod('free', 0o777)
      await t.as(owner).create('d/f')
      await t.as(owner).mkdir('d/e')
      await t.as(owner).create('d/g', 0o666)
      await t.as(owner).create('d/over')
      await t.as(owner).mkdir('d/overdir')
      await t.as(user).create('mine')
      await t.as(user).mkdir('mydir')
      const calls = t.as(user)
      if (may) {
        await t.works(calls.unlink('d/f'))
        await t.works(calls.rmdir('d/e'))
        await t.works(calls.rename('d/g', 'd/h'))
        await t.works(calls.rename('mine', 'd/over'))
        await t.works(calls.rename('mydir', 'd/overdir'))
        return
      }
      await t.touches({ d: '', 'd/f': '', 'd/over': '' }, async () => {
        await t.fails(codes, calls.unlink('d/f'))
        await t.fails(codes, calls.rmdir('d/e'))
        await t.fails(codes, calls.rename('d/g', 'd/h'))
        await t.fails(codes, calls.rename('d/g', 'free/h'))
        await t.fails(codes, calls.rename('mine', 'd/over'))
        await t.fails(codes, calls.rename('mydir', 'd/overdir'))
      })
      for (const path of ['d/f', 'd/e', 'd/g', 'd/over', 'mine'])
        t.that(`${path} stays`, (await t.look(path)) !== undefined)
    })
  }
  rule(30, 'without the bit whoever may write to the directory takes any name', async (t) => {
    await place(t, 'd', root, 0o777)
    await t.as(bob).create('d/f')
    await t.as(bob).mkdir('d/e')
    await t.as(bob).create('d/g')
    await t.works(t.as(alice).unlink('d/f'))
    await t.works(t.as(alice).rmdir('d/e'))
    await t.works(t.as(alice).rename('d/g', 'd/h'))
  })
  rule(31, 'the bit hinders nobody to make names and to write to files', async (t) => {
    await place(t, 'd', root)
    await t.works(t.as(alice).create('d/f', 0o666))
    await t.works(t.as(alice).mkdir('d/e'))
    await t.works(t.as(alice).link('d/f', 'd/g'))
    await t.works(t.as(bob).open('d/f', 'WRONLY|TRUNC'))
    await t.works(t.as(bob).symlink('x', 'd/l'))
  })
  rule(32, 'the bit counts from the call after it is set, until it is taken', async (t) => {
    await place(t, 'd', root, 0o777)
    await t.as(bob).create('d/f')
    await t.as(bob).create('d/g')
    await t.chmod('d', 0o1777)
    await t.fails(['EPERM', 'EACCES'], t.as(alice).unlink('d/f'))
    await t.chmod('d', 0o777)
    await t.works(t.as(alice).unlink('d/f'))
  })
  rule(33, "within a group: members share a directory but not one another's names", async (t) => {
    await t.mkdir('d')
    await t.chown('d', 0, TEAM)
    await t.chmod('d', 0o1770)
    await t.as(alice).create('d/f', 0o660)
    await t.fails(['EPERM', 'EACCES'], t.as(bob).unlink('d/f'))
    await t.fails('EACCES', t.as(carol).unlink('d/f'))
    await t.works(t.as(alice).unlink('d/f'))
  })
})

export const setgid = group('setgid', (rule) => {
  rule(
    20,
    'what is made in a set-group-id directory belongs to its group, whatever groups its maker is in',
    async (t) => {
      await t.mkdir('d')
      await t.chown('d', 0, TEAM)
      await t.chmod('d', 0o2777)
      for (const user of [alice, carol]) {
        const calls = t.as(user)
        await calls.create(`d/f-${user.name}`)
        await calls.mkdir(`d/e-${user.name}`)
        await calls.symlink('x', `d/l-${user.name}`)
        await calls.mknod(`d/p-${user.name}`, 'fifo')
        for (const kind of ['f', 'e', 'l', 'p']) await t.has(`d/${kind}-${user.name}`, { uid: user.uid, gid: TEAM })
      }
    },
  )
  rule(21, 'a directory in it has the bit, too; a file has not', async (t) => {
    await t.mkdir('d')
    await t.chown('d', 0, TEAM)
    await t.chmod('d', 0o2777)
    await t.as(carol).mkdir('d/e', 0o755)
    await t.has('d/e', { mode: 0o2755 })
    await t.as(carol).mkdir('d/e/deeper', 0o700)
    await t.has('d/e/deeper', { mode: 0o2700, gid: TEAM })
    await t.as(carol).create('d/f', 0o755)
    await t.has('d/f', { mode: 0o755 })
  })
  rule(22, 'without the bit it is the group of its maker', async (t) => {
    await t.mkdir('d')
    await t.chown('d', 0, TEAM)
    await t.chmod('d', 0o777)
    await t.as(alice).create('d/f')
    await t.as(alice).mkdir('d/e')
    await t.has('d/f', { gid: alice.gid })
    await t.has('d/e', { gid: alice.gid, mode: 0o755 })
  })
  rule(23, 'the bit is not given to a runnable file of a group its maker is not in', async (t) => {
    await t.mkdir('d')
    await t.chown('d', 0, TEAM)
    await t.chmod('d', 0o2777)
    await t.as(carol).create('d/f', 0o2755)
    await t.has('d/f', { mode: 0o755, gid: TEAM })
    await t.as(alice).create('d/g', 0o2755)
    await t.has('d/g', { mode: 0o2755, gid: TEAM })
  })
  rule(24, "chmod by an owner who is not in the file's group drops the bit; root and members keep it", async (t) => {
    await t.create('f')
    await t.chown('f', carol.uid, TEAM)
    await t.works(t.as(carol).chmod('f', 0o2755))
    await t.has('f', { mode: 0o755 })
    await t.works(t.as(carol).chmod('f', 0o6755))
    await t.has('f', { mode: 0o4755 })
    await t.works(t.chmod('f', 0o2755))
    await t.has('f', { mode: 0o2755 })
    await t.chown('f', alice.uid, TEAM)
    await t.works(t.as(alice).chmod('f', 0o2751))
    await t.has('f', { mode: 0o2751 })
  })
  rule(25, 'a directory that moves in keeps its group', async (t) => {
    await t.mkdir('d')
    await t.chown('d', 0, TEAM)
    await t.chmod('d', 0o2777)
    await t.mkdir('e', 0o755)
    await t.create('f')
    await t.rename('e', 'd/e')
    await t.rename('f', 'd/f')
    await t.has('d/e', { gid: 0, mode: 0o755 })
    await t.has('d/f', { gid: 0 })
  })
})

export const setid = group('setid', (rule) => {
  const prepare = async (t: Parameters<Parameters<typeof rule>[2]>[0], path: string, mode = 0o6777, gid = TEAM) => {
    await t.writeFile(path, 'content')
    await t.chown(path, alice.uid, gid)
    await t.chmod(path, mode)
  }
  for (const [i, user] of [alice, bob, carol].entries()) {
    rule(20 + i, `writing drops set-user-id and set-group-id of a program: by ${user.name}, owner alice`, async (t) => {
      await prepare(t, 'f')
      const fd = await t.as(user).open('f', 'WRONLY')
      await t.has('f', { mode: 0o6777 })
      await t.works(t.as(user).write(fd, 'x'))
      await t.has('f', { mode: 0o777 })
      await prepare(t, 'g')
      await t.works(t.as(user).pwrite(await t.as(user).open('g', 'RDWR'), 'x', 100))
      await t.has('g', { mode: 0o777 })
    })
    rule(25 + i, `cutting drops them, too: by ${user.name}, owner alice`, async (t) => {
      await prepare(t, 'f')
      await t.works(t.as(user).truncate('f', 3))
      await t.has('f', { mode: 0o777, size: 3 })
      await prepare(t, 'g')
      await t.works(t.as(user).ftruncate(await t.as(user).open('g', 'RDWR'), 3))
      await t.has('g', { mode: 0o777 })
      await prepare(t, 'h')
      await t.works(t.as(user).open('h', 'WRONLY|TRUNC'))
      await t.has('h', { mode: 0o777, size: 0 })
    })
  }
  rule(30, 'root writes and cuts without dropping them', async (t) => {
    await prepare(t, 'f')
    await t.works(t.pwrite(await t.open('f', 'WRONLY'), 'x', 0))
    await t.works(t.truncate('f', 3))
    await t.works(t.open('f', 'WRONLY|TRUNC'))
    await t.has('f', { mode: 0o6777 })
  })
  rule(31, 'set-group-id without group execute is no program: writing by a member leaves it', async (t) => {
    await prepare(t, 'f', 0o2767)
    await t.works(t.as(alice).pwrite(await t.as(alice).open('f', 'WRONLY'), 'x', 0))
    await t.has('f', { mode: 0o2767 })
  })
  rule(32, 'chown by anybody drops them of a program', async (t) => {
    await prepare(t, 'f')
    await t.works(t.as(alice).chown('f', -1, alice.gid))
    await t.has('f', { mode: 0o777, gid: alice.gid })
    for (const [uid, gid] of [
      [bob.uid, -1],
      [-1, CLUB],
      [0, 0],
    ] as const) {
      await prepare(t, 'f')
      await t.works(t.chown('f', uid, gid))
      await t.has('f', { mode: 0o777 })
    }
  })
  rule(33, 'chown drops them of no directory, and not set-group-id of what is no program', async (t) => {
    await t.mkdir('d')
    await t.chmod('d', 0o7777)
    await t.works(t.chown('d', alice.uid, TEAM))
    await t.has('d', { mode: 0o7777 })
    await prepare(t, 'f', 0o6764)
    await t.works(t.chown('f', bob.uid, -1))
    await t.has('f', { mode: 0o2764 })
  })
  rule(34, 'reading, linking, renaming and setting times leave them', async (t) => {
    await prepare(t, 'f')
    await t.works(t.as(bob).readFile('f'))
    await t.works(t.as(alice).link('f', 'g'))
    await t.works(t.as(alice).rename('g', 'h'))
    await t.works(
      t.as(alice).utimens('f', [
        [1, 1],
        [2, 2],
      ]),
    )
    await t.works(t.as(alice).unlink('h'))
    await t.has('f', { mode: 0o6777, nlink: 1 })
  })
  rule(35, 'the owner sets them again', async (t) => {
    await prepare(t, 'f')
    await t.as(alice).pwrite(await t.as(alice).open('f', 'WRONLY'), 'x', 0)
    await t.works(t.as(alice).chmod('f', 0o6755))
    await t.has('f', { mode: 0o6755 })
  })
  rule(36, 'the bits are dropped in the same call that writes: nobody sees new content with them', async (t) => {
    await prepare(t, 'f')
    const fd = await t.as(bob).open('f', 'WRONLY')
    await t.touches({ f: 'mc' }, () => t.as(bob).write(fd, 'other'))
    await t.holds('f', 'othernt')
    await t.has('f', { mode: 0o777 })
  })
  rule(37, 'a write of no bytes and one that is refused leave them', async (t) => {
    await prepare(t, 'f', 0o6755)
    const fd = await t.as(alice).open('f', 'WRONLY')
    await t.works(t.as(alice).write(fd, ''))
    await t.fails('EACCES', t.as(carol).truncate('f', 0))
    await t.fails('EPERM', t.as(bob).chown('f', -1, CLUB))
    await t.fails('EPERM', t.as(carol).chmod('f', 0o777))
    await t.has('f', { mode: 0o6755 })
  })
  rule(38, 'the sticky bit of a file is kept through writes', async (t) => {
    await prepare(t, 'f', 0o1777)
    await t.works(t.as(bob).pwrite(await t.as(bob).open('f', 'WRONLY'), 'x', 0))
    await t.has('f', { mode: 0o1777 })
  })
})

export const groups = group('groups', (rule) => {
  const many: User = {
    name: 'member of 40 groups',
    uid: 61_010,
    gid: 61_010,
    groups: Array.from({ length: 40 }, (_, i) => 62_000 + i),
  }
  rule(20, 'every supplementary group counts, the 17th and the 40th as well', async (t) => {
    await t.writeFile('f', 'content')
    await t.mkdir('d')
    await t.chmod('d', 0o070)
    for (const gid of [many.groups[0]!, many.groups[15]!, many.groups[16]!, many.groups[31]!, many.groups[39]!]) {
      await t.chown('f', 0, gid)
      await t.chmod('f', 0o060)
      await t.chown('d', 0, gid)
      await t.works(t.as(many).open('f', 'RDWR'))
      await t.works(t.as(many).create(`d/${gid}`))
      t.is('entries', (await t.as(many).list('d')).length > 0, true)
      await t.fails('EACCES', t.as(alice).open('f', 'RDONLY'))
    }
  })
  rule(21, 'he gives his files to each of them, and keeps set-group-id there', async (t) => {
    await t.as(many).create('f')
    for (const gid of [many.groups[0]!, many.groups[16]!, many.groups[39]!]) {
      await t.works(t.as(many).chown('f', -1, gid))
      await t.works(t.as(many).chmod('f', 0o2755))
      await t.has('f', { gid, mode: 0o2755 })
    }
    await t.fails('EPERM', t.as(many).chown('f', -1, 62_040))
  })
  rule(22, 'being in a group can only be worse than being other, when the bits say so', async (t) => {
    await t.create('f')
    await t.chown('f', 0, many.groups[39]!)
    await t.chmod('f', 0o606)
    await t.fails('EACCES', t.as(many).open('f', 'RDONLY'))
    await t.works(t.as(carol).open('f', 'RDWR'))
  })
  rule(23, 'the same uid with other groups is told apart at once', async (t) => {
    await t.create('f')
    await t.chown('f', 0, TEAM)
    await t.chmod('f', 0o640)
    const without: User = { ...alice, groups: [] }
    for (let i = 0; i < 5; i++) {
      await t.works(t.as(alice).open('f', 'RDONLY'))
      await t.fails('EACCES', t.as(without).open('f', 'RDONLY'))
    }
  })
})
