import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { keepPassword, newToken, readUserFile, type UserFile, Users, writeUserFile } from '../../../src/export/index.ts'
import { passwordMatches } from '../../../src/export/users/passwords.ts'
import { parseUserFile } from '../../../src/export/users/user-file.ts'
import { silentLog } from '../../../src/platform/index.ts'
import { handClock } from '../metadata/fixture.ts'

const dir = mkdtempSync(join(tmpdir(), 'matrixfs-users-'))
test.after(() => rmSync(dir, { recursive: true, force: true }))
const path = join(dir, 'users.toml')

test('a password is kept as scrypt with its cost, and matches itself alone', async () => {
  const kept = await keepPassword('Pässwort 1')
  assert.match(kept, /^scrypt:15:8:1:[\w-]{22}:[\w-]{43}$/)
  assert.not.match(kept, 'sswort')
  assert.is(await passwordMatches('Pässwort 1', kept), true)
  assert.is(await passwordMatches('Pa\u0308sswort 1', kept), true, 'however the letter is put together')
  assert.is(await passwordMatches('pässwort 1', kept), false)
  assert.is(await passwordMatches('', kept), false)
  assert.is.not(await keepPassword('Pässwort 1'), kept, 'salted')
  for (const wrong of ['', 'Pässwort 1', kept.slice(1), kept.replace(':15:', ':25:'), kept.replace(':8:', ':99:')])
    assert.is(await passwordMatches('Pässwort 1', wrong), false, wrong)
})

test('a file that is no list of users says where and why', () => {
  const user = (more: string) => `[[users]]\nname = "ann"\nuid = 1\ngid = 1\n${more}`
  for (const [text, why] of [
    ['[[users]', /u:\d+:\d+/],
    ['users = 5', /users/],
    ['[[users]]\nname = "a b"\nuid = 1\ngid = 1', /name/],
    ['[[users]]\nname = "a:b"\nuid = 1\ngid = 1', /name/],
    ['[[users]]\nname = "a"\nuid = -1\ngid = 1', /uid/],
    [user('password = "plain"'), /matrix user passwd/],
    [user('tokens = [{ label = "x", sha256 = "y" }]'), /64 hexadecimal/],
    [user('shell = "/bin/sh"'), /shell/],
    [user('groups = ["none"]'), /no group none/],
    [user(user('')), /twice/],
  ] as [string, RegExp][]) {
    try {
      parseUserFile('u', text)
      assert.unreachable(text)
    } catch (error) {
      assert.ok(isMatrixError(error, 'config'), String(error))
      assert.match((error as Error).message, why)
    }
  }
})

test('users are written whole, for their owner alone, and taken anew when they change', async () => {
  const clock = handClock()
  let now = 0
  const moving = { ...clock, now: () => now }
  const { secret, record } = newToken('laptop')
  const old = newToken('old', new Date(0))
  const file: UserFile = {
    users: [
      {
        name: 'ann',
        uid: 1000,
        gid: 100,
        groups: ['staff'],
        password: await keepPassword('password'),
        tokens: [record, old.record],
      },
      { name: '__proto__', uid: 1001, gid: 100, groups: [], tokens: [] },
    ],
    groups: [{ name: 'staff', gid: 50 }],
  }
  writeUserFile(path, file)
  assert.is(statSync(path).mode & 0o777, 0o600)
  assert.equal(readUserFile(path), file)
  assert.not.match(readFileSync(path, 'utf8'), secret)
  const users = new Users(path, moving, silentLog)
  const ann = { name: 'ann', groups: ['staff'], caller: { uid: 1000, gid: 100, gids: [50] } }
  assert.equal(await users.byPassword('ann', 'password'), ann)
  assert.is(await users.byPassword('ann', 'Password'), undefined)
  assert.is(await users.byPassword('bob', 'password'), undefined)
  assert.is(await users.byPassword('__proto__', ''), undefined, 'who has no password has none')
  assert.equal(users.byToken(secret), ann)
  assert.is(users.byToken(old.secret), undefined, 'its time is over')
  assert.is(users.byToken(`${secret}x`), undefined)
  const { version } = users
  // what cannot be read changes nothing
  writeFileSync(path, 'broken')
  now += 2000
  assert.equal(users.byToken(secret), ann)
  assert.is(users.version, version)
  writeUserFile(path, { ...file, users: [] })
  utimesSync(path, 5, 5)
  now += 2000
  assert.is(users.byToken(secret), undefined)
  assert.ok(users.version > version)
  chmodSync(path, 0o644)
  assert.throws(() => readUserFile(path), /mode 644/)
})

test.run()
