/** A Redis of a node's own: for its owner alone, with its password, started again when it is killed, with what it had; gone with the node. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { askOnce } from '../../../../src/admin/jobs/redis-place.ts'
import { RedisProcess } from '../../../../src/admin/jobs/redis-process.ts'
import { silentLog } from '../../../../src/platform/index.ts'
import { realClock } from '../../../../src/platform/real/clock.ts'
import { requireProgram } from '../../../helpers/program.ts'

requireProgram('redis-server', 'redis-server')
const PASSWORD = 'a'.repeat(64)
const test = suite<{ dir: string; redis: RedisProcess }>('redis process', {} as never)

const make = (stateDir: string): RedisProcess =>
  new RedisProcess({ stateDir, password: PASSWORD, clock: realClock, log: silentLog })

test.before.each(async (c) => {
  c.dir = mkdtempSync(join(tmpdir(), 'matrixfs-redis-'))
  c.redis = make(c.dir)
  await c.redis.start()
})
test.after.each(async ({ redis, dir }) => {
  await redis.stop()
  rmSync(dir, { recursive: true, force: true })
})

function ask<T>(dir: string, password: string | undefined, question: (client: Redis) => Promise<T>): Promise<T> {
  return askOnce({ path: join(dir, 'redis', 'redis.sock'), ...(password !== undefined && { password }) }, question)
}

async function rejection(what: Promise<unknown>): Promise<string> {
  return what.then(
    () => 'it was answered',
    (error: Error) => error.message,
  )
}

test('it listens on a socket that is its owner’s, and answers nobody without the password', async ({ dir }) => {
  assert.is(statSync(join(dir, 'redis')).mode & 0o777, 0o700)
  assert.is(statSync(join(dir, 'redis', 'redis.sock')).mode & 0o777, 0o700)
  assert.match(await rejection(ask(dir, undefined, (client) => client.set('a', '1'))), /NOAUTH|closed/)
  assert.is(await ask(dir, PASSWORD, (client) => client.get('a')), null)
  assert.is(await ask(dir, PASSWORD, async (client) => (await client.config('GET', 'port'))[1] as string), '0')
})

test('killed, it comes again with what it had been told a second before', async ({ dir, redis }) => {
  await ask(dir, PASSWORD, (client) => client.set('a', '1'))
  await sleep(1_500)
  const before = redis.pid as number
  process.kill(before, 'SIGKILL')
  let found: string | null = null
  for (let i = 0; i < 100 && found === null; i++) {
    await sleep(100)
    found = await ask(dir, PASSWORD, (client) => client.get('a')).catch(() => null)
  }
  assert.is(found, '1')
  assert.is.not(redis.pid, before)
})

test('one that a former life has left behind is ended, and the next begins with nothing', async ({ dir, redis }) => {
  await redis.stop()
  const socket = join(dir, 'redis', 'redis.sock')
  const options = ['--port', '0', '--unixsocket', socket, '--requirepass', PASSWORD, '--save', '']
  const left = spawn('redis-server', options, { stdio: 'ignore' })
  const ended = new Promise<void>((resolve) => left.once('exit', () => resolve()))
  while (!(await ask(dir, PASSWORD, (client) => client.set('a', '1')).catch(() => false))) await sleep(50)
  const next = make(dir)
  try {
    await next.start()
    assert.is(await ask(dir, PASSWORD, (client) => client.get('a')), null)
    await ended
  } finally {
    await next.stop()
  }
})

test('a path that is too long for a socket is told before anything is started', () => {
  assert.throws(() => make(`/tmp/${'x'.repeat(100)}`), /longer than 107 bytes: choose a shorter state_dir/)
})

test.run()
