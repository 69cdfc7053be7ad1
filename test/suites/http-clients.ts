/** Programs of others against an export: litmus (WebDAV's own compliance suite), rclone, curl. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'uvu'
import * as assert from 'uvu/assert'
import { request } from '../helpers/http-client.ts'
import { requireProgram, runProgram } from '../helpers/program.ts'
import type { HttpFixture } from './http-export.ts'

function withDirectory<T>(run: (dir: string) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'matrixfs-http-'))
  return run(dir).finally(() => rmSync(dir, { recursive: true, force: true }))
}

export function litmusSuite(test: Test, fixture: () => Pick<HttpFixture, 'urls'>): void {
  const litmus = (suite: string) => {
    requireProgram('litmus', 'litmus')
    return withDirectory((cwd) => runProgram('litmus', [`${fixture().urls[0]}home/`], { cwd, env: { TESTS: suite } }))
  }

  for (const suite of ['basic', 'copymove', 'http']) {
    test(`litmus ${suite}: every test passes`, async () => {
      const { status, output } = await litmus(suite)
      const [, run, passed, failed] = /of (\d+) tests run: (\d+) passed, (\d+) failed/.exec(output) ?? []
      assert.is(status, 0, output)
      assert.ok(Number(run) > 3, output)
      assert.is(passed, run)
      assert.is(failed, '0')
    })
  }

  test('litmus props: what needs no dead properties passes', async () => {
    const { output } = await litmus('props')
    for (const name of [
      'propfind_invalid',
      'propfind_invalid2',
      'propfind_d0',
      'propinit',
      'propextended',
      'propwformed',
    ]) {
      assert.match(output, new RegExp(`\\d+\\. ${name}\\.+ pass`), `${name}\n${output}`)
    }
  })
}

export function rcloneSuite(test: Test, fixture: () => Pick<HttpFixture, 'urls'>): void {
  const rclone = async (node: number, ...args: string[]) => {
    requireProgram('rclone', 'rclone')
    const { urls } = fixture()
    const remote = [
      '--webdav-url',
      `${urls[node % urls.length]}home/`,
      '--webdav-vendor',
      'owncloud',
      '--config',
      '/dev/null',
    ]
    const { status, output } = await runProgram('rclone', [...args, ...remote, '--retries', '1'])
    assert.is(status, 0, `rclone ${args.join(' ')}\n${output}`)
    return output
  }

  test('rclone: a tree goes up at one node, comes down equal at the others, with its times, and is removed', async () => {
    await withDirectory(async (dir) => {
      const tree = join(dir, 'tree')
      for (const sub of ['', 'a', 'a/b', 'with space', 'grün']) mkdirSync(join(tree, sub), { recursive: true })
      for (let i = 0; i < 30; i++) writeFileSync(join(tree, 'a', `file ${i}.txt`), `${i}\n`.repeat(i * 97))
      writeFileSync(join(tree, 'a/b/100% #1?.bin'), Buffer.alloc(2_345_678, 7))
      writeFileSync(join(tree, 'with space/empty'), '')
      writeFileSync(join(tree, 'grün/blau'), 'ü')
      const old = new Date('2001-02-03T04:05:06Z')
      utimesSync(join(tree, 'grün/blau'), old, old)
      symlinkSync('nowhere', join(tree, 'dangling'))
      await rclone(0, 'copy', tree, ':webdav:/up')
      await rclone(1, 'check', tree, ':webdav:/up', '--download')
      assert.match(await rclone(2, 'lsl', ':webdav:/up'), /2 2001-02-03 04:05:06\.000000000 grün\/blau/)
      // Sizes and times agree: nothing is sent again.
      assert.match(await rclone(1, 'copy', tree, ':webdav:/up', '-v', '--stats', '1s'), /Transferred:\s+0 B/)
      await rclone(2, 'moveto', ':webdav:/up/a', ':webdav:/moved')
      await rclone(0, 'copyto', ':webdav:/moved/b', ':webdav:/up/b')
      await rclone(1, 'copy', ':webdav:/up', join(dir, 'down'))
      await rclone(2, 'check', join(tree, 'a/b'), join(dir, 'down/b'))
      await rclone(0, 'purge', ':webdav:/up')
      await rclone(1, 'purge', ':webdav:/moved')
      for (const url of fixture().urls) assert.is((await request(url, 'GET', '/home/up/')).status, 404)
    })
  })
}
