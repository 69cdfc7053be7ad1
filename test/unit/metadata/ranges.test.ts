/** Byte-range locks over several nodes: what one process by itself does (LocalRangeLocks), and what only several can do. */
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFsError } from '../../../src/base/errors.ts'
import type { Slot } from '../../../src/base/ids.ts'
import {
  FLOCK_BYTE,
  RANGE_LOCK,
  type RangeLock,
  type RangeLocks,
  type RangeMode,
  type RangeOwner,
  resourceId,
} from '../../../src/locking/index.ts'
import { type LocalMatrix, type LocalMatrixOptions, makeLocalMatrix } from '../../helpers/local-matrix.ts'
import { LocalRangeLocks } from '../../helpers/local-range-locks.ts'

const INO = 4711

const ask = (client: string, start: number, end = start, mode: RangeMode = 'exclusive', ino = INO) => {
  return { client, owner: 'p', ino, start, end, mode }
}
const free = (client: string, start: number, end = start) =>
  [INO, { client, owner: 'p' }, { start, end }] as const satisfies Parameters<RangeLocks['release']>

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error) => (isFsError(error) ? error.code : String(error)),
  )
}

async function isSettled(promise: Promise<unknown>, withinMs: number): Promise<boolean> {
  let settled = false
  promise.finally(() => (settled = true)).catch(() => {})
  await new Promise((resolve) => setTimeout(resolve, withinMs))
  return settled
}

async function withMatrix(options: LocalMatrixOptions, run: (matrix: LocalMatrix) => Promise<void>): Promise<void> {
  const matrix = await makeLocalMatrix(options)
  try {
    await run(matrix)
    assert.equal(await matrix.check(), [])
  } finally {
    await matrix.close()
  }
}

const rangesAt = (matrix: LocalMatrix, slot: number) => matrix.nodes[slot]!.fs.ranges

test('R129 a lock taken at one node is denied, tested, waited for and granted at another', () =>
  withMatrix({ nodes: 3 }, async (matrix) => {
    const [a, b, c] = [rangesAt(matrix, 0), rangesAt(matrix, 1), rangesAt(matrix, 2)]
    assert.is(await a.take(ask('a', 0, 9)), undefined)
    assert.equal(await b.take(ask('b', 5, 15)), { client: 'a', owner: 'p', start: 0, end: 9, mode: 'exclusive' })
    assert.is((await c.test(ask('c', 9, 9, 'shared')))?.client, 'a')
    assert.is(await c.test(ask('c', 10)), undefined)
    const second = b.wait(ask('b', 0, 9))
    assert.not.ok(await isSettled(second.granted, 30))
    const third = c.wait(ask('c', 0, 9))
    assert.not.ok(await isSettled(third.granted, 30))
    await a.release(...free('a', 0, 9))
    await second.granted
    assert.not.ok(await isSettled(third.granted, 30))
    // whoever asks at any node finds the one that has it
    assert.is((await a.test(ask('a', 0)))?.client, 'b')
    // and may unlock at any
    await c.release(...free('b', 0, 9))
    await third.granted
    assert.is(await third.cancel(), false)
    assert.is((await b.test(ask('b', 0)))?.client, 'c')
  }))

test('R129 several nodes do what one does by itself', () =>
  withMatrix({ nodes: 3 }, async (matrix) => {
    let round = 0
    const step = fc.record({
      node: fc.nat(2),
      kind: fc.constantFrom('take', 'release', 'test'),
      client: fc.constantFrom('a', 'b', 'c'),
      start: fc.nat(9),
      length: fc.nat(9),
      mode: fc.constantFrom<RangeMode>('shared', 'exclusive'),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const ino = 10_000 + round++
        const model = new LocalRangeLocks()
        for (const { node, kind, client, start, length, mode } of steps) {
          const request = ask(client, start, start + length, mode, ino)
          const real = rangesAt(matrix, node)
          if (kind === 'release') {
            await real.release(ino, request, request)
            await model.release(ino, request, request)
          } else {
            const method = kind as 'take' | 'test'
            const [answer, expected] = [await real[method](request), await model[method](request)]
            assert.equal(answer?.start, expected?.start)
          }
        }
        const all = { client: 'judge', owner: '', start: 0, end: 100, ino, mode: 'exclusive' as const }
        const held = async (ranges: RangeLocks) => {
          const found: RangeLock[] = []
          for (let lock = await ranges.test(all); lock; lock = await ranges.test(all)) {
            found.push(lock)
            await ranges.release(ino, lock, lock)
          }
          return found.sort(byOwner)
        }
        assert.equal(await held(rangesAt(matrix, round % 3)), await held(model))
      }),
      { numRuns: 40 },
    )
  }))

