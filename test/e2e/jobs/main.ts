/**
 * `npm run e2e:jobs`: jobs of three nodes on one Redis, under load.
 *
 *   redis    ten jobs are started, then Redis is killed, and started again 6 s later: each comes to its end exactly once
 *   node     the node that does a job is killed: another takes it over within the life of its lock, and goes on with it
 *   full     Redis has no memory left: a job is refused, and says why; with memory again it is taken
 *   stopped  Redis is away for good: no file operation notices
 *
 * Clients write and read at every node that stays all the while; each answer is looked at. Ends with a line per part; exit code 1 when one has failed.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, ftruncateSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { freePort } from '../../helpers/free-port.ts'
import { Demo, numberOption } from '../demo.ts'
import { freeBasePort } from '../free-ports.ts'
import { FileLoad } from './file-load.ts'
import { JobClient } from './job-client.ts'
import { OwnRedis } from './own-redis.ts'

const MiB = 2 ** 20
/** Of data, for scrubs that take a while. */
const DATA_MIB = numberOption('data', 200)
const AWAY_MS = 6_000
/** A dead node's job is another's after its lock is over and has been looked for twice; on a busy machine, ms. */
const TAKE_OVER_MS = 60_000

const redis = new OwnRedis(numberOption('redis-port', await freePort()))
await redis.start()
const demo = new Demo({ nodes: 3, lunSize: '1GiB', basePort: await freeBasePort(3), redis: redis.url })
const jobs = new JobClient(demo)
const all = ['n1', 'n2', 'n3']
const rows: string[] = []

/** Three lines of each: what, how it went, what was measured. */
async function part(name: string, stays: readonly string[], run: () => Promise<string>): Promise<void> {
  const load = new FileLoad(demo, stays)
  load.begin()
  let outcome: string
  try {
    outcome = `ok    ${await run()}`
  } catch (error) {
    outcome = `FAIL  ${error instanceof Error ? `${error.message} ${error.stack}` : String(error)}`
    if (error instanceof assert.Assertion) outcome += ` found ${error.actual}`
    process.exitCode = 1
  }
  await load.end()
  if (load.failures.length > 0) process.exitCode = 1
  const wrong = load.failures.length > 0 ? `; FAILED: ${load.failures.slice(0, 3).join(', ')}` : ''
  rows.push(`${name.padEnd(8)} ${outcome}; ${load.calls} calls, the longest ${Math.round(load.longestMs)} ms${wrong}`)
  process.stdout.write(`${rows.at(-1)}\n`)
}

/** On nodes of their own kinds and objects: ten that may be under way together. */
async function tenJobs(): Promise<string[]> {
  const extra = join(demo.dir, 'extra.img')
  const fd = openSync(extra, 'w')
  ftruncateSync(fd, 256 * MiB)
  closeSync(fd)
  const wanted: [string, string, Record<string, string>][] = [
    ['n1', 'scrub', { filesystem: 'home' }],
    ['n2', 'fsck', { filesystem: 'home' }],
    ['n3', 'drain-lun', { lun: 'lun2' }],
    ['n1', 'checkpoint', { filesystem: 'home' }],
    ['n2', 'add-lun', { url: `file:${extra}`, name: 'extra' }],
    ['n3', 'support', { node: 'n1' }],
    ['n1', 'support', { node: 'n2' }],
    ['n2', 'support', { node: 'n3' }],
    ['n3', 'evacuate', { node: 'n2' }],
    ['n1', 'evacuate', { node: 'n3' }],
  ]
  return Promise.all(wanted.map(([node, kind, input]) => jobs.start(node, kind, input)))
}

try {
  await demo.start()
  for (let i = 0; i < DATA_MIB / 10; i++) {
    const body = new Uint8Array(randomBytes(10 * MiB))
    await fetch(`${demo.node(all[i % 3] as string).http.url}data${i}`, { method: 'PUT', body })
  }

  await part('redis', all, async () => {
    const references = await tenJobs()
    await redis.kill()
    const under = await jobs.list('n1')
    assert.is(under.available, false)
    assert.match(under.reason ?? '', /does not answer .*go on once it is back/)
    await sleep(AWAY_MS)
    await redis.start()
    const ended = await Promise.all(references.map((reference) => jobs.ended(all, reference, 180_000)))
    for (const job of ended) assert.is(job.state, 'completed', `${job.kind}: ${job.error}`)
    const listed = (await jobs.list('n2')).jobs
    for (const { kind, id } of ended)
      assert.is(listed.filter((job) => job.kind === kind && job.id === id).length, 1, `${kind}/${id}`)
    const again = ended.filter(({ attempts }) => attempts > 1).length
    assert.match(demo.check(), /is sound/)
    return `${ended.length} jobs, each done once; ${again} of them were begun again`
  })

  await part('node', ['n1', 'n2'], async () => {
    // whoever takes it: until it is n3, which may die
    for (;;) {
      const reference = await jobs.start('n1', 'scrub', { filesystem: 'home' })
      const { node } = await jobs.until(all, reference, ({ state }) => state === 'active')
      if (node === 'n3') {
        demo.kill('n3')
        const began = performance.now()
        const taken = await jobs.until(['n1'], reference, (job) => job.node !== 'n3', TAKE_OVER_MS)
        const tookMs = performance.now() - began
        const job = await jobs.ended(['n1'], reference)
        assert.is(job.state, 'completed', job.error ?? '')
        await demo.startNode('n3')
        return `${taken.node} took it over after ${(tookMs / 1000).toFixed(1)} s`
      }
      await jobs.cancel('n1', reference)
      await jobs.ended(['n1'], reference)
    }
  })

  await part('full', all, async () => {
    await redis.ask((client) => client.config('SET', 'maxmemory', '1'))
    const { status, output } = await jobs.command('n2', 'start', 'checkpoint', 'filesystem=home')
    assert.is(status, 1)
    assert.match(output, /is full, and keeps nothing new/)
    await redis.ask((client) => client.config('SET', 'maxmemory', '0'))
    const job = await jobs.ended(all, await jobs.start('n2', 'checkpoint', { filesystem: 'home' }))
    assert.is(job.state, 'completed', job.error ?? '')
    return 'refused, and taken once it was not'
  })

  await part('stopped', all, async () => {
    await redis.kill()
    await sleep(AWAY_MS)
    const { status, output } = await jobs.command('n3', 'show', 'scrub/home.1')
    assert.is(status, 1)
    assert.match(output, /does not answer .*Files are served without it/)
    assert.match(demo.check(), /is sound/)
    return 'nobody who uses files noticed'
  })
} finally {
  await demo.dispose()
  await redis.dispose()
}
