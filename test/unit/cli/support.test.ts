/** The archive of `matrix support`: one that tar opens, and no secret in it. */
import { execFileSync } from 'node:child_process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { withoutSecrets } from '../../../src/cli/support-command.ts'
import { tar } from '../../../src/cli/tar.ts'

test('secrets are left out, however they are written; where they are kept is not', () => {
  const written = `
[matrix]
name = "m"
secret = "correct horse battery"
"secret" = 'staple 123456789'
secret_file = "/etc/matrixfs/secret"
matrix = { name = "m", secret = "in \\"line\\" 1234567" }
other_password = """many
lines"""
[[luns]]
url = "iscsi://h/t/1?user=u&secret_file=/etc/chap"
`
  const kept = withoutSecrets(written)
  for (const gone of ['horse', 'staple', 'line\\" 1', 'many']) assert.not.ok(kept.includes(gone), gone)
  for (const stays of ['secret_file = "/etc/matrixfs/secret"', 'secret_file=/etc/chap', 'name = "m"'])
    assert.ok(kept.includes(stays), stays)
})

test('tar opens it: names, contents of any length, times', () => {
  const entries = [
    { name: 'a/empty', text: '' },
    { name: 'a/ü.txt', text: 'é'.repeat(300) },
    { name: `a/${'n'.repeat(98)}`, text: 'x'.repeat(1024) },
  ]
  const archive = tar(entries, 1_700_000_000)
  const list = execFileSync('tar', ['-tf', '-', '--quoting-style=literal'], { input: archive, encoding: 'utf8' })
  assert.equal(
    list.trim().split('\n'),
    entries.map(({ name }) => name),
  )
  for (const { name, text } of entries)
    assert.is(execFileSync('tar', ['-xOf', '-', name], { input: archive, encoding: 'utf8' }), text)
  assert.match(
    execFileSync('tar', ['-tvf', '-'], { input: archive, encoding: 'utf8', env: { TZ: 'UTC' } }),
    /2023-11-14/,
  )
  assert.throws(() => tar([{ name: 'n'.repeat(101), text: '' }], 0), /longer than 100 bytes/)
})

test.run()
