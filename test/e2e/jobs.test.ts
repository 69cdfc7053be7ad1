// time limit: 480 s
/**
 * Jobs of a real matrix, with a Redis of the administrator's own: started, watched, refused, cancelled and repeated by `matrix job` and the API; Redis is
 * killed under a job, and then the node that does it. `npm run e2e:jobs` does more of it, with a Redis of all nodes.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import * as api from '../../src/admin/api/jobs.ts'
import { requireProgram } from '../helpers/program.ts'
import { Demo } from './demo.ts'
import { freeBasePort } from './free-ports.ts'
import { FileLoad } from './jobs/file-load.ts'
import { JobClient } from './jobs/job-client.ts'

requireProgram('redis-server', 'redis-server')
const demo = new Demo({ nodes: 2, lunSize: '512MiB', basePort: await freeBasePort(2) })
const jobs = new JobClient(demo)
const both = ['n1', 'n2']
const MiB = 2 ** 20

test.before(async () => {
  await demo.start()
  for (let i = 0; i < 6; i++) {
    const url = `${demo.node(both[i % 2] as string).http.url}data${i}`
    const answer = await fetch(url, { method: 'PUT', body: new Uint8Array(randomBytes(10 * MiB)) })
    assert.ok(answer.ok)
  }
})
test.after(() => demo.dispose())

/** The Redis that a node has started. */
function redisOf(node: string): number {
  return Number(execFileSync('pgrep', ['-P', `${demo.node(node).pid}`, 'redis-server'], { encoding: 'utf8' }))
}

/** The check of a job at that node stands still, so that the job is under way for as long as it takes; gives what lets it go on. */
async function hold(node: string): Promise<() => void> {
  for (const deadline = performance.now() + 60_000; ; ) {
    assert.ok(performance.now() < deadline, 'the job has not begun its check')
    const { stdout } = spawnSync('pgrep', ['-P', `${demo.node(node).pid}`, '-f', 'fs check'], { encoding: 'utf8' })
    const pid = Number(stdout.trim())
    if (pid > 0) {
      process.kill(pid, 'SIGSTOP')
      return () => process.kill(pid, 'SIGCONT')
    }
    await sleep(20)
  }
}

test('until there is a job there is no Redis; any node tells of the kinds, with the schemas of their inputs', async () => {
  assert.throws(() => redisOf('n1'))
  const { available, kinds, jobs: none } = await jobs.list('n2')
  assert.ok(available)
  assert.equal(none, [])
  const drain = kinds.find(({ name }) => name === 'drain-lun')
  assert.equal(v.parse(v.object({ required: v.array(v.string()) }), drain?.input).required, ['lun'])
  const told = await jobs.command('n1', 'kinds')
  assert.match(told.output, /^drain-lun lun=…$/m)
})

test('a tree is copied as a job: once whole, then what has changed; what cannot be is refused', async () => {
  const { nfs, http } = demo.node('n2')
  const at = (path: string) => `nfs://127.0.0.1:${nfs.port}/home/${path}?mountport=${nfs.mountPort}`
  const put = async (path: string, body: string) =>
    assert.ok((await fetch(`${http.url}${path}`, { method: 'PUT', body })).ok, path)
  for (const path of ['tree', 'tree/below', 'copy'])
    assert.is((await fetch(`${http.url}${path}`, { method: 'MKCOL' })).status, 201)
  for (let i = 0; i < 12; i++) await put(`tree/below/f${i}`, `file ${i}`)
  await put('tree/left.tmp', 'left out')
  const input = { from: at('tree'), to: at('copy'), prune: 'made', exclude: '*.tmp' }
  const first = await jobs.ended(both, await jobs.start('n1', 'copy-tree', input))
  assert.is(first.state, 'completed', first.error ?? '')
  assert.is(first.result?.details['copied'], 12)
  for (let i = 0; i < 12; i++) assert.is(await (await fetch(`${http.url}copy/below/f${i}`)).text(), `file ${i}`)
  assert.is((await fetch(`${http.url}copy/left.tmp`)).status, 404)
  await put('tree/below/f3', 'changed')
  await fetch(`${http.url}tree/below/f4`, { method: 'DELETE' })
  const second = await jobs.ended(both, await jobs.start('n1', 'copy-tree', input))
  const { copied, pruned } = second.result?.details ?? {}
  assert.equal([copied, pruned], [1, 1])
  assert.is(await (await fetch(`${http.url}copy/below/f3`)).text(), 'changed')
  const refused = await jobs.command('n1', 'start', 'copy-tree', 'from=/etc', `to=${at('copy')}`)
  assert.match(refused.output, /input\.from: .*a directory of a machine is copied by/)
  const none = await jobs.command('n2', 'start', 'replicate', 'replication=offsite', '--wait')
  assert.match(none.output, /there is no replication offsite; there are none/)
  assert.is.not(none.status, 0)
})

