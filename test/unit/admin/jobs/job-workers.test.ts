/**
 * Queues and workers on a real Redis: one job per object, what is tried again and what is not, cancelling, giving a job back, and a worker that has gone. The
 * engine that the jobs drive is a test's own.
 */
// time limit: 180 s
import { type AddressInfo, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Job } from '../../../../src/admin/api/jobs.ts'
import type { JobDesk } from '../../../../src/admin/jobs/job-desk.ts'
import { JobQueues } from '../../../../src/admin/jobs/job-queues.ts'
import { JobWorkers } from '../../../../src/admin/jobs/job-workers.ts'
import { redisPlace } from '../../../../src/admin/jobs/redis-place.ts'
import { isMatrixError, MatrixError } from '../../../../src/base/errors.ts'
import { silentLog } from '../../../../src/platform/index.ts'
import { realClock } from '../../../../src/platform/real/clock.ts'
import { OwnRedis } from '../../../e2e/jobs/own-redis.ts'
import { freePort } from '../../../helpers/free-port.ts'

type Context = { redis: OwnRedis; queues: JobQueues; workers: JobWorkers[] }
const test = suite<Context>('job workers', {} as Context)

test.before(async (c) => {
  c.redis = new OwnRedis(await freePort())
  await c.redis.start()
})
test.before.each(async (c) => {
  await c.redis.ask((client) => client.flushall())
  c.queues = new JobQueues(redisPlace(c.redis.url, undefined), 'test', realClock, () => {})
  c.workers = []
})
test.after.each(async ({ queues, workers }) => {
  await Promise.all(workers.map((worker) => worker.stop()))
  await queues.close()
})
test.after(({ redis }) => redis.dispose())

/** A node whose engine grows LUNs as `grow` does. */
function work(c: Context, name: string, grow: (uuid: string) => Promise<number>): JobWorkers {
  const means = {
    luns: { list: async () => [{ uuid: 'u2', name: 'lun2', size: 1 }], growLun: grow },
  } as unknown as JobDesk['means']
  const host = { self: { name }, clock: realClock, log: silentLog, matrixName: 'test' } as unknown as JobDesk['host']
  const workers = new JobWorkers({
    ...{ place: redisPlace(c.redis.url, undefined), prefix: c.queues.prefix },
    desk: { host, means } as unknown as JobDesk,
    onChange: async () => {},
  })
  c.workers.push(workers)
  return workers
}

async function until({ queues }: Context, { kind, id }: Job, ...states: Job['state'][]): Promise<Job> {
  for (let i = 0; ; i++) {
    const { job } = await queues.show(kind, id)
    if (states.includes(job.state)) return job
    assert.ok(i < 400, `job ${id} stays ${job.state}: ${job.error ?? job.sentence}`)
    await sleep(100)
  }
}

const start = ({ queues }: Context): Promise<Job> => queues.start('grow-lun', { lun: 'lun2' }, 'somebody')

async function refusal(what: Promise<unknown>): Promise<string> {
  try {
    return `answered: ${JSON.stringify(await what)}`
  } catch (error) {
    return isMatrixError(error) ? `${error.code}: ${error.message}` : String(error)
  }
}

test('one about the same is under way at a time, also when ten ask at once; then there may be another', async (c) => {
  const asked = await Promise.allSettled(Array.from({ length: 10 }, () => start(c)))
  const [taken, ...others] = asked.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  assert.is(others.length, 0)
  assert.match(await refusal(start(c)), /^exists: grow-lun of lun2 is under way already: job grow-lun\/lun2\.\w{8}$/)
  let grown = 0
  work(c, 'n1', async () => ++grown)
  const job = await until(c, taken as Job, 'completed')
  assert.is(grown, 1)
  assert.is(job.node, 'n1')
  assert.equal(job.result?.details, { lun: 'lun2', bytes: 1 })
  await until(c, await start(c), 'completed')
  assert.is((await c.queues.list()).length, 2)
})

test('input is checked before anything is kept', async (c) => {
  assert.match(await refusal(c.queues.start('grow-lun', { lun: 7 }, 'x')), /^query: input\.lun: /)
  assert.match(await refusal(c.queues.start('grow-lun', { lun: 'lun2', more: 1 }, 'x')), /^query: input\.more: /)
  assert.match(await refusal(c.queues.start('tea', {}, 'x')), /^not-found: there is no kind of job tea/)
  assert.match(await refusal(c.queues.show('grow-lun', 'nothing')), /^not-found: there is no job grow-lun\/nothing/)
  assert.equal(await c.queues.list(), [])
})

test('what may pass is tried again, after a while; what will not is not, and can be repeated by hand', async (c) => {
  let tries = 0
  work(c, 'n1', async () => {
    if (++tries === 1) throw new MatrixError('lun-io', 'the device reported an error')
    return 5
  })
  const passing = await start(c)
  const retrying = await until(c, passing, 'retrying')
  assert.is(retrying.error, 'the device reported an error')
  assert.is((await until(c, passing, 'completed')).attempts, 2)
  await c.workers.pop()?.stop()
  let refused = 0
  work(c, 'n1', async () => {
    if (++refused === 1) throw new MatrixError('lun-too-small', 'enlarge the device first')
    return 7
  })
  const lasting = await until(c, await start(c), 'failed')
  assert.is(lasting.error, 'enlarge the device first')
  assert.is(lasting.attempts, 1)
  assert.match(await refusal(c.queues.retry('grow-lun', passing.id, 'x')), /^in-use: .*is completed/)
  const again = await c.queues.retry('grow-lun', lasting.id, 'somebody else')
  assert.is((await until(c, again, 'completed')).by, 'somebody else')
})

