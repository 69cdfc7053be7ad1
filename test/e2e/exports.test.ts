/** Exports of a running node change with its configuration file, by `matrix export reload` and by SIGHUP; a wrong file changes nothing. */
// time limit: 240 s
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { TestCa } from '../helpers/certificates.ts'
import { NfsClient } from '../helpers/nfs-client.ts'
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

test('a node offers TLS, and its certificates are renewed without a restart', async () => {
  const [first, second] = [new TestCa('first'), new TestCa('second')]
  const file = join(demo.dir, 'n1.toml')
  const original = readFileSync(file, 'utf8')
  const write = (ca: TestCa) => {
    const { certificate, key } = ca.sign('node.example.org')
    writeFileSync(join(demo.dir, 'tls.pem'), certificate)
    writeFileSync(join(demo.dir, 'tls.key'), key, { mode: 0o600 })
  }
  write(first)
  const offers = original.replace(/^\[nfs\]$/m, '[nfs]\ntls_certificate = "tls.pem"\ntls_key = "tls.key"')
  writeFileSync(file, offers)
  assert.throws(() => demo.matrixCommand('export', 'reload', '--config', file), /only after a restart/)
  demo.kill('n1')
  await demo.startNode('n1')

  const { nfs } = demo.node('n1')
  const secure = (ca: TestCa) => NfsClient.connectTls(nfs.port, { ca: ca.certificate, servername: 'node.example.org' })
  writeFileSync(file, offers.replace('path = "/home"', 'path = "/home"\ntls = "required"'))
  assert.match(demo.matrixCommand('export', 'reload', '--config', file), /TLS required/)
  const client = await secure(first)
  const root = await client.mount(nfs.export)
  assert.is(await client.status('GETATTR', { object: root }), 0)
  const clear = await NfsClient.connect(nfs.port)
  await assertDenied(clear, root)

  write(second)
  demo.matrixCommand('export', 'reload', '--config', file)
  const renewed = await secure(second)
  assert.is(await renewed.status('GETATTR', { object: root }), 0)
  assert.is(await client.status('GETATTR', { object: root }), 0, 'sessions go on')
  for (const each of [client, clear, renewed]) await each.close()
  first.dispose()
  second.dispose()
})

async function assertDenied(client: NfsClient, object: Buffer): Promise<void> {
  const failure = await client.status('GETATTR', { object }).catch(String)
  assert.match(String(failure), /denied.*\[1,5\]/)
}

test.after(() => demo.dispose())
test.run()
