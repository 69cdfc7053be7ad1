/** A slice of `npm run e2e:replicator`. */
// time limit: 240 s
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { replicationsAnswer } from '../../src/admin/api/answers.ts'
import { matrixCommand as matrix } from '../helpers/matrix-command.ts'
import { canMount } from './can-mount.ts'
import { Demo } from './demo.ts'
import { freeBasePort } from './free-ports.ts'
import { replicatorTrial } from './replicator/trial.ts'

test('a tree is copied into a matrix, killed in the middle, goes on, is the same; and then what has changed alone', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'matrixfs-e2e-replicator-'))
  const demo = new Demo({
    ...{ nodes: 2, dir: join(dir, 'demo'), basePort: await freeBasePort(2), mount: canMount(), lunSize: '256MiB' },
  })
  try {
    await demo.start()
    await replicatorTrial({ demo, dir, files: 800, changes: 20 }, (line) => console.log(line))
    await overWebdav(demo, dir)
  } finally {
    await demo.dispose()
    rmSync(dir, { recursive: true, force: true })
  }
})

/** A directory of this machine into the matrix over WebDAV; what is there is read at another node. */
async function overWebdav(demo: Demo, dir: string): Promise<void> {
  const [from, count] = [join(dir, 'dav-source'), 40]
  mkdirSync(join(from, 'below'), { recursive: true })
  for (let i = 0; i < count; i++) writeFileSync(join(from, 'below', `f${i}`), `file ${i} `.repeat(i * 1_000))
  assert.is((await fetch(`${demo.node('n1').http.url}dav`, { method: 'MKCOL' })).status, 201)
  const copy = async () => {
    const to = `${demo.node('n1').http.url}dav`
    const journal = ['--journal', join(dir, 'dav.sqlite')]
    const { stdout, stderr } = await matrix(['replicate', 'copy', from, to, '--prune', 'made', '--json', ...journal])
    assert.ok(stdout.startsWith('{'), stderr)
    const { failed, copied, unchanged, pruned } = JSON.parse(stdout) as Record<string, number>
    return { failed, copied, unchanged, pruned }
  }
  assert.equal(await copy(), { failed: 0, copied: count, unchanged: 0, pruned: 0 })
  for (let i = 0; i < count; i++) {
    const answer = await fetch(`${demo.node('n2').http.url}dav/below/f${i}`)
    assert.ok((await answer.text()) === `file ${i} `.repeat(i * 1_000), `f${i}`)
  }
  writeFileSync(join(from, 'below', 'f7'), 'changed')
  rmSync(join(from, 'below', 'f8'))
  assert.equal(await copy(), { failed: 0, copied: 1, unchanged: count - 2, pruned: 1 })
  assert.is(await (await fetch(`${demo.node('n2').http.url}dav/below/f7`)).text(), 'changed')
}

test('a configured replication is run again and again by its node, and says when it fails', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'matrixfs-e2e-replicate-'))
  const copy = join(dir, 'copy')
  mkdirSync(copy)
  const demo = new Demo({ nodes: 2, dir: join(dir, 'demo'), basePort: await freeBasePort(2), lunSize: '256MiB' })
  let node: ChildProcess | undefined
  try {
    await demo.start()
    const { http, nfs } = demo.node('n1')
    const put = (name: string, body: string) => fetch(new URL(name, http.url), { method: 'PUT', body })
    await put('first', 'one')
    demo.kill('n2')
    const config = join(dir, 'demo', 'n2-replicates.toml')
    const rule = { name: 'copy', from: `nfs://127.0.0.1:${nfs.port}/home?mountport=${nfs.mountPort}`, to: copy }
    const lines = Object.entries({ ...rule, node: 'n2', every: '1s', prune: 'made' }).map(
      ([key, value]) => `${key} = "${value}"`,
    )
    const own = readFileSync(join(dir, 'demo', 'n2.toml'), 'utf8')
    writeFileSync(config, `${own}\n[[replicate]]\n${lines.join('\n')}\n`, { mode: 0o600 })
    const matrixd = new URL('../../src/node/main.ts', import.meta.url).pathname
    node = spawn(process.execPath, [matrixd, '--config', config], { stdio: 'ignore' })
    const becomes = async (what: string, isSo: () => boolean | Promise<boolean>) => {
      for (let tries = 0; !(await isSo()); tries++) {
        assert.ok(tries < 600, `${what}, at last`)
        await sleep(100)
      }
    }
    const copied = (name: string, text: string) => () =>
      existsSync(join(copy, name)) && readFileSync(join(copy, name), 'utf8') === text
    await becomes('what was there is copied', copied('first', 'one'))
    await put('first', 'two')
    await put('second', 'new')
    await becomes('what has changed is copied', copied('first', 'two'))
    await becomes('what is new is copied', copied('second', 'new'))
    await fetch(new URL('second', http.url), { method: 'DELETE' })
    await becomes('what has gone goes', () => !existsSync(join(copy, 'second')))
    const listed = async () => (await matrix(['replicate', 'list', '--config', config])).stdout
    await becomes('a run is told of', async () => / copied/.test(await listed()))
    assert.match(await listed(), /^copy +nfs:.* 1 s +n2 /m)

    const answer = await fetch(new URL('/_admin/api/replications', demo.node('n1').admin?.url))
    const told = v.parse(replicationsAnswer, await answer.json()).replications
    assert.equal(
      told.map((each) => [each.name, each.at, each.last?.failed]),
      [['copy', 'n2', 0]],
    )
    await put('third', 'by a job')
    const job = await matrix([
      ...['job', 'start', 'replicate', 'replication=copy', '--wait', '--config', join(dir, 'demo', 'n1.toml')],
    ])
    assert.match(job.stdout, /^replication copy has copied everything at n2: /m, job.stderr)
    assert.ok(copied('third', 'by a job')())

    renameSync(copy, `${copy}-away`)
    await becomes('that it fails is told', async () => /the target cannot be written/.test(await listed()))
    renameSync(`${copy}-away`, copy)
    await becomes('that it works again is told', async () => / copied$/m.test(await listed()))
    const { stdout: events } = await matrix(['service', 'events', '--config', config])
    assert.match(events, /replication-failed[\s\S]*replication-recovered/)
    const none = await matrix(['replicate', 'run', 'other', '--config', config])
    assert.match(none.stderr, /has no replication other; it has copy/)
  } finally {
    node?.kill('SIGTERM')
    if (node) await once(node, 'exit')
    await demo.dispose()
    rmSync(dir, { recursive: true, force: true })
  }
})

test.run()
