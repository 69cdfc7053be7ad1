// time limit: 120 s
/**
 * Byte-range locks while a node dies, with the product's own timings and fencing by lease alone: what counts until it is fenced, what goes
 * then, and what stays.
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFsError } from '../../src/base/errors.ts'
import { KiB } from '../../src/base/units.ts'
import type { RangeLocks } from '../../src/locking/index.ts'
import { Coverage } from './coverage.ts'
import { SimMatrix } from './matrix.ts'
import { SimWorld } from './world.ts'

const INO = 6400

const ask = (client: string, start: number, end = start, ino = INO) => {
  return { client, owner: 'p', ino, start, end, mode: 'exclusive' as const }
}

test('R129 a node dies: what its clients hold is in the way until it is fenced; then its mounts’ locks go, and its NFS clients’ stay', async () => {
  const world = new SimWorld(7)
  const options = { nodes: 3, journalBytes: 256 * KiB, ioTimeoutMs: 2000, coverage: new Coverage() }
  const matrix = new SimMatrix(world, { ...options, fencing: ['lease'] })
  await world.settle(matrix.format())
  await world.settle(Promise.all(matrix.nodes.map((node) => matrix.boot(node))))
  const fsOf = (slot: number) => matrix.nodes[slot]!.mount!.fs
  const [first, second, dead] = [fsOf(0), fsOf(1), fsOf(2)]
  const did = <T>(promise: Promise<T>) => world.settle(promise, 5000)

  await did(dead.clients.put({ name: 'nfs', address: '10.0.0.9', state: 1, facts: '' }))
  const mount = dead.ranges.localClient('mount')
  assert.is(await did(dead.ranges.take(ask(mount, 0, 9))), undefined)
  assert.is(await did(dead.ranges.take(ask('nfs', 20, 29))), undefined)
  assert.is(await did(dead.ranges.take(ask('nfs', 0, 9, 6401))), undefined)
  // another node has the table when it happens, and one that nobody has
  assert.is(await did(first.ranges.take(ask('a', 40))), undefined)
  dead.ranges.wait(ask('nfs', 40)).granted.catch(() => {})
  await world.run(world.now + 500)
  assert.is((await did(first.ranges.take(ask('x', 40))))?.client, 'a')
  assert.is((await did(first.ranges.test(ask('x', 0, 0, 6401))))?.client, 'nfs')
  let adopted: readonly string[] = []
  for (const fs of [first, second]) fs.clients.clientsAdopted((clients) => (adopted = clients.map(({ name }) => name)))

  matrix.crash(matrix.nodes[2]!)
  const diedAt = world.now
  await world.run(world.now + 1500)
  assert.is((await did(first.ranges.test(ask('b', 5))))?.client, mount)
  assert.is((await did(first.ranges.take(ask('b', 5))))?.client, mount)
  const wait = first.ranges.wait(ask('b', 5))
  let grantedAt = 0
  wait.granted.then(() => (grantedAt = world.now))
  await world.run(world.now + 2000)
  assert.is(grantedAt, 0)
  // nobody knows yet what else the dead node has granted
  const early = await world.settle(first.ranges.releaseClient('nfs').catch((error) => error))
  assert.ok(isFsError(early, 'EAGAIN'))
  assert.is(matrix.writes.fences, 0)

  await world.settle(wait.granted, 60_000)
  assert.ok(matrix.writes.fences >= 1)
  assert.ok(grantedAt - diedAt > matrix.timings.leaseMs)
  // the turn of the one who waited at the dead node is nobody’s
  await did(first.ranges.release(INO, ask('a', 40), { start: 40, end: 40 }))
  assert.is(await did(second.ranges.take(ask('b', 40))), undefined)
  // at whatever node it asks, the client still has what it had, and gives it back there
  for (const ranges of [first.ranges, second.ranges] as RangeLocks[]) {
    assert.is((await did(ranges.test(ask('c', 25))))?.client, 'nfs')
    assert.is((await did(ranges.take(ask('c', 5, 5, 6401))))?.client, 'nfs')
  }
  await did(second.ranges.release(INO, ask('nfs', 0), { start: 20, end: 24 }))
  assert.is(await did(first.ranges.take(ask('c', 20, 24))), undefined)
  await world.run(world.now + 5000)
  assert.equal(adopted, ['nfs'])
  assert.is(await did(first.ranges.releaseClient('nfs')), undefined)
  assert.is(await did(second.ranges.test(ask('c', 0, 100, 6401))), undefined)
  assert.equal(await world.settle(matrix.compareImages()), [])
  for (const node of matrix.nodes) node.host?.crash()
})

test.run()