test('waiters are granted although every hint is lost', () =>
  withMatrix({ nodes: 2, wakes: false, announces: true }, async (matrix) => {
    await rangesAt(matrix, 0).take(ask('a', 0))
    const wait = rangesAt(matrix, 1).wait(ask('b', 0))
    assert.not.ok(await isSettled(wait.granted, 20))
    await rangesAt(matrix, 0).release(...free('a', 0))
    await wait.granted
  }))

test('whoever waits longest comes first, wherever; one that can only be granted later keeps nobody from anything', () =>
  withMatrix({ nodes: 3 }, async (matrix) => {
    await rangesAt(matrix, 0).take(ask('holder', 0, 9))
    const order: string[] = []
    const waits = []
    for (const [i, client] of ['first', 'second', 'third', 'fourth'].entries()) {
      const wait = rangesAt(matrix, (i + 1) % 3).wait(ask(client, 0, 4))
      assert.not.ok(await isSettled(wait.granted, 15))
      waits.push(
        wait.granted.then(async () => {
          order.push(client)
          await rangesAt(matrix, i % 3).release(...free(client, 0, 4))
        }),
      )
    }
    assert.is(await rangesAt(matrix, 1).take(ask('other', 10)), undefined)
    await rangesAt(matrix, 2).release(...free('holder', 0, 9))
    await Promise.all(waits)
    assert.equal(order, ['first', 'second', 'third', 'fourth'])
  }))

test('a circle of three clients at three nodes over three inodes: one is told, the others get what they want', () =>
  withMatrix({ nodes: 3, announces: true }, async (matrix) => {
    const clients = ['a', 'b', 'c']
    for (const [i, client] of clients.entries()) await rangesAt(matrix, i).take(ask(client, 0, 9, 'exclusive', 100 + i))
    const granted: string[] = []
    const codes = await Promise.all(
      clients.map(async (client, i) => {
        const next = 100 + ((i + 1) % 3)
        const code = await codeOf(rangesAt(matrix, i).wait(ask(client, 3, 3, 'exclusive', next)).granted)
        if (code === 'none') granted.push(client)
        // with what it wanted or without: it lets go
        for (const ino of [100 + i, next]) await rangesAt(matrix, i).release(ino, ask(client, 0), { start: 0, end: 9 })
        return code
      }),
    )
    assert.equal(codes.sort(), ['EDEADLK', 'none', 'none'])
  }))

test('three hundred owners in one line, each in the way of the next: granted in order, and only a circle is told', () =>
  withMatrix({ nodes: 2 }, async (matrix) => {
    const [here, there] = [rangesAt(matrix, 0), rangesAt(matrix, 1)]
    const count = 300
    for (let i = 0; i <= count; i++) await here.take(ask(`c${i}`, i))
    const order: number[] = []
    const waits = Array.from({ length: count }, async (_, index) => {
      const [i, bytes] = [index + 1, ask(`c${index + 1}`, index)]
      await here.wait(bytes).granted
      order.push(i)
      await here.release(INO, bytes, { start: 0, end: count })
    })
    while (here.stats().waiting < count) await new Promise((resolve) => setTimeout(resolve, 10))
    // looks at all of them come and go
    assert.not.ok(await isSettled(Promise.race(waits), 1200))
    assert.is(here.stats().circlesSuspected, 0)
    // whoever is first in the line waits for the last: through the whole of it
    assert.is(await codeOf(there.wait(ask('c0', count)).granted), 'EDEADLK')
    await here.release(...free('c0', 0))
    await Promise.all(waits)
    assert.equal(
      order,
      Array.from({ length: count }, (_, i) => i + 1),
    )
  }))

test('clients with locks are told of with how many they have, in the order of their names, some at a time', () =>
  withMatrix({ nodes: 1 }, async (matrix) => {
    const ranges = rangesAt(matrix, 0)
    await ranges.take(ask('b', 0, 0, 'exclusive', 100))
    await ranges.take(ask('b', 5, 5, 'exclusive', 100))
    await ranges.take(ask('b', 0, 0, 'exclusive', 200))
    await ranges.take(ask('a', 9, 9, 'exclusive', 100))
    const wait = ranges.wait(ask('a', 0, 0, 'exclusive', 200))
    assert.not.ok(await isSettled(wait.granted, 30))
    const a = { client: 'a', inodes: 2, held: 1, waiting: 1 }
    const b = { client: 'b', inodes: 2, held: 3, waiting: 0 }
    assert.equal(ranges.clients('', 10), [a, b])
    assert.equal(ranges.clients('', 1), [a])
    assert.equal(ranges.clients('a', 10), [b])
    await ranges.releaseClient('b')
    await wait.granted
    assert.equal(ranges.clients('', 10), [{ client: 'a', inodes: 2, held: 2, waiting: 0 }])
  }))

