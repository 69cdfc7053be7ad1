import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import type { Vector } from '../../../src/base/vector.ts'
import { CR, EX, type Hold, inodeLock, type LockCache, NL, PR } from '../../../src/locking/index.ts'
import { SimHost } from '../../sim/world.ts'
import { deferred, LockNodes, WIRE_MS } from './lock-nodes.ts'

/** Inode born at slot 0, 1, 2: mastered there. */
const at0 = inodeLock(64)
const at1 = inodeLock(65)
const at2 = inodeLock(66)

async function nodes(count: number, options?: { cachedLocksMax?: number }): Promise<LockNodes> {
  const matrix = new LockNodes(count, options)
  await matrix.view(1)
  return matrix
}

const cacheOf = (matrix: LockNodes, slot: number): LockCache => matrix.spaces[slot]!.cache

test('a lock mastered here that nobody contests is granted within the call, without a message', async () => {
  const matrix = await nodes(2)
  const before = matrix.wire.length
  const hold = cacheOf(matrix, 0).acquire(at0, EX)
  assert.not.instance(hold, Promise)
  ;(hold as Hold).release()
  await matrix.pass(10)
  assert.is(matrix.wire.length, before)
})

test('R10: a lock stays after its last user; taking it again sends nothing and does not wait', async () => {
  const matrix = await nodes(2)
  await matrix.use(0, at1, EX)
  const before = matrix.wire.length
  assert.ok(cacheOf(matrix, 0).holds(at1, EX))
  const hold = cacheOf(matrix, 0).acquire(at1, PR)
  assert.not.instance(hold, Promise)
  ;(hold as Hold).release()
  await matrix.pass(10)
  assert.is(matrix.wire.length, before)
  assert.equal(matrix.events, ['0 I:65 acquired EX'])
})

test('R13, R15: a writer makes its changes durable before a reader gets the lock, with the vector of the changes', async () => {
  const matrix = await nodes(2)
  await matrix.use(0, at0, EX)
  const flushed = deferred<Vector>()
  matrix.surrender[0] = () => flushed.promise
  const reader = matrix.acquire(1, at0, PR)
  await matrix.pass(50)
  assert.equal(matrix.events, ['0 I:64 acquired EX', '0 I:64 EX>PR'])
  flushed.resolve(new Map([[0, 512]]))
  await matrix.settle(reader)
  assert.equal(matrix.events.slice(2), ['1 I:64 acquired PR'])
  assert.ok(cacheOf(matrix, 0).holds(at0, PR), 'the writer goes on reading')
  assert.not(cacheOf(matrix, 0).holds(at0, EX))
})

test('R14: a reader drops its cache before a writer gets the lock', async () => {
  const matrix = await nodes(2)
  await matrix.use(1, at0, PR)
  await matrix.use(0, at0, EX)
  assert.equal(matrix.events, ['1 I:64 acquired PR', '1 I:64 PR>NL', '0 I:64 acquired EX'])
  assert.not(cacheOf(matrix, 1).holds(at0, CR))
})

test('two readers that both want to write do not block each other', async () => {
  const matrix = await nodes(2)
  await matrix.use(0, at0, PR)
  await matrix.use(1, at0, PR)
  const [a, b] = [matrix.acquire(0, at0, EX), matrix.acquire(1, at0, EX)]
  ;(await matrix.settle(Promise.race([a, b]))).release()
  for (const hold of [a, b]) await matrix.settle(hold)
})

test('a pinned lock stays, and usable for who pins it; new users wait behind the node that wants it', async () => {
  const matrix = await nodes(2)
  const pin = await matrix.settle(matrix.acquire(0, at0, EX))
  const other = matrix.acquire(1, at0, EX)
  await matrix.pass(100)
  assert.ok(cacheOf(matrix, 0).wanted(at0))
  assert.ok(cacheOf(matrix, 0).holds(at0, EX))
  const late = cacheOf(matrix, 0).acquire(at0, EX)
  assert.instance(late, Promise)
  pin.release()
  const theirs = await matrix.settle(other)
  assert.not(cacheOf(matrix, 0).holds(at0, PR))
  theirs.release()
  ;(await matrix.settle(late as Promise<Hold>)).release()
})

