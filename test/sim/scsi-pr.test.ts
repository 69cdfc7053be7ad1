import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KiB } from '../../src/base/units.ts'
import { registrationKey } from '../../src/san/index.ts'
import { Coverage } from './coverage.ts'
import { SimMatrix, type SimNode } from './matrix.ts'
import { SimWorld } from './world.ts'

const test = suite('sim: fencing by persistent reservations')

/** Three nodes with the default timings, registered at all LUNs. The oracles of writes and reservations watch. */
async function scene(seed: number, fencing: readonly ('scsi-pr' | 'lease')[] = ['scsi-pr']) {
  const world = new SimWorld(seed)
  const coverage = new Coverage()
  const matrix = new SimMatrix(world, { nodes: 3, fencing, journalBytes: 256 * KiB, ioTimeoutMs: 2000, coverage })
  await world.settle(matrix.format())
  await world.settle(Promise.all(matrix.nodes.map((node) => matrix.boot(node))))
  await world.run(world.now + world.prng.between(5_000, 10_000))
  const administrator = matrix.nodes[0]?.core?.administrator?.slot
  const victim = world.prng.pick(matrix.nodes.filter(({ slot }) => slot !== administrator))
  const others = matrix.nodes.filter((node) => node !== victim)
  const servesAlone = ({ mount, core }: SimNode) =>
    mount?.state === 'serving' && core?.cluster.mesh.view?.members.length === 2
  const othersServe = () => others.every(servesAlone)
  const incarnation = (node: SimNode) =>
    node.core?.cluster.mesh.view?.members.find(({ slot }) => slot === node.slot)?.incarnation ?? 0
  const keyOf = (node: SimNode) => registrationKey({ slot: node.slot, incarnation: incarnation(node) })
  const registered = (key: bigint) => matrix.disks.filter(({ reservations }) => reservations.has(key)).length
  const count = (name: string) => coverage.counts[name] ?? 0
  const end = () => {
    for (const { host } of matrix.nodes) host?.crash()
  }
  return { world, matrix, victim, others, othersServe, keyOf, registered, count, end }
}

test('the others serve within 10 s of a death, and no LUN has a registration of the dead', async () => {
  for (let seed = 1; seed <= 15; seed++) {
    const { world, matrix, victim, othersServe, keyOf, registered, count, end } = await scene(seed)
    const key = keyOf(victim)
    assert.is(registered(key), matrix.disks.length)
    const diedAt = world.now
    matrix.network.crash(victim.host!, 'machine')
    await world.run(diedAt + 20_000, othersServe)
    assert.ok(othersServe(), `seed ${seed}`)
    assert.ok(world.now - diedAt <= 10_000, `seed ${seed}: ${world.now - diedAt} ms`)
    assert.is(registered(key), 0, `seed ${seed}`)
    assert.is(count('fence by scsi-pr: fenced'), 1)
    await world.settle(matrix.boot(victim))
    await world.run(world.now + 5_000, () => matrix.whole)
    assert.ok(matrix.whole, `seed ${seed}: it comes back`)
    end()
  }
})

test('a frozen node is fenced; when it wakes it writes nothing, and ends', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { world, victim, othersServe, keyOf, registered, end } = await scene(seed)
    const key = keyOf(victim)
    const { host } = victim
    host!.pause()
    await world.run(world.now + 40_000, othersServe)
    assert.ok(othersServe(), `seed ${seed}`)
    assert.is(registered(key), 0, `seed ${seed}`)
    host!.resume()
    await world.run(world.now + 5_000)
    assert.not(host!.alive, `seed ${seed}: it goes on`)
    assert.is(registered(key), 0, `seed ${seed}`)
    end()
  }
})

test('a node whose registrations are gone ends, whoever took them, and comes back by a new life', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { world, matrix, victim, keyOf, count, end } = await scene(seed)
    const key = keyOf(victim)
    const thief = matrix.nodes.find((node) => node !== victim) as SimNode
    const [disk] = matrix.disks
    const { host } = victim
    const path = disk!.reservations.path(thief.host!, async (run) => run())
    await world.settle(path.preempt(keyOf(thief), key))
    await world.run(world.now + 2 * matrix.timings.probeMs, () => !host!.alive)
    assert.not(host!.alive, `seed ${seed}: it goes on`)
    assert.not(disk!.reservations.has(key), `seed ${seed}`)
    assert.ok(count('log the node halts') > 0)
    await world.settle(matrix.boot(victim))
    await world.run(world.now + 5_000, () => matrix.whole)
    assert.ok(matrix.whole, `seed ${seed}: it comes back`)
    end()
  }
})

test('a LUN whose preemptions fail: nobody is fenced by it alone, and the lease is waited for', async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const { world, matrix, victim, othersServe, count, end } = await scene(seed, ['scsi-pr', 'lease'])
    matrix.disks[1]!.faults.add(({ op }) => (op === 'reservation' ? 'error' : undefined))
    const diedAt = world.now
    matrix.network.crash(victim.host!, 'machine')
    await world.run(diedAt + 30_000, othersServe)
    assert.ok(othersServe(), `seed ${seed}`)
    assert.ok(world.now - diedAt > 10_000, `seed ${seed}: ${world.now - diedAt} ms`)
    assert.is(count('fence by scsi-pr: fenced'), 0)
    assert.ok(count('fence by scsi-pr: error') > 0)
    end()
  }
})

test('all leave: the last takes the reservation along', async () => {
  const { world, matrix, end } = await scene(1)
  for (const node of matrix.nodes) await world.settle(matrix.stop(node))
  for (const node of matrix.nodes) assert.not(matrix.disks.some(({ reservations }) => reservations.refuses(node.host!)))
  end()
})

test.run()