test('what looks like a circle in a late image is none: nobody is told so', () =>
  withMatrix({ nodes: 3, wakes: false }, async (matrix) => {
    const [a, b, c] = [rangesAt(matrix, 0), rangesAt(matrix, 1), rangesAt(matrix, 2)]
    await a.take(ask('a', 0, 0, 'exclusive', 1000))
    await b.take(ask('b', 0, 0, 'exclusive', 2000))
    await c.take(ask('c', 0, 0, 'exclusive', 3000))
    const forC = b.wait(ask('b', 0, 0, 'exclusive', 3000))
    const forA = c.wait(ask('c', 0, 0, 'exclusive', 1000))
    assert.not.ok(await isSettled(Promise.race([forA.granted, forC.granted]), 30))
    // node 0 knows that b waits for c, and c for a; then, not that c has given up
    for (const ino of [3000, 1000]) await a.test(ask('x', 7, 7, 'shared', ino))
    assert.is(await forA.cancel(), true)
    const forB = a.wait(ask('a', 0, 0, 'exclusive', 2000))
    assert.not.ok(await isSettled(forB.granted, 700), 'it waits on')
    assert.is(matrix.nodes[0]!.fs.ranges.stats().circlesSuspected, 1)
    await b.release(2000, ask('b', 0), { start: 0, end: 0 })
    a.wake(2000)
    await forB.granted
    assert.is(await forC.cancel(), true)
  }))

test('circles of flock are nobody’s business', () =>
  withMatrix({ nodes: 1 }, async (matrix) => {
    const ranges = rangesAt(matrix, 0)
    const flock = (client: string, ino: number) => ({ ...ask(client, 0, 0, 'exclusive', ino), ...FLOCK_BYTE })
    await ranges.take(flock('a', 1000))
    await ranges.take(flock('b', 2000))
    const waits = [ranges.wait(flock('a', 2000)), ranges.wait(flock('b', 1000))]
    assert.not.ok(await isSettled(Promise.race(waits.map((wait) => wait.granted)), 700))
    for (const wait of waits) assert.is(await wait.cancel(), true)
  }))

test('a wait that is cancelled is never granted; one that was granted says so', () =>
  withMatrix({ nodes: 2 }, async (matrix) => {
    const [here, there] = [rangesAt(matrix, 0), rangesAt(matrix, 1)]
    await here.take(ask('a', 0))
    for (let i = 0; i < 20; i++) {
      const wait = there.wait(ask('b', 0))
      if (i % 2) await isSettled(wait.granted, i)
      const released = here.release(...free('a', 0))
      const cancelled = await wait.cancel()
      await released
      assert.is(await codeOf(wait.granted), cancelled ? 'EINTR' : 'none')
      const holder = await here.test(ask('judge', 0))
      assert.is(holder?.client, cancelled ? undefined : 'b')
      await there.release(...free('b', 0))
      assert.is(await here.take(ask('a', 0)), undefined)
    }
  }))

test('a client that has restarted has nothing left, at whatever node it came by', () =>
  withMatrix({ nodes: 3 }, async (matrix) => {
    for (const slot of [0, 1, 2]) {
      assert.is(await rangesAt(matrix, slot).take(ask('a', 0, 9, 'exclusive', 500 + slot)), undefined)
      assert.is(await rangesAt(matrix, slot).take({ ...ask('a', 20 + slot), owner: `other ${slot}` }), undefined)
    }
    await rangesAt(matrix, 0).take(ask('b', 0, 0, 'exclusive', 600))
    const waits = [1, 2].map((slot) => rangesAt(matrix, slot).wait(ask('a', 0, 0, 'exclusive', 600)))
    assert.not.ok(await isSettled(Promise.race(waits.map((wait) => wait.granted)), 20))
    await rangesAt(matrix, 0).releaseClient('a')
    assert.equal(await Promise.all(waits.map((wait) => codeOf(wait.granted))), ['EINTR', 'EINTR'])
    for (const ino of [INO, 500, 501, 502])
      assert.is(
        await rangesAt(matrix, 1).test({ client: 'b', owner: '', start: 0, end: 100, ino, mode: 'exclusive' }),
        undefined,
      )
    assert.is((await rangesAt(matrix, 1).test(ask('c', 0, 0, 'exclusive', 600)))?.client, 'b')
  }))

