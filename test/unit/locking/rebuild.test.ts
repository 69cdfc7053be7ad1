/** What happens to locks when the view changes: rebuild of the masters, and everything that can be in flight then. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { emptyVector, formatVector, type Vector } from '../../../src/base/vector.ts'
import { EX, inodeLock, type LockSpace, PR } from '../../../src/locking/index.ts'
import { deferred, LockNodes, WIRE_MS } from './lock-nodes.ts'

const at0 = inodeLock(64)
const at1 = inodeLock(65)

function freeze(matrix: LockNodes): void {
  matrix.cut = true // the mesh loses what is under way
  for (const space of matrix.spaces) space.freeze()
}

test('R8: cached locks stay usable while frozen, and survive the rebuild', async () => {
  const matrix = new LockNodes(2)
  await matrix.view(1)
  await matrix.use(0, at1, EX)
  freeze(matrix)
  assert.ok(matrix.spaces[0]!.cache.holds(at1, EX))
  assert.not.instance(matrix.spaces[0]!.cache.acquire(at1, PR), Promise)
  matrix.cut = false
  await matrix.view(2)
  assert.ok(matrix.spaces[0]!.cache.holds(at1, EX))
  assert.equal(
    matrix.spaces[1]!.status().resources.map(({ name, holders }) => ({ name, holders })),
    [{ name: 'I:65', holders: [{ slot: 0, mode: 'EX', absent: false }] }],
  )
})

test('R53: nothing is granted between freeze and the last report, not even by the own master', async () => {
  const matrix = new LockNodes(2)
  await matrix.view(1)
  for (const space of matrix.spaces) space.freeze()
  const hold = matrix.acquire(0, at0, EX)
  let granted = false
  hold.then(() => (granted = true))
  await matrix.pass(100)
  const first = matrix.spaces[0]!.rebuild([0, 1], emptyVector, 2)
  await matrix.pass(100)
  assert.not(granted)
  const second = matrix.spaces[1]!.rebuild([0, 1], emptyVector, 2) // node 0's report waited for this
  await matrix.settle(Promise.all([first, second]))
  await matrix.settle(hold)
})

test('a request, a grant and a BAST in flight: the waiter is served after the rebuild', async () => {
  for (const passMs of [0, 0.5, 1.5, 2.5, 3.5]) {
    const matrix = new LockNodes(3)
    await matrix.view(1)
    await matrix.use(2, at0, EX)
    await matrix.pass(100)
    const hold = matrix.acquire(1, at0, EX)
    await matrix.pass(passMs)
    const inFlight = matrix.wire.length
    freeze(matrix)
    await matrix.pass(10)
    matrix.cut = false
    await matrix.view(2)
    ;(await matrix.settle(hold)).release()
    assert.ok(inFlight > 0)
  }
})

test('a surrender under way: still held at the rebuild, and its vector reaches the next holder', async () => {
  const matrix = new LockNodes(2)
  await matrix.view(1)
  await matrix.use(0, at1, EX)
  const flushed = deferred<Vector>()
  matrix.surrender[0] = () => flushed.promise
  const hold = matrix.acquire(1, at1, EX)
  await matrix.pass(20)
  assert.is(matrix.events.at(-1), '0 I:65 EX>NL')
  for (const space of matrix.spaces) space.freeze()
  flushed.resolve(new Map([[0, 512]]))
  await matrix.pass(20)
  await matrix.view(2)
  await matrix.settle(hold)
  assert.equal(matrix.events.slice(1), ['0 I:65 EX>NL', '1 I:65 acquired EX'])
})

test('a DOWN that is lost: its vector comes with the report of who sent it', async () => {
  const vectors: Vector[] = []
  const matrix = new LockNodes(2)
  matrix.surrender[0] = () => new Map([[0, 512]])
  await matrix.view(1)
  await matrix.use(0, at1, EX)
  const left = matrix.spaces[0]!.cache.surrenderAll()
  for (const space of matrix.spaces) space.freeze()
  await matrix.settle(left)
  await matrix.view(2)
  matrix.acquired[1] = (vector) => void vectors.push(vector)
  await matrix.use(1, at1, PR)
  assert.equal(vectors.map(formatVector), ['{0:512}'])
})

test('a second failure while rebuilding: the first rebuild is told, the second counts', async () => {
  const matrix = new LockNodes(3)
  await matrix.view(1)
  await matrix.use(0, at1, EX)
  for (const space of matrix.spaces) space.freeze()
  const first = (matrix.spaces[0] as LockSpace).rebuild([0, 1, 2], emptyVector, 2).catch((error: unknown) => error)
  await matrix.pass(10)
  await matrix.view(3)
  assert.ok(isMatrixError(await matrix.settle(first), 'view-changed'))
  await matrix.use(2, at1, EX)
})

test('a rebuild that is repeated within a view, after it reached only some: all join the latest attempt', async () => {
  const matrix = new LockNodes(3)
  await matrix.view(1)
  await matrix.use(0, at1, EX)
  for (const space of matrix.spaces) space.freeze()
  const first = [0, 1].map((slot) => matrix.spaces[slot]!.rebuild([0, 1, 2], emptyVector, 2))
  await matrix.pass(10)
  for (const space of matrix.spaces) space.freeze()
  for (const attempt of first) assert.ok(isMatrixError(await attempt.catch((error: unknown) => error), 'view-changed'))
  const second = matrix.spaces.map((space) => space.rebuild([0, 1, 2], emptyVector, 2))
  await matrix.settle(Promise.all(second))
  assert.ok(matrix.spaces[0]!.cache.holds(at1, EX))
  await matrix.use(2, at1, EX)
})

test('views do not go back, and a withdrawn lock space is not rebuilt', async () => {
  const matrix = new LockNodes(1)
  await matrix.view(2)
  const back = await matrix.spaces[0]!.rebuild([0], emptyVector, 1).catch((error: unknown) => error)
  assert.match(String(back), /view 1 follows/)
  matrix.spaces[0]!.withdraw()
  const late = await matrix.spaces[0]!.rebuild([0], emptyVector, 3).catch((error: unknown) => error)
  assert.ok(isMatrixError(late, 'withdrawn'))
})

for (const [what, payload] of [
  ['garbage', Buffer.from('not a batch of lock messages')],
  ['nothing', Buffer.alloc(0)],
] as const) {
  test(`${what} from a peer: this node withdraws rather than guess`, async () => {
    const matrix = new LockNodes(2)
    await matrix.view(1)
    matrix.spaces[0]!.receive(1, payload)
    assert.ok(isMatrixError(matrix.fatal[0], 'protocol'))
    assert.is(matrix.spaces[0]!.status().phase, 'withdrawn')
    await matrix.pass(WIRE_MS)
  })
}

test.run()
