/** Lock service between the loss of a node and its fence: what goes on, what waits, and when nothing may go on. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { emptyVector, formatVector, type Vector } from '../../../src/base/vector.ts'
import { EX, GROUP_LOCK, type Hold, inodeLock, Mastering, PR, resourceId } from '../../../src/locking/index.ts'
import { LockNodes } from './lock-nodes.ts'

const at0 = inodeLock(64)
const at1 = inodeLock(65)
const at2 = inodeLock(66)

/** What becomes of an acquire within a while: it stays open when the lock is not granted. */
async function tried(matrix: LockNodes, slot: number, rid: number, mode: typeof EX | typeof PR) {
  const state = { hold: undefined as Hold | undefined }
  matrix.acquire(slot, rid, mode).then((hold) => (state.hold = hold))
  await matrix.pass(200)
  return state
}

test('what the lost node neither held nor mastered is granted; the rest once it has been fenced', async () => {
  const matrix = new LockNodes(3)
  await matrix.view(1)
  await matrix.use(2, at0, PR)
  await matrix.use(1, inodeLock(128), EX)
  await matrix.split(2, [0, 1], [2])
  assert.is(matrix.spaces[0]!.phase, 'reopened')
  await matrix.use(0, at1, EX)
  await matrix.use(1, at1, EX) // and goes on from node to node
  await matrix.use(0, inodeLock(128), EX)
  await matrix.use(1, at0, PR) // shared with the lost node
  const held = await tried(matrix, 0, at0, EX)
  const mastered = await tried(matrix, 1, at2, PR)
  assert.is(held.hold, undefined)
  assert.is(mastered.hold, undefined)
  const shown = matrix.spaces[0]!.status().resources.find(({ rid }) => rid === at0)
  assert.equal(shown?.holders, [
    { slot: 2, mode: 'PR', absent: true },
    { slot: 1, mode: 'PR', absent: false },
  ])
  assert.equal(
    shown?.waiters.map(({ slot, mode, parked }) => [slot, mode, parked]),
    [[0, 'EX', true]],
  )
  for (const slot of [0, 1]) matrix.spaces[slot]!.freeze()
  await matrix.settle(Promise.all([0, 1].map((slot) => matrix.spaces[slot]!.rebuild([0, 1], emptyVector, 2))))
  await matrix.pass(100)
  assert.ok(held.hold && mastered.hold)
})

test('a cached lock stays usable although another node wants it, while the lost node is in the way anyhow', async () => {
  const matrix = new LockNodes(4)
  await matrix.view(1)
  await matrix.use(2, at0, PR)
  await matrix.use(1, at0, PR)
  await matrix.split(2, [0, 1, 3], [2])
  const wanted = await tried(matrix, 0, at0, EX)
  assert.is(wanted.hold, undefined)
  assert.ok(matrix.spaces[1]!.cache.holds(at0, PR))
  await matrix.use(3, at0, PR) // passes the one that waits
  const noQueue = await matrix.settle(Promise.resolve(matrix.spaces[1]!.cache.acquire(at2, EX, { noQueue: true })))
  assert.is(noQueue, undefined, 'who does not want to wait does not wait for the fence either')
})

test('both sides of a split go on with what they mastered, and take nothing from each other', async () => {
  const matrix = new LockNodes(4)
  await matrix.view(1)
  const at3 = inodeLock(67)
  await matrix.use(3, at0, EX)
  await matrix.use(0, at3, PR)
  await matrix.split(2, [0, 1], [2, 3])
  await matrix.use(1, inodeLock(128), EX)
  await matrix.use(3, at2, EX)
  await matrix.use(2, at3, PR)
  for (const [slot, rid] of [
    [1, at0],
    [2, at3],
    [1, at3],
    [2, at1],
  ] as const)
    assert.is((await tried(matrix, slot, rid, EX)).hold, undefined)
  assert.ok(matrix.spaces[3]!.cache.holds(at0, EX))
})

test('a second loss before the fence: what either of the lost held waits', async () => {
  const matrix = new LockNodes(3)
  await matrix.view(1)
  await matrix.use(2, at0, PR)
  await matrix.use(1, inodeLock(128), EX)
  await matrix.split(2, [0, 1], [2])
  await matrix.use(1, inodeLock(192), EX)
  await matrix.split(3, [0], [1], [2])
  for (const ino of [64, 128, 192]) assert.is((await tried(matrix, 0, inodeLock(ino), EX)).hold, undefined)
  await matrix.use(0, inodeLock(256), EX)
})

