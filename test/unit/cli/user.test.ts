/** `matrix user` as people and scripts call it. */
// time limit: 240 s
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { exitCodes } from '../../../config/index.ts'
import { matrixCommand } from '../../helpers/matrix-command.ts'

const cli = join(new URL('../../..', import.meta.url).pathname, 'src/cli/main.ts')

test('matrix user: added, listed, given a token, removed; what is wrong changes nothing', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'matrixfs-user-'))
  test.after(() => rmSync(dir, { recursive: true, force: true }))
  const users = ['--users', join(dir, 'users.toml')]
  const matrix = (stdin: string, ...args: string[]) =>
    spawnSync(process.execPath, [cli, 'user', ...args, ...users], {
      input: stdin,
      encoding: 'utf8',
    })
  const ids = ['--uid', '1000', '--gid', '100']
  assert.is(matrix('short\n', 'add', 'ann', ...ids).status, exitCodes.usage)
  assert.is(matrix('', 'add', 'a:b', '--no-password', ...ids).status, exitCodes.config)
  assert.is(matrix('', 'add', 'ann', '--uid', '-1', '--gid', '1').status, exitCodes.usage)
  assert.is(matrix('', 'list').status, exitCodes.config)
  assert.is(matrix('a long password\n', 'add', 'ann', ...ids, '--group', 'staff=50').status, 0)
  assert.match(matrix('a long password\n', 'add', 'ann', ...ids).stderr, 'there is a user ann already')
  assert.is(matrix('', 'add', 'bob', ...ids, '--no-password', '--group', 'staff').status, 0)
  assert.match(matrix('', 'add', 'eve', ...ids, '--no-password', '--group', 'none').stderr, 'none=GID')
  const { stdout: token } = matrix('', 'token', 'bob', '--label', 'backup', '--days', '3')
  assert.match(token, /^mxt_[\w-]{43}\n$/)
  const { stdout: list } = matrix('', 'list')
  const json = async (...args: string[]) =>
    JSON.parse((await matrixCommand(['user', ...args, ...users, '--json'])).stdout)
  const [ann, bob] = await json('list')
  const staff = [{ name: 'staff', gid: 50 }]
  assert.equal(ann, { name: 'ann', uid: 1000, gid: 100, hasPassword: true, groups: staff, tokens: [] })
  assert.equal([bob.hasPassword, bob.tokens[0].label], [false, 'backup'])
  assert.equal(await json('add', 'cat', ...ids, '--no-password'), { name: 'cat', uid: 1000, gid: 100, groups: [] })
  assert.match((await json('token', 'cat', '--label', 'a')).token, /^mxt_/)
  assert.equal(await json('token', 'cat', '--label', 'a', '--revoke'), { name: 'cat', label: 'a' })
  assert.equal(await json('remove', 'cat'), { name: 'cat' })
  assert.match(list, /ann +1000 +100 +staff=50 +yes +-/)
  assert.match(list, /bob +1000 +100 +staff=50 +no +backup until \d{4}-/)
  assert.is(matrix('', 'token', 'bob', '--label', 'backup', '--revoke').status, 0)
  assert.match(matrix('', 'token', 'bob', '--label', 'backup', '--revoke').stderr, 'no token backup')
  assert.is(matrix('another password\n', 'passwd', 'ann').status, 0)
  assert.is(matrix('', 'remove', 'ann').status, 0)
  assert.match(matrix('', 'remove', 'ann').stderr, 'there is no user ann')
})

test.run()
