import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFsError } from '../../../src/base/errors.ts'
import {
  FLOCK_BYTE,
  findDeadlock,
  ownerKey,
  ownersInCircles,
  RANGE_END,
  type RangeLocks,
  type RangeMode,
  type RangeOwner,
  type WaitingFor,
} from '../../../src/locking/index.ts'
import { LocalRangeLocks } from '../../helpers/local-range-locks.ts'

const ask = (client: string, ino: number, start = 0, end = start, mode: RangeMode = 'exclusive') => {
  return { client, owner: 'p', ino, start, end, mode }
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error) => (isFsError(error) ? error.code : String(error)),
  )
}

/** Whether it is settled after everything that can happen has happened. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  promise.finally(() => (settled = true)).catch(() => {})
  await new Promise((resolve) => setImmediate(resolve))
  return settled
}

test('R129 denied, tested, waited for and granted in order of arrival', async () => {
  const ranges: RangeLocks = new LocalRangeLocks()
  assert.is(await ranges.take(ask('a', 7, 0, 9)), undefined)
  assert.is((await ranges.take(ask('b', 7, 9, 20)))?.client, 'a')
  assert.is((await ranges.test(ask('b', 7, 0, 0, 'shared')))?.client, 'a')
  assert.is(await ranges.test(ask('b', 8)), undefined)
  const second = ranges.wait(ask('b', 7, 0, 9))
  const third = ranges.wait(ask('c', 7, 0, 9))
  assert.not.ok(await isSettled(Promise.race([second.granted, third.granted])))
  await ranges.release(7, { client: 'a', owner: 'p' }, { start: 0, end: 100 })
  await second.granted
  assert.is(await second.cancel(), false)
  assert.not.ok(await isSettled(third.granted))
  assert.is(await third.cancel(), true)
  assert.is(await codeOf(third.granted), 'EINTR')
})

test('a circle over two inodes is told to whoever closes it; a circle of flock is not one', async () => {
  const ranges = new LocalRangeLocks()
  for (const [ino, client] of [
    [1, 'a'],
    [2, 'b'],
    [3, 'c'],
  ] as const)
    await ranges.take(ask(client, ino))
  const ab = ranges.wait(ask('a', 2))
  const bc = ranges.wait(ask('b', 3))
  assert.is(await codeOf(ranges.wait(ask('c', 1)).granted), 'EDEADLK')
  await ranges.release(3, { client: 'c', owner: 'p' }, { start: 0, end: 0 })
  await bc.granted
  await ranges.release(2, { client: 'b', owner: 'p' }, { start: 0, end: 0 })
  await ab.granted

  const flock = (client: string, ino: number) => ({ ...ask(client, ino), ...FLOCK_BYTE })
  await ranges.take(flock('d', 1))
  await ranges.take(flock('e', 2))
  const waits = [ranges.wait(flock('d', 2)), ranges.wait(flock('e', 1))]
  assert.not.ok(await isSettled(Promise.race(waits.map((wait) => wait.granted))))
})

test('who waits in a circle is found for all at once: as by a search for each', () => {
  const owner = fc.nat(7)
  // every one of eight owners waits for some others, or for nobody
  fc.assert(
    fc.property(fc.array(fc.tuple(owner, fc.array(owner, { maxLength: 2 })), { maxLength: 10 }), (waits) => {
      const named = (number: number) => ({ client: `c${number}`, owner: '' })
      const all = waits.map(([who, others], index) => ({ ...ask(`c${who}`, index, index), owner: '', others }))
      const graph = {
        waitsOf: ({ client }: RangeOwner) => all.filter((wait) => wait.client === client),
        // nobody is in his own way
        inTheWayOf: ({ ino, client }: WaitingFor) =>
          all[ino]!.others.map(named).filter((other) => other.client !== client),
      }
      const found = ownersInCircles(graph, all)
      for (const wait of all) {
        const isIn = all.some((other) => other.client === wait.client && findDeadlock(graph, other) !== undefined)
        assert.is(found.has(ownerKey(wait)), isIn)
      }
    }),
    { numRuns: 2000 },
  )
})

test('two that hold a range shared and both want it exclusively: the second is told', async () => {
  const ranges = new LocalRangeLocks()
  await ranges.take(ask('a', 1, 0, 9, 'shared'))
  await ranges.take(ask('b', 1, 0, 9, 'shared'))
  const upgrade = ranges.wait(ask('a', 1, 0, 9))
  assert.is(await codeOf(ranges.wait(ask('b', 1, 0, 9)).granted), 'EDEADLK')
  await ranges.release(1, { client: 'b', owner: 'p' }, { start: 0, end: 9 })
  await upgrade.granted
  assert.equal([...ranges.held()], [ask('a', 1, 0, 9)])
})

test('a client that has restarted holds nothing and waits for nothing', async () => {
  const ranges = new LocalRangeLocks()
  await ranges.take(ask('a', 1, 0, 9))
  await ranges.take(ask('a', 2, 0, 9))
  await ranges.take(ask('b', 3, 0, 9))
  const gone = ranges.wait(ask('a', 3))
  const granted = ranges.wait(ask('c', 1))
  await ranges.releaseClient('a')
  await granted.granted
  assert.is(await codeOf(gone.granted), 'EINTR')
  assert.equal(
    [...ranges.held()].map((lock) => lock.client),
    ['c', 'b'],
  )
})

test('requests that make no sense are refused', async () => {
  const ranges = new LocalRangeLocks()
  const wrong = [
    ask('a', 1, -1, 5),
    ask('a', 1, 6, 5),
    ask('a', 1, 0.5, 5),
    ask('a', 1, 0, RANGE_END + 1),
    ask('a'.repeat(2049), 1),
    ask('\ud800', 1),
    ask('@3/17/x', 1),
    ask('@', 1),
  ]
  for (const request of wrong) {
    assert.is(await codeOf(ranges.take(request)), 'EINVAL', JSON.stringify(request))
    assert.is(await codeOf(ranges.wait(request).granted), 'EINVAL')
  }
  assert.is(await ranges.take(ask(ranges.localClient('mnt'), 1)), undefined)
})

test.run()