test('while the matrix has other things to do it is asked until there is an answer, and that is told', async (c) => {
  let asked = 0
  work(c, 'n1', async () => {
    if (++asked < 4) throw new MatrixError('view-changed', 'the matrix is recovering')
    return 0
  })
  const job = await until(c, await start(c), 'completed')
  assert.is(asked, 4)
  assert.is(job.attempts, 1)
})

test('a cancel ends one that waits, one that runs, and one that would be tried again', async (c) => {
  const waiting = await start(c)
  const asked = await c.queues.cancel('grow-lun', waiting.id, 'root')
  assert.ok(asked.cancelling)
  let calls = 0
  work(c, 'n1', async () => {
    calls++
    throw new MatrixError('view-changed', 'the matrix is recovering')
  })
  assert.is((await until(c, waiting, 'cancelled')).error, 'cancelled by root')
  assert.is(calls, 0, 'nothing of it was done')
  const running = await start(c)
  await until(c, running, 'active')
  await c.queues.cancel('grow-lun', running.id, 'root')
  await until(c, running, 'cancelled')
  assert.match(await refusal(c.queues.cancel('grow-lun', running.id, 'x')), /^in-use: .*ended already/)
  await c.workers.pop()?.stop()
  work(c, 'n1', async () => {
    throw new MatrixError('lun-io', 'the device reported an error')
  })
  const failing = await start(c)
  await until(c, failing, 'retrying')
  await c.queues.cancel('grow-lun', failing.id, 'root')
  await until(c, failing, 'cancelled')
})

test('a node that stops gives its job back, and another does it at once', async (c) => {
  const first = work(c, 'n1', async () => {
    throw new MatrixError('view-changed', 'the matrix is recovering')
  })
  const job = await start(c)
  await until(c, job, 'active')
  await first.stop()
  work(c, 'n2', async () => 3)
  const done = await until(c, job, 'completed')
  assert.is(done.node, 'n2')
})

test('Redis is away: it is told at once; back, with all that it had, jobs go on', async (c) => {
  let release: (bytes: number) => void = () => {}
  work(c, 'n1', () => new Promise<number>((resolve) => (release = resolve)))
  const job = await start(c)
  await until(c, job, 'active')
  await sleep(1_100) // what Redis has been told is on its disk within a second
  await c.redis.kill()
  const began = performance.now()
  assert.match(await refusal(c.queues.list()), /^busy: .*does not answer .*Files are served without it/)
  assert.ok(performance.now() - began < 5_000)
  release(11)
  await c.redis.start()
  const done = await until(c, job, 'completed')
  assert.equal(done.result?.details, { lun: 'lun2', bytes: 11 })
})

test('Redis was away for longer than a lock lives: the run that has lost its job ends before another begins, and it is done once', async (c) => {
  let running = 0
  let most = 0
  let grown = 0
  let isAway = true
  work(c, 'n1', async () => {
    most = Math.max(most, ++running)
    try {
      await sleep(500)
      if (isAway) throw new MatrixError('view-changed', 'the matrix is recovering')
      return ++grown
    } finally {
      running--
    }
  })
  const job = await start(c)
  await until(c, job, 'active')
  await sleep(1_100)
  await c.redis.kill()
  await sleep(17_000)
  await c.redis.start()
  await sleep(12_000) // the job is stalled, and taken again
  isAway = false
  const done = await until(c, job, 'completed')
  assert.is(most, 1)
  assert.is(grown, 1)
  assert.ok(done.attempts > 1, 'it was begun again')
})

test('a Redis that is too old is refused by its version', async () => {
  // none that old is to be had: what it would say to a client
  const info = '# Server\r\nredis_version:5.0.7\r\n'
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (data) => {
      for (const command of String(data).match(/\*\d+\r\n\$\d+\r\n\w+/g) ?? [])
        if (/HELLO$/i.test(command)) socket.write("-ERR unknown command 'HELLO'\r\n")
        else socket.write(/INFO$/i.test(command) ? `$${info.length}\r\n${info}\r\n` : '+OK\r\n')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const queues = new JobQueues(redisPlace(`redis://127.0.0.1:${port}`, undefined), 'test', realClock, () => {})
  assert.match(await refusal(queues.list()), /^config: .*is 5\.0\.7; jobs need 6\.2 or newer/)
  await queues.close()
  server.close()
})

test('a Redis that would forget jobs, or is full, is refused and says what to do', async (c) => {
  await c.redis.ask((client) => client.config('SET', 'maxmemory', '1'))
  assert.match(await refusal(start(c)), /^no-space: .*is full, and keeps nothing new/)
  await c.redis.ask((client) => client.config('SET', 'maxmemory', '0'))
  await c.redis.ask((client) => client.config('SET', 'maxmemory-policy', 'allkeys-lru'))
  const queues = new JobQueues(redisPlace(c.redis.url, undefined), 'test', realClock, () => {})
  assert.match(await refusal(queues.list()), /^config: .*allkeys-lru.*set it to noeviction/)
  await queues.close()
  await c.redis.ask((client) => client.config('SET', 'maxmemory-policy', 'noeviction'))
  await c.redis.ask((client) => client.config('SET', 'requirepass', 'secret'))
  const without = new JobQueues(redisPlace(c.redis.url, undefined), 'test', realClock, () => {})
  assert.match(await refusal(without.list()), /^config: .*redis_password_file/)
  await without.close()
  const withIt = new JobQueues(redisPlace(c.redis.url, 'secret'), 'test', realClock, () => {})
  assert.equal(await withIt.list(), [])
  await withIt.close()
})

test.run()