test('vectors of surrenders that were lost come with the reports, also to value blocks that are kept', async () => {
  const vectors: Vector[] = []
  const matrix = new LockNodes(3)
  let lsn = 0
  matrix.surrender[1] = () => new Map([[1, (lsn += 512)]])
  matrix.surrender[2] = () => new Map([[2, 8192]])
  await matrix.view(1)
  await matrix.use(2, at0, EX)
  await matrix.use(1, at0, EX)
  await matrix.use(0, at0, PR) // the value block has a vector
  await matrix.use(1, at0, EX)
  const left = matrix.spaces[1]!.cache.surrenderAll()
  for (const space of matrix.spaces) space.freeze()
  await matrix.settle(left)
  await matrix.split(2, [0, 1], [2])
  matrix.acquired[0] = (vector) => void vectors.push(vector)
  await matrix.use(0, at0, PR)
  assert.equal(vectors.map(formatVector), ['{1:1024 2:8192}'])
})

test('a member without the last complete epoch, as after a restart: nothing is granted before the full rebuild', async () => {
  const matrix = new LockNodes(3)
  await matrix.view(1)
  await matrix.use(1, at0, EX)
  for (const space of matrix.spaces) space.freeze()
  matrix.restart(1)
  const reopening = [0, 1].map((slot) => matrix.spaces[slot]!.reopen([0, 1], 2).catch((error: unknown) => error))
  assert.is((await tried(matrix, 0, at0, EX)).hold, undefined)
  assert.is(matrix.spaces[0]!.phase, 'rebuilding')
  matrix.spaces[0]!.freeze()
  assert.ok(isMatrixError(await reopening[0], 'view-changed'))
})

test('a full rebuild that did not come to an end leaves nothing to go by', async () => {
  const matrix = new LockNodes(3)
  await matrix.view(1)
  for (const space of matrix.spaces) space.freeze()
  matrix.sides = [[0, 1], [2]]
  const failed = matrix.spaces[0]!.rebuild([0, 1], emptyVector, 2).catch(() => {})
  await matrix.pass(20)
  for (const space of matrix.spaces) space.freeze()
  await matrix.settle(failed)
  for (const slot of [0, 1]) matrix.spaces[slot]!.reopen([0, 1], 3).catch(() => {})
  assert.is((await tried(matrix, 1, at0, EX)).hold, undefined)
  assert.is((await tried(matrix, 0, at1, EX)).hold, undefined)
})

test('who has only reopened joins the full rebuild of a peer with its own floor, when it is asked to', async () => {
  const matrix = new LockNodes(3)
  await matrix.view(1)
  await matrix.split(2, [0, 1], [2])
  matrix.spaces[0]!.freeze()
  const floor = new Map([[2, 4096]])
  const first = matrix.spaces[0]!.rebuild([0, 1], floor, 2)
  let granted = false
  first.then(() => (granted = true))
  await matrix.pass(100)
  assert.not(granted, 'node 1 has not been asked, and has no floor')
  matrix.spaces[1]!.freeze()
  await matrix.settle(Promise.all([first, matrix.spaces[1]!.rebuild([0, 1], floor, 2)]))
  const vectors: Vector[] = []
  matrix.acquired[0] = (vector) => void vectors.push(vector)
  await matrix.use(0, at1, PR)
  assert.equal(vectors.map(formatVector), ['{2:4096}'])
})

test('a peer that reopens first is waited for, and after a full rebuild in its view no view is reopened', async () => {
  const matrix = new LockNodes(2)
  await matrix.view(1)
  for (const space of matrix.spaces) space.freeze()
  const first = matrix.spaces[0]!.reopen([0, 1], 2)
  await matrix.pass(50)
  await matrix.settle(Promise.all([first, matrix.spaces[1]!.reopen([0, 1], 2)]))
  await matrix.use(0, at1, EX)
  await matrix.view(2)
  await matrix.use(1, at0, EX)
  const late = await matrix.spaces[0]!.reopen([0, 1], 2).catch((error: unknown) => error)
  assert.match(String(late), /locks of view 2 are being rebuilt in full/)
})

test('who waits for the fence with other locks in hand gives them back to others, and has all of them in the end', async () => {
  const matrix = new LockNodes(3)
  await matrix.view(1)
  const low = resourceId(GROUP_LOCK, 0)
  const master = new Mastering([0, 1, 2]).masterOf(low)
  assert.is.not(master, 2)
  await matrix.split(2, [0, 1], [2])
  const both = Promise.resolve(
    matrix.spaces[0]!.cache.acquireAll(
      new Map([
        [low, EX],
        [at2, EX],
      ]),
    ),
  )
  await matrix.pass(50)
  assert.ok(matrix.spaces[0]!.cache.holds(low, EX))
  await matrix.use(1, low, EX)
  await matrix.use(0, low, PR)
  for (const slot of [0, 1]) matrix.spaces[slot]!.freeze()
  await matrix.settle(Promise.all([0, 1].map((slot) => matrix.spaces[slot]!.rebuild([0, 1], emptyVector, 2))))
  const holds = await matrix.settle(both)
  assert.equal(
    holds.map(({ rid, mode }) => [rid, mode]),
    [
      [low, EX],
      [at2, EX],
    ],
  )
})

test.run()