test('a lock in use is kept for the minimum hold time, one that rests goes after a moment, an unused one at once', async () => {
  const matrix = await nodes(2)
  const { clock } = new SimHost(matrix.world, 'user of n0')
  await matrix.use(0, at0, EX)
  let granted = matrix.world.now
  const work = clock.every(0.4, () => void cacheOf(matrix, 0).holds(at0, EX))
  await matrix.use(1, at0, EX)
  work.cancel()
  assert.ok(matrix.world.now - granted >= 5, `taken from its user after ${matrix.world.now - granted} ms`)

  await matrix.pass(100)
  await matrix.use(0, at0, EX)
  granted = matrix.world.now
  await matrix.use(1, at0, EX)
  assert.ok(matrix.world.now - granted < 5, `a lock at rest was handed on after ${matrix.world.now - granted} ms`)

  await matrix.pass(100)
  matrix.leaseGood[0] = true
  const impatient = cacheOf(matrix, 0).acquire(at1, EX, { timeoutMs: WIRE_MS / 2 })
  const error = await matrix.settle(Promise.resolve(impatient)).catch((error: unknown) => error)
  assert.ok(isMatrixError(error, 'timeout'))
  await matrix.pass(1.6 * WIRE_MS) // the grant crossed with the cancel: held here, and nobody used it
  const again = matrix.world.now
  await matrix.use(1, at1, EX)
  assert.ok(matrix.world.now - again < 5, `handed on after ${matrix.world.now - again} ms`)
})

test('R11, R12: process scope excludes conflicting local users of process scope, server scope excludes nobody', async () => {
  const matrix = await nodes(1)
  const cache = cacheOf(matrix, 0)
  const first = cache.acquire(at0, EX, { scope: 'process' }) as Hold
  const second = cache.acquire(at0, PR, { scope: 'process' })
  const server = cache.acquire(at0, EX)
  assert.instance(second, Promise)
  assert.not.instance(server, Promise)
  assert.is(cache.acquire(at0, PR, { scope: 'process', noQueue: true }), undefined)
  first.release()
  ;((await matrix.settle(Promise.resolve(second))) as Hold).release()
})

test('no queue: denied while another node holds it, and that node is told', async () => {
  const matrix = await nodes(2)
  const pin = await matrix.settle(matrix.acquire(0, at0, PR))
  const denied = await matrix.settle(Promise.resolve(cacheOf(matrix, 1).acquire(at0, EX, { noQueue: true })))
  assert.is(denied, undefined)
  assert.ok(cacheOf(matrix, 0).wanted(at0))
  pin.release()
  await matrix.pass(20)
  assert.ok(await matrix.settle(Promise.resolve(cacheOf(matrix, 1).acquire(at0, EX, { noQueue: true }))))
})

test('a wait that is over in time is cancelled at the master: the next in line is served', async () => {
  const matrix = await nodes(3)
  const pin = await matrix.settle(matrix.acquire(0, at0, PR))
  const impatient = Promise.resolve(cacheOf(matrix, 1).acquire(at0, EX, { timeoutMs: 20 })).catch(
    (error: unknown) => error,
  )
  await matrix.pass(10)
  const reader = matrix.acquire(2, at0, PR) // behind the writer
  assert.ok(isMatrixError(await matrix.settle(impatient), 'timeout'))
  ;(await matrix.settle(reader)).release()
  pin.release()
})

test('many at once: one message to each master, all pinned; all released when one fails', async () => {
  const matrix = await nodes(3)
  const before = matrix.wire.length
  const wanted = new Map([at2, inodeLock(130), at1, at0, inodeLock(129)].map((rid) => [rid, EX] as const))
  const holds = await matrix.settle(Promise.resolve(cacheOf(matrix, 0).acquireAll(wanted)))
  assert.equal(
    holds.map((hold) => hold.rid),
    [...wanted.keys()].sort((a, b) => a - b),
  )
  assert.equal(matrix.wire.slice(before).sort(), ['0>1', '0>2', '1>0', '2>0'])
  for (const hold of holds) hold.release()

  const all = Promise.resolve(cacheOf(matrix, 1).acquireAll(wanted)).catch((error: unknown) => error)
  await matrix.pass(WIRE_MS)
  matrix.leaseGood[1] = false
  assert.ok(isMatrixError(await matrix.settle(all), 'fenced'))
  matrix.leaseGood[1] = true
  for (const rid of wanted.keys()) await matrix.use(2, rid, EX)
})

test('idle locks age, used ones do not', async () => {
  const matrix = await nodes(2)
  await matrix.use(0, at1, PR)
  await matrix.use(0, at0, PR)
  for (let i = 0; i < 20; i++) {
    await matrix.pass(100)
    assert.ok(cacheOf(matrix, 0).holds(at0, PR))
  }
  assert.is(cacheOf(matrix, 0).peek(at1), undefined)
  assert.equal(matrix.events.at(-1), '0 I:65 PR>NL')
})

