import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KiB } from '../../src/base/units.ts'
import { FENCE_OFFSET, SAN_LOCK_OFFSET } from '../../src/san/lun-layout.ts'
import { Coverage } from './coverage.ts'
import type { ScriptWay } from './flaky-agent.ts'
import type { SimIo } from './lun.ts'
import { SimMatrix, type SimNode } from './matrix.ts'
import { SimWorld } from './world.ts'

const test = suite('sim: fencing by a script')

/** Where requests to die lie. */
const FENCE = { from: FENCE_OFFSET, to: SAN_LOCK_OFFSET }

/** Three nodes with the default timings, in any phase of each other; whose script does one of these. The oracles of writes watch. */
async function scene(seed: number, ...scriptWays: ScriptWay[]) {
  const world = new SimWorld(seed)
  const coverage = new Coverage()
  const fencing = ['script', 'lease'] as const
  const matrix = new SimMatrix(world, {
    ...{ nodes: 3, fencing, scriptWays, journalBytes: 256 * KiB, ioTimeoutMs: 2000, coverage },
  })
  await world.settle(matrix.format())
  await world.settle(Promise.all(matrix.nodes.map((node) => matrix.boot(node))))
  await world.run(world.now + world.prng.between(5_000, 10_000))
  // in a split the administrator's side goes on
  const administrator = matrix.nodes[0]?.core?.administrator?.slot
  const victim = world.prng.pick(matrix.nodes.filter(({ slot }) => slot !== administrator))
  const others = matrix.nodes.filter((node) => node !== victim)
  const servesAlone = ({ mount, core }: SimNode) =>
    mount?.state === 'serving' && core?.cluster.mesh.view?.members.length === 2
  const othersServe = () => others.every(servesAlone)
  const count = (name: string) => coverage.counts[name] ?? 0
  const end = () => {
    for (const { host } of matrix.nodes) host?.crash()
  }
  return { world, matrix, victim, others, othersServe, count, end }
}

/** Nobody can ask anybody to die, until `end`. */
function refuseRequests({ disks }: SimMatrix): { end(): void } {
  const fault = ({ op, offset }: SimIo) =>
    op === 'write' && FENCE.from <= offset && offset < FENCE.to ? 'error' : undefined
  for (const disk of disks) disk.faults.add(fault)
  return {
    end: () => {
      for (const disk of disks) disk.faults.delete(fault)
    },
  }
}

for (const way of ['cuts off', 'powers off'] as const) {
  test(`the others serve within 10 s of a death, with a script that ${way}`, async () => {
    for (let seed = 1; seed <= 25; seed++) {
      const { world, matrix, victim, othersServe, count, end } = await scene(seed, way)
      const diedAt = world.now
      matrix.network.crash(victim.host!, 'machine')
      await world.run(diedAt + 20_000, othersServe)
      assert.ok(othersServe(), `seed ${seed}`)
      assert.ok(world.now - diedAt <= 10_000, `seed ${seed}: ${world.now - diedAt} ms`)
      assert.ok(count('fence by script: fenced') > 0)
      end()
    }
  })
}

test('a node that is only cut off from the others ends by itself when it is asked, before any script', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { world, matrix, victim, others, othersServe, count, end } = await scene(seed, 'cuts off')
    for (const other of others) matrix.network.cut(victim.name, other.name)
    const cutAt = world.now
    await world.run(cutAt + 40_000, othersServe)
    assert.ok(othersServe(), `seed ${seed}`)
    assert.ok(world.now - cutAt < matrix.timings.leaseMs, `seed ${seed}: ${world.now - cutAt} ms`)
    assert.is(count('log fence script has ended'), 0, `seed ${seed}`)
    assert.ok(count('fence by script: fenced') > 0)
    end()
  }
})

test('a lie about a node that is cut off and heeds no request is found out; it is asked again', async () => {
  let found = 0
  for (let seed = 1; seed <= 10; seed++) {
    const { world, matrix, victim, others, othersServe, count, end } = await scene(seed, 'lies')
    for (const other of others) matrix.network.cut(victim.name, other.name)
    const deaf = refuseRequests(matrix)
    await world.run(world.now + 10_000, () => count('log the fence script says fenced, the node goes on') > 0)
    deaf.end()
    await world.run(world.now + 40_000, othersServe)
    assert.ok(othersServe(), `seed ${seed}`)
    // a request whose writing failed may have landed all the same, and be heeded
    found += count('log the fence script says fenced, the node goes on')
    end()
  }
  assert.ok(found > 0, `${found} lies were found out`)
})

test('a lie about a frozen node: its lease is waited for, and when it wakes it writes nothing', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { world, victim, othersServe, count, end } = await scene(seed, 'lies')
    const { host } = victim
    host!.pause()
    const frozenAt = world.now
    await world.run(frozenAt + 40_000, othersServe)
    assert.ok(count('fence by script: fenced') > 0, `seed ${seed}`)
    assert.ok(world.now - frozenAt <= 10_000, `seed ${seed}: ${world.now - frozenAt} ms`)
    host!.resume()
    await world.run(world.now + 5_000)
    assert.not(host!.alive, `seed ${seed}: it goes on`)
    end()
  }
})

test.run()