test('what ends with a node that is gone is in nobody’s way any more, and its rows go; what does not stays', () =>
  withMatrix({ nodes: 3 }, async (matrix) => {
    const dead = rangesAt(matrix, 2)
    const here = rangesAt(matrix, 0)
    const local = dead.localClient('mount')
    await dead.take(ask(local, 0, 9))
    await dead.take(ask('nfs', 20, 29))
    await here.take(ask('holder', 40))
    const stale = dead.wait(ask('nfs', 40))
    assert.not.ok(await isSettled(stale.granted, 20))
    const wait = here.wait(ask('a', 5))
    assert.not.ok(await isSettled(wait.granted, 20))
    await matrix.lose(2 as Slot)
    here.resumed()
    assert.ok(await isSettled(wait.granted, 1000))
    assert.is((await here.test(ask('b', 25)))?.client, 'nfs')
    // nobody is there whom the bytes could be given to
    await here.release(INO, ask('holder', 0), { start: 40, end: 40 })
    assert.is(await here.take(ask('b', 40)), undefined)
    await matrix.nodes[0]!.fs.adoptSlot(2 as Slot)
    assert.equal(matrix.nodes[0]!.volume.image.rangeClients('@', 'A'), [])
    assert.equal(matrix.nodes[0]!.volume.image.rangeWaitLives(), [])
  }))

test('a lock that was answered is durable; one of a client that ends with its node costs no flush', () =>
  withMatrix({ nodes: 1 }, async (matrix) => {
    const { fs, volume } = matrix.nodes[0]!
    const durable = () => volume.durableVector().get(0) ?? 0
    const before = durable()
    await fs.ranges.take(ask(fs.ranges.localClient('mount'), 0, 9))
    assert.is(durable(), before)
    await fs.ranges.take(ask('nfs', 20, 29))
    assert.ok(durable() > before)
    const locked = durable()
    await fs.ranges.release(...free('nfs', 20, 29))
    assert.ok(durable() > locked)
  }))

test('a node that has the lock on an inode’s ranges takes and frees them without a message', () =>
  withMatrix({ nodes: 2 }, async (matrix) => {
    const here = rangesAt(matrix, 0)
    await here.take(ask('a', 0))
    const before = matrix.messages()
    for (let i = 0; i < 10; i++) {
      await here.take(ask('a', i, i + 5))
      await here.release(...free('a', i, i + 5))
    }
    assert.is(matrix.messages(), before)
    assert.ok(matrix.nodes[0]!.locks.cache.peek(resourceId(RANGE_LOCK, INO)))
  }))

test('limits: of one client, of names, of pieces that become one', () =>
  withMatrix({ nodes: 1 }, async (matrix) => {
    const ranges = rangesAt(matrix, 0)
    const long = { client: 'c'.repeat(2048), owner: 'o'.repeat(2048) }
    for (let i = 0; i < 20; i++) await ranges.take({ ...ask('', 2 * i), ...long })
    assert.is(await codeOf(ranges.take({ ...ask('', 0, 100), ...long })), 'ENOLCK')
    await ranges.release(INO, long, { start: 0, end: 1000 })
    assert.is(await ranges.take({ ...ask('', 0, 100), ...long }), undefined)
    const local = { client: ranges.localClient('x'), owner: '' }
    let code = 'none'
    for (let i = 0; code === 'none' && i < 40_000; i++)
      code = await codeOf(ranges.take({ ...ask('', 2 * i, 2 * i, 'exclusive', 99), ...local }))
    assert.is(code, 'ENOLCK')
    await ranges.releaseClient(local.client)
    assert.is(await ranges.take({ ...ask('', 0), ...local, ino: 99 }), undefined)
  }))

test('clients that a node watches over go to the one that adopts its slot, which says so', () =>
  withMatrix({ nodes: 2 }, async (matrix) => {
    const [adopter, dead] = matrix.nodes.map(({ fs }) => fs) as [
      (typeof matrix.nodes)[0]['fs'],
      (typeof matrix.nodes)[0]['fs'],
    ]
    const client = (name: string, state = 3) => ({ name, address: '10.0.0.7', state, facts: '{"x":1}' })
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) await dead.clients.put(client(name))
    await dead.clients.put(client('a', 5))
    await dead.clients.remove('b')
    await dead.clients.remove('nobody')
    await adopter.clients.put(client('c', 9))
    const told: string[] = []
    adopter.clients.clientsAdopted((clients) => told.push(...clients.map(({ name, state }) => `${name}${state}`)))
    await matrix.lose(1 as Slot)
    await adopter.adoptSlot(1 as Slot)
    assert.equal(told, ['a5', 'c3', 'd3', 'e3', 'f3'])
    assert.equal(
      adopter.clients.list().map(({ name, state }) => `${name}${state}`),
      ['a5', 'c9', 'd3', 'e3', 'f3'],
    )
  }))

function byOwner(a: RangeLock, b: RangeLock): number {
  const key = ({ client, owner, start }: RangeOwner & { start: number }) =>
    `${client} ${owner} ${String(start).padStart(4)}`
  return key(a) < key(b) ? -1 : 1
}

test.run()
