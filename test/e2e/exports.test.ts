/** Exports of a running node change with its configuration file, by `matrix export reload` and by SIGHUP; a wrong file changes nothing. */
// time limit: 120 s
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Demo } from './demo.ts'
import { freeBasePort } from './free-ports.ts'
import { NfsTree } from './nfs-tree.ts'

const demo = new Demo({ nodes: 1, lunSize: '256MiB', basePort: await freeBasePort(1) })
const STALE = 70

test('exports change without a restart', async () => {
  await demo.start()
  const file = join(demo.dir, 'n1.toml')
  const original = readFileSync(file, 'utf8')
  const command = (...words: string[]) => demo.matrixCommand('export', ...words, '--config', file)
  const tree = await NfsTree.connect(demo.node('n1'))
  await tree.makePath('projects/a')
  assert.match(command('list'), /\/home +home/)

  const more = `${original}\n[[exports]]\npath = "/home/projects"\nfilesystem = "home"\ndirectory = "/projects"\n`
  writeFileSync(file, more)
  assert.match(command('reload'), /\/home\/projects +home:\/projects +127\.0\.0\.0\/8 ::1 +rw, squash root/)
  const top = await tree.client.mount('/home/projects')
  assert.equal((await tree.client.list(top)).sort(), ['.', '..', 'a'])

  // wrong in one place: told, and nothing has changed
  writeFileSync(file, more.replace('directory = "/projects"', 'directory = "projects"'))
  assert.throws(() => command('reload'), /exports\[1\]\.directory: found "projects"; allowed is/)
  writeFileSync(file, more.replace('filesystem = "home"\ndirectory', 'filesystem = "nowhere"\ndirectory'))
  assert.throws(() => command('reload'), /no filesystem "nowhere"/)
  assert.is(await tree.client.status('GETATTR', { object: top }), 0)

  // gone at once, for whoever has it mounted, too; the process goes on
  writeFileSync(file, original.replace(/level = "\w+"/, 'level = "debug"'))
  const { pid } = demo.node('n1')
  process.kill(pid, 'SIGHUP')
  for (let tries = 0; (await tree.client.status('GETATTR', { object: top })) !== STALE; tries++) {
    assert.ok(tries < 100, 'SIGHUP has no effect')
    await sleep(50)
  }
  assert.is(demo.node('n1').pid, pid)
  assert.is(await tree.client.status('GETATTR', { object: tree.root }), 0)
  tree.close()
})

test.after(() => demo.dispose())
test.run()