test('asked at one node it is done by the administrator: waited for, with its result as a table, as JSON and over the API', async () => {
  const { status, output } = await jobs.command('n2', 'start', 'fsck', 'filesystem=home', '--wait')
  assert.is(status, 0, output)
  assert.match(output, /^filesystem home is sound: \d+ inodes/m)
  assert.match((await jobs.command('n2', 'list')).output, /^fsck\/home\.\w+ +completed +n1 /m)
  const listed = v.parse(api.jobs, JSON.parse((await jobs.command('n1', 'list', '--json')).output))
  assert.is(listed.jobs[0]?.percent, 100)
  const { job, log } = await jobs.show('n2', `fsck/${listed.jobs[0]?.id}`)
  assert.is(job.result?.details['sound'], true)
  assert.equal(log, [])
  const checkpoint = await jobs.ended(both, await jobs.start('n1', 'checkpoint', { filesystem: 'home', node: 'n2' }))
  assert.match(checkpoint.result?.said ?? '', /^checkpoint \d+ of home is published by n2$/)
  const bundle = await jobs.ended(both, await jobs.start('n1', 'support', { node: 'n2' }))
  assert.is(bundle.state, 'completed', bundle.error ?? '')
  assert.ok(existsSync(String(bundle.result?.details['file'])))
})

test('what cannot be is refused, and says why', async () => {
  const refused = async (expected: RegExp, code: number, ...args: string[]): Promise<void> => {
    const { status, output } = await jobs.command('n2', ...args)
    assert.match(output, expected)
    assert.is(status, code, output)
  }
  await refused(/there is no kind of job tea; there are .*scrub/, 64, 'start', 'tea')
  await refused(/leaf=green: allowed for scrub are filesystem=…/, 64, 'start', 'scrub', 'leaf=green')
  await refused(/input\.lun: a name of 1…32 characters/, 1, 'start', 'drain-lun', 'lun=Lun/2')
  await refused(/is no job: it is written KIND\/ID/, 64, 'show', 'home')
  const nothing = await fetch(`${demo.node('n1').admin!.url}api/jobs/scrub/home.1`)
  assert.is(nothing.status, 404)
  await refused(
    /has failed: matrix demo has no LUN lun9; it has lun1, lun2/,
    1,
    'start',
    'drain-lun',
    'lun=lun9',
    '--wait',
  )
  const post = await fetch(`${demo.node('n1').admin!.url}api/jobs`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Origin: 'http://evil.example' },
    body: JSON.stringify({ kind: 'scrub', input: { filesystem: 'home' } }),
  })
  assert.is(post.status, 403, 'a page elsewhere')
})

test('one about the same is under way at a time; a cancel ends it, and it is repeated', async () => {
  const holding = hold('n1')
  const scrub = await jobs.start('n1', 'scrub', { filesystem: 'home' })
  await holding
  const second = await jobs.start('n2', 'scrub', { filesystem: 'home' }).catch((error: Error) => error.message)
  assert.is(second, `scrub of home is under way already: job ${scrub}`)
  const cancel = await jobs.command('n2', 'cancel', scrub, '--wait')
  assert.match(cancel.output, new RegExp(`job ${scrub} was cancelled by \\S+ at the command line`))
  assert.is(cancel.status, 1)
  assert.is((await jobs.show('n1', scrub)).job.state, 'cancelled')
  const again = await jobs.cancel('n2', scrub).catch((error: Error) => error.message)
  assert.is(again, `job ${scrub} has ended already: it is cancelled`)
  const retried = await jobs.command('n2', 'retry', scrub, '--wait')
  assert.is(retried.status, 0, retried.output)
  assert.match(retried.output, /^filesystem home is sound: \d+ files, 60(\.\d)? MiB were read$/m)
})

test('Redis is killed under a job: files are served as before, and the job comes to its end', async () => {
  const before = redisOf('n1')
  const holding = hold('n1')
  const scrub = await jobs.start('n2', 'scrub', { filesystem: 'home' })
  const goOn = await holding
  const load = new FileLoad(demo, both)
  load.begin()
  process.kill(before, 'SIGKILL')
  await sleep(1_000)
  goOn()
  const job = await jobs.ended(both, scrub).finally(() => load.end())
  assert.is(job.state, 'completed', job.error ?? '')
  assert.equal(load.failures, [])
  assert.ok(load.calls > 100, `${load.calls} calls`)
  assert.is.not(redisOf('n1'), before)
  assert.is((await jobs.list('n2')).jobs.filter(({ id }) => id === job.id).length, 1)
})

test('the node that does a job is killed: the next administrator goes on with it, and knows what there was before', async () => {
  const before = (await jobs.list('n1')).jobs.map(({ id }) => id)
  const holding = hold('n1')
  const scrub = await jobs.start('n1', 'scrub', { filesystem: 'home' })
  const goOn = await holding
  const redis = redisOf('n1')
  demo.kill('n1')
  goOn()
  const job = await jobs.ended(['n2'], scrub)
  assert.is(job.state, 'completed', job.error ?? '')
  assert.is(job.node, 'n2')
  assert.not(existsSync(`/proc/${redis}`), 'its Redis ended with it')
  const after = (await jobs.list('n2')).jobs.map(({ id }) => id)
  for (const id of before) assert.ok(after.includes(id), `${id} is forgotten`)
  await demo.startNode('n1')
  assert.is((await jobs.show('n1', scrub)).job.node, 'n2', 'who comes back asks the one that keeps them')
})

test('no secret is in a log, nor in what a process is called', () => {
  for (const node of both) assert.not.match(readFileSync(`${demo.dir}/${node}.log`, 'utf8'), /requirepass|"password"/)
  const line = readFileSync(`/proc/${redisOf('n2')}/cmdline`, 'utf8')
  assert.not.match(line, /pass|[0-9a-f]{64}/)
})

test.run()