test('the cache is bounded: a new lock sends an unused one back', async () => {
  const matrix = await nodes(2, { cachedLocksMax: 50 })
  for (let i = 0; i < 500; i++) await matrix.use(0, inodeLock(64 * (i + 1) + 1), PR)
  const { cached, aged } = matrix.spaces[0]!.status().counters
  assert.ok(cached <= 60, `${cached} cached`)
  assert.ok(aged >= 440)
  assert.is(matrix.spaces[1]!.status().resources.length, cached, 'the master knows')
})

test('a clean leave gives up everything that is not pinned', async () => {
  const matrix = await nodes(2)
  for (const rid of [at0, at1, at2]) await matrix.use(0, rid, EX)
  const pin = await matrix.settle(matrix.acquire(0, at2, PR))
  await matrix.settle(cacheOf(matrix, 0).surrenderAll())
  assert.equal(matrix.events.slice(3).sort(), ['0 I:64 EX>NL', '0 I:65 EX>NL'])
  pin.release()
  await matrix.settle(cacheOf(matrix, 0).surrenderAll())
  assert.is(matrix.events.at(-1), '0 I:66 EX>NL')
})

test('a kept entry answers like the cache, and never again once the lock has left', async () => {
  const matrix = await nodes(2)
  await matrix.use(0, at0, EX)
  const kept = cacheOf(matrix, 0).peek(at0)
  assert.ok(kept?.usable(EX))
  await matrix.use(1, at0, EX)
  assert.not(kept?.usable(PR))
  await matrix.use(0, at0, EX)
  assert.not(kept?.usable(PR) && kept !== cacheOf(matrix, 0).peek(at0))
  assert.ok(cacheOf(matrix, 0).peek(at0)?.usable(EX))
})

test('a lock is usable only once its acquire callout is done', async () => {
  const matrix = await nodes(1)
  const applied = deferred<void>()
  matrix.acquired[0] = () => applied.promise
  const hold = cacheOf(matrix, 0).acquire(at0, PR)
  await matrix.pass(10)
  assert.not(cacheOf(matrix, 0).holds(at0, PR))
  applied.resolve()
  ;(await matrix.settle(Promise.resolve(hold))).release()
  assert.ok(cacheOf(matrix, 0).holds(at0, PR))
})

test('nothing is usable once the lease is over', async () => {
  const matrix = await nodes(1)
  await matrix.use(0, at0, EX)
  const kept = cacheOf(matrix, 0).peek(at0)
  matrix.leaseGood[0] = false
  assert.not(cacheOf(matrix, 0).holds(at0, PR))
  assert.not(kept?.usable(PR))
  const error = await matrix.settle(matrix.acquire(0, at0, PR)).catch((error: unknown) => error)
  assert.ok(isMatrixError(error, 'fenced'))
})

for (const fault of ['acquired', 'surrender'] as const) {
  test(`a ${fault} callout that fails makes the lock space withdraw; whoever waits is told`, async () => {
    const matrix = await nodes(2)
    if (fault === 'surrender') await matrix.use(0, at0, EX)
    const fail = (): Promise<never> => Promise.reject(new Error('the journal cannot be written'))
    matrix[fault][0] = fail
    const waiting = [
      matrix.acquire(0, at1, EX),
      fault === 'surrender' ? matrix.acquire(1, at0, EX) : matrix.acquire(0, at0, EX),
    ]
    const failed = waiting.map((promise) => promise.catch((error: unknown) => error))
    await matrix.pass(50)
    assert.is(matrix.fatal[0]?.message, 'the journal cannot be written')
    assert.is(matrix.spaces[0]!.status().phase, 'withdrawn')
    assert.not(cacheOf(matrix, 0).holds(at0, PR))
    if (fault === 'acquired')
      for (const error of await Promise.all(failed)) assert.ok(isMatrixError(error, 'withdrawn'))
    const late = await matrix.acquire(0, at0, PR).catch((error: unknown) => error)
    assert.ok(isMatrixError(late, 'withdrawn'))
    assert.is(matrix.fatal[1], undefined)
  })
}

test('a hold is released once', async () => {
  const matrix = await nodes(1)
  const hold = cacheOf(matrix, 0).acquire(at0, PR) as Hold
  hold.release()
  assert.throws(() => hold.release(), /released once/)
  assert.throws(() => cacheOf(matrix, 0).acquire(at0, NL), /in a mode/)
})

test.run()
